"""Bindings and verdicts on a server that misbehaves on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from arktos.client import Client, ConnectionFailed, Recorder
from arktos.model.kinds import Kind, Obj
from arktos.model.status import ApiError, Conflict, InternalError, NotFound
from arktos.scheduler.binding import Binder
from arktos.scheduler.engine import Bind, Engine, Refused
from arktos.scheduler.harness import Harness
from arktos.scheduler.metrics import Metrics
from arktos.scheduler.verdicts import Verdicts


class Api:
    """Records what is written; `failures` are raised first."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, Any]] = []
        self.failures: list[Exception] = []
        self.changed = asyncio.Condition()

    async def create(self, kind: Kind, obj: Obj, *, name: str, subresource: str, **_: str) -> Obj:
        return await self._take(subresource, name, obj)

    async def patch(self, kind: Kind, name: str, patch: Obj, **_: str) -> Obj:
        return await self._take(f"patch {kind.plural}", name, patch)

    async def delete(self, kind: Kind, name: str, *, uid: str, **_: str) -> Obj:
        return await self._take("delete", name, uid)

    async def _take(self, verb: str, name: str, body: Any) -> Obj:
        failure = self.failures.pop(0) if self.failures else None
        async with self.changed:
            self.calls.append((f"{verb} failed" if failure else verb, name, body))
            self.changed.notify_all()
        if failure is not None:
            raise failure
        return {}

    async def until(self, calls: int) -> None:
        async with asyncio.timeout(10), self.changed:
            await self.changed.wait_for(lambda: len(self.calls) >= calls)


class Events:
    def __init__(self) -> None:
        self.said: list[tuple[str, str, str]] = []

    def event(self, about: Obj, type: str, reason: str, message: str, action: str) -> None:
        self.said.append((about["metadata"]["name"], reason, message))


class Rig:
    def __init__(self) -> None:
        self.h = Harness()
        self.engine: Engine = self.h.engine
        self.api = Api()
        self.events = Events()
        self.woken = asyncio.Event()
        self.metrics = Metrics(dict)
        client, recorder = cast(Client, self.api), cast(Recorder, self.events)
        self.binder = Binder(client, self.engine, recorder, self.metrics, self.woken.set)
        self.verdicts = Verdicts(client, self.engine, recorder, self.metrics, lambda: "2030-01-01T00:00:00Z")

    def decide(self) -> Bind | Refused:
        decision = self.engine.schedule(asyncio.get_running_loop().time())
        assert decision is not None
        return decision


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    async with running(rig):
        yield rig


@asynccontextmanager
async def running(rig: Rig) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(rig.binder.run()), asyncio.create_task(rig.verdicts.run())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)


async def test_a_binding_names_the_pod_it_was_made_for(rig: Rig) -> None:
    rig.h.node("a")
    rig.h.pod("p", tenant="acme")
    bind = rig.decide()
    assert isinstance(bind, Bind)
    await rig.binder.put(bind)
    await rig.api.until(1)
    ((verb, name, body),) = rig.api.calls
    assert (verb, name, body["target"]["name"], body["metadata"]["uid"]) == ("binding", "p", "a", bind.pod.uid)


async def test_a_lost_answer_is_asked_for_again_and_the_booking_stands(rig: Rig) -> None:
    rig.h.node("a")
    rig.h.pod("p")
    rig.api.failures = [ConnectionFailed("cut")]
    bind = rig.decide()
    assert isinstance(bind, Bind)
    await rig.binder.put(bind)
    await rig.api.until(2)
    assert [verb for verb, _, _ in rig.api.calls] == ["binding failed", "binding"]
    assert rig.engine.assumed == 1


@pytest.mark.parametrize("error", [Conflict("taken"), NotFound("gone"), InternalError("broken")])
async def test_a_refused_binding_gives_the_room_back(rig: Rig, error: ApiError) -> None:
    rig.h.node("a")
    key = rig.h.pod("p")
    rig.api.failures = [error]
    bind = rig.decide()
    assert isinstance(bind, Bind)
    await rig.binder.put(bind)
    await asyncio.wait_for(rig.woken.wait(), 10)
    assert rig.engine.assumed == 0
    assert rig.engine.queue.place(key) == "backoff"
    assert rig.metrics.failed == 1


CLAIM = ("system", "default", "data")


def a_volume(node: str) -> Obj:
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    return {"metadata": {"name": "pv"}, "spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": [term]}}}}


def the_claim(phase: str = "Pending", selected: str = "", volume: str = "") -> Obj:
    meta: Obj = {"name": "data", "resourceVersion": "7"}
    if selected:
        meta["annotations"] = {"volume.kubernetes.io/selected-node": selected}
    spec = {"storageClassName": "late"} | ({"volumeName": volume} if volume else {})
    return {"metadata": meta, "spec": spec, "status": {"phase": phase}}


async def waiting_for_its_claim(rig: Rig) -> Bind:
    """A pod whose claim was told to be bound on node a."""
    volumes = rig.engine.volumes
    volumes.class_changed("system", "late", {"volumeBindingMode": "WaitForFirstConsumer"})
    volumes.claim_changed(CLAIM, the_claim())
    rig.h.node("a")
    rig.h.pod("p", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}])
    bind = rig.decide()
    assert isinstance(bind, Bind)
    await rig.binder.put(bind)
    await rig.api.until(1)
    told = {"annotations": {"volume.kubernetes.io/selected-node": "a"}, "resourceVersion": "7"}
    assert rig.api.calls[0] == ("patch persistentvolumeclaims", "data", {"metadata": told})
    return bind


