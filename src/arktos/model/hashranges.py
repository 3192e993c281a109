"""Ranges of the hash ring, who holds one, and what a write under one says of itself. Pure.

A range is inclusive on both ends here; Arktos' `(low, high]` is `[low + 1, high]`. A tenure is one instance's hold of a
range under one epoch: within it the range only grows, so whoever has a tenure's epoch has all that the tenure ever had.
Losing a point, or the lock, ends the tenure; the server counts the epochs, nobody else.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from arktos.model.hashkey import LARGEST
from arktos.model.kinds import Obj
from arktos.model.status import BadRequest

HEADER = "Arktos-Range"
_MAX_HEADER = 1024


class Range(NamedTuple):
    """`start` and `end` belong to it."""

    start: int
    end: int

    def holds(self, point: int) -> bool:
        return self.start <= point <= self.end

    def covers(self, other: Range) -> bool:
        return self.start <= other.start and other.end <= self.end

    def overlaps(self, other: Range) -> bool:
        return self.start <= other.end and other.start <= self.end

    def touches(self, other: Range) -> bool:
        """Whether they are neighbours, without overlapping."""
        return self.end + 1 == other.start or other.end + 1 == self.start

    def __str__(self) -> str:
        return f"{self.start}-{self.end}"


FULL = Range(0, LARGEST)


def without(whole: Range, part: Range | None) -> list[Range]:
    """What of `whole` is not in `part`."""
    if part is None or not whole.overlaps(part):
        return [whole]
    sides = (Range(whole.start, part.start - 1), Range(part.end + 1, whole.end))
    return [side for side in sides if side.start <= side.end]


def holes(ranges: Iterable[Range]) -> list[Range]:
    """The parts of the ring that none of the ranges covers, in order."""
    found, at = [], 0
    for start, end in sorted(ranges):
        if start > at:
            found.append(Range(at, start - 1))
        at = max(at, end + 1)
    if at <= LARGEST:
        found.append(Range(at, LARGEST))
    return found


def held(instance: Obj) -> Range | None:
    """The range that a ControllerInstance may work on now. None while it is locked, and for one that only says where
    its range ends, as the instances of Arktos 0.1 do: those have no tenure."""
    start, end = instance.get("rangeStart"), instance.get("controllerKey")
    if instance.get("isLocked") or not isinstance(start, int) or not isinstance(end, int) or start > end:
        return None
    return Range(start, end)


def epoch_after(old: Obj, new: Obj) -> int:
    """The epoch of a changed instance: one more if it lost anything that it held."""
    epoch = int(old.get("epoch") or 0)
    before, after = held(old), held(new)
    lost = before is not None and (after is None or not after.covers(before))
    return epoch + 1 if lost else epoch


class RangeTaken(Exception):
    """An instance would hold what `rival` of its type holds."""

    def __init__(self, wanted: Range, rival: Obj) -> None:
        super().__init__(f"the range {wanted} overlaps {held(rival)}, which {rival['metadata'].get('name', '')} holds")


def settle(old: Obj | None, new: Obj, others: Iterable[Obj]) -> bool:
    """Counts the epoch of `new`, which takes the place of `old` among `others`, the other instances of its type.
    Answers whether it holds anything that `old` did not. RangeTaken: this is what keeps tenures apart."""
    new["epoch"] = 1 if old is None else epoch_after(old, new)
    before, after = None if old is None else held(old), held(new)
    if after is None or (before is not None and before.covers(after)):
        return False
    for other in others:
        theirs = held(other)
        if theirs is not None and theirs.overlaps(after):
            raise RangeTaken(after, other)
    return True


class Tenure(NamedTuple):
    """What a write says: the instance `name` of `type`, by its uid and epoch, works on `range`; the work at hand stands
    at the point `key`."""

    type: str
    name: str
    uid: str
    epoch: int
    range: Range
    key: int

    def __str__(self) -> str:
        return (
            f"type={self.type};instance={self.name};uid={self.uid};epoch={self.epoch};range={self.range};key={self.key}"
        )


def parse(text: str) -> Tenure:
    """From the header's value. BadRequest."""
    if len(text) > _MAX_HEADER:
        raise BadRequest(f"the header {HEADER} is longer than {_MAX_HEADER} bytes")
    fields = dict(part.strip().partition("=")[::2] for part in text.split(";"))
    start, _, end = fields.get("range", "").partition("-")
    try:
        place = Range(_number(start), _number(end))
        tenure = Tenure(
            fields["type"], fields["instance"], fields["uid"], _number(fields["epoch"]), place, _number(fields["key"])
        )
    except (KeyError, ValueError):
        tenure = None
    if tenure is None or not place.holds(tenure.key):
        form = "type=T;instance=NAME;uid=UID;epoch=N;range=START-END;key=N, the key within the range"
        raise BadRequest(f"the header {HEADER} must read {form}; it is {text!r}")
    return tenure


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 19:
        raise ValueError(text)
    number = int(text)
    if number > LARGEST:
        raise ValueError(text)
    return number
