"""Garbage collection: the rules one by one, and whole worlds with mirrors that lag."""

from __future__ import annotations

import json
import random
from collections import deque
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arktos.client import Cached, Key, Owner
from arktos.client.cache import Cache, Change, by_owner
from arktos.controllers.actions import Delete, Patch
from arktos.controllers.garbagecollector.graph import FOREGROUND, ORPHAN, Graph, Item, State, item_of, owner_item
from arktos.controllers.garbagecollector.reconcile import Judged, judge
from arktos.model import registry

Obj = dict[str, Any]
POD, SET, NODE = (registry.by_resource(name) for name in ("pods", "replicasets.apps", "nodes"))
NAMESPACE = registry.by_resource("namespaces")
KEY = ("acme", "default", "web")


def owner(uid: str = "o1", kind: str = "ReplicaSet", name: str = "web", block: bool = True) -> Owner:
    version = {"ReplicaSet": "apps/v1", "Widget": "example.com/v1"}.get(kind, "v1")
    return Owner(uid, kind, name, True, version, block)


def case(*owners: tuple[Owner, State], **facts: Any) -> Judged:
    return Judged(POD, KEY, "u1", "7", facts.pop("deleting", False), owners=owners, **facts)


def cached(kind: Any, uid: str, *owners: Owner, name: str = "", finalizers: tuple[str, ...] = ()) -> Cached:
    meta: Obj = {"name": name or uid, "namespace": "default", "tenant": "acme", "uid": uid, "resourceVersion": "1"}
    if finalizers:
        meta |= {"finalizers": list(finalizers), "deletionTimestamp": "2026-01-01T00:00:00Z"}
    meta["ownerReferences"] = [
        {"uid": o.uid, "kind": o.kind, "name": o.name, "apiVersion": o.api_version, "controller": True}
        | {"blockOwnerDeletion": o.block_owner_deletion}
        for o in owners
    ]
    return Cached.from_raw(kind, json.dumps({"metadata": meta}).encode())


def test_a_living_owner_keeps() -> None:
    assert judge(case((owner(), State.SOLID))).then == []


def test_an_object_without_owners_is_nobodys_garbage() -> None:
    assert judge(case()).then == []


def test_without_owners_it_goes_as_the_very_state_that_was_judged() -> None:
    (action,) = judge(case((owner(), State.ABSENT))).then
    assert action == Delete(POD, KEY, uid="u1", resource_version="7", propagation="Background")


def test_its_own_finalizers_choose_the_manner() -> None:
    (action,) = judge(case((owner(), State.ABSENT), finalizers=[ORPHAN])).then
    assert isinstance(action, Delete) and action.propagation == "Orphan"
    (action,) = judge(case((owner(), State.ABSENT), finalizers=[FOREGROUND])).then
    assert isinstance(action, Delete) and action.propagation == "Foreground"


def test_one_living_owner_is_enough_and_the_others_are_forgotten() -> None:
    (action,) = judge(case((owner("o1"), State.ABSENT), (owner("o2"), State.SOLID), (owner("o3"), State.WAITING))).then
    assert isinstance(action, Patch)
    assert [each["uid"] for each in action.body["metadata"]["ownerReferences"]] == ["o1", "o3"]


def test_an_unknown_owner_neither_keeps_nor_condemns() -> None:
    assert judge(case((owner("o1"), State.ABSENT), (owner("o2", "Widget"), State.UNKNOWN))).then == []


def test_a_waiting_owner_takes_dependents_of_dependents_first() -> None:
    (action,) = judge(case((owner(), State.WAITING))).then
    assert isinstance(action, Delete) and action.propagation == "Background"
    (action,) = judge(case((owner(), State.WAITING), dependents=[cached(POD, "d1", owner("u1"))])).then
    assert isinstance(action, Delete) and action.propagation == "Foreground"


def test_a_circle_is_broken() -> None:
    verdict = judge(
        case((owner(), State.WAITING), dependents=[cached(POD, "d1", owner("u1"), finalizers=(FOREGROUND,))])
    )
    assert verdict.first[0].body["metadata"]["ownerReferences"] == [{"uid": "o1", "blockOwnerDeletion": False}]


def test_foreground_waits_for_those_that_block() -> None:
    blocking, other = cached(POD, "d1", owner("u1")), cached(POD, "d2", owner("u1", block=False))
    waiting = judge(case(deleting=True, finalizers=[FOREGROUND, "x/y"], dependents=[blocking, other]))
    assert waiting.then == [] and waiting.look_at == [item_of(blocking), item_of(other)]
    (action,) = judge(case(deleting=True, finalizers=[FOREGROUND, "x/y"], dependents=[other])).then
    assert isinstance(action, Patch) and action.body["metadata"]["finalizers"] == ["x/y"]


