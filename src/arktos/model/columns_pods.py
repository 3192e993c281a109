"""How a pod is shown: readiness, its state in one word, restarts. A virtual machine counts as one container."""

from __future__ import annotations

from collections.abc import Iterable

from arktos.model.columns_cell import (
    AGE,
    NAME,
    NONE,
    Cell,
    Printer,
    Since,
    age_of,
    at,
    condition,
    deleting,
    flag,
    instant,
    items,
    labels,
    name_of,
    number,
    part,
    text,
    wide,
    workload_names,
)
from arktos.model.kinds import Column, Obj
from arktos.model.workload import is_vm

_STOPPED = {"Paused": "Paused", "Suspended": "Suspended"}
"""The word for a virtual machine that is to be off, by its powerSpec; else `Stopped`."""

_POWER = {"shutdown": "Stopped", "paused": "Paused", "suspended": "Suspended", "crashed": "Crashed"}
"""The word for a virtual machine by the power state that was reported last; else its pod's phase."""


class _Tally:
    """What the containers of a pod add up to."""

    __slots__ = ("last_restart", "ready", "reason", "restarts")

    def __init__(self, reason: str) -> None:
        self.ready = 0
        self.restarts = 0
        self.last_restart: float | None = None
        self.reason = reason

    def restarted(self, status: Obj) -> None:
        self.restarts += number(status, "restartCount")
        finished = instant(at(status, "lastState", "terminated", "finishedAt"))
        if finished is not None and (self.last_restart is None or finished > self.last_restart):
            self.last_restart = finished


def pod(obj: Obj) -> list[Cell]:
    spec, status = part(obj, "spec"), part(obj, "status")
    sidecars = _sidecars(spec)
    tally = _Tally(_first_reason(obj))
    if is_vm(obj):
        total = 1
        _count_machine(tally, part(spec, "virtualMachine"), status)
    else:
        total = len(items(spec, "containers")) + len(sidecars)
        _count_containers(tally, obj, sidecars)
    _judge_deletion(tally, obj)
    return [
        name_of(obj),
        f"{tally.ready}/{total}",
        tally.reason,
        _restarts(tally),
        age_of(obj),
        _address(status),
        text(spec, "nodeName", empty=NONE),
        text(status, "nominatedNodeName", empty=NONE),
        _readiness_gates(obj),
    ]


def _first_reason(obj: Obj) -> str:
    if text(condition(obj, "PodScheduled"), "reason") == "SchedulingGated":
        return "SchedulingGated"
    return text(obj, "status", "reason") or text(obj, "status", "phase")


def _sidecars(spec: Obj) -> frozenset[str]:
    """The names of the init containers that run beside the others."""
    return frozenset(text(c, "name") for c in items(spec, "initContainers") if text(c, "restartPolicy") == "Always")


def _count_machine(tally: _Tally, machine: Obj, status: Obj) -> None:
    found = part(status, "virtualMachineStatus")
    tally.ready = int(flag(found, "ready"))
    tally.restarts = number(found, "restartCount")
    phase = text(status, "phase")
    if phase == "NoSchedule":
        tally.reason = _STOPPED.get(text(machine, "powerSpec"), "Stopped")
    elif phase == "Running" and not text(status, "reason"):
        tally.reason = _POWER.get(text(found, "powerState"), phase)


def _count_containers(tally: _Tally, obj: Obj, sidecars: frozenset[str]) -> None:
    beside = _Tally(tally.reason)
    initializing = _count_init(tally, beside, obj, sidecars)
    if initializing and text(condition(obj, "Initialized"), "status") != "True":
        return
    # Restarts of what had to end before the containers started are over: only sidecars go on counting.
    tally.restarts, tally.last_restart = beside.restarts, beside.last_restart
    running = False
    for status in reversed(items(obj, "status", "containerStatuses")):
        tally.restarted(status)
        state = part(status, "state")
        waiting, terminated = at(state, "waiting"), at(state, "terminated")
        if text(waiting, "reason"):
            tally.reason = text(waiting, "reason")
        elif terminated is not None:
            tally.reason = _ended(terminated)
        elif flag(status, "ready") and at(state, "running") is not None:
            running = True
            tally.ready += 1
    if tally.reason == "Completed" and running:
        tally.reason = "Running" if text(condition(obj, "Ready"), "status") == "True" else "NotReady"


