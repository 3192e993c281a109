"""What a hollow node writes of a pod is what the node's agent would write of one that fares the same."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest

from arktos.agent.pods import status_writer
from arktos.agent.pods.container_status import Views
from arktos.agent.pods.observed import NOTHING, Container, Observed, Sandbox, State
from arktos.agent.pods.status import pod_status
from arktos.hollow import statuses, view
from arktos.hollow.machine import Machine
from arktos.hollow.options import Behaviour, Fleet, Latency
from arktos.model import dates

NOW = 1_700_000_000.0
INITS = [{"name": "i", "image": "x"}, {"name": "s", "image": "y", "restartPolicy": "Always"}]


def _pod(**spec: Any) -> dict[str, Any]:
    meta = {"name": "p", "namespace": "ns", "tenant": "acme", "uid": "u-1", "generation": 1}
    containers = [{"name": "b", "image": "nginx"}, {"name": "a", "image": "nginx"}]
    spec = {"nodeName": "hollow-00000", "restartPolicy": "Always", "containers": containers, **spec}
    return {"metadata": meta, "spec": spec, "status": {"phase": "Pending"}}


def _hollow(pod: dict[str, Any], seconds: float) -> dict[str, Any]:
    machine = Machine(Fleet(1), Behaviour(Latency(1.0), run_time=2.0), random.Random(1))
    machine.seen(view.decode(msgspec.json.encode(pod)), NOW)
    for second in range(int(seconds) + 1):
        machine.due(NOW + second)
    record = machine.outbox.popleft()
    found: dict[str, Any] = json.loads(statuses.patch(record, "248.0.0.1", 110))["status"]
    return found


def _agent(pod: dict[str, Any], observed: Observed, now: float) -> dict[str, Any]:
    before = pod_status(Views(pod, NOTHING), host_ips=["248.0.0.1"], now=NOW)
    status = before
    if observed is not NOTHING:
        status = pod_status(Views({**pod, "status": before}, observed), host_ips=["248.0.0.1"], now=now)
    return status_writer.patch_of(before, status)


def _seen(pod: dict[str, Any], state: State, ended: float = 0.0) -> Observed:
    containers = []
    for number, each in enumerate((*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"])):
        once = each["name"] == "i"
        containers.append(
            Container(
                str(number),
                each["name"],
                0,
                "sandbox",
                State.EXITED if once else state,
                NOW + 1,
                NOW + 1,
                NOW + 1 if once else ended,
                image=each["image"],
            )
        )
    ready = state is State.RUNNING
    return Observed((Sandbox("sandbox", 0, ready, NOW, ("240.0.0.1",)),), tuple(containers))


def _plain(found: Any) -> Any:
    """Without what a runtime draws, without what says nothing."""
    if isinstance(found, dict):
        drawn = ("containerID", "imageID")
        return {name: _plain(each) for name, each in found.items() if name not in drawn and each is not None}
    return [_plain(each) for each in found] if isinstance(found, list) else found


@pytest.mark.parametrize("inits", [[], INITS])
def test_a_pod_that_starts_and_one_that_runs(inits: list[dict[str, Any]]) -> None:
    pod = _pod(initContainers=inits) if inits else _pod()
    waiting = _plain(_agent(pod, NOTHING, NOW))
    waiting.pop("podIPs")
    assert _plain(_hollow(pod, 0)) == waiting
    assert _plain(_hollow(pod, 1)) == _plain(_agent(pod, _seen(pod, State.RUNNING), NOW + 1))


def test_a_pod_that_has_succeeded() -> None:
    pod = _pod(restartPolicy="Never")
    hollow = _plain(_hollow(pod, 3))
    agent = _plain(_agent(pod, _seen(pod, State.EXITED, NOW + 3), NOW + 3))
    assert hollow["startTime"] == dates.rfc3339(dates.from_unix(NOW))
    for told in (hollow, agent):
        for condition in told["conditions"]:
            # The agent was shown nothing between start and end.
            condition.pop("lastTransitionTime")
    assert hollow == agent