def test_orphans_are_let_go_before_the_finalizer() -> None:
    verdict = judge(case(deleting=True, finalizers=[ORPHAN], dependents=[cached(POD, "d1", owner("u1"))]))
    assert verdict.first[0].body["metadata"]["ownerReferences"] == [{"$patch": "delete", "uid": "u1"}]
    assert isinstance(verdict.then[0], Patch) and verdict.then[0].body["metadata"]["finalizers"] == []


@pytest.mark.parametrize(
    ("dependent", "kind", "expected"),
    [
        (KEY, "ReplicaSet", Item("replicasets.apps", ("acme", "default", "web"))),
        (KEY, "Namespace", Item("namespaces", ("acme", "", "web"))),
        (KEY, "Node", Item("nodes", ("", "", "web"))),
        (("acme", "", "x"), "ReplicaSet", None),
        (("", "", "x"), "Namespace", None),
        (KEY, "Widget", None),
    ],
)
def test_owners_are_looked_for_at_home(dependent: Key, kind: str, expected: Item | None) -> None:
    assert owner_item(dependent, owner(kind=kind)) == expected


# --- whole worlds -----------------------------------------------------------------------------------------------------


class Mirror:
    """As much of an informer as the graph needs."""

    def __init__(self, kind: Any) -> None:
        self.kind = kind
        self.cache = Cache({"owner": by_owner})

    def get(self, tenant: str, namespace: str, name: str) -> Cached | None:
        return self.cache.objects.get((tenant, namespace, name))

    def by_index(self, name: str, value: str) -> list[Cached]:
        return self.cache.by_index(name, value)


