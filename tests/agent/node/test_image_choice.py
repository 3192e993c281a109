"""Which images go, and when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from arktos.agent.node.image_gc import Image, Memory, choose, excess, remember, sandbox_image, used_ids
from arktos.agent.node.machine import Filesystem


def image(name: str, size: int = 10, *, pinned: bool = False) -> Image:
    return Image(f"sha256:{name}", (f"reg/{name}:1", f"reg/{name}@sha256:d{name}"), size, pinned)


A, B, C = image("a"), image("b"), image("c")


def test_an_image_is_in_use_by_any_of_its_names() -> None:
    assert used_ids([A, B, C], ["sha256:a", "reg/b@sha256:db", "unknown"]) == {A.id, B.id}
    hub = Image("sha256:h", ("docker.io/library/busybox:latest",), 1)
    assert used_ids([hub], ["busybox:latest"]) == {hub.id}


def test_the_longest_unused_goes_first_until_enough_is_free() -> None:
    known = {A.id: Memory(0, 50), B.id: Memory(0, 10), C.id: Memory(0)}
    assert choose([A, B, C], known, frozenset(), 15, 1000, 120) == [C, B]
    assert choose([A, B, C], known, frozenset(), None, 1000, 120) == [C, B, A]
    assert choose([A, B, C], known, frozenset(), 0, 1000, 120) == []


def test_what_is_in_use_young_or_pinned_stays() -> None:
    pinned = image("p", pinned=True)
    known = {A.id: Memory(0), B.id: Memory(990), pinned.id: Memory(0)}
    assert choose([A, B, pinned], known, frozenset({A.id}), None, 1000, 120) == []
    assert choose([A, B, pinned], known, frozenset({A.id}), None, 1110, 120) == [B]


def test_what_is_remembered() -> None:
    known = remember({}, [A, B], frozenset({A.id}), 5)
    assert known == {A.id: Memory(5, 5), B.id: Memory(5, 0)}
    known = remember(known, [A, C], frozenset(), 9)
    assert known == {A.id: Memory(5, 5), C.id: Memory(9, 0)}


def test_how_much_is_too_much() -> None:
    def disk(available: int) -> Filesystem:
        return Filesystem(1000, available, 1000 - available, 0, 0)

    assert excess(disk(160), 85, 80) == 0
    assert excess(disk(150), 85, 80) == 50
    assert excess(disk(0), 85, 80) == 200
    assert excess(Filesystem(0, 0, 0, 0, 0), 85, 80) == 0


def test_the_image_of_sandboxes() -> None:
    assert sandbox_image({"config": '{"sandboxImage":"pause:3.9","x":1}'}) == "pause:3.9"
    assert [sandbox_image(info) for info in ({}, {"config": "no"}, {"config": "[]"})] == ["", "", ""]


@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 100), st.booleans(), st.booleans()), max_size=20),
    st.integers(0, 300),
)
def test_enough_goes_and_not_one_more(rows: list[tuple[int, int, bool, bool]], wanted: int) -> None:
    images = [Image(f"i{n}", (), size, pinned) for n, (size, _, pinned, _) in enumerate(rows)]
    known = {each.id: Memory(0, used) for each, (_, used, _, _) in zip(images, rows, strict=True)}
    busy = frozenset(each.id for each, row in zip(images, rows, strict=True) if row[3])
    chosen = choose(images, known, busy, wanted, 1000, 0)
    assert not any(each.pinned or each.id in busy for each in chosen)
    freed = sum(each.size for each in chosen)
    free = [each for each in images if not each.pinned and each.id not in busy]
    assert freed >= wanted or len(chosen) == len(free)
    if chosen:
        assert freed - chosen[-1].size < wanted
