import pytest
from hypothesis import given
from hypothesis import strategies as st

from arktos.store.slots import fill, refill

BODY = b'{"kind":"Pod","metadata":{"resourceVersion":"","name":"a"},"data":{"resourceVersion":"","x":1}}'


def test_only_the_first_slot_is_filled() -> None:
    assert fill(BODY, 17) == (
        b'{"kind":"Pod","metadata":{"resourceVersion":"17","name":"a"},"data":{"resourceVersion":"","x":1}}'
    )


def test_a_filled_slot_is_not_filled_twice() -> None:
    with pytest.raises(ValueError, match="empty"):
        fill(fill(BODY, 1), 2)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"resourceVersion":5}'])
def test_a_body_without_slot_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="slot"):
        fill(body, 1)
    with pytest.raises(ValueError, match="slot"):
        refill(body, 1)


@given(st.integers(0, 2**53), st.integers(0, 2**53))
def test_refilling_forgets_what_stood_there(first: int, second: int) -> None:
    assert refill(fill(BODY, first), second) == fill(BODY, second) == refill(BODY, second)