class Planet:
    """A server's truth and mirrors that lag behind it. Deletes what the collector says, and checks each time that it
    may."""

    def __init__(self) -> None:
        self.truth: dict[Item, Obj] = {}
        self.mirrors = {kind.resource: Mirror(kind) for kind in (POD, SET)}
        self.graph = Graph(self.mirrors)  # type: ignore[arg-type]
        self.late: dict[str, deque[Cached | Key]] = {resource: deque() for resource in self.mirrors}
        self.queue: dict[Item, None] = {}
        self.revision = 0

    def write(self, item: Item, meta: Obj) -> None:
        self.revision += 1
        meta["resourceVersion"] = str(self.revision)
        gone = "deletionTimestamp" in meta and not meta.get("finalizers")
        if gone:
            del self.truth[item]
            self.late[item.resource].append(item.key)
            return
        self.truth[item] = meta
        kind = self.mirrors[item.resource].kind
        self.late[item.resource].append(Cached.from_raw(kind, json.dumps({"metadata": meta}).encode()))

    def delete(self, item: Item, propagation: str) -> None:
        meta = dict(self.truth[item])
        finalizers = [f for f in meta.get("finalizers", []) if f not in (ORPHAN, FOREGROUND)]
        finalizers += {"Orphan": [ORPHAN], "Foreground": [FOREGROUND]}.get(propagation, [])
        self.write(item, meta | {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": finalizers})

    def deliver(self, resource: str) -> None:
        if not self.late[resource]:
            return
        arrived = self.late[resource].popleft()
        cache = self.mirrors[resource].cache
        for change in cache.diff_put(arrived) if isinstance(arrived, Cached) else cache.diff_remove(arrived):
            cache.apply(change)
            self.changed(change)

    def changed(self, change: Change) -> None:
        """As the wiring does: whose turn it is after an event."""
        old, new = change
        if new is not None and self.graph.deserves_a_look(new):
            self.queue[item_of(new)] = None
        if new is None and old is not None:
            for dependent in self.graph.dependents(old):
                self.queue[item_of(dependent)] = None
        for each in old.owners if old is not None else ():
            where = owner_item(old.key, each) if old is not None else None
            if where is not None:
                self.queue[where] = None

    def collect(self, item: Item) -> None:
        """One reconcile, with live answers from the truth."""
        self.queue.pop(item, None)
        found, live = self.graph.find(item), self.truth.get(item)
        if found is None or live is None or live["uid"] != found.uid or not self.graph.deserves_a_look(found):
            return
        owners = [(self._owner(ref), self._state(item, ref)) for ref in live["ownerReferences"]]
        kind = self.mirrors[item.resource].kind
        deleting = "deletionTimestamp" in live
        verdict = judge(
            Judged(
                kind,
                item.key,
                live["uid"],
                live["resourceVersion"],
                deleting,
                live.get("finalizers", []),
                [] if deleting else owners,
                list(self.graph.dependents(found)),
            )
        )
        for action in (*verdict.first, *verdict.then):
            assert not isinstance(action, tuple)
            self._perform(action)  # type: ignore[arg-type]
        for other in verdict.look_at:
            self.queue[other] = None

    def _owner(self, ref: Obj) -> Owner:
        return Owner(ref["uid"], ref["kind"], ref["name"], True, ref["apiVersion"], ref["blockOwnerDeletion"])

    def _state(self, item: Item, ref: Obj) -> State:
        state = self.graph.owner_state(item.key, self._owner(ref))
        where = owner_item(item.key, self._owner(ref))
        if state is State.ABSENT and where is not None and self.truth.get(where, {}).get("uid") == ref["uid"]:
            return State.SOLID
        return state

    def _perform(self, action: Patch | Delete) -> None:
        item = Item(action.kind.resource, action.key)
        meta = self.truth.get(item)
        if meta is None:
            return
        if isinstance(action, Delete):
            if action.resource_version not in ("", meta["resourceVersion"]):
                self.queue[item] = None
                return
            assert not any(self.lives(item, ref) for ref in meta["ownerReferences"]), "a live-owned object was deleted"
            self.delete(item, action.propagation)
            return
        wanted = action.body["metadata"]
        if (
            wanted.get("uid") != meta["uid"]
            or wanted.get("resourceVersion", meta["resourceVersion"]) != meta["resourceVersion"]
        ):
            self.queue[item] = None
            return
        meta = dict(meta)
        if "finalizers" in wanted:
            meta["finalizers"] = wanted["finalizers"]
        for ref in wanted.get("ownerReferences", ()):
            if ref.get("$patch") == "delete":
                meta["ownerReferences"] = [r for r in meta["ownerReferences"] if r["uid"] != ref["uid"]]
            else:
                meta["ownerReferences"] = [r | ref if r["uid"] == ref["uid"] else r for r in meta["ownerReferences"]]
        self.write(item, meta)

    def lives(self, item: Item, ref: Obj) -> bool:
        """Whether an owner truly is there, and is not itself going in the foreground."""
        where = owner_item(item.key, self._owner(ref))
        there = self.truth.get(where, {}) if where is not None else {}
        return there.get("uid") == ref["uid"] and FOREGROUND not in there.get("finalizers", [])

    def settle(self, chance: random.Random) -> None:
        for _ in range(5000):
            busy = [resource for resource, late in self.late.items() if late]
            if busy and (not self.queue or chance.random() < 0.5):
                self.deliver(chance.choice(busy))
            elif self.queue:
                self.collect(chance.choice(list(self.queue)))
            else:
                return
        raise AssertionError("the collector never rests")


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32), size=st.integers(1, 14))
def test_nothing_owned_goes_and_nothing_unowned_stays(seed: int, size: int) -> None:
    chance = random.Random(seed)
    planet = Planet()
    items: list[Item] = []
    for number in range(size):
        kind = chance.choice([POD, SET])
        tenant = chance.choice(["acme", "acme", "other"])
        item = Item(kind.resource, (tenant, "default", f"n{number}"))
        owners = [
            {
                "uid": f"uid-{each.key[2]}",
                "kind": planet.mirrors[each.resource].kind.kind,
                "apiVersion": planet.mirrors[each.resource].kind.api_version,
                "name": each.key[2],
                "controller": False,
                "blockOwnerDeletion": chance.random() < 0.7,
            }
            for each in chance.sample(items, min(len(items), chance.choice([0, 1, 1, 2])))
        ]
        meta = {"name": item.key[2], "namespace": "default", "tenant": tenant, "uid": f"uid-{item.key[2]}"}
        planet.write(item, meta | {"ownerReferences": owners, "finalizers": []})
        items.append(item)
        if chance.random() < 0.5:
            planet.deliver(item.resource)
    for _ in range(chance.randrange(4)):
        left = [item for item, meta in planet.truth.items() if "deletionTimestamp" not in meta]
        if left:
            planet.delete(chance.choice(left), chance.choice(["Background", "Foreground", "Orphan"]))
        for _ in range(chance.randrange(10)):
            planet.deliver(chance.choice(list(planet.mirrors)))
            if planet.queue:
                planet.collect(chance.choice(list(planet.queue)))
    planet.settle(chance)
    for item, meta in planet.truth.items():
        assert "deletionTimestamp" not in meta, "a deletion never ended"
        references = meta["ownerReferences"]
        assert not references or any(planet.lives(item, ref) for ref in references), "garbage was left"
