"""Ranges of the ring, epochs and tenures."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arktos.model.hashkey import LARGEST
from arktos.model.hashranges import FULL, Range, RangeTaken, Tenure, epoch_after, held, parse, settle, without
from arktos.model.status import BadRequest

POINTS = st.integers(0, LARGEST)
RANGES = st.tuples(POINTS, POINTS).map(lambda pair: Range(min(pair), max(pair)))


def instance(place: Range | None, epoch: int = 1, name: str = "a") -> dict[str, Any]:
    obj: dict[str, Any] = {"metadata": {"name": name}, "isLocked": place is None, "epoch": epoch, "controllerKey": 0}
    return obj if place is None else {**obj, "rangeStart": place.start, "controllerKey": place.end}


@given(RANGES, st.data())
def test_a_tenure_survives_the_wire(place: Range, data: st.DataObject) -> None:
    tenure = Tenure("ReplicaSet", "ci-1", "u-1", 7, place, data.draw(st.integers(*place)))
    assert parse(str(tenure)) == tenure


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "type=a;instance=b;uid=c;epoch=1;range=0-9",
        "type=a;instance=b;uid=c;epoch=1;range=0-9;key=10",
        "type=a;instance=b;uid=c;epoch=-1;range=0-9;key=1",
        "type=a;instance=b;uid=c;epoch=1;range=9-0;key=5",
        "type=a;instance=b;uid=c;epoch=1;range=0;key=0",
        f"type=a;instance=b;uid=c;epoch=1;range=0-{LARGEST + 1};key=0",
        f"type={'a' * 2000};instance=b;uid=c;epoch=1;range=0-9;key=1",
        "type=a;instance=b;uid=c;epoch=\u0661;range=0-9;key=1",
    ],
)
def test_what_is_no_tenure(text: str) -> None:
    with pytest.raises(BadRequest):
        parse(text)


@given(st.none() | RANGES, st.none() | RANGES)
def test_an_epoch_ends_with_a_loss_only(before: Range | None, after: Range | None) -> None:
    lost = [] if before is None else without(before, after)
    assert epoch_after(instance(before, 4), instance(after)) == (5 if lost else 4)


@given(st.lists(RANGES, max_size=5), st.none() | RANGES, RANGES)
def test_nobody_gains_what_another_holds(others: list[Range], before: Range | None, after: Range) -> None:
    rivals = [instance(each, name=f"r{n}") for n, each in enumerate(others)]
    gains = before is None or not before.covers(after)
    taken = gains and any(each.overlaps(after) for each in others)
    new = instance(after)
    if taken:
        with pytest.raises(RangeTaken):
            settle(instance(before), new, rivals)
    else:
        assert settle(instance(before), new, rivals) == gains


def test_who_names_no_start_or_is_locked_holds_nothing() -> None:
    assert held({"controllerKey": 5}) is None
    assert held(instance(None)) is None
    assert held({**instance(FULL), "isLocked": True}) is None
    assert held(instance(FULL)) == FULL


@given(RANGES, RANGES)
def test_what_is_left_of_a_range(whole: Range, part: Range) -> None:
    left = without(whole, part)
    for point in {*whole, *part, *(point for each in left for point in each)}:
        assert any(each.holds(point) for each in left) == (whole.holds(point) and not part.holds(point))
