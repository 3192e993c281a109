"""Before a policy or a configuration is written: its expressions are compiled beside the event loop, and kept for the
write, which then finds them."""

from __future__ import annotations

import asyncio

import msgspec

from arktos.model.admission import checking
from arktos.model.admission.expressions import length
from arktos.model.kinds import Kind, Obj
from arktos.model.validation import rules_of

_AT_ONCE = 500
"""Characters that may as well be compiled on the loop: a millisecond."""
_one = asyncio.Semaphore(1)


async def prepare(kind: Kind, obj: Obj) -> None:
    """Compiles what `obj` has of expressions."""
    if length(obj) > _AT_ONCE:
        async with _one:
            await asyncio.to_thread(_compile, kind, obj)


def _compile(kind: Kind, obj: Obj) -> None:
    rules = rules_of(kind)
    if rules.always is not None:
        rules.always([], obj)
    if "status" in kind.subresources:
        checking.checked(msgspec.json.encode(obj.get("spec") or {}))
