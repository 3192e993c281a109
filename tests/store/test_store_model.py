"""The store against a list of events: whatever is committed, listed, watched, trimmed, expired, closed or killed."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from arktos.store.embedded import EmbeddedStore, Window, open_store
from arktos.store.records import (
    Absent,
    AtRevision,
    Delete,
    Event,
    Key,
    Live,
    PreconditionFailed,
    Put,
    Query,
    Record,
    RevisionCompacted,
    WatchEvent,
    Write,
)
from arktos.store.slots import refill

WINDOW = Window(1e9, 12, 1 << 30)
NAMES = st.sampled_from(["a", "b", "c"])
KEYS = st.builds(
    Key, st.sampled_from(["pods", "leases"]), st.sampled_from(["acme", "globex"]), st.sampled_from(["x", "y"]), NAMES
)
APPS, NODES = st.sampled_from(["", "web", "db"]), st.sampled_from(["", "m1", "m2"])
LABELS = st.sampled_from(["", "app=web", "app!=web"])
FIELDS = st.sampled_from(["", "spec.nodeName=m1", "spec.nodeName=", "metadata.name=b", "metadata.hashkey=gt:1"])


class Draft(NamedTuple):
    """A write before it is one."""

    key: Key
    app: str
    node: str
    hash_key: int
    delete: bool


DRAFTS = st.builds(Draft, KEYS, APPS, NODES, st.integers(0, 3), st.sampled_from([False, False, True]))
COMMITS = st.lists(DRAFTS, min_size=1, max_size=3, unique_by=lambda draft: draft.key)


class Watch:
    """What a subscription saw since `start`."""

    def __init__(self, query: Query, start: int) -> None:
        self.query = query
        self.start = start
        self.seen: list[WatchEvent] = []
        self.close: Callable[[], None] = lambda: None

    def deliver(self, events: Sequence[WatchEvent], revision: int) -> None:
        assert events
        assert all(event.record.revision <= revision for event in events)
        self.seen.extend(events)


class Machine(RuleBasedStateMachine):
    objects: Any
    clock: Any

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.home = Path(tempfile.mkdtemp())
        self.path = self.home / "0" / "store.db"
        self.path.parent.mkdir()
        self.clock.now = 1_700_000_000.0
        self.truth: dict[Key, Record] = {}
        self.events: list[Event] = []
        self.highest = 0
        self.floor = 0
        self.any_lazy = False
        self.untouched = True
        self.durable: dict[Key, int] = {}
        self.watches: list[Watch] = []
        self.store: EmbeddedStore = self.run(self.opened())

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    async def opened(self) -> EmbeddedStore:
        return open_store(self.path, self.objects.resources, clock=self.clock, window=WINDOW)

    def teardown(self) -> None:
        self.run(self.store.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        shutil.rmtree(self.home)

    # -- writing

    def write(self, draft: Draft, lazy: bool) -> Write:
        if draft.delete:
            return Delete(draft.key)
        header = self.objects.header(draft.app, draft.node, hash_key=draft.hash_key)
        return Put(draft.key, header, self.objects.body(), lazy=lazy)

    def apply(self, writes: Sequence[Write], revision: int, records: Sequence[Record]) -> None:
        assert revision > self.highest
        self.highest = revision
        self.untouched = False
        self.any_lazy |= any(isinstance(write, Put) and write.lazy for write in writes)
        if not all(isinstance(write, Put) and write.lazy for write in writes):
            # What is durable holds all that came before it.
            self.durable.update({record.key: record.revision for record in self.truth.values()})
            self.durable.update({write.key: revision for write in writes})
        for write, record in zip(writes, records, strict=True):
            assert (record.key, record.revision) == (write.key, revision)
            previous = self.truth.get(write.key)
            if isinstance(write, Put):
                assert record.body == refill(write.body, revision)
                assert record.header == write.header
                self.events.append(Event(revision, record, previous, None))
                self.truth[write.key] = record
            else:
                assert previous is not None
                assert record.body == refill(previous.body, revision)
                self.events.append(Event(revision, None, previous, record))
                del self.truth[write.key]

    @rule(drafts=COMMITS, lazy=st.booleans())
    def commit(self, drafts: list[Draft], lazy: bool) -> None:
        writes = [self.write(draft, lazy and draft.key.resource == "leases") for draft in drafts]
        missing = [write.key for write in writes if isinstance(write, Delete) and write.key not in self.truth]
        try:
            done = self.run(self.store.commit([], writes))
        except PreconditionFailed as failed:
            assert failed.precondition == Live(missing[0])
        else:
            assert not missing
            self.apply(writes, done.revision, done.records)

    @rule(draft=DRAFTS, pick=st.integers(0, 3), lag=st.integers(0, 3))
    def conditional(self, draft: Draft, pick: int, lag: int) -> None:
        current = self.truth.get(draft.key)
        if draft.delete and current is None:
            return
        revision = (0 if current is None else current.revision) - (lag == 3)
        condition = (Absent(draft.key), Live(draft.key), AtRevision(draft.key, revision), Absent(draft.key))[pick]
        holds = (current is None) == isinstance(condition, Absent) and (
            lag != 3 or not isinstance(condition, AtRevision)
        )
        writes = [self.write(draft, False)]
        try:
            done = self.run(self.store.commit([condition], writes))
        except PreconditionFailed as failed:
            assert not holds
            assert failed.current == current
        else:
            assert holds
            self.apply(writes, done.revision, done.records)

    @rule(commits=st.lists(COMMITS, min_size=2, max_size=5))
    def pipelined(self, commits: list[list[Draft]]) -> None:
        async def together() -> list[Any]:
            return await asyncio.gather(*[self.store.commit([], w) for w in writes], return_exceptions=True)

        writes = [[self.write(draft, False) for draft in drafts] for drafts in commits]
        for each, done in zip(writes, self.run(together()), strict=True):
            if isinstance(done, PreconditionFailed):
                assert any(isinstance(write, Delete) and write.key not in self.truth for write in each)
            else:
                self.apply(each, done.revision, done.records)

    @rule(seconds=st.sampled_from([-3600.0, -1.0, 0.5, 30.0]))
    def clock_moves(self, seconds: float) -> None:
        self.clock.now += seconds

    # -- reading

    def past(self, revision: int) -> dict[Key, Record]:
        state: dict[Key, Record] = {}
        for event in self.events:
            if event.revision <= revision:
                if event.record is not None:
                    state[event.record.key] = event.record
                elif event.last is not None:
                    state.pop(event.last.key, None)
        return state

    def expected_changes(self, query: Query, since: int, until: int = 2**53) -> list[tuple[str, Record]]:
        found: list[tuple[str, Record]] = []
        for revision, record, previous, last in self.events:
            if not since < revision <= until:
                continue
            was = previous is not None and self.selects(query, previous)
            now = record is not None and self.selects(query, record)
            if now and record is not None:
                found.append(("MODIFIED" if was else "ADDED", record))
            elif was and previous is not None:
                gone = Record(previous.key, revision, previous.header, refill(previous.body, revision))
                found.append(("DELETED", last or gone))
        return found

    @staticmethod
    def selects(query: Query, record: Record) -> bool:
        key = record.key
        return (
            key.resource == query.resource
            and query.tenant in (None, key.tenant)
            and query.namespace in (None, key.namespace)
            and (query.selector is None or query.selector.matches(*key[1:], record.header))
        )

    queries = st.tuples(
        st.sampled_from(["pods", "leases"]),
        st.sampled_from([None, "acme"]),
        st.sampled_from([None, "x"]),
        LABELS,
        FIELDS,
    )

    def query(self, parts: tuple[str, str | None, str | None, str, str]) -> Query:
        resource, tenant, namespace, labels, fields = parts
        return Query(resource, tenant, namespace, self.objects.selector(labels, fields))

    @rule(parts=queries, data=st.data(), limit=st.integers(0, 4))
    def lists(self, parts: Any, data: st.DataObject, limit: int) -> None:
        query = self.query(parts)
        revisions = sorted({0, self.store.revision, *(event.revision for event in self.events[-20:])})
        revision = data.draw(st.sampled_from(revisions))
        state = self.past(revision) if revision else self.truth
        expected = sorted((r for r in state.values() if self.selects(query, r)), key=lambda r: r.key)
        found: list[Record] = []
        after = None
        try:
            while True:
                page = self.store.list(query, limit=limit, after=after, revision=revision)
                assert page.revision == (revision or self.store.revision)
                found += page.records
                if page.remaining >= 0:
                    assert page.remaining == len(expected) - len(found)
                if not page.more:
                    break
                after = found[-1].key
        except RevisionCompacted as compacted:
            assert revision < compacted.oldest
            assert compacted.oldest >= self.store.oldest
        else:
            assert found == expected

    @rule(parts=queries, data=st.data())
    def resumes(self, parts: Any, data: st.DataObject) -> None:
        query = self.query(parts)
        since = data.draw(st.sampled_from(sorted({0, self.store.revision, *(event.revision for event in self.events)})))
        try:
            changes = self.store.changes(query, since)
        except RevisionCompacted as compacted:
            assert since < compacted.oldest
        else:
            assert since >= self.floor or query.resource == "pods"
            assert [(event.type, event.record) for event in changes] == self.expected_changes(query, since)

    @rule(parts=queries)
    def watches_begin(self, parts: Any) -> None:
        watch = Watch(self.query(parts), self.store.revision)
        watch.close = self.store.subscribe(watch.query, watch.deliver).close
        self.watches.append(watch)

    @precondition(lambda self: self.watches)
    @rule(data=st.data())
    def watch_ends(self, data: st.DataObject) -> None:
        watch = self.watches.pop(data.draw(st.integers(0, len(self.watches) - 1)))
        self.check_watch(watch)
        watch.close()

    def check_watch(self, watch: Watch) -> None:
        self.run(self.all_delivered())
        assert [(e.type, e.record) for e in watch.seen] == self.expected_changes(watch.query, watch.start)

    async def all_delivered(self) -> None:
        async with asyncio.timeout(10):
            while self.store.delivered < self.store.revision:  # noqa: ASYNC110
                await asyncio.sleep(0)

    @invariant()
    def state_is_the_truth(self) -> None:
        for resource in ("pods", "leases"):
            found = self.store.list(Query(resource, None)).records
            assert found == sorted((r for r in self.truth.values() if r.key.resource == resource), key=lambda r: r.key)
        assert self.store.revision >= self.highest

    # -- restarting

    @rule()
    def restart(self) -> None:
        self.leave_watches()
        self.run(self.store.close())
        before = self.store.revision
        self.store = self.run(self.opened())
        self.untouched = True
        assert self.store.revision == before

    @rule()
    def crash(self) -> None:
        self.leave_watches()
        self.run(self.quiet())
        target = self.home / str(int(self.path.parent.name) + 1)
        shutil.copytree(self.path.parent, target)
        before = self.store.revision
        self.run(self.store.close())
        self.path = target / "store.db"
        self.store = self.run(self.opened())
        assert self.store.revision >= before
        self.forget_what_was_lost()

    async def quiet(self) -> None:
        """Upkeep of the file is done, as far as can be told: the copy must be of one moment."""
        async with asyncio.timeout(10):
            while self.store._writer._behind() or self.store.stats().pending_commits:  # noqa: ASYNC110
                await asyncio.sleep(0.001)

    def leave_watches(self) -> None:
        for watch in self.watches:
            self.check_watch(watch)
            watch.close()
        self.watches = []

    def forget_what_was_lost(self) -> None:
        """Lazy puts may be gone, and with them only such: the newest that is there is one that was."""
        self.highest = self.store.revision
        if not self.any_lazy or self.untouched:
            return
        self.untouched = True
        self.floor = self.store.revision
        for key in [key for key in self.truth if key.resource == "leases"]:
            found = self.store.get(key)
            versions = [e.record for e in self.events if e.record is not None and e.record.key == key]
            assert found is None or found in versions
            assert (0 if found is None else found.revision) >= self.durable.get(key, 0)
            if found is None:
                del self.truth[key]
            else:
                self.truth[key] = found
        self.events = [event for event in self.events if (event.record or event.last).key.resource == "pods"]  # type: ignore[union-attr]
        for record in self.truth.values():
            if record.key.resource == "leases":
                self.events.append(Event(record.revision, record, None, None))
        self.events.sort(key=lambda event: event.revision)


def test_the_store_is_what_was_written_to_it(objects: Any, new_clock: Callable[[], Any]) -> None:
    Machine.objects, Machine.clock = objects, new_clock()
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],  # shrinking runs with real disk writes: minutes
        ),
    )
