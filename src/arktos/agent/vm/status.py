"""The status of a pod that is a virtual machine. Pure.

Words and fields are the original's. Different from it: a stopped machine keeps its node, its address and its disk; a
paused one is Running, for it holds its memory; one that crashed and will be started again is Running, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from arktos.agent.pods import conditions
from arktos.agent.pods.conditions import Verdict
from arktos.agent.pods.observed import Observed
from arktos.agent.pods.table import FINISHED
from arktos.agent.pods.workload import Ended
from arktos.agent.vm.machine import Machine, Power, Want, wanted
from arktos.model import dates
from arktos.model.kinds import Obj

MACHINE_READY = "VirtualMachineReady"

STATES: dict[Power, tuple[str, str]] = {
    Power.NONE: ("", "nostate"),
    Power.CREATED: ("suspended", "nostate"),
    Power.RUNNING: ("active", "running"),
    Power.PAUSED: ("paused", "paused"),
    Power.SUSPENDED: ("suspended", "suspended"),
    Power.STOPPED: ("stopped", "shutdown"),
    Power.CRASHED: ("error", "crashed"),
}
"""`state` and `powerState` of virtualMachineStatus."""

PHASES: dict[Power, str] = {
    Power.NONE: "Pending",
    Power.CREATED: "Pending",
    Power.RUNNING: "Running",
    Power.PAUSED: "Running",
    Power.SUSPENDED: "NoSchedule",
    Power.STOPPED: "NoSchedule",
    Power.CRASHED: "Running",
}


@dataclass(frozen=True, slots=True)
class View:
    """What there is to tell of a pod. `pod` carries the status it had before; `waiting` is why there is no machine
    yet: a reason, and a message; `failed` if the pod ended because its machine did."""

    pod: Obj
    machine: Machine | None
    observed: Observed
    waiting: tuple[str, str] = ("", "")
    failed: bool = False
    snapshots: Sequence[Obj] = ()
    resize: Mapping[str, Verdict] = field(default_factory=dict)
    """Conditions of a resize that is not done."""


def machine_pod_status(view: View, *, host_ips: Sequence[str], now: float, ended: Ended | None) -> Obj:
    """The status; `now` in seconds after the epoch dates what changed."""
    pod = view.pod
    before = pod.get("status") or {}
    stamp = dates.rfc3339(dates.from_unix(now))
    phase = _phase(view, before, ended)
    status: Obj = {
        "phase": phase,
        "conditions": _conditions(view, phase, stamp, ended),
        "startTime": before.get("startTime") or stamp,
        "virtualMachineStatus": _machine_status(view, ended),
    }
    if pod["metadata"].get("generation"):
        status["observedGeneration"] = pod["metadata"]["generation"]
    reason, message = _why(view, phase, before, ended)
    if reason:
        status["reason"], status["message"] = reason, message
    if host_ips:
        status["hostIP"], status["hostIPs"] = host_ips[0], [{"ip": ip} for ip in host_ips]
    ips = view.observed.sandbox.ips if view.observed.sandbox else ()
    if ips:
        status["podIP"], status["podIPs"] = ips[0], [{"ip": ip} for ip in ips]
    return status


def _phase(view: View, before: Obj, ended: Ended | None) -> str:
    """A pod that reached its end stays there; and it has not reached it while its machine runs."""
    if before.get("phase") in FINISHED:
        return str(before["phase"])
    power = view.machine.power if view.machine else Power.NONE
    if ended is not None and power not in (Power.RUNNING, Power.PAUSED):
        return ended.phase or ("Failed" if view.failed or power is Power.CRASHED else "Succeeded")
    if power in (Power.NONE, Power.CREATED) and wanted(view.pod) is Want.SHUTDOWN:
        return "NoSchedule"
    return PHASES[power]


def _why(view: View, phase: str, before: Obj, ended: Ended | None) -> tuple[str, str]:
    if ended is not None and ended.reason:
        return ended.reason, ended.message
    if before.get("phase") in FINISHED:
        return str(before.get("reason") or ""), str(before.get("message") or "")
    if view.waiting[0]:
        return view.waiting
    machine = view.machine
    if machine is not None and (phase in ("NoSchedule", "Failed") or machine.power is Power.CRASHED):
        return machine.reason, machine.message
    return "", ""


def _machine_status(view: View, ended: Ended | None) -> Obj:
    machine, earlier = view.machine, (view.pod.get("status") or {}).get("virtualMachineStatus") or {}
    spec = view.pod["spec"]["virtualMachine"]
    power = machine.power if machine else Power.NONE
    state, power_state = STATES[power]
    if machine is None and ended is not None:
        state = "deleted"
    told: Obj = {"name": spec["name"], "image": spec.get("image", "")}
    seen = view.observed.container(spec["name"])
    if machine is not None:
        told |= {"virtualMachineId": machine.id, "imageId": seen.image_ref if seen else ""}
        told["restartCount"] = max(0, machine.starts - 1)
    told |= {"state": state, "powerState": power_state, "ready": power is Power.RUNNING}
    last = _last_termination(machine) or earlier.get("lastTerminationState")
    if last:
        told["lastTerminationState"] = last
    if view.snapshots:
        told["snapshots"] = list(view.snapshots)
    return {name: value for name, value in told.items() if value != ""}


def _last_termination(machine: Machine | None) -> str:
    if machine is None or machine.power not in (Power.STOPPED, Power.CRASHED):
        return ""
    return f"{machine.reason}: {machine.message}" if machine.message else machine.reason


def _conditions(view: View, phase: str, stamp: str, ended: Ended | None) -> list[Obj]:
    pod = view.pod
    earlier = (pod.get("status") or {}).get("conditions") or ()
    of_machine = _machine_ready(view, phase)
    verdicts: dict[str, Verdict] = {
        MACHINE_READY: of_machine,
        conditions.READY: conditions.ready(pod, of_machine, earlier),
        conditions.SCHEDULED: ("True", "", ""),
    }
    if ended is None:
        verdicts |= view.resize
    if ended is not None and ended.disruption:
        verdicts[conditions.DISRUPTION_TARGET] = ("True", ended.disruption, ended.message)
    generation = pod["metadata"].get("generation") or 0
    return [conditions.condition(kind, verdict, earlier, stamp, generation) for kind, verdict in verdicts.items()]


def _machine_ready(view: View, phase: str) -> Verdict:
    machine = view.machine
    if phase in FINISHED:
        return "False", "PodCompleted" if phase == "Succeeded" else "PodFailed", ""
    if machine is None:
        return "False", "UnknownVirtualMachineStatus", view.waiting[1]
    if machine.power is Power.RUNNING:
        return "True", "", ""
    if machine.power is Power.STOPPED:
        return "False", "VirtualMachineShutdown", machine.message
    return "False", "VirtualMachineNotReady", machine.message
