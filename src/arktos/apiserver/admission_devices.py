"""Devices: a taint says since when it is there (KEP-5055)."""

from __future__ import annotations

import time

from arktos.apiserver.admission import Attempt, Effects
from arktos.apiserver.encoding import stamp


def date_taints(attempt: Attempt, effects: Effects) -> None:
    """A taint of a device in a ResourceSlice that does not say when it was added was added now."""
    if attempt.operation == "delete":
        return
    for device in (attempt.obj.get("spec") or {}).get("devices") or ():
        for taint in device.get("taints") or ():
            if not taint.get("timeAdded"):
                taint["timeAdded"] = stamp(time.time())
