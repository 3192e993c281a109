"""A process that may outlive who started it: recorded on disk, told apart from a later one with the same number."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from arktos.processes import boot, born


@dataclass(frozen=True, slots=True)
class Process:
    """A process. `born` is its start time in clock ticks since boot, which with the number names one process; 0 for one
    that had ended before anybody could look."""

    pid: int
    born: int

    def alive(self) -> bool:
        return self.born != 0 and born(self.pid) == self.born

    def send(self, number: signal.Signals) -> None:
        """Signals it, and nobody who got its number later."""
        with suppress(ProcessLookupError):
            descriptor = os.pidfd_open(self.pid)
            try:
                if self.alive():
                    signal.pidfd_send_signal(descriptor, number)
            finally:
                os.close(descriptor)

    def wait_gone(self, seconds: float) -> bool:
        """Whether it has gone within `seconds`."""
        deadline = time.monotonic() + seconds
        while self.alive():
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        return True


def spawn(command: list[str], log: Path) -> Process:
    """Starts a process in a session of its own, its output appended to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with log.open("ab") as output:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, close_fds=True
        )
    # Reaped by number (`reap`), not by this object, which would warn of a child that it has lost sight of.
    child.returncode = 0
    return Process(child.pid, born(child.pid))


def running(command: list[str]) -> Process | None:
    """A process of this user's with exactly this command line: one that somebody started and was killed before they
    had recorded it."""
    wanted = b"\0".join(argument.encode() for argument in command) + b"\0"
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            if entry.stat().st_uid != os.geteuid() or (entry / "cmdline").read_bytes() != wanted:
                continue
        except OSError:
            continue
        found = Process(int(entry.name), born(int(entry.name)))
        if found.born:
            return found
    return None


def reap() -> None:
    """Collects children that have ended."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def record(path: Path, process: Process, command: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    scratch = path.with_suffix(".new")
    found = {"pid": process.pid, "born": process.born, "boot": boot(), "command": command}
    scratch.write_text(json.dumps(found) + "\n")
    scratch.replace(path)


def recorded(path: Path, command: list[str] | None = None) -> Process | None:
    """The process that was recorded, if it still runs (and was started with `command`). A record that cannot be read
    is none, nor is one from before the machine's last start: its number and start time may be anybody's now."""
    try:
        found = json.loads(path.read_text())
        process = Process(int(found["pid"]), int(found["born"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if found.get("boot", boot()) != boot():
        return None
    if command is not None and found.get("command") != command:
        return None
    return process if process.born and process.alive() else None
