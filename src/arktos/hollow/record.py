"""All that is kept of a hollow pod, and how it is found again in the status that the server has. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from arktos.hollow.stages import Event, Stage
from arktos.hollow.view import Condition, ContainerStatus, Look, PodView


@dataclass(slots=True, eq=False)
class Record:
    """One pod. Times are RFC 3339 text: `started` of its status, `begun` when its first container did, `since` when the
    present one did, `turned` when it became (un)ready, `changed` when its stage did, `scheduled` of the condition.

    `seen_at` and `ran_at`, seconds after the epoch, are when it came and when its containers did.
    `version` counts what there is to write, `written` what the server has of it.
    """

    uid: str
    tenant: str
    namespace: str
    name: str
    node: int
    look: Look
    stage: Stage = Stage.STARTING
    planned: Event | None = None
    timer: int = 0
    slot: int = -1
    ip: str = ""
    generation: int = 0
    restarts: int = 0
    power: str = ""
    started: str = ""
    begun: str = ""
    since: str = ""
    turned: str = ""
    changed: str = ""
    scheduled: str = ""
    gates: str = ""
    ending: bool = False
    version: int = 0
    written: int = 0
    queued: bool = False
    failures: int = 0
    seen_at: float = 0.0
    ran_at: float = 0.0

    @property
    def is_machine(self) -> bool:
        return self.look.machine is not None

    @property
    def may_end(self) -> bool:
        """Whether its containers end by themselves."""
        return not self.is_machine and self.look.restart_policy != "Always"

    def changes(self) -> None:
        self.version += 1


def adopted(view: PodView, node: int, look: Look, now: str) -> Record:
    """The record of a pod as its status tells of it: what a process that ran before has left, or a new one. `now` is
    when this is looked at, RFC 3339."""
    meta, status = view.metadata, view.status
    times = {each.type: each.last_transition_time or "" for each in status.conditions or ()}
    record = Record(meta.uid, meta.tenant, meta.namespace, meta.name, node, look)
    record.generation = meta.generation
    record.started = status.start_time or now
    record.scheduled = times.get("PodScheduled") or record.started
    record.turned = times.get("Ready") or record.started
    record.changed = record.turned
    record.stage = _stage(view)
    machine = status.virtual_machine_status
    if machine is not None:
        record.restarts = machine.restart_count
    elif status.container_statuses:
        record.restarts = status.container_statuses[0].restart_count
    if record.stage is not Stage.STARTING:
        record.begun = times.get("PodReadyToStartContainers") or record.started
        record.since = _running_since(status.container_statuses or ()) or record.turned
    return record


def told(conditions: Sequence[Condition]) -> bool:
    """Whether a node has written a status: before, there is at most what the scheduler wrote."""
    return any(each.type == "Ready" for each in conditions)


def _stage(view: PodView) -> Stage:
    status = view.status
    if status.phase in ("Succeeded", "Failed"):
        return Stage.SUCCEEDED if status.phase == "Succeeded" else Stage.FAILED
    machine = status.virtual_machine_status
    if machine is not None:
        return _OF_MACHINE.get(machine.power_state, Stage.STARTING)
    states = [each.state for each in status.container_statuses or ()]
    if any(state.running is not None for state in states):
        return Stage.RUNNING
    if any((state.waiting or {}).get("reason") == "CrashLoopBackOff" for state in states):
        return Stage.CRASHED
    return Stage.STARTING


_OF_MACHINE = {
    "running": Stage.RUNNING,
    "paused": Stage.PAUSED,
    "suspended": Stage.SUSPENDED,
    "shutdown": Stage.SHUTDOWN,
    "crashed": Stage.CRASHED,
}


def _running_since(statuses: Sequence[ContainerStatus]) -> str:
    for each in statuses:
        if each.state.running is not None:
            return str(each.state.running.get("startedAt") or "")
    return ""
