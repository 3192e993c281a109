"""The status of a hollow pod as the strategic merge patch that its node's agent would send: same words, same order.

Statuses of one template at one stage differ in a dozen words only. So each is made once, as an object with blanks, and
encoded; after that, a patch is these bytes with the blanks filled in. Pure.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import msgspec

from arktos.hollow.record import Record
from arktos.hollow.stages import Stage
from arktos.hollow.view import Container, Look, VirtualMachine
from arktos.model.kinds import Obj

_MARK = secrets.token_hex(8)
"""What marks a blank: nobody can write it into a pod's spec, for nobody knows it."""
_TERMINATED = 143
"""The exit code of a process that a TERM signal ended."""
_RUNTIME = "containerd"


class _Form(NamedTuple):
    """What decides about the words of a status, blanks apart. `started` if its containers ever were, `gates` why the
    pod is not ready though they are."""

    look: Look
    stage: Stage
    started: bool
    restarts: int
    gates: str
    pods: int


def patch(record: Record, host_ip: str, pods: int) -> bytes:
    """The patch that brings the server's status to the record's. `pods` is how many pods the node takes."""
    template = _template(_Form(record.look, record.stage, record.begun != "", record.restarts, record.gates, pods))
    text = template % {
        "uid": record.uid,
        "id": record.uid.replace("-", ""),
        "name": record.name,
        "namespace": record.namespace,
        "generation": record.generation,
        "host": host_ip,
        "ip": record.ip,
        "started": record.started,
        "begun": record.begun or record.started,
        "since": record.since,
        "turned": record.turned,
        "changed": record.changed,
        "scheduled": record.scheduled,
    }
    return text.encode()


def _blank(name: str) -> str:
    return f"<{_MARK}:{name}>"


@lru_cache(maxsize=4096)
def _template(form: _Form) -> str:
    """The encoded patch, with blanks as `%` formats them."""
    status = _rejected(form) if form.stage is Stage.REJECTED else _status(form)
    text = msgspec.json.encode({"metadata": {"uid": _blank("uid")}, "status": status}).decode()
    text = text.replace("%", "%%").replace(f'"<{_MARK}:generation>"', "%(generation)d")
    while (at := text.find(f"<{_MARK}:")) >= 0:
        end = text.index(">", at)
        name = text[at + len(_MARK) + 2 : end]
        text = f"{text[:at]}%({name})s{text[end + 1 :]}"
    return text


def _rejected(form: _Form) -> Obj:
    text = f"Node didn't have enough resource: pods, requested: 1, used: {form.pods}, capacity: {form.pods}"
    return {
        "phase": "Failed",
        "reason": "OutOfpods",
        "message": f"Pod was rejected: {text}",
        "startTime": _blank("started"),
    }


def _status(form: _Form) -> Obj:
    look, stage = form.look, form.stage
    status: Obj = {"phase": phase(form.look, stage), "reason": None, "message": None}
    status["conditions"] = _of_machine(form) if look.machine is not None else _of_containers(form)
    status["startTime"] = _blank("started")
    status["observedGeneration"] = _blank("generation")
    status["hostIP"], status["hostIPs"] = _blank("host"), [{"$patch": "replace"}, {"ip": _blank("host")}]
    if stage is not Stage.STARTING or look.host_network:
        status["podIP"], status["podIPs"] = _blank("ip"), [{"$patch": "replace"}, {"ip": _blank("ip")}]
    if look.machine is not None:
        status["virtualMachineStatus"] = _machine_status(look.machine, form)
        if stage is Stage.CRASHED:
            status["reason"], status["message"] = "Crashed", "the machine has crashed"
        elif stage is Stage.SHUTDOWN and form.started:
            status["reason"], status["message"] = "Shutdown", "the machine was shut down"
        return status
    if look.inits:
        status["initContainerStatuses"] = [_init(each, n, form) for n, each in enumerate(look.inits)]
    base = len(look.inits)
    regulars = [_regular(each, base + n, form) for n, each in enumerate(look.containers)]
    status["containerStatuses"] = sorted(regulars, key=lambda each: str(each["name"]))
    return status


