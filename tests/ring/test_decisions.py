"""Boundaries follow the load, and come to rest."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from arktos.model.hashkey import LARGEST
from arktos.model.hashranges import Range
from arktos.ring.decisions import WORTH, gift
from arktos.ring.load import Load
from arktos.ring.records import Instance

POINTS = st.lists(st.tuples(st.integers(0, LARGEST), st.integers(1, 400)), max_size=12)


def loads(points: list[tuple[int, int]], places: dict[str, Range]) -> dict[str, Load]:
    """What each member counts: each point is an object that was worked on so often."""
    found = {}
    for name, place in places.items():
        load = found[name] = Load()
        load.within = place
        for point, work in points:
            if place.holds(point):
                load.came(point)
                for _ in range(work):
                    load.worked(point)
    return found


def view(places: dict[str, Range], counted: dict[str, Load]) -> dict[str, Instance]:
    return {
        name: Instance("T", name, name, 1, place, load=int(counted[name].total())) for name, place in places.items()
    }


@given(POINTS, st.lists(st.integers(1, LARGEST - 1), min_size=1, max_size=4, unique=True))
def test_boundaries_come_to_rest(points: list[tuple[int, int]], cuts: list[int]) -> None:
    """Each move makes the busier of two less busy, so there is an end of moves, whatever the load is made of."""
    bounds = [-1, *sorted(cuts), LARGEST]
    places = {f"m{n}": Range(bounds[n] + 1, bounds[n + 1]) for n in range(len(bounds) - 1)}
    for _ in range(60):
        counted = loads(points, places)
        seen = view(places, counted)
        gifts = {name: gift(seen, name, counted[name]) for name in places}
        name, given = next(((n, g) for n, g in gifts.items() if g is not None), ("", None))
        if given is None:
            return
        if given.keep is None:  # one that has next to nothing goes to help the busiest: not about two neighbours
            return
        before = counted[name].total()
        places[name] = given.keep
        other = places[given.heir]
        places[given.heir] = Range(min(other.start, given.part.start), max(other.end, given.part.end))
        after = loads(points, places)
        assert max(after[name].total(), after[given.heir].total()) <= before - WORTH / 2
    raise AssertionError("the boundaries never rest")


def test_one_busy_object_stays_where_it_is() -> None:
    places = {"a": Range(0, 999), "b": Range(1000, LARGEST)}
    counted = loads([(500, 1000)], places)
    assert gift(view(places, counted), "a", counted["a"]) is None
