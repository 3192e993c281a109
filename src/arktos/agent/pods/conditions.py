"""The conditions of a pod that its node sets. Pure; reasons and messages are those that users search for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from arktos.agent.pods import podspec
from arktos.agent.spec.facts import is_host_network, is_sidecar
from arktos.model.kinds import Obj

READY_TO_START = "PodReadyToStartContainers"
INITIALIZED = "Initialized"
CONTAINERS_READY = "ContainersReady"
READY = "Ready"
SCHEDULED = "PodScheduled"
RESIZE_PENDING = "PodResizePending"
RESIZE_IN_PROGRESS = "PodResizeInProgress"
DISRUPTION_TARGET = "DisruptionTarget"

OWN = (READY_TO_START, INITIALIZED, READY, CONTAINERS_READY, SCHEDULED)
"""What every pod on a node has, in the order in which its status lists them."""

Verdict = tuple[str, str, str]
"""Status, reason, message."""

_TRUE: Verdict = ("True", "", "")


def ready_to_start(pod: Obj, sandbox_ready: bool, ips: Sequence[str]) -> Verdict:
    """Whether the sandbox stands, with its network."""
    return ("True" if sandbox_ready and (is_host_network(pod) or ips) else "False"), "", ""


def initialized(pod: Obj, phase: str, inits: Sequence[Obj], regulars: Sequence[Obj]) -> Verdict:
    """Whether all init containers have succeeded and all sidecars have started."""
    known = {status["name"]: status for status in inits}
    unknown, incomplete = [], []
    for init in podspec.inits(pod):
        status = known.get(init["name"])
        if status is None:
            unknown.append(init["name"])
        elif not (status.get("started") if is_sidecar(init) else status.get("ready")):
            incomplete.append(init["name"])
    if phase == "Succeeded" and not unknown:
        return "True", "PodCompleted", ""
    if any(status.get("started") or _has_run(status) for status in regulars):
        return _TRUE
    said = _listed("unknown", unknown) + _listed("incomplete", incomplete)
    return ("False", "ContainersNotInitialized", ", ".join(said)) if said else _TRUE


def containers_ready(pod: Obj, phase: str, inits: Sequence[Obj], regulars: Sequence[Obj]) -> Verdict:
    """Whether every container and sidecar is ready."""
    known = {status["name"]: status for status in (*inits, *regulars)}
    wanted = [*podspec.sidecars(pod), *podspec.regulars(pod)]
    unknown = [each["name"] for each in wanted if each["name"] not in known]
    unready = [each["name"] for each in wanted if each["name"] in known and not known[each["name"]].get("ready")]
    if phase == "Succeeded" and not unknown:
        return "False", "PodCompleted", ""
    if phase == "Failed" and not unknown:
        return "False", "PodFailed", ""
    said = _listed("unknown", unknown) + _listed("unready", unready)
    return ("False", "ContainersNotReady", ", ".join(said)) if said else _TRUE


def ready(pod: Obj, containers: Verdict, present: Iterable[Obj]) -> Verdict:
    """Whether the containers and all readiness gates are."""
    if containers[0] != "True":
        return containers
    values = {condition["type"]: condition.get("status") for condition in present}
    said = []
    for gate in pod["spec"].get("readinessGates") or ():
        kind = gate["conditionType"]
        if kind not in values:
            said.append(f'corresponding condition of pod readiness gate "{kind}" does not exist.')
        elif values[kind] != "True":
            said.append(f'the status of pod readiness gate "{kind}" is not "True", but {values[kind]}')
    return ("False", "ReadinessGatesNotReady", ", ".join(said)) if said else _TRUE


def condition(kind: str, verdict: Verdict, before: Iterable[Obj], now: str, generation: int) -> Obj:
    """A condition; its transition is dated `now` unless the one before of its type has the same status."""
    earlier = next((each for each in before if each.get("type") == kind), None)
    status, reason, message = verdict
    kept = earlier is not None and earlier.get("status") == status and earlier.get("lastTransitionTime")
    made: Obj = {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": kept or now}
    if generation:
        made["observedGeneration"] = generation
    if reason:
        made["reason"] = reason
    if message:
        made["message"] = message
    return made


def _has_run(status: Obj) -> bool:
    state = status.get("state") or {}
    return "running" in state or "terminated" in state


def _listed(what: str, names: list[str]) -> list[str]:
    return [f"containers with {what} status: [{' '.join(names)}]"] if names else []
