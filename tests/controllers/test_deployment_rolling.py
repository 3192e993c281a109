"""The arithmetic of rollouts: Kubernetes' tables, and that a rollout never breaks its bounds."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arktos.controllers.deployment import revisions, rolling
from arktos.controllers.deployment.reconcile import World, plan
from arktos.controllers.deployment.sets import MAXIMUM, SetView, view_of
from arktos.controllers.deployment.wiring import DEPLOYMENT
from arktos.model import dates

Obj = dict[str, Any]
NOW = 1_700_000_000.0
TEXT = dates.rfc3339(dates.from_unix(NOW))


def deployment(replicas: int, surge: int | str = "25%", unavailable: int | str = "25%", **spec: Any) -> Obj:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default", "tenant": "acme", "uid": "d1", "generation": 1},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable},
            },
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": "v2"}]},
            },
            **spec,
        },
    }


def a_set(name: str, size: int, available: int | None = None, age: float = 0.0, **annotations: str) -> SetView:
    there = size if available is None else available
    obj = {"metadata": {"name": name, "uid": name, "annotations": annotations}, "spec": {"template": {}}}
    return SetView(obj, name, name, size, size, there, there, 0, NOW - age, False)


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        (10, "25%", "25%", (3, 2)),
        (1, "25%", "25%", (1, 0)),
        (3, 0, 0, (0, 1)),
        (10, "0%", "0%", (0, 1)),
        (5, 2, 10, (2, 5)),
        (0, 1, 1, (1, 0)),
        (4, "100%", "50%", (4, 2)),
    ],
)
def test_bounds(replicas: int, surge: int | str, unavailable: int | str, expected: tuple[int, int]) -> None:
    assert rolling.bounds(deployment(replicas, surge, unavailable)) == expected


@pytest.mark.parametrize(
    ("replicas", "surge", "old", "new", "expected"),
    [
        (10, 0, 10, 0, None),
        (10, 2, 10, 0, 2),
        (10, 2, 5, 0, 7),
        (10, 0, 10, 2, None),
        (10, 2, 5, 12, 10),
        (5, 2, 2, 0, 5),
    ],
)
def test_the_new_set_grows(replicas: int, surge: int, old: int, new: int, expected: int | None) -> None:
    one, other = a_set("new", new), a_set("old", old, age=10)
    assert rolling.grow_new(deployment(replicas, surge, 1), one, [one, other]) == (expected is not None)
    assert one.size == (new if expected is None else expected)


@pytest.mark.parametrize(
    ("replicas", "unavailable", "old", "new", "ready_old", "ready_new", "expected"),
    [
        (10, 0, 10, 0, 10, 0, None),
        (10, 2, 10, 0, 10, 0, 8),
        (10, 2, 10, 0, 8, 0, 8),
        (10, 2, 10, 0, 9, 0, 8),
        (10, 2, 8, 2, 8, 0, None),
        (10, 0, 10, 1, 10, 1, 9),
    ],
)
def test_the_old_sets_shrink(
    replicas: int, unavailable: int, old: int, new: int, ready_old: int, ready_new: int, expected: int | None
) -> None:
    one, other = a_set("new", new, ready_new), a_set("old", old, ready_old, age=10)
    changed = rolling.shrink_old(deployment(replicas, 3, unavailable), one, [other])
    assert changed == (expected is not None)
    assert other.size == (old if expected is None else expected)


@pytest.mark.parametrize(
    ("before", "after", "sizes", "expected"),
    [
        (10, 12, [10], [12]),
        (10, 5, [10], [5]),
        (10, 20, [5, 5], [10, 10]),
        (10, 0, [5, 5], [0, 0]),
        (10, 5, [8, 2], [4, 1]),
    ],
)
def test_a_resize_keeps_the_proportions(before: int, after: int, sizes: list[int], expected: list[int]) -> None:
    sets = [a_set(f"s{i}", size, size, age=i, **{MAXIMUM: str(before)}) for i, size in enumerate(sizes)]
    rolling.resize(deployment(after, 0, 1), sets[0], sets[1:])
    assert [each.size for each in sets] == expected


@given(
    after=st.integers(0, 40),
    surge=st.integers(0, 10),
    sizes=st.lists(st.integers(1, 40), min_size=2, max_size=4),
    room=st.integers(0, 10),
)
def test_a_resize_neither_loses_nor_invents(after: int, surge: int, sizes: list[int], room: int) -> None:
    """Of sets that are within what the deployment allowed before, as they always are."""
    most = str(sum(sizes) + room)
    sets = [a_set(f"s{i}", size, 0, age=i, **{MAXIMUM: most}) for i, size in enumerate(sizes)]
    rolling.resize(deployment(after, surge, 1), sets[0], sets[1:])
    saturated = sizes[0] == after and not after
    if not saturated:
        assert sum(each.size for each in sets) == (after + surge if after else 0)
    assert all(each.size >= 0 for each in sets)


# --- whole rollouts ---------------------------------------------------------------------------------------------------


class Cluster:
    """ReplicaSets that obey slowly: each step, some pods come, become available, fail or go."""

    def __init__(self, obj: Obj) -> None:
        self.deployment = obj
        self.sets: dict[str, Obj] = {}
        self.pods: dict[str, list[bool]] = {}
        self.clock = 0

    def look(self) -> None:
        views = [view_of(obj) for obj in self.sets.values()]
        counts = {name: len(pods) for name, pods in self.pods.items()}
        step = plan(World(DEPLOYMENT, self.deployment, views, counts, NOW + self.clock, TEXT))
        if step.create is not None:
            self.add(step.create)
        if step.amend is not None:
            self.sets[step.amend[0].uid]["metadata"]["annotations"] = step.amend[1]
        for each in step.remember:
            self.sets[each.uid]["metadata"]["annotations"] |= revisions.replica_annotations(self.deployment)
        for change in step.scale:
            self.sets[change.set.uid]["spec"]["replicas"] = change.after
            self.sets[change.set.uid]["metadata"]["annotations"] |= revisions.replica_annotations(self.deployment)
        for each in step.delete:
            del self.sets[each.uid]
        if step.status is not None:
            self.deployment["status"] = {**self.deployment.get("status", {}), **step.status}

    def add(self, obj: Obj) -> None:
        self.clock += 1
        obj = copy.deepcopy(obj)
        meta = obj["metadata"]
        meta |= {"uid": meta["name"], "creationTimestamp": dates.rfc3339(dates.from_unix(NOW + self.clock))}
        obj["status"] = {}
        self.sets[meta["uid"]] = obj
        self.pods[meta["uid"]] = []

    def obey(self, uid: str, steps: int) -> None:
        """Makes or removes up to `steps` pods, unavailable ones first."""
        pods, wanted = self.pods[uid], self.sets[uid]["spec"]["replicas"] if uid in self.sets else 0
        for _ in range(steps):
            if len(pods) < wanted:
                pods.append(False)
            elif len(pods) > wanted:
                pods.remove(min(pods))

    def mature(self, uid: str, steps: int) -> None:
        pods = self.pods[uid]
        for _ in range(steps):
            if False in pods:
                pods[pods.index(False)] = True

    def report(self, uid: str) -> None:
        if uid in self.sets:
            pods = self.pods[uid]
            count = {"replicas": len(pods), "readyReplicas": sum(pods), "availableReplicas": sum(pods)}
            self.sets[uid]["status"] = count

    @property
    def existing(self) -> int:
        return sum(map(len, self.pods.values()))

    @property
    def available(self) -> int:
        return sum(sum(pods) for pods in self.pods.values())

    @property
    def wanted(self) -> int:
        return sum(obj["spec"]["replicas"] for obj in self.sets.values())

    def settle(self) -> None:
        for _ in range(400):
            before = repr((self.sets, self.pods))
            self.look()
            for uid in list(self.pods):
                self.obey(uid, 100)
                self.mature(uid, 100)
                self.report(uid)
            if repr((self.sets, self.pods)) == before:
                return
        raise AssertionError("the rollout never ends")


MOVES = st.lists(st.tuples(st.sampled_from(["look", "obey", "mature", "report"]), st.integers(0, 2)), max_size=120)


@settings(max_examples=120, deadline=None)
@given(
    replicas=st.integers(1, 12),
    surge=st.integers(0, 5),
    unavailable=st.integers(0, 5),
    moves=MOVES,
    change_at=st.integers(0, 60),
)
def test_a_rollout_never_breaks_its_bounds(
    replicas: int, surge: int, unavailable: int, moves: list[tuple[str, int]], change_at: int
) -> None:
    cluster = Cluster(deployment(replicas, surge, unavailable))
    cluster.settle()
    assert cluster.available == replicas
    most_surge, most_unavailable = rolling.bounds(cluster.deployment)
    cluster.deployment["spec"]["template"]["spec"]["containers"][0]["image"] = "v3"
    for count, (move, which) in enumerate(moves):
        if count == change_at:
            cluster.deployment["spec"]["template"]["spec"]["containers"][0]["image"] = "v4"
        names = list(cluster.pods)
        if move == "look":
            cluster.look()
        else:
            getattr(cluster, move)(names[which % len(names)], *([] if move == "report" else [1]))
        assert cluster.wanted <= replicas + most_surge
        assert cluster.available >= replicas - most_unavailable
    cluster.settle()
    assert (cluster.existing, cluster.available) == (replicas, replicas)
    assert sum(1 for obj in cluster.sets.values() if obj["spec"]["replicas"]) == 1


def test_recreate_waits_for_the_last_old_pod() -> None:
    cluster = Cluster(deployment(3, strategy={"type": "Recreate"}))
    cluster.settle()
    old = next(iter(cluster.sets))
    cluster.deployment["spec"]["template"]["spec"]["containers"][0]["image"] = "v3"
    cluster.look()
    assert cluster.sets[old]["spec"]["replicas"] == 0
    for _ in range(2):
        cluster.obey(old, 1)
        cluster.report(old)
        cluster.look()
        assert len(cluster.sets) == 1
    cluster.settle()
    assert len(cluster.sets) == 2 and cluster.available == 3
