"""Who takes what nobody owns, and who gives what to whom: functions of a view of the ring. Pure.

Two members may have different views and decide differently. That costs a refused write, never an overlap: the server
accepts no two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from arktos.model.hashranges import Range, holes
from arktos.ring.load import Load
from arktos.ring.records import Instance

View = Mapping[str, Instance]
"""All members of one type by name, oneself included."""

UNEVEN = 1.5
"""How many times busier than its neighbour a member must be before the boundary moves."""
WORTH = 32
"""What a boundary move must be about at least; below, the ring is left alone."""
SMALL = 8
"""A range is small if the busiest has this many times its load."""


@dataclass(frozen=True, slots=True)
class Gift:
    """`part` of one's range is for `heir`; `keep` stays. `reason` is the same as long as the same thing is wrong."""

    keep: Range | None
    part: Range
    heir: str
    reason: str

    @property
    def urgent(self) -> bool:
        """Somebody waits for it."""
        return self.reason == "join"


def owners(view: View) -> list[tuple[Range, Instance]]:
    """Those that own a range, in ring order."""
    owning = [(each.range, each) for each in view.values() if each.range is not None]
    return sorted(owning, key=lambda one: (one[0], one[1].name))


def heirs(view: View) -> list[tuple[Range, str]]:
    """Each hole with the name of who is to take it: whom a neighbour of the hole has named, else one that waits, else
    the neighbour below, else the one above."""
    owning = owners(view)
    waiting = sorted(name for name, each in view.items() if each.range is None)
    found = []
    for hole in holes(place for place, _ in owning):
        beside = [each for place, each in owning if place.touches(hole)]
        named = [each.heir for each in beside if _may_take(view, each.heir, hole)]
        chosen = named[0] if named else waiting[0] if waiting else beside[0].name if beside else ""
        if chosen in waiting:
            waiting.remove(chosen)
        if chosen:
            found.append((hole, chosen))
    return found


def _may_take(view: View, name: str, hole: Range) -> bool:
    if name not in view:
        return False
    place = view[name].range
    return place is None or place.touches(hole)


def claim(view: View, me: str) -> Range | None:
    """The range to own from now on; None where there is nothing to take."""
    mine = view[me].range
    for hole, heir in heirs(view):
        if heir != me:
            continue
        if mine is None:
            return hole
        if mine.touches(hole):
            return Range(min(mine.start, hole.start), max(mine.end, hole.end))
    return None


def gift(view: View, me: str, load: Load) -> Gift | None:
    """What to give away, and to whom. None while all is well, or while a hole waits for its heir."""
    owning = owners(view)
    mine = view[me].range
    if mine is None or holes(place for place, _ in owning):
        return None
    waiting = sorted(name for name, each in view.items() if each.range is None)
    if waiting:
        return _share(owning, waiting, me, mine, load)
    order = [each.name for _, each in owning]
    at = order.index(me)
    neighbours = [owning[beside][1] for beside in (at - 1, at + 1) if 0 <= beside < len(owning)]
    small, busiest = _far_apart([each for _, each in owning])
    if small == me:
        other = min(neighbours, key=lambda each: (each.load, each.name))
        return Gift(None, mine, other.name, "merge")
    # The busiest waits for the one that is about to come to its help.
    return None if small and busiest == me else _level(neighbours, mine, load)


def _far_apart(owning: Sequence[Instance]) -> tuple[str, str]:
    """A member with a small range that is no neighbour of the busiest, and the busiest; "" if there is none. It had
    better give its range to a neighbour and take half of the busiest's."""
    loads = [each.load for each in owning]
    at = loads.index(max(loads))
    far = [each for place, each in enumerate(owning) if abs(place - at) > 1]
    if far:
        small = min(far, key=lambda each: (each.load, each.name))
        if loads[at] >= SMALL * small.load + 2 * WORTH:
            return small.name, owning[at].name
    return "", owning[at].name


def _share(
    owning: Sequence[tuple[Range, Instance]], waiting: Sequence[str], me: str, mine: Range, load: Load
) -> Gift | None:
    """Half of one's load for one that waits: the busiest serves the first, the second busiest the second."""
    able = [each for place, each in owning if place.start < place.end]
    order = [each.name for each in sorted(able, key=lambda each: (-each.load, each.name))]
    if me not in order or order.index(me) >= len(waiting):
        return None
    at = load.cut(mine, 0.5)
    return Gift(Range(mine.start, at), Range(at + 1, mine.end), waiting[order.index(me)], "join")


def _level(neighbours: Sequence[Instance], mine: Range, load: Load) -> Gift | None:
    """Part of one's load for a neighbour that has much less, so that both have as much."""
    total = load.total()
    if mine.start == mine.end or not neighbours:
        return None
    other = min(neighbours, key=lambda each: (each.load, each.name))
    surplus = (total - other.load) / 2
    if total <= UNEVEN * other.load or surplus < WORTH:
        return None
    assert other.range is not None
    if other.range.start > mine.end:
        at = load.cut(mine, 1 - surplus / total)
        keep, part = Range(mine.start, at), Range(at + 1, mine.end)
    else:
        at = load.cut(mine, surplus / total)
        keep, part = Range(at + 1, mine.end), Range(mine.start, at)
    moved = load.weight(part)
    # One busy object cannot be divided: whoever has it is the busier one, and it must not go back and forth.
    if max(total - moved, other.load + moved) > total - WORTH / 2:
        return None
    return Gift(keep, part, other.name, f"level {other.name}")