_PHASES: Mapping[Stage, str] = {
    Stage.STARTING: "Pending",
    Stage.RUNNING: "Running",
    Stage.CRASHED: "Running",
    Stage.PAUSED: "Running",
    Stage.SUSPENDED: "NoSchedule",
    Stage.SHUTDOWN: "NoSchedule",
    Stage.SUCCEEDED: "Succeeded",
    Stage.FAILED: "Failed",
    Stage.REJECTED: "Failed",
    Stage.STOPPED: "Failed",
}


def phase(look: Look, stage: Stage) -> str:
    """What a TERM signal ended has failed; a machine has not."""
    return "Succeeded" if stage is Stage.STOPPED and look.machine is not None else _PHASES[stage]


# conditions


def _condition(kind: str, holds: bool, since: str, reason: str = "", message: str = "") -> Obj:
    return {
        "type": kind,
        "status": "True" if holds else "False",
        "lastProbeTime": None,
        "lastTransitionTime": _blank(since),
        "observedGeneration": _blank("generation"),
        "reason": reason or None,
        "message": message or None,
    }


def _of_containers(form: _Form) -> list[Obj]:
    look, stage = form.look, form.stage
    up = stage in (Stage.RUNNING, Stage.CRASHED)
    changed = "started" if stage is Stage.STARTING else "begun" if up else "changed"
    containers = _containers_ready(form)
    ready = containers
    if stage is Stage.RUNNING and form.gates:
        ready = (False, "ReadinessGatesNotReady", form.gates)
    return [
        _condition("PodReadyToStartContainers", up, changed),
        _initialized(look, stage, form.started),
        _condition("Ready", ready[0], "turned", *ready[1:]),
        _condition("ContainersReady", containers[0], "turned", *containers[1:]),
        _condition("PodScheduled", True, "scheduled"),
    ]


def _initialized(look: Look, stage: Stage, started: bool) -> Obj:
    if look.inits and not started:
        names = " ".join(each.name for each in look.inits)
        said = f"containers with incomplete status: [{names}]"
        return _condition("Initialized", False, "started", "ContainersNotInitialized", said)
    reason = "PodCompleted" if stage is Stage.SUCCEEDED else ""
    return _condition("Initialized", True, "begun" if look.inits else "started", reason)


def _containers_ready(form: _Form) -> tuple[bool, str, str]:
    stage = form.stage
    if stage is Stage.RUNNING:
        return True, "", ""
    if stage is Stage.SUCCEEDED:
        return False, "PodCompleted", ""
    if stage in (Stage.FAILED, Stage.STOPPED):
        return False, "PodFailed", ""
    sidecars = [each for each in form.look.inits if each.is_sidecar]
    names = " ".join(each.name for each in (*sidecars, *form.look.containers))
    return False, "ContainersNotReady", f"containers with unready status: [{names}]"


def _of_machine(form: _Form) -> list[Obj]:
    holds, reason, message = _machine_ready(form)
    ready = (holds, reason, message)
    if holds and form.gates:
        ready = (False, "ReadinessGatesNotReady", form.gates)
    return [
        _condition("VirtualMachineReady", holds, "turned", reason, message),
        _condition("Ready", ready[0], "turned", *ready[1:]),
        _condition("PodScheduled", True, "scheduled"),
    ]


def _machine_ready(form: _Form) -> tuple[bool, str, str]:
    stage = form.stage
    if stage is Stage.RUNNING:
        return True, "", ""
    if stage is Stage.STOPPED:
        return False, "PodCompleted", ""
    if stage is Stage.FAILED or stage is Stage.SUCCEEDED:
        return False, "PodFailed" if stage is Stage.FAILED else "PodCompleted", ""
    if stage is Stage.STARTING or not form.started:
        return False, "UnknownVirtualMachineStatus", ""
    return False, "VirtualMachineShutdown" if stage is Stage.SHUTDOWN else "VirtualMachineNotReady", ""


# what runs