def _count_init(tally: _Tally, beside: _Tally, obj: Obj, sidecars: frozenset[str]) -> bool:
    """Counts the init containers up to the one that is not done yet; tells whether there is one."""
    for index, status in enumerate(items(obj, "status", "initContainerStatuses")):
        tally.restarted(status)
        sidecar = text(status, "name") in sidecars
        if sidecar:
            beside.restarted(status)
        terminated = at(status, "state", "terminated")
        if terminated is not None and number(terminated, "exitCode") == 0:
            continue
        if sidecar and flag(status, "started"):
            tally.ready += int(flag(status, "ready"))
            continue
        waiting = text(status, "state", "waiting", "reason")
        if terminated is not None:
            tally.reason = "Init:" + _ended(terminated)
        elif waiting and waiting != "PodInitializing":
            tally.reason = "Init:" + waiting
        else:
            tally.reason = f"Init:{index}/{len(items(obj, 'spec', 'initContainers'))}"
        return True
    return False


def _ended(terminated: Obj) -> str:
    if text(terminated, "reason"):
        return text(terminated, "reason")
    if number(terminated, "signal"):
        return f"Signal:{number(terminated, 'signal')}"
    return f"ExitCode:{number(terminated, 'exitCode')}"


def _judge_deletion(tally: _Tally, obj: Obj) -> None:
    if not deleting(obj):
        return
    if text(obj, "status", "reason") == "NodeLost":
        tally.reason = "Unknown"
    elif text(obj, "status", "phase") not in {"Succeeded", "Failed"}:
        tally.reason = "Terminating"


def _restarts(tally: _Tally) -> Cell:
    if tally.restarts and tally.last_restart is not None:
        return Since(tally.last_restart, f"{tally.restarts} (%s ago)")
    return str(tally.restarts)


def _address(status: Obj) -> str:
    addresses: Iterable[str] = (text(a, "ip") for a in items(status, "podIPs"))
    return next((a for a in addresses if a), "") or text(status, "podIP", empty=NONE)


def _readiness_gates(obj: Obj) -> str:
    gates = items(obj, "spec", "readinessGates")
    if not gates:
        return NONE
    true = sum(text(condition(obj, text(gate, "conditionType")), "status") == "True" for gate in gates)
    return f"{true}/{len(gates)}"


def completed(obj: Obj) -> str:
    phase = text(obj, "status", "phase")
    return phase if phase in {"Succeeded", "Failed"} else ""


def pod_template(obj: Obj) -> list[Cell]:
    template = part(obj, "template")
    return [name_of(obj), *workload_names(template), labels(at(template, "metadata", "labels"))]


PRINTERS = {
    "pods": Printer(
        (
            NAME,
            Column("Ready", description="How many of the containers are ready. A virtual machine counts as one."),
            Column("Status", description="The state in one word: the phase, or what is more telling."),
            Column("Restarts", description="How often its containers were restarted, and when last."),
            AGE,
            wide("IP", description="The first address of the pod."),
            wide("Node", description="The node that it runs on."),
            wide("Nominated Node", description="The node on which room is being made for it."),
            wide("Readiness Gates", description="How many of its readiness gates are open."),
        ),
        pod,
        completed,
    ),
    "podtemplates": Printer(
        (
            NAME,
            Column("Containers", description="The names of the containers in the template."),
            Column("Images", description="The images of the template."),
            Column("Pod Labels", description="The labels of the template."),
        ),
        pod_template,
    ),
}
