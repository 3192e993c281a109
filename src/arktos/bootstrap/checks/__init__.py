"""The doctor's checks: each looks at one thing and says what it found and what to do about it.

`machine` is any machine's, `kernel` and `needs` what pods take, `installation` the files and processes of one,
`running` a node at work. None changes anything, and what hangs is not waited for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from arktos.bootstrap.checks import installation, kernel, machine, needs, running
from arktos.bootstrap.checks.finding import Finding, Level
from arktos.bootstrap.components import Settings
from arktos.bootstrap.layout import Layout

__all__ = ["Finding", "Level", "run"]

PATIENCE = 4.0
"""Seconds for all checks together, but the one that reads a stopped server's store: that takes what it takes."""

Check = Callable[[], Iterable[Finding]]


def run(data_dir: Path, *, patience: float = PATIENCE) -> Iterator[Finding]:
    """What there is to say of this machine and of the installation in a directory, in a fixed order."""
    layout = Layout(data_dir)
    settings = Settings.load(layout)
    # A machine that is a node lacks what it needs; any other might become one.
    grave = Level.BAD if settings is not None and settings.node is not None else Level.WARN
    checks: list[tuple[str, Check]] = [
        ("machine", lambda: machine.findings(layout)),
        ("ports", lambda: installation.ports(settings or Settings(str(data_dir)))),
    ]
    if settings is None or settings.node is not None:
        checks += [
            ("node's programs", lambda: needs.findings(grave)),
            ("kernel", lambda: kernel.findings(grave)),
            ("forwarding", needs.forwarding),
            ("name servers", needs.name_servers),
        ]
    if settings is not None:
        known = settings
        checks.append(("processes", lambda: installation.processes(known)))
        if known.node is not None:
            checks += [
                ("runtimes", lambda: running.runtimes(known)),
                ("image servers", lambda: running.image_servers(known)),
                ("node", lambda: running.node(known)),
            ]
    yield from together(checks, patience)
    if settings is None:
        yield Finding("installation", Level.OK, f"nothing was started in {data_dir} yet", "arktos up")
    elif settings.control_plane:
        yield from installation.server(settings)


def together(checks: Iterable[tuple[str, Check]], patience: float) -> Iterator[Finding]:
    """Makes checks at once; yields what they find, in their order. Of one that is not done after `patience` seconds, or
    fails, that is said."""
    began = [(name, _Running(name, check)) for name, check in checks]
    deadline = time.monotonic() + patience
    for name, task in began:
        task.join(max(0.0, deadline - time.monotonic()))
        if task.is_alive():
            yield Finding(name, Level.WARN, f"could not be told within {patience:g} s: something hangs")
        yield from list(task.found)


class _Running(threading.Thread):
    """A check under way. Nobody waits for it at the end: what it hangs on may never answer."""

    def __init__(self, name: str, check: Check) -> None:
        super().__init__(name=f"check {name}", daemon=True)
        self.found: list[Finding] = []
        self._about, self._check = name, check
        self.start()

    def run(self) -> None:
        try:
            for finding in self._check():
                self.found.append(finding)
        except Exception as error:  # a check that breaks must not keep the others from being told
            self.found.append(Finding(self._about, Level.WARN, f"cannot be told: {type(error).__name__}: {error}"))
