from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from arktos.store.history import History, Window
from arktos.store.records import Event

NOW = 1_700_000_000.0


def event(objects: Any, revision: int, resource: str = "pods", text: str = "") -> Event:
    return Event(revision, objects.record(objects.key("a", resource=resource), revision, text), None, None)


@given(
    st.lists(st.tuples(st.sampled_from(["pods", "nodes"]), st.integers(0, 2)), max_size=60),
    st.integers(1, 20),
    st.integers(0, 80),
)
def test_what_followed_oldest_is_complete(objects: Any, steps: list[tuple[str, int]], room: int, since: int) -> None:
    history = History(Window(1e12, room, 1 << 30))
    revision, events = 1, list[Event]()
    for resource, gap in steps:
        revision += gap
        events.append(event(objects, revision, resource))
        history.append(resource, events[-1])
        history.forget(NOW)
    since = max(since, history.oldest)
    for resource in ("pods", "nodes"):
        expected = [e for e in events if e.revision > since and e.record and e.record.key.resource == resource]
        assert list(history.since(resource, since)) == expected
    assert len(history) <= room


def test_age_is_read_off_the_revision(objects: Any) -> None:
    history = History(Window(300.0, 1000, 1 << 30))
    for second in range(0, 600, 100):
        history.append("pods", event(objects, int((NOW + second) * 1e6)))
    history.forget(NOW + 500)
    assert history.oldest == int((NOW + 200) * 1e6)
    assert len(history) == 3


def test_bytes_bound_it(objects: Any) -> None:
    history = History(Window(1e12, 1000, 5000))
    for revision in range(1, 20):
        history.append("pods", event(objects, revision, text="x" * 1000))
        history.forget(NOW)
    assert history.bytes <= 5000
    assert len(history) == 4


def test_a_commit_is_forgotten_as_a_whole(objects: Any) -> None:
    history = History(Window(1e12, 3, 1 << 30))
    for revision in (1, 1, 1, 2, 2):
        history.append("pods", event(objects, revision))
    history.forget(NOW)
    assert (history.oldest, len(history)) == (1, 2)


def test_forgotten_events_do_not_pile_up(objects: Any) -> None:
    history = History(Window(1e12, 10, 1 << 30))
    for revision in range(1, 5000):
        history.append("pods", event(objects, revision))
        history.forget(NOW)
    assert len(history._tracks["pods"].events) < 1000
    assert [e.revision for e in history.since("pods", 4995)] == [4996, 4997, 4998, 4999]