async def test_claims_are_provisioned_for_the_node_before_the_pod_is_bound(rig: Rig) -> None:
    await waiting_for_its_claim(rig)
    volumes = rig.engine.volumes
    volumes.claim_changed(CLAIM, the_claim(selected="a"))
    volumes.claim_changed(CLAIM, the_claim("Bound", "a", "pv"))
    rig.binder.claims_changed()
    # Where the volume is, is not known yet.
    await asyncio.sleep(0)
    volumes.volume_changed("system", "pv", a_volume("a"))
    rig.binder.claims_changed()
    await rig.api.until(2)
    assert rig.api.calls[1][:2] == ("binding", "p")


@pytest.mark.parametrize(
    ("then", "why"),
    [
        ([the_claim(selected="a"), the_claim()], 'provisioning failed for PVC "data"'),
        ([the_claim(selected="b")], 'provisioning failed for PVC "data"'),
        ([None], 'persistentvolumeclaims "data" not found'),
        ([the_claim("Bound", "b", "pv")], "node(s) didn't match PersistentVolume's node affinity"),
    ],
)
async def test_a_pod_does_not_wait_for_a_claim_that_will_not_be_bound_on_its_node(
    rig: Rig, then: list[Obj | None], why: str
) -> None:
    bind = await waiting_for_its_claim(rig)
    volumes = rig.engine.volumes
    volumes.volume_changed("system", "pv", a_volume("b"))
    for claim in then:
        volumes.claim_changed(CLAIM, claim)
        rig.binder.claims_changed()
        for _ in range(3):
            await asyncio.sleep(0)
    await asyncio.wait_for(rig.woken.wait(), 10)
    assert rig.engine.assumed == 0 and rig.engine.known(bind.pod.key) is not None
    said = f'running PreBind plugin "VolumeBinding": binding volumes: {why}'
    assert ("p", "FailedScheduling", said) in rig.events.said


async def test_a_verdict_is_written_once_and_not_again_while_it_holds(rig: Rig) -> None:
    key = rig.h.pod("p")
    refused = rig.decide()
    assert isinstance(refused, Refused)
    rig.verdicts.put(refused)
    await rig.api.until(1)
    verb, name, patch = rig.api.calls[0]
    assert (verb, name) == ("patch pods", "p")
    (condition,) = patch["status"]["conditions"]
    assert condition == {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "no nodes available to schedule pods",
        "lastTransitionTime": "2030-01-01T00:00:00Z",
    }
    rig.h.put_pod({**rig.h.pods[key], "status": {"phase": "Pending", "conditions": [condition]}})
    rig.verdicts.put(refused)
    other = rig.h.pod("other")
    rig.verdicts.put(refused._replace(pod=rig.engine.known(other)))  # type: ignore[arg-type]
    await rig.api.until(2)
    assert [name for _, name, _ in rig.api.calls] == ["p", "other"]
    assert [said[1] for said in rig.events.said] == ["FailedScheduling"] * 3


async def test_victims_are_marked_and_deleted_by_uid_even_if_the_first_try_fails(rig: Rig) -> None:
    rig.h.node("a", cpu="1")
    rig.h.pod("low", cpu="1", node="a", priority=1)
    rig.h.pod("high", cpu="1", priority=9)
    rig.api.failures = [InternalError("broken")]
    refused = rig.decide()
    assert isinstance(refused, Refused)
    rig.verdicts.put(refused)
    await rig.api.until(4)
    verbs = [(verb, name) for verb, name, _ in rig.api.calls]
    assert verbs == [("patch pods failed", "high"), ("patch pods", "high"), ("patch pods", "low"), ("delete", "low")]
    assert rig.api.calls[1][2]["status"]["nominatedNodeName"] == "a"
    assert rig.api.calls[2][2]["status"]["conditions"][0]["reason"] == "PreemptionByScheduler"
    assert rig.api.calls[3][2] == refused.victims[0].uid


async def test_nothing_is_said_of_pods_that_have_gone(rig: Rig) -> None:
    gone = rig.h.pod("gone")
    refused = rig.decide()
    rig.h.remove_pod(gone)
    assert isinstance(refused, Refused)
    rig.verdicts.put(refused)
    rig.h.pod("p")
    other = rig.decide()
    assert isinstance(other, Refused)
    rig.verdicts.put(other)
    await rig.api.until(1)
    assert [name for _, name, _ in rig.api.calls] == ["p"]


def test_metrics_are_named_as_dashboards_expect() -> None:
    metrics = Metrics(lambda: {"active": 2})
    metrics.scheduled = 3
    metrics.planned(0.0003)
    text = metrics.render("text/plain")[0].decode()
    assert 'scheduler_schedule_attempts_total{result="scheduled"} 3.0' in text
    assert 'scheduler_pending_pods{queue="active"} 2.0' in text
    assert 'scheduler_scheduling_algorithm_duration_seconds_bucket{le="0.0005"} 1.0' in text
