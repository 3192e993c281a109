"""Validation of custom resources, whose rules are a tenant's: cheap ones at once, others beside the loop."""

from __future__ import annotations

import asyncio
from typing import Protocol

from arktos.model.custom.rules import MOST, Exhausted
from arktos.model.status import FieldError

_AT_ONCE = asyncio.Semaphore(2)
"""How many costly validations run at a time: each may take a few tenths of a second of a processor."""


class Check(Protocol):
    """A validation that may spend so many units on rules."""

    def __call__(self, *, units: int = ...) -> list[FieldError]: ...


async def judged(check: Check) -> list[FieldError]:
    """What a validation finds. Rules that cost more than the loop can wait for run in a thread."""
    try:
        return check()
    except Exhausted:
        async with _AT_ONCE:
            return await asyncio.to_thread(check, units=MOST)
