"""The pool of addresses, against a model."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arktos.network.embedded.pool import Exhausted, Pool

NETWORK = IPv4Network("10.1.2.0/28")
FIRST, LAST = IPv4Address("10.1.2.2"), IPv4Address("10.1.2.14")


@given(st.lists(st.integers(-20, 20)), st.booleans())
def test_addresses_are_unique_and_come_back_as_late_as_possible(steps: list[int], restarts: bool) -> None:
    pool = Pool(NETWORK)
    taken: list[IPv4Address] = []
    returned: list[IPv4Address] = []
    used: set[IPv4Address] = set()
    for step in steps:
        if restarts and step % 5 == 0:
            note = msgspec.json.decode(msgspec.json.encode(pool.state()))
            pool = Pool.restored(NETWORK, note, taken)
        if step >= 0:
            if len(taken) == pool.capacity:
                with pytest.raises(Exhausted):
                    pool.take()
                continue
            address = pool.take()
            assert address not in taken and FIRST <= address <= LAST
            if address in used:
                # None is unused any more, and it is the one that was returned the longest ago.
                assert len(used) == pool.capacity and address == returned[0]
                returned.remove(address)
            used.add(address)
            taken.append(address)
        elif taken:
            address = taken.pop(step % len(taken))
            pool.give_back(address)
            pool.give_back(address)
            returned.append(address)
        assert len(pool) == len(taken) and all(address in pool for address in taken)


KEYS = st.sampled_from(["network", "next", "returned"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner),
)
NOTES = JSON | st.fixed_dictionaries(
    {"network": st.just(str(NETWORK)), "next": JSON | st.integers(-3, 20), "returned": JSON | st.lists(st.integers())}
)
ADDRESSES = st.lists(st.integers(0, 20).map(lambda offset: NETWORK.network_address + offset), unique=True)


@given(NOTES, ADDRESSES)
def test_whatever_the_note_says_what_is_taken_is_not_given_again(note: Any, taken: list[IPv4Address]) -> None:
    pool = Pool.restored(NETWORK, note, taken)
    ours = {address for address in taken if FIRST <= address <= LAST}
    given_out = {pool.take() for _ in range(pool.capacity - len(ours))}
    assert given_out == {NETWORK.network_address + offset for offset in range(2, 15)} - ours
    with pytest.raises(Exhausted, match=r"all 13 addresses of 10\.1\.2\.0/28"):
        pool.take()


def test_a_network_too_small_is_refused() -> None:
    assert Pool(IPv4Network("10.0.0.0/29")).capacity == 5
    with pytest.raises(ValueError, match="/29 or larger"):
        Pool(IPv4Network("10.0.0.0/30"))


def test_what_is_foreign_is_ignored() -> None:
    pool = Pool(NETWORK)
    pool.give_back(IPv4Address("192.168.1.1"))
    pool.give_back(FIRST)
    assert pool.take() == FIRST and len(pool) == 1


def test_an_address_that_was_somebodys_is_given_back_to_him_if_it_is_free() -> None:
    pool = Pool(IPv4Network("10.0.0.0/28"))
    first, second = pool.take(), pool.take()
    pool.give_back(first)
    pool = Pool.restored(pool.network, pool.state(), [second])
    assert pool.take(second) not in (first, second)
    assert pool.take(first) == first
    assert pool.take(IPv4Address("10.9.9.9")) in pool.network
    assert len(pool) == 4