_STATES: Mapping[Stage, tuple[str, str]] = {
    Stage.STARTING: ("", "nostate"),
    Stage.RUNNING: ("active", "running"),
    Stage.PAUSED: ("paused", "paused"),
    Stage.SUSPENDED: ("suspended", "suspended"),
    Stage.SHUTDOWN: ("stopped", "shutdown"),
    Stage.CRASHED: ("error", "crashed"),
    Stage.STOPPED: ("deleted", "nostate"),
}


def _machine_status(machine: VirtualMachine, form: _Form) -> Obj:
    state, power = _STATES.get(form.stage, ("", "nostate"))
    if form.stage is Stage.SHUTDOWN and not form.started:
        power = "shutdown"
    told: Obj = {"name": machine.name, "image": machine.image or ""}
    if form.started:
        told |= {"virtualMachineId": _blank("id"), "imageId": _image_id(machine.image or "")}
        told["restartCount"] = form.restarts
    told |= {"state": state, "powerState": power, "ready": form.stage is Stage.RUNNING}
    return {name: value for name, value in told.items() if value != ""}


def _regular(container: Container, number: int, form: _Form) -> Obj:
    stage = form.stage
    status = _container(container, number, form)
    if not form.started:
        reason = "PodInitializing" if form.look.inits else "ContainerCreating"
        return {**status, "state": {"waiting": {"reason": reason}}}
    if form.restarts:
        status["lastState"] = {"terminated": _terminated(number, form.restarts - 1, 1, "Error")}
    if stage is Stage.RUNNING:
        return {**status, "state": {"running": {"startedAt": _blank("since")}}, "ready": True, "started": True}
    if stage is Stage.CRASHED:
        pause = min(300, 10 << min(form.restarts, 10))
        pod = f"{_blank('name')}_{_blank('namespace')}({_blank('uid')})"
        said = f"back-off {_duration(pause)} restarting failed container={container.name} pod={pod}"
        status["lastState"] = {"terminated": _terminated(number, form.restarts, 1, "Error")}
        return {**status, "state": {"waiting": {"reason": "CrashLoopBackOff", "message": said}}}
    code = {Stage.SUCCEEDED: 0, Stage.FAILED: 1}.get(stage, _TERMINATED)
    ended = _terminated(number, form.restarts, code, "Error" if code else "Completed")
    return {**status, "state": {"terminated": ended}}


def _init(container: Container, number: int, form: _Form) -> Obj:
    status = _container(container, number, form, restarts=0)
    if not form.started:
        return {**status, "state": {"waiting": {"reason": "PodInitializing"}}}
    if container.is_sidecar and form.stage in (Stage.RUNNING, Stage.CRASHED):
        return {**status, "state": {"running": {"startedAt": _blank("begun")}}, "ready": True, "started": True}
    ended = _terminated(number, 0, 0, "Completed")
    if not container.is_sidecar:
        ended |= {"startedAt": _blank("begun"), "finishedAt": _blank("begun")}
    return {**status, "state": {"terminated": ended}, "ready": True}


def _container(container: Container, number: int, form: _Form, restarts: int | None = None) -> Obj:
    attempt = form.restarts if restarts is None else restarts
    status: Obj = {
        "name": container.name,
        "lastState": {},
        "ready": False,
        "restartCount": attempt,
        "image": container.image,
        "imageID": _image_id(container.image) if form.started else "",
        "started": False,
    }
    if form.started:
        status["containerID"] = _container_id(number, attempt)
    return status


def _terminated(number: int, attempt: int, code: int, reason: str) -> Obj:
    return {
        "exitCode": code,
        "reason": reason,
        "startedAt": _blank("since"),
        "finishedAt": _blank("changed"),
        "containerID": _container_id(number, attempt),
    }


def _container_id(number: int, attempt: int) -> str:
    """64 digits, as a runtime's are: the pod's uid, the container's place, its attempt."""
    return f"{_RUNTIME}://{_blank('id')}{number:08x}{attempt:024x}"


def _image_id(image: str) -> str:
    name = image.partition("@")[0]
    head, _, last = name.rpartition("/")
    bare = f"{head}/{last.partition(':')[0]}" if head else last.partition(":")[0]
    return f"{bare}@sha256:{hashlib.sha256(image.encode()).hexdigest()}"


def _duration(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
