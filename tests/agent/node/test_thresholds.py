"""When something is short, and for how long it counts as short."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arktos.agent.node.thresholds import (
    DEFAULT_HARD,
    IMAGEFS,
    MEMORY,
    NODEFS,
    PIDS,
    Amount,
    Observation,
    Pressure,
    Threshold,
    hard_reserve,
    is_met,
    look,
    parse_amounts,
    parse_thresholds,
)

MIB = 1 << 20
HARD = Threshold(MEMORY, Amount(100 * MIB), reclaim=Amount(50 * MIB))
SOFT = Threshold(MEMORY, Amount(200 * MIB), grace=30)


def seen(mib: int) -> dict[str, Observation]:
    return {MEMORY: Observation(mib * MIB, 1000 * MIB)}


def test_the_defaults_are_kubelets() -> None:
    found = {threshold.signal: threshold.amount for threshold in parse_thresholds(DEFAULT_HARD)}
    assert found[MEMORY] == Amount(100 * MIB)
    assert (found[NODEFS].percent, found[IMAGEFS].percent, found["nodefs.inodesFree"].percent) == (10, 15, 5)


def test_options() -> None:
    (threshold,) = parse_thresholds("memory.available<1.5Gi", {MEMORY: 90.0}, "memory.available=10%")
    assert threshold == Threshold(MEMORY, Amount(1536 * MIB), 90.0, Amount(percent=10.0))
    assert parse_thresholds("pid.available<0%,nodefs.available<0") == ()
    assert parse_amounts("pid.available=5") == {PIDS: Amount(5)}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("memory.available>1", "malformed"),
        ("memory<1", "malformed"),
        ("memory.available<x", "malformed"),
        ("memory.available<120%", "percentage"),
        ("memory.available<-1", "negative"),
        ("memory.available<1,memory.available<2", "twice"),
    ],
)
def test_malformed_options(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_thresholds(text)


def test_a_soft_threshold_needs_a_grace_period() -> None:
    with pytest.raises(ValueError, match="grace period"):
        parse_thresholds("memory.available<1Gi", {})


def test_a_hard_threshold_is_met_at_once_and_kept_until_its_minimum_is_back() -> None:
    state = look(Pressure(), [HARD], seen(99), 0, 300)
    assert state.met == (HARD,) and state.conditions(0, 300) == {"MemoryPressure"}
    state = look(state, [HARD], seen(140), 10, 300)
    assert state.met == (HARD,)
    state = look(state, [HARD], seen(150), 20, 300)
    assert state.met == ()
    assert look(Pressure(), [HARD], seen(140), 0, 300).met == ()


def test_a_condition_outlives_its_cause() -> None:
    state = look(Pressure(), [HARD], seen(50), 0, 300)
    state = look(state, [HARD], seen(500), 10, 300)
    assert state.met == () and state.conditions(10, 300) == {"MemoryPressure"}
    state = look(state, [HARD], seen(500), 299, 300)
    assert state.conditions(299, 300) == {"MemoryPressure"}
    assert look(state, [HARD], seen(500), 301, 300).conditions(301, 300) == frozenset()


def test_a_soft_threshold_acts_after_its_grace_but_tells_at_once() -> None:
    state = look(Pressure(), [SOFT], seen(150), 0, 300)
    assert state.met == () and state.conditions(0, 300) == {"MemoryPressure"}
    assert look(state, [SOFT], seen(150), 29, 300).met == ()
    assert look(state, [SOFT], seen(150), 30, 300).met == (SOFT,)
    relieved = look(state, [SOFT], seen(900), 15, 300)
    assert look(relieved, [SOFT], seen(150), 31, 300).met == ()


def test_what_is_not_observed_is_not_short() -> None:
    assert not is_met(Threshold(PIDS, Amount(percent=100)), {})


def test_what_is_reserved_for_evictions() -> None:
    kept = hard_reserve([HARD, SOFT, Threshold(NODEFS, Amount(percent=10))], {MEMORY: 1000 * MIB, NODEFS: 5000})
    assert kept == {"memory": 100 * MIB, "ephemeral-storage": 500}


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 60)), max_size=30))
def test_what_is_acted_upon_was_short_all_the_time(steps: list[tuple[int, int]]) -> None:
    state, now, below = Pressure(), 0.0, None
    for available, later in steps:
        now += later
        below = (now if below is None else below) if available < 200 else None
        state = look(state, [SOFT, HARD], seen(available), now, 300)
        assert (SOFT in state.met) == (below is not None and now - below >= SOFT.grace)
        assert HARD in state.met or available >= 100
        if state.met:
            assert "MemoryPressure" in state.conditions(now, 300)
