"""Blocks of the cluster's range: never doubled, never lost."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arktos.controllers.nodeipam.ranges import Exhausted, Ranges


def test_blocks_are_given_in_turn_and_rest_when_they_come_back() -> None:
    ranges = Ranges("10.244.0.0/22", 24)
    assert [ranges.take(name) for name in "abc"] == ["10.244.0.0/24", "10.244.1.0/24", "10.244.2.0/24"]
    assert ranges.take("a") == "10.244.0.0/24"
    ranges.release("a")
    assert ranges.take("d") == "10.244.3.0/24"
    assert ranges.take("e") == "10.244.0.0/24"
    with pytest.raises(Exhausted, match="all 4 blocks"):
        ranges.take("f")


def test_what_others_gave_is_taken() -> None:
    ranges = Ranges("10.244.0.0/22", 24)
    assert ranges.occupy("big", ["10.244.0.0/23", "192.168.0.0/16", "fd00::/64", "nonsense"]) == []
    assert ranges.take("a") == "10.244.2.0/24"
    assert ranges.occupy("late", ["10.244.2.128/25"]) == ["10.244.2.128/25"]
    assert ranges.block("a") == "10.244.2.0/24"
    ranges.release("late")
    ranges.release("big")
    assert ranges.take("b") == "10.244.3.0/24"
    assert ranges.take("c") == "10.244.0.0/24"
    assert ranges.occupy("wider", ["10.0.0.0/8"]) == ["10.0.0.0/8"]


@pytest.mark.parametrize(
    ("cidr", "mask"), [("10.244.0.0/25", 24), ("10.244.0.0/16", 64), ("x", 24), ("fd00::/48", 120)]
)
def test_ranges_that_cannot_be(cidr: str, mask: int) -> None:
    with pytest.raises(ValueError):
        Ranges(cidr, mask)


def test_version_6() -> None:
    ranges = Ranges("fd00:10::/56", 64)
    assert [ranges.take("a"), ranges.take("b")] == ["fd00:10::/64", "fd00:10:0:1::/64"]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["take", "release", "occupy"]), st.integers(0, 11), st.integers(0, 7))))
def test_no_block_is_doubled(steps: list[tuple[str, int, int]]) -> None:
    ranges, held = Ranges("10.0.0.0/21", 24), dict[str, set[str]]()
    for verb, who, which in steps:
        holder, taken = f"n{who}", {each for mine in held.values() for each in mine}
        if verb == "release":
            ranges.release(holder)
            held.pop(holder, None)
        elif verb == "occupy":
            block = f"10.0.{which}.0/24"
            if ranges.occupy(holder, [block]):
                assert block in taken - held.get(holder, set())
            else:
                held.setdefault(holder, set()).add(block)
        else:
            try:
                block = ranges.take(holder)
            except Exhausted:
                assert len(taken) == 8
                continue
            assert block in held.get(holder, ()) or block not in taken
            held.setdefault(holder, set()).add(block)
        blocks = [ipaddress.ip_network(each) for mine in held.values() for each in mine]
        assert len(set(blocks)) == len(blocks)
