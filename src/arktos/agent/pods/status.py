"""The status of a pod of containers: phase, conditions, addresses, statuses of its containers. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from arktos.agent.pods import conditions, podspec
from arktos.agent.pods.conditions import Verdict
from arktos.agent.pods.container_status import Views, statuses
from arktos.agent.pods.observed import State
from arktos.agent.pods.podspec import Role
from arktos.agent.pods.table import FINISHED, PodRecord
from arktos.agent.pods.workload import Ended
from arktos.agent.spec.facts import is_host_network, is_sidecar
from arktos.model import dates
from arktos.model.kinds import Obj


def merged(record: PodRecord) -> Obj:
    """A pod with the status that it has as far as this agent knows: the API's, with what this agent has written over
    it, sent or not."""
    told, own = record.pod.get("status") or {}, record.status
    if not own:
        return record.pod
    mine = own.get("conditions") or []
    types = {each["type"] for each in mine}
    others = [each for each in told.get("conditions") or () if each.get("type") not in types]
    return {**record.pod, "status": {**told, **own, "conditions": [*mine, *others]}}


def pod_status(
    views: Views,
    *,
    host_ips: Sequence[str],
    now: float,
    ended: Ended | None = None,
    resizing: Sequence[tuple[str, Verdict]] = (),
) -> Obj:
    """The status; `now` in seconds after the epoch dates what changed. `resizing` are conditions of a resize under
    way. What others wrote (their conditions, qosClass, nominatedNodeName) is not in it."""
    pod = views.pod
    before = pod.get("status") or {}
    inits, regulars = statuses(views, Role.INIT), statuses(views, Role.REGULAR)
    ephemerals = statuses(views, Role.EPHEMERAL)
    phase = _phase(views, inits, regulars, before, ended)
    sandbox = views.observed.sandbox
    ips = _pod_ips(views, before, host_ips, phase)
    stamp = dates.rfc3339(dates.from_unix(now))
    status: Obj = {
        "phase": phase,
        "conditions": _conditions(views, phase, inits, regulars, sandbox is not None and sandbox.ready, stamp, ended),
        "startTime": before.get("startTime") or stamp,
    }
    generation = pod["metadata"].get("generation")
    if generation:
        status["observedGeneration"] = generation
    earlier = before.get("conditions") or ()
    for kind, verdict in resizing:
        status["conditions"].append(conditions.condition(kind, verdict, earlier, stamp, generation or 0))
    _say_why(status, before, ended)
    if host_ips:
        status["hostIP"], status["hostIPs"] = host_ips[0], [{"ip": ip} for ip in host_ips]
    if ips:
        status["podIP"], status["podIPs"] = ips[0], [{"ip": ip} for ip in ips]
    if inits:
        status["initContainerStatuses"] = inits
    status["containerStatuses"] = regulars
    if ephemerals:
        status["ephemeralContainerStatuses"] = ephemerals
    return status


def rejected(pod: Obj, ended: Ended, now: float) -> Obj:
    """The status of a pod that this node does not take."""
    before = pod.get("status") or {}
    stamp = dates.rfc3339(dates.from_unix(now))
    return {
        "phase": "Failed",
        "reason": ended.reason,
        "message": ended.message,
        "startTime": before.get("startTime") or stamp,
        "conditions": [],
    }


def _say_why(status: Obj, before: Obj, ended: Ended | None) -> None:
    if ended is not None and ended.reason:
        status["reason"], status["message"] = ended.reason, ended.message
    elif before.get("phase") in FINISHED:
        for field in ("reason", "message"):
            if before.get(field):
                status[field] = before[field]


def _pod_ips(views: Views, before: Obj, host_ips: Sequence[str], phase: str) -> list[str]:
    """The pod's addresses. A pod that has run to its end keeps the last ones it had."""
    if is_host_network(views.pod):
        return list(host_ips)
    sandbox = views.observed.sandbox
    if sandbox is not None and sandbox.ips:
        return list(sandbox.ips)
    if phase in FINISHED or views.ending:
        return [each["ip"] for each in before.get("podIPs") or ()]
    return []


