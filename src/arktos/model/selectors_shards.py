"""Shard selectors (KEP-5866): ranges of the raw 64-bit FNV-1a hash of an object's uid or namespace.

    selector := range ('||' range)*
    range    := shardRange( object.metadata.uid | object.metadata.namespace , 'start' , 'end' )

`start` is inclusive, `end` exclusive; both are hexadecimal with `0x`, `end` at most 2^64. All ranges name one field.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from arktos.model.hashkey import LARGEST, fnv1a64, fold_range
from arktos.model.status import BadRequest

if TYPE_CHECKING:
    from arktos.model.selectors import Selectable

Test = Callable[[str, str, str, "Selectable"], bool]

_TOP = 2**64
_FIELDS = ("object.metadata.uid", "object.metadata.namespace")
_BOUND = r"""\s*(['"]?)(0x[0-9a-f]{1,17})\%d\s*"""
_RANGE = re.compile(rf"\s*shardRange\(\s*([^\s,]+)\s*,{_BOUND % 2},{_BOUND % 4}\)\s*\Z")
_MAX_RANGES = 256


class Shards(NamedTuple):
    """`field` is uid or namespace; `ranges` are half-open, in raw hashes, as given."""

    field: str
    ranges: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        return " || ".join(
            f"shardRange(object.metadata.{self.field}, '{start:#018x}', '{end:#018x}')" for start, end in self.ranges
        )


def parse(text: str) -> Shards | None:
    """The shards that a text names, None if it is blank. BadRequest."""
    if not text.strip():
        return None
    fields = set()
    ranges = []
    parts = text.split("||")
    if len(parts) > _MAX_RANGES:
        raise _invalid(text, f"more than {_MAX_RANGES} ranges")
    for part in parts:
        found = _RANGE.match(part)
        if found is None:
            raise _invalid(text, f"can't understand '{part.strip()}'")
        field, start, end = found[1], int(found[3], 16), int(found[5], 16)
        if field not in _FIELDS:
            raise _invalid(text, f'unsupported field path "{field}": supported: {", ".join(_FIELDS)}')
        if not start < end <= _TOP:
            raise _invalid(text, f"start must be less than end, and end at most {_TOP:#x}")
        fields.add(field.removeprefix("object.metadata."))
        ranges.append((start, end))
    if len(fields) > 1:
        raise _invalid(text, "all ranges must use the same field path")
    return Shards(fields.pop(), tuple(ranges))


def compiled(shards: Shards) -> Test:
    """One function that says whether an object is in one of the ranges."""
    ranges = shards.ranges

    def within(raw: int) -> bool:
        for start, end in ranges:  # noqa: SIM110 - a generator costs more than the loop
            if start <= raw < end:
                return True
        return False

    if shards.field == "namespace":
        return lambda _tenant, namespace, _name, _header: within(fnv1a64(namespace))

    def on_uid(_tenant: str, _namespace: str, _name: str, header: Selectable) -> bool:
        """The hash key tells two raw hashes that the uid may have; often that is enough."""
        key = header.hash_key
        if 0 < key < LARGEST:
            low = within(key)
            if low == within(key + LARGEST):
                return low
        return within(fnv1a64(header.uid))

    return on_uid


def hash_key_ranges(shards: Shards | None) -> list[tuple[int, int]] | None:
    """Inclusive ranges that cover the hash keys of all objects in the shards; None if hash keys say nothing of them."""
    if shards is None or shards.field != "uid":
        return None
    return [covering for start, end in shards.ranges for covering in fold_range(start, end)]


def _invalid(text: str, why: str) -> BadRequest:
    return BadRequest(f"invalid shard selector '{text}': {why}")
