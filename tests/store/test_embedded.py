"""The embedded store's promises, one by one; `test_store_model` has them all at once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from arktos.store import writer
from arktos.store.embedded import EmbeddedStore, Window, open_store
from arktos.store.records import (
    Absent,
    AtRevision,
    Committed,
    Delete,
    Live,
    PreconditionFailed,
    Put,
    Query,
    RevisionAhead,
    RevisionCompacted,
    StoreUnavailable,
    WatchEvent,
)

PODS = Query("pods", None)
LEASES = Query("leases", None)


async def until(condition: Callable[[], object]) -> None:
    """Waits for what the store does by itself."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - a condition of the store, not of the test
            await asyncio.sleep(0.005)


def names(events: Sequence[WatchEvent]) -> list[tuple[str, str]]:
    return [(event.type, event.record.key.name) for event in events]


# -- commits


async def test_a_commit_fills_the_slot_and_is_visible(store: EmbeddedStore, objects: Any) -> None:
    key = objects.key("a")
    done = await store.commit([Absent(key)], [objects.put(key, "one", app="web")])
    record = store.get(key)
    assert record is not None
    assert record is done.records[0]
    assert record.revision == done.revision == store.revision
    assert b'"resourceVersion":"%d"' % done.revision in record.body
    assert record.header.labels == {"app": "web"}
    assert store.list(PODS) == ([record], done.revision, False, 0)


async def test_all_writes_of_a_commit_share_one_revision(store: EmbeddedStore, objects: Any) -> None:
    keys = [objects.key(name) for name in "abc"]
    done = await store.commit([], [objects.put(key) for key in keys])
    assert {record.revision for record in done.records} == {done.revision}
    seen = store.changes(PODS, done.revision - 1)
    assert names(seen) == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c")]


async def test_preconditions(store: EmbeddedStore, objects: Any) -> None:
    a, b = objects.key("a"), objects.key("b")
    first = await store.commit([Absent(a)], [objects.put(a)])
    for failing in (Absent(a), AtRevision(a, 7), AtRevision(b, first.revision), Live(b)):
        with pytest.raises(PreconditionFailed) as failed:
            await store.commit([failing], [objects.put(a, "never")])
        assert failed.value.precondition == failing
        assert failed.value.current is store.get(failing.key)
    second = await store.commit([AtRevision(a, first.revision), Live(a)], [objects.put(a, deleting=True)])
    with pytest.raises(PreconditionFailed):
        await store.commit([Live(a)], [objects.put(a)])
    await store.commit([AtRevision(a, second.revision)], [Delete(a)])
    assert store.get(a) is None


async def test_one_failing_precondition_stops_all_writes(store: EmbeddedStore, objects: Any) -> None:
    a, b = objects.key("a"), objects.key("b")
    await store.commit([], [objects.put(a)])
    with pytest.raises(PreconditionFailed):
        await store.commit([Absent(b), Absent(a)], [objects.put(b), objects.put(a)])
    assert store.get(b) is None


async def test_a_deletion_ends_with_the_given_or_the_previous_state(store: EmbeddedStore, objects: Any) -> None:
    a, b = objects.key("a"), objects.key("b")
    await store.commit([], [objects.put(a, "old", app="x"), objects.put(b, "old", app="x")])
    done = await store.commit([], [Delete(a), Delete(b, objects.header("y"), objects.body("final"))])
    kept, given = done.records
    assert (b'"old"' in kept.body, kept.header.labels) == (True, {"app": "x"})
    assert (b'"final"' in given.body, given.header.labels) == (True, {"app": "y"})
    assert all(b'"resourceVersion":"%d"' % done.revision in record.body for record in done.records)
    assert [event.record for event in store.changes(PODS, done.revision - 1)] == [kept, given]


async def test_what_cannot_be_stored_is_refused_and_changes_nothing(store: EmbeddedStore, objects: Any) -> None:
    a = objects.key("a")
    await store.commit([], [objects.put(a)])
    before = store.revision
    with pytest.raises(PreconditionFailed):
        await store.commit([], [objects.put(objects.key("b")), Delete(objects.key("missing"))])
    for writes in (
        [],
        [objects.put(a), Delete(a)],
        [objects.put(objects.key("b", tenant="x/y"))],
        [objects.put(objects.key("b", tenant=""))],
        [objects.put(objects.key("\ud800"))],
        [Put(objects.key("b"), objects.header(), b"{}")],
    ):
        with pytest.raises(ValueError):
            await store.commit([], writes)
    assert store.revision == before
    assert [record.key.name for record in store.list(PODS).records] == ["a"]


