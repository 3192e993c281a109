"""Starts the supervisor again when it dies without having been asked to. A script of its own: `python -I -S keeper.py
DIR`.

It imports next to nothing, so that it costs a few MB. The supervisor removes its own record when it stops in good
order; a record of a process that is gone means that it was killed.
"""

import json
import os
import select
import subprocess
import sys
import time


def born(pid: int) -> int:
    """A process's start time in ticks; 0 if it is gone. (`arktos.processes` says the same with more
    imports.)"""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in ("Z", "X") else int(fields[19])


def boot() -> str:
    """As `arktos.processes` has it."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip().replace("-", "")


def supervisor(path: str) -> tuple[int, int, list[str]] | None:
    try:
        with open(path) as file:
            found = json.load(file)
        # What ran before the machine's last start is gone, whoever has its number now.
        start = int(found["born"]) if found.get("boot", boot()) == boot() else -1
        return int(found["pid"]), start, list(found["command"])
    except FileNotFoundError:
        return None


def keep(data_dir: str) -> None:
    path = os.path.join(data_dir, "run", "supervisor.json")
    log = os.path.join(data_dir, "log", "supervisor.log")
    while (found := supervisor(path)) is not None:
        pid, start, _ = found
        if born(pid) == start:
            try:
                descriptor = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            select.select([descriptor], [], [])
            os.close(descriptor)
            continue
        with open(log, "ab") as output:
            child = subprocess.Popen(
                [sys.executable, "-m", "arktos", "supervise", f"--data-dir={data_dir}"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        # Until the new one has recorded itself, or has given up.
        while child.poll() is None and (supervisor(path) or found)[0] == pid:
            time.sleep(0.05)
        time.sleep(0.2)


if __name__ == "__main__":
    keep(sys.argv[1])
