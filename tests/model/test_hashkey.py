"""Hash keys: known hashes, the clamp, and the covering of raw ranges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arktos.model.hashkey import LARGEST, fnv1a64, fold, fold_range, hash_key


@pytest.mark.parametrize(
    ("text", "value"),
    [("", 0xCBF29CE484222325), ("a", 0xAF63DC4C8601EC8C), ("foobar", 0x85944171F73967E8)],
)
def test_known_hashes(text: str, value: int) -> None:
    assert fnv1a64(text) == value


def test_the_key_fits_a_signed_integer() -> None:
    assert fold(0) == 0
    assert fold(LARGEST) == LARGEST
    assert fold(LARGEST + 1) == 1
    assert fold(2**64 - 2) == fold(2**64 - 1) == LARGEST
    assert hash_key("") == 0


@given(st.uuids().map(str))
def test_the_key_is_in_range_and_stable(uid: str) -> None:
    assert 0 <= hash_key(uid) <= LARGEST
    assert hash_key(uid) == fold(fnv1a64(uid))


RAW = st.one_of(st.integers(0, 2**64 - 1), st.sampled_from([0, LARGEST - 1, LARGEST, LARGEST + 1, 2**64 - 1]))


@given(RAW, RAW, RAW)
def test_a_raw_range_is_covered(raw: int, start: int, end: int) -> None:
    end += 1
    if start <= raw < end:
        assert any(low <= fold(raw) <= high for low, high in fold_range(start, end))
    for low, high in fold_range(start, end):
        assert 0 <= low <= high <= LARGEST