async def test_names_may_hold_anything(store: EmbeddedStore, objects: Any, crashed: Any, tmp_path: Path) -> None:
    keys = [objects.key(name, namespace) for name in ("a/b", "system:node", "ü€", "%00") for namespace in ("", "n")]
    await store.commit([], [objects.put(key) for key in keys])
    async with open_store(crashed(tmp_path / "store.db"), {}) as again:
        assert sorted(record.key for record in again.list(PODS).records) == sorted(keys)


async def test_pipelined_commits_see_each_other(store: EmbeddedStore, objects: Any) -> None:
    key = objects.key("a")
    commits = [store.commit([Absent(key)], [objects.put(key, str(number))]) for number in range(20)]
    results = await asyncio.gather(*commits, return_exceptions=True)
    assert [type(result) for result in results] == [Committed] + [PreconditionFailed] * 19
    for result in results[1:]:
        assert isinstance(result, PreconditionFailed)
        assert result.current is not None
        assert b'"0"' in result.current.body


async def test_pipelined_chains_hold_in_order(store: EmbeddedStore, objects: Any) -> None:
    key = objects.key("a")
    steps = [
        store.commit([Absent(key)], [objects.put(key)]),
        store.commit([Live(key)], [objects.put(key, deleting=True)]),
        store.commit([Live(key)], [objects.put(key)]),
        store.commit([], [Delete(key)]),
        store.commit([Absent(key)], [objects.put(key, "again")]),
    ]
    results = await asyncio.gather(*steps, return_exceptions=True)
    assert [isinstance(result, Committed) for result in results] == [True, True, False, True, True]
    revisions = [result.revision for result in results if isinstance(result, Committed)]
    assert revisions == sorted(set(revisions))
    assert names(store.changes(PODS, 0)) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a"), ("ADDED", "a")]


async def test_nothing_is_visible_before_it_is_durable(store: EmbeddedStore, objects: Any) -> None:
    key = objects.key("a")
    commit = asyncio.ensure_future(store.commit([], [objects.put(key)]))
    await asyncio.sleep(0)
    assert (store.get(key), store.list(PODS).records, store.stats().pending_commits) == (None, [], 1)
    await commit
    assert store.get(key) is not None


async def test_commits_of_one_turn_share_a_write(store: EmbeddedStore, objects: Any) -> None:
    before = store.stats().batches
    await asyncio.gather(*[store.commit([], [objects.put(objects.key(f"a{number}"))]) for number in range(50)])
    assert store.stats().batches - before == 1


async def test_a_cancelled_caller_does_not_undo(store: EmbeddedStore, objects: Any) -> None:
    key = objects.key("a")
    commit = asyncio.ensure_future(store.commit([], [objects.put(key)]))
    await asyncio.sleep(0)
    commit.cancel()
    with pytest.raises(asyncio.CancelledError):
        await commit
    await until(lambda: store.get(key))
    await store.commit([], [Delete(key)])


# -- revisions


async def test_revisions_are_microseconds_and_never_go_back(tmp_path: Path, objects: Any, clock: Any) -> None:
    path, key = tmp_path / "store.db", objects.key("a")
    async with open_store(path, {}, clock=clock) as store:
        first = (await store.commit([], [objects.put(key)])).revision
        assert first == int(clock.now * 1e6)
        clock.now -= 86_400
        second = (await store.commit([], [objects.put(key)])).revision
        assert second == first + 1
    clock.now -= 86_400
    async with open_store(path, {}, clock=clock) as store:
        assert store.revision == second
        assert (await store.commit([], [objects.put(key)])).revision == second + 1


async def test_a_clock_far_ahead_leaves_room(tmp_path: Path, objects: Any, clock: Any) -> None:
    clock.now = 1e12
    async with open_store(tmp_path / "store.db", {}, clock=clock) as store:
        first = (await store.commit([], [objects.put(objects.key("a"))])).revision
        second = (await store.commit([], [objects.put(objects.key("a"))])).revision
    assert first < second < 2**53


