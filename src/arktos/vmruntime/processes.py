"""QEMU processes: started in a session of their own, found again, watched to their end. Nothing ties them to us: no
pipe, no signal of ours reaches them, and when we die they run on.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from arktos.vmruntime.qemu_command import PROGRAM
from arktos.vmruntime.records import QEMU_FOLDER
from arktos.vmruntime.users import User

OUTPUT = "qemu.log"
"""What a QEMU says, in its machine's folder."""
_TOLD = 2000
_KMSG = "/dev/kmsg"


def start(command: Sequence[str], folder: Path, user: User, groups: Sequence[int], descriptors: Sequence[int]) -> int:
    """The pid of a new process that works in `folder`/qemu and keeps the descriptors. Raises OSError. Blocks."""
    with open(folder / OUTPUT, "wb") as output:
        os.chmod(output.fileno(), 0o600)
        running = subprocess.Popen(
            list(command),
            cwd=folder / QEMU_FOLDER,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            user=user.uid,
            group=user.gid,
            extra_groups=list(groups),
            umask=0o077,
            pass_fds=tuple(descriptors),
            start_new_session=True,
            env={"PATH": os.environ.get("PATH", os.defpath)},
        )
    # It is watched by its pidfd, as one that we did not start ourselves.
    running.returncode = 0
    return running.pid


def set_oom_score(pid: int, adjustment: int) -> None:
    """How early the kernel ends it where the whole machine has no memory left. Where that may not be set, it stays as
    it was. Blocks."""
    with suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text(str(adjustment))


def words(folder: Path) -> str:
    """The last that a QEMU said, on one line. Blocks."""
    try:
        text = (folder / OUTPUT).read_text(errors="replace")[-_TOLD:]
    except OSError:
        return ""
    return " ".join(text.replace(f"{PROGRAM}: ", "").split())


def running_below(folder: Path) -> dict[str, int]:
    """The QEMUs that work in `<folder>/<id>/qemu`: id and pid. Blocks."""
    found: dict[str, int] = {}
    parent = os.path.realpath(folder)
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with suppress(OSError):
            place = os.readlink(f"/proc/{entry}/cwd").removesuffix(" (deleted)")
            program = os.path.basename(os.readlink(f"/proc/{entry}/exe").removesuffix(" (deleted)"))
            above, id = os.path.split(os.path.dirname(place))
            if above == parent and program.startswith("qemu-system-"):
                found[id] = int(entry)
    return found


class Process:
    """One QEMU that runs, or did a moment ago. `ended` is set when it has gone, then `exit_code` tells how, if it was
    our child: as a shell has it, 128 + n for a signal."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.ended = asyncio.Event()
        self.exit_code: int | None = None
        self._descriptor = -1
        try:
            self._descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            self.ended.set()
            return
        asyncio.get_running_loop().add_reader(self._descriptor, self._gone)

    def kill(self) -> None:
        """Idempotent."""
        if self._descriptor >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def close(self) -> None:
        """Stops watching. Idempotent."""
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _gone(self) -> None:
        with suppress(ChildProcessError):
            found = os.waitid(os.P_PIDFD, self._descriptor, os.WEXITED | os.WNOHANG)
            if found is not None:
                killed = found.si_code != os.CLD_EXITED
                self.exit_code = 128 + found.si_status if killed else found.si_status
        self.close()
        self.ended.set()


def oom_killed(pid: int, since: float) -> bool:
    """Whether the kernel says that it killed the process for want of memory, later than `since` (CLOCK_MONOTONIC
    seconds). False where its log cannot be read. Blocks."""
    try:
        descriptor = os.open(_KMSG, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    mark = f"Killed process {pid} "
    try:
        while True:
            try:
                line = os.read(descriptor, 8192).decode(errors="replace")
            except BlockingIOError:
                return False
            except BrokenPipeError:
                continue
            head, _, text = line.partition(";")
            if mark in text and int(head.split(",")[2]) / 1e6 >= since:
                return True
    except (OSError, ValueError, IndexError):
        return False
    finally:
        os.close(descriptor)


def now() -> float:
    """The clock of the kernel's log."""
    return time.monotonic()
