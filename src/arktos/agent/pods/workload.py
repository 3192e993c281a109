"""The seam between a pod worker and what the pod runs: containers here, a virtual machine in `arktos.agent.vm`.

One Workload per type of runtime serves all its pods; what it remembers of one it keeps by uid until `forget`. The
worker of a pod calls it, one call of `sync`, `kill` or `remove` at a time per pod; `observe` and `status` may be called
while one of these is under way. `pod` is always the newest object.

A worker goes:

    observe, status, sync, observe, status, sync, ...      while the pod shall run
    kill (again with less grace, if that was lowered)      from deletion, eviction, deadline, or when all has ended
    observe, status                                        the last containers' exit codes
    remove                                                 when the API object goes, or of a finished pod's sandbox
    forget
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from arktos.agent.pods.table import PodRecord
from arktos.model.kinds import Obj


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a sync came to.

    `again`: seconds after which it wants to be called even if nothing happens; None = not before an event. `error`:
    what failed, "" if nothing did; the worker then calls again after its own back-off, and says so in the log.
    `finished`: the pod has run to its end (all containers ended and none will be started again), so the worker kills
    what may be left and closes it. `deleted`: the API object shall go as well (a virtual machine whose
    shutdownBehavior is `terminate`).
    """

    again: float | None = None
    error: str = ""
    finished: bool = False
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """Why a pod is stopped for good. All are empty for one that is deleted or has run to its end; of one that fails by
    decree (DeadlineExceeded, Evicted, a rejection) `phase`, `reason` and `message` are what its status says, and
    `disruption` is the reason of its DisruptionTarget condition, if it gets one."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    disruption: str = ""


class Workload(Protocol):
    """What runs in a pod. Raises `arktos.rpc.method.RpcError` where the runtime fails; the worker retries.

    `sync` and `kill` may be cancelled at any await and called again: they must go by what the runtime has, not by what
    they meant to do.
    """

    async def observe(self, record: PodRecord) -> None:
        """Asks the runtime, and writes `record.observed` and `record.runtime`."""

    def status(self, record: PodRecord, ended: Ended | None) -> Obj:
        """The pod's status from `record.observed` and what is remembered; pure but for the clock. `ended` is given from
        the moment the pod is stopped for good. Lists are complete; the status writer keeps conditions that are
        others'."""

    async def sync(self, record: PodRecord) -> Outcome:
        """Brings the pod a step or many closer to its spec. Does not wait for what takes long and announces itself (an
        image, a boot): it wakes the worker then."""

    async def kill(self, record: PodRecord, grace: float) -> None:
        """Ends everything that runs in the pod, within `grace` seconds and a few more; returns when nothing does."""

    async def remove(self, record: PodRecord) -> None:
        """Removes what `kill` has ended from the runtime: containers, sandbox, network. Idempotent."""

    def forget(self, uid: str) -> None:
        """Drops all that is remembered of a pod."""