async def test_failed_commits_do_not_consume_what_others_saw(store: EmbeddedStore, objects: Any) -> None:
    key = objects.key("a")
    first = await store.commit([], [objects.put(key)])
    with pytest.raises(PreconditionFailed):
        await store.commit([Absent(key)], [objects.put(key)])
    assert store.revision == first.revision


# -- lazy puts


async def test_the_first_lazy_put_of_a_resource_is_durable(
    store: EmbeddedStore, objects: Any, crashed: Any, tmp_path: Path
) -> None:
    key = objects.key("a", resource="leases")
    await store.commit([], [objects.put(objects.key("p"))])
    await store.commit([], [objects.put(key, lazy=True)])
    async with open_store(crashed(tmp_path / "store.db"), {}) as again:
        assert again.get(key) is not None


async def test_a_lazy_put_is_acknowledged_at_once_and_persisted_soon(
    store: EmbeddedStore, objects: Any, crashed: Any, tmp_path: Path
) -> None:
    key = objects.key("a", resource="leases")
    await store.commit([], [objects.put(key, "one", lazy=True)])
    batches = store.stats().batches
    commit = store.commit([], [objects.put(key, "two", lazy=True)])
    with pytest.raises(StopIteration) as returned:
        commit.send(None)
    assert returned.value.value.records[0] is store.get(key)
    assert store.stats().batches == batches
    await until(lambda: store.stats().unwritten_bytes == 0)
    async with open_store(crashed(tmp_path / "store.db"), {}) as again:
        record = again.get(key)
    assert record is not None
    assert b'"two"' in record.body


async def test_a_lazy_put_waits_for_what_is_durable_before_it(store: EmbeddedStore, objects: Any) -> None:
    lease, pod = objects.key("a", resource="leases"), objects.key("p")
    await store.commit([], [objects.put(lease, lazy=True)])
    durable = asyncio.ensure_future(store.commit([], [objects.put(pod)]))
    await asyncio.sleep(0)
    lazy = asyncio.ensure_future(store.commit([Live(lease)], [objects.put(lease, "two", lazy=True)]))
    await asyncio.sleep(0)
    assert not lazy.done()
    assert (await durable).revision < (await lazy).revision
    assert store.stats().batches == 2


async def test_a_crash_never_reuses_a_lazy_revision(tmp_path: Path, objects: Any, clock: Any, crashed: Any) -> None:
    path, key = tmp_path / "store.db", objects.key("a", resource="leases")
    async with open_store(path, {}, clock=clock) as store:
        await store.commit([], [objects.put(key, "durable", lazy=True)])
        clock.now += 5
        lost = await store.commit([], [objects.put(key, "lost", lazy=True)])
        image = crashed(path)
    clock.now -= 1000
    async with open_store(image, {}, clock=clock) as again:
        record = again.get(key)
        assert record is not None
        assert b'"durable"' in record.body
        assert again.revision > lost.revision
        done = await again.commit([], [objects.put(key)])
        assert done.revision > lost.revision


async def test_lazy_puts_beyond_the_ceiling_wait(tmp_path: Path, objects: Any, clock: Any, crashed: Any) -> None:
    path, key = tmp_path / "store.db", objects.key("a", resource="leases")
    async with open_store(path, {}, clock=clock) as store:
        await store.commit([], [objects.put(key, lazy=True)])
        clock.now += 3600
        seen = await store.commit([], [objects.put(key, "later", lazy=True)])
        image = crashed(path)
    async with open_store(image, {}, clock=clock) as again:
        assert again.revision > seen.revision


