"""The statuses of a pod's containers, from what its runtime has and what its status said before. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from arktos.agent.pods import podspec
from arktos.agent.pods.observed import Container, Observed, State
from arktos.agent.pods.plan import Results, Waiting, restarts, started
from arktos.agent.pods.podspec import Role
from arktos.agent.spec.facts import is_sidecar
from arktos.model import dates
from arktos.model.kinds import Obj

LOST_EXIT_CODE = 137
LOST_REASON = "ContainerStatusUnknown"
LOST_MESSAGE = "The container could not be located when the pod was terminated"

_FIELDS = {Role.INIT: "initContainerStatuses", Role.SIDECAR: "initContainerStatuses"}


@dataclass(frozen=True, slots=True)
class Views:
    """What statuses are made from. `waiting` says why containers could not be started, by name; `resources` what
    containers were last given, by container id; `runtime` prefixes container ids; `ending` while the pod is stopped
    for good."""

    pod: Obj
    observed: Observed
    results: Results = field(default_factory=dict)
    waiting: Mapping[str, Waiting] = field(default_factory=dict)
    resources: Mapping[str, Obj] = field(default_factory=dict)
    allocated: Mapping[str, Obj] = field(default_factory=dict)
    runtime: str = "containerd"
    ending: bool = False


def statuses(views: Views, role: Role) -> list[Obj]:
    """The statuses for one list of the pod's status: init containers (with sidecars) in their order, others by name."""
    pod = views.pod
    if role in (Role.INIT, Role.SIDECAR):
        roles = [(Role.SIDECAR if is_sidecar(each) else Role.INIT, each) for each in podspec.inits(pod)]
        return [_status(views, *each) for each in roles]
    wanted = podspec.ephemerals(pod) if role is Role.EPHEMERAL else podspec.regulars(pod)
    return [_status(views, role, each) for each in sorted(wanted, key=lambda each: str(each["name"]))]


def _status(views: Views, role: Role, container: Obj) -> Obj:
    name = container["name"]
    before = _before(views.pod, role, name)
    history = views.observed.of_name(name)
    if history:
        status = _from_runtime(views, container, history, before)
    elif before and ("terminated" in before.get("state", {}) or "running" in before.get("state", {})):
        status = _vanished(views, before)
    else:
        status = _never_seen(views, role, container, before)
    _apply_waiting(views, role, container, status)
    _judge(views, role, container, history[0] if history else None, status)
    return status


def _before(pod: Obj, role: Role, name: str) -> Obj:
    """The status that the API last had of a container."""
    which = _FIELDS.get(role) or ("ephemeralContainerStatuses" if role is Role.EPHEMERAL else "containerStatuses")
    listed = (pod.get("status") or {}).get(which) or ()
    return next((each for each in listed if each.get("name") == name), {})


def _never_seen(views: Views, role: Role, container: Obj, before: Obj) -> Obj:
    reason = "PodInitializing" if role is not Role.EPHEMERAL and podspec.inits(views.pod) else "ContainerCreating"
    return {
        "name": container["name"],
        "state": {"waiting": {"reason": reason}},
        "lastState": before.get("lastState") or {},
        "ready": False,
        "restartCount": before.get("restartCount") or 0,
        "image": container.get("image", ""),
        "imageID": "",
    }


def _vanished(views: Views, before: Obj) -> Obj:
    """A container that the runtime no longer knows: what was known of its end, or that nothing is."""
    if "terminated" in before["state"]:
        return dict(before)
    lost = {"exitCode": LOST_EXIT_CODE, "reason": LOST_REASON, "message": LOST_MESSAGE}
    lost |= {"startedAt": None, "finishedAt": None}
    status = {**before, "ready": False, "started": False}
    if views.ending:
        return {**status, "state": {"terminated": lost}}
    status["lastState"] = {"terminated": lost}
    status["state"] = {"waiting": {"reason": "ContainerCreating"}}
    status["restartCount"] = (before.get("restartCount") or 0) + 1
    return status


def _from_runtime(views: Views, container: Obj, history: list[Container], before: Obj) -> Obj:
    newest = history[0]
    status: Obj = {
        "name": newest.name,
        "state": _state(views, newest),
        "lastState": {},
        "ready": False,
        "restartCount": newest.attempt,
        "image": newest.image or container.get("image", ""),
        "imageID": newest.image_ref,
        "containerID": f"{views.runtime}://{newest.id}",
    }
    ended = next((each for each in history[1:] if each.state is State.EXITED), None)
    if ended is not None:
        status["lastState"] = {"terminated": _terminated(views, ended)}
    elif newest.attempt and "terminated" in (before.get("lastState") or {}):
        status["lastState"] = before["lastState"]
    resources = views.resources.get(newest.id)
    if resources is not None and newest.state is State.RUNNING:
        status["resources"] = resources
    allocated = views.allocated.get(newest.name)
    if allocated:
        status["allocatedResources"] = allocated
    return status


def _state(views: Views, seen: Container) -> Obj:
    if seen.state is State.RUNNING:
        return {"running": {"startedAt": _time(seen.started_at)}}
    if seen.state is State.EXITED:
        return {"terminated": _terminated(views, seen)}
    return {"waiting": {"reason": "ContainerCreating"}}


def _terminated(views: Views, seen: Container) -> Obj:
    reason = seen.reason or ("Completed" if seen.exit_code == 0 else "Error")
    made: Obj = {"exitCode": seen.exit_code, "reason": reason}
    if seen.message:
        made["message"] = seen.message
    made["startedAt"], made["finishedAt"] = _time(seen.started_at), _time(seen.finished_at)
    made["containerID"] = f"{views.runtime}://{seen.id}"
    return made


def _apply_waiting(views: Views, role: Role, container: Obj, status: Obj) -> None:
    """A container that should run again and cannot says why; its end becomes the state before."""
    said = views.waiting.get(status["name"])
    state = status["state"]
    if said is None or "running" in state or views.ending:
        return
    ended = state.get("terminated")
    if ended:
        if not restarts(views.pod, role, container, ended["exitCode"]):
            return
        status["lastState"] = {"terminated": ended}
    status["state"] = {"waiting": {"reason": said.reason, **({"message": said.message} if said.message else {})}}


def _judge(views: Views, role: Role, container: Obj, seen: Container | None, status: Obj) -> None:
    """Sets `started` and `ready`."""
    running = "running" in status["state"]
    if role is Role.EPHEMERAL:
        return
    status["started"] = running and started(container, seen, views.results)
    if role is Role.INIT:
        ended = status["state"].get("terminated")
        status["ready"] = bool(ended and ended["exitCode"] == 0)
    elif seen is not None and status["started"]:
        known = views.results.get((seen.id, "readinessProbe"))
        status["ready"] = known is True or not container.get("readinessProbe")
    else:
        status["ready"] = False


def _time(seconds: float) -> str | None:
    return dates.rfc3339(dates.from_unix(seconds)) if seconds > 0 else None
