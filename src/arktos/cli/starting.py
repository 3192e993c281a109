"""What `arktos up` and `arktos node join` have in common: one of them starts an installation's processes and waits."""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click

from arktos.bootstrap.components import Settings, components, supervisor
from arktos.bootstrap.layout import Layout
from arktos.bootstrap.nodes import CONTAINER_NEEDS, VM_NEEDS, NodeSettings, accelerated, missing
from arktos.bootstrap.process import recorded, spawn
from arktos.bootstrap.startup import StartWatch

READY_SECONDS = 60.0
POLL_SECONDS = 0.05


@contextmanager
def alone(layout: Layout) -> Iterator[None]:
    """Of several `arktos up` at once, one starts the system, and the others find it started."""
    with (layout.run / "up.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_up(wanted: Settings) -> bool:
    """Whether a supervisor runs already; then the system is ready, or soon is."""
    if recorded(wanted.layout.process("supervisor")) is None:
        return False
    if Settings.load(wanted.layout) != wanted:
        raise click.ClickException(
            f"a system with other settings runs in {wanted.data_dir}; `arktos down --data-dir {wanted.data_dir}` stops "
            "it"
        )
    _wait_ready(wanted, StartWatch(wanted), ("supervisor",))
    return True


def start(settings: Settings) -> None:
    """Starts the supervisor and waits until all is ready. What cannot start is not left running."""
    from arktos.bootstrap.stopping import stop

    watch = StartWatch(settings)
    command = supervisor(settings).command
    spawn(command, settings.layout.log("supervisor"))
    try:
        _wait_ready(settings, watch, ("supervisor", "keeper"))
    except StartFailed as failed:
        stop(settings)
        raise click.ClickException(
            f"{failed}\nNothing was left running. The logs are in {settings.layout.root}/log."
        ) from failed


def require_room(layout: Layout) -> None:
    try:
        layout.run.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe = layout.run / ".writable"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise click.ClickException(f"cannot write to {layout.root}: {error.strerror}") from error
    free = shutil.disk_usage(layout.root).free
    if free < 64 << 20:
        raise click.ClickException(f"{layout.root} has {free >> 20} MiB left, too little to keep data safe")


def require_free(settings: Settings) -> None:
    """The ports must be free, unless it is our own processes, left by a killed supervisor, that hold them."""
    import socket

    for component in components(settings):
        if recorded(settings.layout.process(component.name)) is not None or not component.port:
            continue
        address = settings.address if component.name == "apiserver" else "127.0.0.1"
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, component.port))
            except OSError as error:
                raise click.ClickException(
                    f"{address}:{component.port}, which the {component.name} needs, cannot be had: "
                    f"{error.strerror}. Choose another with --port."
                ) from error


class StartFailed(click.ClickException):
    """A process has said why it cannot start."""


def _wait_ready(settings: Settings, watch: StartWatch, keepers: Sequence[str]) -> None:
    from arktos.bootstrap.readiness import problem

    def unready() -> str | None:
        # Servers that a killed supervisor left are ready before there is a supervisor again.
        away = [name for name in keepers if recorded(settings.layout.process(name)) is None]
        return f"the {away[0]} does not run" if away else problem(settings)

    deadline = time.monotonic() + READY_SECONDS
    while (why := unready()) is not None:
        reason = watch.failure()
        if reason is not None:
            raise StartFailed(reason)
        if time.monotonic() > deadline:
            raise click.ClickException(f"not ready after {READY_SECONDS:.0f} s: {why}\nSee {settings.layout.root}/log.")
        time.sleep(POLL_SECONDS)


def describe(node: NodeSettings) -> None:
    lacking = [
        f"no {what} ({', '.join(sorted({need.package for need in missing(needs)}))} not installed)"
        for what, there, needs in (
            ("containers", node.containers, CONTAINER_NEEDS),
            ("virtual machines", node.vms, VM_NEEDS),
        )
        if not there
    ]
    if node.vms and node.accelerator != "kvm" and not accelerated():
        lacking.append("virtual machines are emulated, slowly: no KVM here")
    click.echo(f"  this node:    {node.name}, {node.address}" + "".join(f"; {what}" for what in lacking))