async def test_after_a_crash_durable_resources_resume_and_lazy_ones_do_not(
    tmp_path: Path, objects: Any, crashed: Any
) -> None:
    path = tmp_path / "store.db"
    lease, pod = objects.key("a", resource="leases"), objects.key("p")
    async with open_store(path, {}) as store:
        start = await store.commit([], [objects.put(pod), objects.put(lease, lazy=True)])
        await store.commit([], [objects.put(pod, "two")])
        seen = await store.commit([], [objects.put(lease, "maybe lost", lazy=True)])
        image = crashed(path)
    async with open_store(image, {}) as again:
        assert names(again.changes(PODS, start.revision)) == [("MODIFIED", "p")]
        assert again.changes(PODS, seen.revision) == []
        with pytest.raises(RevisionCompacted) as compacted:
            again.changes(LEASES, seen.revision)
        assert compacted.value.oldest == again.revision
        with pytest.raises(RevisionCompacted):
            again.list(LEASES, revision=start.revision)
        assert again.list(PODS, revision=start.revision).records[0].revision == start.revision
        assert again.changes(LEASES, again.revision) == []


async def test_what_a_crash_lost_stays_unanswerable(tmp_path: Path, objects: Any, crashed: Any) -> None:
    path, lease = tmp_path / "store.db", objects.key("a", resource="leases")
    async with open_store(path, {}) as store:
        await store.commit([], [objects.put(lease, lazy=True)])
        seen = await store.commit([], [objects.put(lease, "lost", lazy=True)])
        image = crashed(path)
    async with open_store(image, {}) as again:
        floor = again.revision
        later = await again.commit([], [objects.put(lease, "kept")])
    for _ in range(2):
        async with open_store(image, {}) as later_still:
            with pytest.raises(RevisionCompacted):
                later_still.changes(LEASES, seen.revision)
            assert [event.record for event in later_still.changes(LEASES, floor)] == list(later.records)


async def test_that_a_resource_is_lazy_outlives_its_log(tmp_path: Path, objects: Any, crashed: Any) -> None:
    path, lease = tmp_path / "store.db", objects.key("a", resource="leases")
    async with open_store(path, {}, window=Window(1e9, 3, 1 << 30)) as store:
        await store.commit([], [objects.put(lease, lazy=True)])
        for number in range(20):
            await store.commit([], [objects.put(objects.key("p"), str(number))])
        await until(lambda: store.stats().log_rows == 3)
        seen = await store.commit([], [objects.put(lease, "lost", lazy=True)])
        image = crashed(path)
    async with open_store(image, {}) as again:
        assert again.oldest < seen.revision
        with pytest.raises(RevisionCompacted):
            again.changes(LEASES, seen.revision)


async def test_after_a_clean_close_everything_resumes(tmp_path: Path, objects: Any) -> None:
    path, lease = tmp_path / "store.db", objects.key("a", resource="leases")
    async with open_store(path, {}) as store:
        await store.commit([], [objects.put(lease, lazy=True)])
        seen = await store.commit([], [objects.put(lease, "two", lazy=True)])
        last = await store.commit([], [objects.put(lease, "three", lazy=True)])
    async with open_store(path, {}) as again:
        assert again.revision == last.revision
        assert [event.record.revision for event in again.changes(LEASES, seen.revision)] == [last.revision]


# -- expiry


async def test_expired_records_go_by_themselves(tmp_path: Path, objects: Any, clock: Any) -> None:
    async with open_store(tmp_path / "store.db", {}, clock=clock) as store:
        seen: list[tuple[str, str]] = []
        store.subscribe(PODS, lambda events, _: seen.extend(names(events)))
        await store.commit([], [objects.put(objects.key(f"short{n:03}"), ttl=10) for n in range(300)])
        await store.commit([], [objects.put(objects.key("long"), ttl=1000), objects.put(objects.key("ever"))])
        clock.now += 11
        await until(lambda: store.stats().objects == {"pods": 2})
        await until(lambda: len(seen) == 602)
        assert seen[302:] == [("DELETED", f"short{n:03}") for n in range(300)]
        assert store.stats().expiring == 1


async def test_a_renewed_record_stays(tmp_path: Path, objects: Any, clock: Any) -> None:
    async with open_store(tmp_path / "store.db", {}, clock=clock) as store:
        key, other = objects.key("a"), objects.key("b")
        await store.commit([], [objects.put(key, ttl=10), objects.put(other, ttl=10)])
        clock.now += 8
        await store.commit([], [objects.put(key, "renewed", ttl=10)])
        clock.now += 8
        await until(lambda: store.get(other) is None)
        assert store.get(key) is not None
        clock.now += 8
        await until(lambda: store.get(key) is None)


