"""Where a range is cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from arktos.model.hashkey import LARGEST
from arktos.model.hashranges import FULL, Range, holes, without
from arktos.ring.load import TO_COME, Load

POINTS = st.integers(0, LARGEST)


def test_nothing_is_cut_in_the_middle() -> None:
    assert abs(Load().cut(FULL, 0.5) - LARGEST // 2) <= 1


def test_one_object_does_not_draw_the_cut_to_itself() -> None:
    load = Load()
    load.came(LARGEST // 8)
    assert LARGEST // 4 < load.cut(FULL, 0.5) < LARGEST // 2


@given(st.lists(POINTS, min_size=1, max_size=60), st.sampled_from([0.25, 0.5, 0.75]))
def test_a_share_lies_below_the_cut(points: list[int], share: float) -> None:
    load = Load()
    for point in points:
        load.came(point)
        load.worked(point)
    at = load.cut(FULL, share)
    below = 2 * sum(point <= at for point in points) + TO_COME * at / LARGEST
    heaviest = 2 * max(points.count(point) for point in points)
    assert abs(below - share * (2 * len(points) + TO_COME)) <= heaviest + 0.01


@given(POINTS, POINTS, st.lists(POINTS, max_size=10))
def test_both_sides_of_a_cut_have_points(one: int, other: int, points: list[int]) -> None:
    if one == other:
        return
    whole = Range(min(one, other), max(one, other))
    load = Load()
    for point in points:
        load.came(point)
    assert whole.start <= load.cut(whole, 0.5) < whole.end


def test_work_fades_and_only_what_is_within_counts() -> None:
    load = Load(half_life=10)
    load.came(5)
    load.worked(5)
    load.worked(LARGEST)
    assert load.total() == 3
    load.within = Range(0, 10)
    assert load.total() == 2
    load.fade(10)
    assert abs(load.total() - 1.5) < 0.01
    load.fade(1000)
    load.went(5)
    assert load.total() == 0


@given(st.lists(st.tuples(POINTS, POINTS), max_size=6))
def test_holes_are_what_nobody_covers(pairs: list[tuple[int, int]]) -> None:
    ranges = [Range(min(pair), max(pair)) for pair in pairs]
    found = holes(ranges)
    for hole in found:
        assert not any(hole.overlaps(each) for each in ranges)
    left = [FULL]
    for each in ranges:
        left = [part for whole in left for part in without(whole, each)]
    assert found == left
