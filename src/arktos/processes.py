"""Which process: names by which a process is told from every other, on this machine and elsewhere, before and after.

A number alone is given again. With its start time it names one process of one boot; with the boot and the namespace in
which numbers are counted, one of all machines. Such a name can be read by others: whoever shares boot and namespace can
say for certain whether the process has ended, without asking it.
"""

from __future__ import annotations

import os
import re
import socket
from functools import lru_cache
from pathlib import Path

_NAME = re.compile(r"(?P<where>[0-9a-f]{32}-\d+)_(?P<pid>[1-9]\d*)_(?P<born>[1-9]\d*)$")


def born(pid: int) -> int:
    """A process's start time in clock ticks since boot; 0 if it is not there, or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    # The second field, in parentheses, may hold anything, so count from the last parenthesis on.
    fields = text.rpartition(")")[2].split()
    return 0 if fields[0] in {"Z", "X"} else int(fields[19])


@lru_cache(maxsize=1)
def boot() -> str:
    """This machine's boot, 32 hexadecimal digits; another one after each start of its kernel."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")


def own_name() -> str:
    """This process's, in the form `HOST_BOOT-NAMESPACE_PID_BORN`; the host's name is for people."""
    pid = os.getpid()
    return f"{socket.gethostname()}_{_where()}_{pid}_{born(pid)}"


def has_ended(name: str) -> bool:
    """Whether the process that gave itself this name has certainly ended. False for one that runs, for one that cannot
    be seen from here, and for what is no such name."""
    found = _NAME.search(name)
    if found is None or found["where"] != _where():
        return False
    pid = int(found["pid"])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass  # somebody else's, but there
    try:
        started = born(pid)
    except OSError:
        return False
    # 0 may be a process that is hidden from us, or one that has just ended: the next look will tell.
    return started not in (0, int(found["born"]))


def _where() -> str:
    return f"{boot()}-{os.stat('/proc/self/ns/pid').st_ino}"