async def test_expiry_survives_a_restart(tmp_path: Path, objects: Any, clock: Any, crashed: Any) -> None:
    path, key = tmp_path / "store.db", objects.key("a", resource="leases")
    async with open_store(path, {}, clock=clock) as store:
        done = await store.commit([], [objects.put(key, lazy=True, ttl=100)])
        image = crashed(path)
    async with open_store(image, {}, clock=clock) as again:
        record = again.get(key)
        assert record is not None
        assert record.expires == done.records[0].expires == clock.now + 100
        clock.now += 101
        await until(lambda: again.get(key) is None)


# -- history


async def test_the_window_moves_and_the_log_follows(tmp_path: Path, objects: Any) -> None:
    path = tmp_path / "store.db"
    async with open_store(path, {}, window=Window(1e9, 50, 1 << 30)) as store:
        first = await store.commit([], [objects.put(objects.key("a"))])
        for number in range(300):
            write = Delete(objects.key("b")) if number % 3 == 2 else objects.put(objects.key("b"), str(number))
            await store.commit([], [write])
        assert store.oldest > first.revision
        with pytest.raises(RevisionCompacted) as compacted:
            store.changes(PODS, first.revision)
        assert compacted.value.oldest == store.oldest
        assert len(store.changes(PODS, store.oldest)) == 50
        with pytest.raises(RevisionAhead):
            store.changes(PODS, store.revision + 1)
        await until(lambda: store.stats().log_rows == 50)
        oldest, kept = store.oldest, store.changes(PODS, store.oldest)
    async with open_store(path, {}, window=Window(1e9, 50, 1 << 30)) as again:
        assert again.oldest == oldest
        assert again.changes(PODS, oldest) == kept
        assert [record.key.name for record in again.list(PODS).records] == ["a"]


async def test_upkeep_keeps_pace_with_load(
    tmp_path: Path, objects: Any, monkeypatch: pytest.MonkeyPatch, crashed: Any
) -> None:
    monkeypatch.setattr(writer, "WAL_LIMIT", 1 << 18)
    path = tmp_path / "store.db"
    most_rows = most_wal = 0

    async def client(store: EmbeddedStore, name: str) -> None:
        nonlocal most_rows, most_wal
        for number in range(150):
            await store.commit([], [objects.put(objects.key(f"{name}-{number % 20}"), "x" * 2000)])
            stats = store.stats()
            most_rows, most_wal = max(most_rows, stats.log_rows), max(most_wal, stats.wal_bytes)

    async with open_store(path, {}, window=Window(1e9, 100, 1 << 30)) as store:
        await asyncio.gather(*[client(store, name) for name in "abcdefghijklmnop"])
        state = store.list(PODS).records
    assert most_rows < 1000
    assert most_wal < 4 << 20
    assert path.stat().st_size < 4 << 20
    async with open_store(path, {}) as again:
        assert again.list(PODS).records == state


async def test_lists_at_past_revisions(store: EmbeddedStore, objects: Any) -> None:
    for name in "abcd":
        await store.commit([], [objects.put(objects.key(name), "old", app="x")])
    past = store.revision
    before = store.list(PODS).records
    await store.commit([], [objects.put(objects.key("aa"))])
    await store.commit([], [objects.put(objects.key("b"), "new", app="y"), Delete(objects.key("c"))])
    assert [record.key.name for record in store.list(PODS).records] == ["a", "aa", "b", "d"]
    assert store.list(PODS, revision=past) == (before, past, False, 0)
    chosen = Query("pods", "acme", "default", objects.selector("app=x"))
    assert store.list(chosen, revision=past).records == before
    first = store.list(PODS, revision=past, limit=3)
    assert (first.records, first.more, first.revision) == (before[:3], True, past)
    assert store.list(PODS, revision=past, limit=3, after=before[2].key) == (before[3:], past, False, 0)
    with pytest.raises(RevisionAhead):
        store.list(PODS, revision=store.revision + 1)


