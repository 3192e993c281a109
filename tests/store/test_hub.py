from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from arktos.store import hub as hub_module
from arktos.store.hub import Hub
from arktos.store.records import Event, Query, WatchEvent


class Turns:
    """A loop's callbacks, run when a test says so."""

    def __init__(self) -> None:
        self.callbacks: deque[Callable[[], None]] = deque()

    def run(self) -> int:
        turns = 0
        while self.callbacks:
            self.callbacks.popleft()()
            turns += 1
        return turns


class Seen:
    """What one subscription was delivered."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[str, str, int]]] = []
        self.revisions: list[int] = []
        self.lists: list[Sequence[WatchEvent]] = []

    def __call__(self, events: Sequence[WatchEvent], revision: int) -> None:
        self.batches.append([(e.type, e.record.key.name, e.record.revision) for e in events])
        self.revisions.append(revision)
        self.lists.append(events)

    @property
    def flat(self) -> list[tuple[str, str, int]]:
        return [event for batch in self.batches for event in batch]


@pytest.fixture
def turns() -> Turns:
    return Turns()


@pytest.fixture
def hub(turns: Turns) -> Hub:
    return Hub(lambda resource: ("spec.nodeName",) if resource == "pods" else (), turns.callbacks.append)


@pytest.fixture
def change(objects: Any) -> Callable[..., Event]:
    def make(
        revision: int,
        name: str = "a",
        before: dict[str, str] | None = None,
        after: dict[str, str] | None = None,
        **where: str,
    ) -> Event:
        key = objects.key(name, **where)
        previous = None if before is None else objects.record(key, 1, **before)
        record = None if after is None else objects.record(key, revision, **after)
        last = objects.record(key, revision, "last") if after is None else None
        return Event(revision, record, previous, last)

    return make


def test_nothing_is_delivered_in_the_turn_of_the_commit(hub: Hub, turns: Turns, change: Any) -> None:
    seen = Seen()
    hub.subscribe(Query("pods", "acme"), seen)
    hub.publish([change(2, after={})], 2)
    hub.publish([change(3, before={}, after={})], 3)
    assert (seen.batches, hub.delivered) == ([], 0)
    turns.run()
    assert seen.batches == [[("ADDED", "a", 2), ("MODIFIED", "a", 3)]]
    assert (seen.revisions, hub.delivered) == ([3], 3)


def test_scopes(hub: Hub, turns: Turns, change: Any) -> None:
    queries = {
        "all": Query("pods", None),
        "tenant": Query("pods", "acme"),
        "space": Query("pods", "acme", "default"),
        "space anywhere": Query("pods", None, "default"),
        "other tenant": Query("pods", "globex"),
        "other space": Query("pods", "acme", "x"),
        "other resource": Query("nodes", "acme"),
    }
    seen = {name: Seen() for name in queries}
    for name, query in queries.items():
        hub.subscribe(query, seen[name])
    hub.publish([change(2, after={})], 2)
    turns.run()
    assert {name for name in queries if seen[name].batches} == {"all", "tenant", "space", "space anywhere"}


@pytest.mark.parametrize(
    ("labels", "fields"), [("app=web", ""), ("", "spec.nodeName=m1"), ("app=web", "spec.nodeName=m1")]
)
def test_entering_and_leaving(hub: Hub, turns: Turns, change: Any, objects: Any, labels: str, fields: str) -> None:
    inside, outside = {"app": "web", "node": "m1"}, {"app": "db", "node": "m2"}
    seen = Seen()
    hub.subscribe(Query("pods", "acme", None, objects.selector(labels, fields)), seen)
    hub.publish([change(2, "created in", after=inside)], 2)
    hub.publish([change(3, "created out", after=outside)], 3)
    hub.publish([change(4, "stays in", inside, inside)], 4)
    hub.publish([change(5, "stays out", outside, outside)], 5)
    hub.publish([change(6, "enters", outside, inside)], 6)
    hub.publish([change(7, "leaves", inside, outside)], 7)
    hub.publish([change(8, "deleted in", inside)], 8)
    hub.publish([change(9, "deleted out", outside)], 9)
    turns.run()
    assert seen.flat == [
        ("ADDED", "created in", 2),
        ("MODIFIED", "stays in", 4),
        ("ADDED", "enters", 6),
        ("DELETED", "leaves", 7),
        ("DELETED", "deleted in", 8),
    ]
    left, gone = seen.lists[0][3].record, seen.lists[0][4].record
    assert b'"resourceVersion":"7"' in left.body
    assert left.header.labels == {"app": "web"}
    assert b'"last"' in gone.body


def test_a_name_is_watched_by_name(hub: Hub, turns: Turns, change: Any, objects: Any) -> None:
    seen = Seen()
    hub.subscribe(Query("pods", "acme", "default", objects.selector("", "metadata.name=b")), seen)
    hub.publish([change(2, "a", after={}), change(2, "b", after={})], 2)
    turns.run()
    assert seen.flat == [("ADDED", "b", 2)]


def test_equal_selectors_share_their_events(hub: Hub, turns: Turns, change: Any, objects: Any) -> None:
    one, two, plain, plainer = Seen(), Seen(), Seen(), Seen()
    for seen in (one, two):
        hub.subscribe(Query("pods", "acme", None, objects.selector("app=web")), seen)
    for seen in (plain, plainer):
        hub.subscribe(Query("pods", None), seen)
    hub.publish([change(2, after={"app": "web"})], 2)
    turns.run()
    assert one.lists[0] is two.lists[0]
    assert plain.lists[0] is plainer.lists[0]
    assert plain.lists[0][0] is one.lists[0][0]


def test_a_newcomer_sees_only_what_comes_after(hub: Hub, turns: Turns, change: Any) -> None:
    early, late = Seen(), Seen()
    hub.subscribe(Query("pods", None), early)
    hub.publish([change(2, "a", after={})], 2)
    hub.subscribe(Query("pods", None), late)
    hub.publish([change(3, "b", after={})], 3)
    turns.run()
    assert early.flat == [("ADDED", "a", 2), ("ADDED", "b", 3)]
    assert late.flat == [("ADDED", "b", 3)]


def test_closing_inside_a_delivery(hub: Hub, turns: Turns, change: Any) -> None:
    seen = Seen()
    subscriptions = [
        hub.subscribe(Query("pods", None), lambda *_: close_all()),
        hub.subscribe(Query("pods", None), seen),
    ]

    def close_all() -> None:
        for subscription in subscriptions:
            subscription.close()

    hub.publish([change(2, after={})], 2)
    turns.run()
    assert seen.batches == []
    assert len(hub) == 0
    hub.publish([change(3, after={})], 3)
    assert not turns.callbacks
    assert hub.delivered == 3


def test_subscribing_inside_a_delivery(hub: Hub, turns: Turns, change: Any) -> None:
    seen = Seen()

    def join(*_: object) -> None:
        first.close()
        hub.subscribe(Query("pods", None), seen)

    first = hub.subscribe(Query("pods", None), join)
    hub.publish([change(2, after={})], 2)
    turns.run()
    hub.publish([change(3, before={}, after={})], 3)
    turns.run()
    assert seen.flat == [("MODIFIED", "a", 3)]


def test_a_raising_subscriber_harms_nobody(hub: Hub, turns: Turns, change: Any) -> None:
    seen = Seen()

    def bad(*_: object) -> None:
        raise RuntimeError("bad subscriber")

    hub.subscribe(Query("pods", None), seen)
    hub.subscribe(Query("pods", None), bad)
    hub.subscribe(Query("pods", None), seen)
    hub.publish([change(2, after={})], 2)
    with pytest.raises(RuntimeError, match="bad subscriber"):
        turns.run()
    turns.run()
    assert seen.flat == [("ADDED", "a", 2)] * 2


def test_a_long_delivery_is_sliced_and_coalesced(
    hub: Hub, turns: Turns, change: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "_SLICE", -1.0)
    seen = [Seen() for _ in range(200)]
    for each in seen:
        hub.subscribe(Query("pods", None), each)
    hub.publish([change(2, after={})], 2)
    turns.callbacks.popleft()()
    assert 0 < sum(bool(each.batches) for each in seen) < 200
    hub.publish([change(3, before={}, after={})], 3)
    hub.publish([change(4, before={}, after={})], 4)
    assert hub.delivered == 0
    assert turns.run() > 5
    assert all(each.revisions == [2, 4] for each in seen)
    assert all(each.flat == [("ADDED", "a", 2), ("MODIFIED", "a", 3), ("MODIFIED", "a", 4)] for each in seen)
    assert hub.delivered == 4


def test_closed_subscriptions_leave_nothing(hub: Hub, objects: Any) -> None:
    selectors = [
        None,
        objects.selector("app=a"),
        objects.selector("", "spec.nodeName=m"),
        objects.selector("", "metadata.name=n"),
    ]
    open_ones = [hub.subscribe(Query("pods", "acme", None, selector), Seen()) for selector in selectors * 2]
    for subscription in open_ones:
        subscription.close()
        subscription.close()
    assert len(hub) == 0
    assert hub._groups == {}
