"""Giving way: who reads or runs an expression in a thread leaves the interpreter to the event loop now and then. On the
loop itself it costs next to nothing."""

from __future__ import annotations

import time

STEPS = 256
"""Tokens or nodes between two pauses: some tenths of a millisecond."""


def give_way() -> None:
    """Lets another thread go on that waits for the interpreter. Left to itself, that would take one switch interval
    (5 ms) each time it wants to."""
    time.sleep(0)