async def test_pages_count_what_is_left(store: EmbeddedStore, objects: Any) -> None:
    keys = [objects.key(f"p{number}", namespace) for namespace in ("x", "y") for number in range(5)]
    await store.commit([], [objects.put(key) for key in keys])
    page = store.list(PODS, limit=3)
    assert ([record.key for record in page.records], page.more, page.remaining) == (keys[:3], True, 7)
    page = store.list(PODS, limit=5, after=keys[2])
    assert ([record.key for record in page.records], page.more, page.remaining) == (keys[3:8], True, 2)
    page = store.list(PODS, limit=5, after=keys[7])
    assert ([record.key for record in page.records], page.more, page.remaining) == (keys[8:], False, 0)


async def test_a_limit_never_cuts_a_commit_in_two(store: EmbeddedStore, objects: Any) -> None:
    start = store.revision
    await store.commit([], [objects.put(objects.key(f"a{number}")) for number in range(5)])
    await store.commit([], [objects.put(objects.key("b"))])
    assert len(store.changes(PODS, start, limit=2)) == 5
    assert len(store.changes(PODS, start, limit=6)) == 6


# -- subscriptions


async def test_list_then_subscribe_misses_and_repeats_nothing(store: EmbeddedStore, objects: Any) -> None:
    await store.commit([], [objects.put(objects.key("a"))])
    seen: list[tuple[str, str]] = []
    revisions: list[int] = []

    def deliver(events: Sequence[WatchEvent], revision: int) -> None:
        seen.extend(names(events))
        revisions.append(revision)

    subscription = store.subscribe(PODS, deliver)
    await asyncio.gather(*[store.commit([], [objects.put(objects.key("b"), str(n))]) for n in range(10)])
    await until(lambda: store.delivered == store.revision)
    assert seen == [("ADDED", "b")] + [("MODIFIED", "b")] * 9
    assert revisions[-1] == store.revision
    subscription.close()
    await store.commit([], [Delete(objects.key("b"))])
    assert store.delivered == store.revision
    assert len(seen) == 10


# -- closing and looking


async def test_a_closed_store_refuses_writes(tmp_path: Path, objects: Any) -> None:
    store = open_store(tmp_path / "store.db", {})
    pending = asyncio.ensure_future(store.commit([], [objects.put(objects.key("a"))]))
    await asyncio.sleep(0)
    await asyncio.gather(store.close(), store.close())
    assert (await pending).revision == store.revision
    with pytest.raises(StoreUnavailable):
        await store.commit([], [objects.put(objects.key("b"))])
    assert store.get(objects.key("a")) is not None
    assert sorted(os.listdir(tmp_path)) == ["store.db", "store.db.lock"]


async def test_closing_writes_lazy_puts(tmp_path: Path, objects: Any) -> None:
    path, key = tmp_path / "store.db", objects.key("a")
    async with open_store(path, {}) as store:
        for number in range(3):
            await store.commit([], [objects.put(key, str(number), lazy=True)])
    async with open_store(path, {}) as again:
        record = again.get(key)
        assert record is not None
        assert b'"2"' in record.body


async def test_owners_are_found_across_resources(store: EmbeddedStore, objects: Any) -> None:
    owned = [objects.key("a"), objects.key("b", resource="other")]
    await store.commit([], [objects.put(key, owner="o") for key in owned] + [objects.put(objects.key("c"), owner="p")])
    assert {record.key for record in store.by_owner("o")} == set(owned)


async def test_figures(tmp_path: Path, objects: Any) -> None:
    told: list[float] = []
    async with open_store(tmp_path / "store.db", {}, on_fsync=told.append) as store:
        await store.commit([], [objects.put(objects.key("a"))])
        stats = store.stats()
    assert (stats.objects, stats.batches, stats.commits, stats.log_rows) == ({"pods": 1}, 1, 1, 1)
    assert told == list(stats.write_seconds)
    assert stats.file_bytes > 0
    assert stats.wal_bytes > 0


async def test_equal_parts_are_held_once(store: EmbeddedStore, objects: Any) -> None:
    done = await store.commit([], [objects.put(objects.key(name), app="web", owner="o") for name in ("a", "b")])
    one, two = done.records
    assert one.header.labels is two.header.labels
    assert one.header.owners is two.header.owners
    changed = await store.commit([], [objects.put(objects.key("a"), "more", app="web", owner="o")])
    assert changed.records[0].header is one.header
    assert changed.records[0].key is one.key
