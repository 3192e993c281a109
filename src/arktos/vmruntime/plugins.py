"""CNI plugins that a killed runtime left running: one that still adds what is being deleted would leave it behind."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator
from contextlib import suppress

_PATIENCE, _PAUSE = 5.0, 0.02


def end(containers: Collection[str]) -> bool:
    """Kills the plugins that were started for these containers; whether none is left. Blocks, seconds at most."""
    marks = {f"CNI_CONTAINERID={container}".encode() for container in containers}
    deadline = time.monotonic() + _PATIENCE
    while marks:
        found = list(_started_with(marks))
        if not found:
            break
        if time.monotonic() > deadline:
            return False
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, 9)
        time.sleep(_PAUSE)
    return True


def _started_with(marks: Collection[bytes]) -> Iterator[int]:
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            # A zombie's environment is empty: it does nothing any more.
            with suppress(OSError), open(f"/proc/{entry}/environ", "rb") as file:
                if not set(marks).isdisjoint(file.read().split(b"\0")):
                    yield int(entry)