def _conditions(
    views: Views,
    phase: str,
    inits: Sequence[Obj],
    regulars: Sequence[Obj],
    sandbox_ready: bool,
    stamp: str,
    ended: Ended | None,
) -> list[Obj]:
    pod = views.pod
    earlier = (pod.get("status") or {}).get("conditions") or ()
    sandbox = views.observed.sandbox
    ready = conditions.containers_ready(pod, phase, inits, regulars)
    verdicts: dict[str, Verdict] = {
        conditions.READY_TO_START: conditions.ready_to_start(pod, sandbox_ready, sandbox.ips if sandbox else ()),
        conditions.INITIALIZED: conditions.initialized(pod, phase, inits, regulars),
        conditions.READY: conditions.ready(pod, ready, earlier),
        conditions.CONTAINERS_READY: ready,
        conditions.SCHEDULED: ("True", "", ""),
    }
    if ended is not None and ended.disruption:
        verdicts[conditions.DISRUPTION_TARGET] = ("True", ended.disruption, ended.message)
    generation = pod["metadata"].get("generation") or 0
    return [conditions.condition(kind, verdict, earlier, stamp, generation) for kind, verdict in verdicts.items()]


def _phase(views: Views, inits: Sequence[Obj], regulars: Sequence[Obj], before: Obj, ended: Ended | None) -> str:
    """A pod that reached its end stays there; and it has not reached it while anything of it runs."""
    if before.get("phase") in FINISHED:
        return str(before["phase"])
    computed = phase(views.pod, inits, regulars, terminal=ended is not None)
    if ended is not None and ended.phase:
        computed = ended.phase
    if computed not in FINISHED:
        return computed
    if any(each.state is State.RUNNING for each in views.observed.containers):
        return str(before.get("phase") or "Pending")
    return computed


def phase(pod: Obj, inits: Sequence[Obj], regulars: Sequence[Obj], *, terminal: bool) -> str:
    """Where a pod stands. `terminal` if nothing of it will be started again, whatever its restart policy."""
    policy = podspec.restart_policy(pod)
    known = {status["name"]: status for status in inits}
    pending = 0
    for init in podspec.inits(pod):
        status = known.get(init["name"]) or {}
        if is_sidecar(init):
            pending += not (status.get("started") or _passed(status))
            continue
        code = _exit_code(status)
        if code and policy == "Never":
            return "Failed"
        pending += code is None or code != 0
    counts = {"waiting": 0, "running": 0, "stopped": 0, "succeeded": 0}
    for status in regulars:
        _count(status, counts)
    if terminal and not counts["running"]:
        whole = len(podspec.regulars(pod))
        return "Succeeded" if counts["succeeded"] == whole and not _failed_sidecar(pod, known) else "Failed"
    if counts["waiting"] or (pending and not counts["running"] and not counts["stopped"]):
        return "Pending"
    if counts["running"]:
        return "Running"
    if counts["stopped"]:
        if policy == "Always":
            return "Running"
        if counts["stopped"] == counts["succeeded"]:
            return "Succeeded"
        return "Failed" if policy == "Never" else "Running"
    return "Pending"


def _count(status: Obj, counts: dict[str, int]) -> None:
    state = status.get("state") or {}
    if "running" in state:
        counts["running"] += 1
    elif "terminated" in state:
        counts["stopped"] += 1
        counts["succeeded"] += state["terminated"].get("exitCode") == 0
    elif "terminated" in (status.get("lastState") or {}):
        counts["stopped"] += 1
    else:
        counts["waiting"] += 1


def _passed(status: Obj) -> bool:
    """Whether a sidecar has been up before."""
    return bool("terminated" in (status.get("state") or {}) or "terminated" in (status.get("lastState") or {}))


def _failed_sidecar(pod: Obj, known: dict[str, Obj]) -> bool:
    """Whether a pod ends because an init container failed: then nothing succeeded, whatever else."""
    return any(_exit_code(known.get(each["name"]) or {}) for each in podspec.inits(pod) if not is_sidecar(each))


def _exit_code(status: Obj) -> int | None:
    """The exit code of an init container's last end; None while it has not ended."""
    for state in (status.get("state") or {}, status.get("lastState") or {}):
        if "running" in state:
            return None
        if "terminated" in state:
            return int(state["terminated"]["exitCode"])
    return None
