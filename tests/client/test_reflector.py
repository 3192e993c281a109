"""The mirror's promise: whatever is sent, cut, delayed or expired, the cache ends up equal to the truth, and what the
handlers were told adds up to it."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from arktos.client.cache import Cache, Change, by_controller, by_namespace, by_owner
from arktos.client.cached import Cached
from arktos.client.errors import ConnectionFailed
from arktos.client.reflector import Ask, Reflector
from arktos.client.watching import WatchEvent, decode_event
from arktos.model import registry
from arktos.model.kinds import Obj
from arktos.model.status import Expired, Forbidden, Invalid

PODS = registry.by_resource("pods")


def pod(name: str, uid: str, revision: int, labels: dict[str, str] | None = None, **meta: object) -> Obj:
    named = {"tenant": "acme", "namespace": "ns", "name": name, "uid": uid, "resourceVersion": str(revision)}
    return {"metadata": named | ({"labels": labels} if labels else {}) | meta, "spec": {"x": revision}}


def event(type: str, obj: Obj) -> WatchEvent:
    return decode_event(msgspec.json.encode({"type": type, "object": obj}))


def bookmark(revision: int, *, end: bool) -> WatchEvent:
    meta: Obj = {"resourceVersion": str(revision)}
    if end:
        meta["annotations"] = {"k8s.io/initial-events-end": "true"}
    return event("BOOKMARK", {"metadata": meta})


def cached(obj: Obj) -> Cached:
    return Cached.from_raw(PODS, msgspec.json.encode(obj))


class Mirror(RuleBasedStateMachine):
    """A server with a history, a reflector on the other side of a wire that delivers in order, late, or not at
    all."""

    def __init__(self) -> None:
        super().__init__()
        self.revision = 10
        self.truth: dict[str, Obj] = {}
        self.history: list[tuple[int, str, Obj]] = []
        self.window = 0
        self.cache = Cache({"label": lambda c: c.labels.values()})
        self.reflector = Reflector(PODS, self.cache)
        self.pending: list[WatchEvent] | None = None
        self.told: dict[tuple[str, str, str], Cached] = {}

    # the server

    @rule(name=st.sampled_from("abc"), label=st.sampled_from("xy"))
    def write(self, name: str, label: str) -> None:
        self.revision += 1
        old = self.truth.get(name)
        uid = old["metadata"]["uid"] if old else f"uid-{self.revision}"
        self.truth[name] = pod(name, uid, self.revision, {"l": label})
        self._happened("MODIFIED" if old else "ADDED", self.truth[name])

    @precondition(lambda self: self.truth)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        self.revision += 1
        gone = self.truth.pop(data.draw(st.sampled_from(sorted(self.truth))))
        self._happened("DELETED", gone | {"metadata": gone["metadata"] | {"resourceVersion": str(self.revision)}})

    @rule()
    def compact(self) -> None:
        self.window = self.revision
        self.history.clear()

    @precondition(lambda self: self.pending is not None and self.reflector.ask is Ask.WATCH)
    @rule()
    def send_bookmark(self) -> None:
        assert self.pending is not None
        self.revision += 1
        self.pending.append(bookmark(self.revision, end=False))

    def _happened(self, type: str, obj: Obj) -> None:
        self.history.append((self.revision, type, obj))
        if self.pending is not None:
            self.pending.append(event(type, obj))

    # the wire

    @precondition(lambda self: self.pending is None)
    @rule(refuse=st.booleans())
    def ask(self, refuse: bool) -> None:
        ask = self.reflector.ask
        if ask is Ask.LIST:
            items = [cached(obj) for obj in self.truth.values()]
            self._take(self.reflector.listed(items, str(self.revision)))
        elif ask is Ask.STREAM:
            if refuse:
                self.reflector.failed(Invalid("no sendInitialEvents here"))
                return
            self.pending = [event("ADDED", obj) for obj in self.truth.values()]
            self.pending.append(bookmark(self.revision, end=True))
        else:
            since = int(self.reflector.resource_version)
            if since < self.window:
                self.reflector.failed(Expired("too old"))
                return
            self.pending = [event(type, obj) for revision, type, obj in self.history if revision > since]

    @precondition(lambda self: self.pending)
    @rule(count=st.integers(1, 5))
    def deliver(self, count: int) -> None:
        assert self.pending is not None
        for _ in range(min(count, len(self.pending))):
            self._take(self.reflector.event(self.pending.pop(0)))

    @precondition(lambda self: self.pending is not None)
    @rule(how=st.sampled_from(["end", "cut", "expire", "forbid"]))
    def interrupt(self, how: str) -> None:
        self.pending = None
        if how == "end":
            self.reflector.ended()
        elif how == "cut":
            self.reflector.failed(ConnectionFailed("cut"))
        else:
            self.reflector.failed(Expired("in the stream") if how == "expire" else Forbidden("for now"))

    def _take(self, changes: list[Change]) -> None:
        for old, new in changes:
            self.cache.apply((old, new))
            key = (new or old).key  # type: ignore[union-attr]
            assert self.told.get(key) is old
            assert old is None or new is None or old.uid == new.uid
            if new is None:
                del self.told[key]
            else:
                self.told[key] = new

    # what must hold

    @invariant()
    def handlers_know_what_the_cache_knows(self) -> None:
        assert self.told == self.cache.objects

    @invariant()
    def the_index_agrees(self) -> None:
        for label in "xy":
            expected = {c.key for c in self.cache.objects.values() if label in c.labels.values()}
            assert {c.key for c in self.cache.by_index("label", label)} == expected

    @invariant()
    def the_cache_is_the_truth_once_all_is_delivered(self) -> None:
        if self.reflector.ask is Ask.WATCH and self.pending == []:
            self._equal()

    def teardown(self) -> None:
        while self.pending is None or self.reflector.ask is not Ask.WATCH:
            if self.pending is None:
                self.ask(refuse=False)
            while self.pending:
                self.deliver(1)
        while self.pending:
            self.deliver(1)
        self._equal()

    def _equal(self) -> None:
        assert {c.name: c.obj()["spec"] for c in self.cache.objects.values()} == {
            name: obj["spec"] for name, obj in self.truth.items()
        }


TestMirror = Mirror.TestCase
TestMirror.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def drain(reflector: Reflector, cache: Cache, *events: WatchEvent) -> list[tuple[str | None, str | None]]:
    told: list[tuple[str | None, str | None]] = []
    for one in events:
        for old, new in reflector.event(one):
            cache.apply((old, new))
            told.append((old and old.resource_version, new and new.resource_version))
    return told


def test_nothing_is_told_before_the_initial_state_is_whole() -> None:
    cache = Cache()
    reflector = Reflector(PODS, cache)
    assert drain(reflector, cache, event("ADDED", pod("a", "1", 1)), event("ADDED", pod("b", "2", 2))) == []
    assert not reflector.synced
    assert drain(reflector, cache, bookmark(5, end=False)) == []
    assert drain(reflector, cache, bookmark(5, end=True)) == [(None, "1"), (None, "2")]
    assert (reflector.synced, reflector.resource_version, reflector.ask) == (True, "5", Ask.WATCH)


def test_two_cuts_of_the_initial_stream_and_it_is_a_list() -> None:
    reflector = Reflector(PODS, Cache())
    reflector.failed(ConnectionFailed("cut"))
    assert reflector.ask is Ask.STREAM
    reflector.ended()
    assert reflector.ask is Ask.LIST
    reflector.listed([], "7")
    assert reflector.ask is Ask.WATCH
    reflector.failed(Expired("too old"))
    assert reflector.ask is Ask.STREAM


def test_a_server_that_refuses_the_stream_is_not_asked_again() -> None:
    reflector = Reflector(PODS, Cache())
    reflector.failed(Invalid("sendInitialEvents is forbidden"))
    reflector.listed([], "7")
    reflector.failed(Expired("too old"))
    assert reflector.ask is Ask.LIST


def test_made_again_under_its_name_it_goes_then_comes() -> None:
    cache = Cache()
    reflector = Reflector(PODS, cache)
    drain(reflector, cache, event("ADDED", pod("a", "1", 1)), bookmark(1, end=True))
    assert drain(reflector, cache, event("MODIFIED", pod("a", "2", 5))) == [("1", None), (None, "5")]


def test_a_second_look_keeps_the_bytes_it_has() -> None:
    cache = Cache()
    reflector = Reflector(PODS, cache)
    drain(reflector, cache, event("ADDED", pod("a", "1", 1)), bookmark(1, end=True))
    before = cache.objects["acme", "ns", "a"]
    reflector.failed(Expired("too old"))
    assert drain(reflector, cache, event("ADDED", pod("a", "1", 1)), bookmark(9, end=True)) == []
    assert cache.objects["acme", "ns", "a"] is before


def test_the_ready_made_indexes() -> None:
    owners = [
        {"uid": "o1", "kind": "X", "name": "x"},
        {"uid": "o2", "kind": "ReplicaSet", "name": "r", "controller": True},
    ]
    one = cached(pod("a", "1", 1, ownerReferences=owners))
    assert list(by_namespace(one)) == ["acme/ns"]
    assert list(by_owner(one)) == ["o1", "o2"]
    assert list(by_controller(one)) == ["o2"]
    assert list(by_controller(cached(pod("a", "1", 1)))) == []


def test_an_index_added_late_covers_what_is_there_and_is_one_per_name() -> None:
    cache = Cache()
    cache.apply((None, cached(pod("a", "1", 1))))
    cache.add_index("ns", by_namespace)
    cache.add_index("ns", by_namespace)
    assert [c.name for c in cache.by_index("ns", "acme/ns")] == ["a"]
    assert cache.by_index("ns", "other") == []
    try:
        cache.add_index("ns", by_owner)
    except ValueError as error:
        assert "ns" in str(error)
    else:
        raise AssertionError("another function under the same name")


@given(
    st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
    st.one_of(st.none(), st.just("2026-01-01T00:00:00Z")),
)
def test_header_meta_and_object_say_the_same(labels: dict[str, str], deletion: str | None) -> None:
    obj = pod("a", "1", 3, labels, deletionTimestamp=deletion, annotations=labels or None, finalizers=None)
    one = cached(obj)
    assert one.obj() == obj | {"apiVersion": "v1", "kind": "Pod"}
    assert one.obj() is not one.obj()
    assert one.labels == labels and one.deleting == (deletion is not None)
    assert (one.meta.labels or {}, one.meta.deletion_timestamp, one.meta.uid) == (labels, deletion, "1")
    assert one.key == ("acme", "ns", "a")
