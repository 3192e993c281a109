"""A pod as the scheduler sees it: identity, place, urgency, and the template it shares with its like."""

from __future__ import annotations

import msgspec

from arktos.client import Cached
from arktos.client.cached import ObjectKey
from arktos.model.kinds import Obj
from arktos.scheduler.templates import Spec, Template, Templates

PodKey = ObjectKey
"""(tenant, namespace, name)."""
_GONE = ("Succeeded", "Failed")
_REPLICATING = ("ReplicaSet", "StatefulSet", "ReplicationController")


class _Meta(msgspec.Struct, gc=False, rename="camel"):
    creation_timestamp: str | None = None


class _Condition(msgspec.Struct, gc=False):
    type: str = ""
    status: str = ""
    reason: str | None = None
    message: str | None = None


class _Status(msgspec.Struct, gc=False, rename="camel"):
    phase: str | None = None
    nominated_node_name: str | None = None
    start_time: str | None = None
    conditions: list[_Condition] | None = None


class _Document(msgspec.Struct):
    metadata: _Meta
    spec: Spec
    status: _Status | None = None


_DECODER = msgspec.json.Decoder(_Document)


class Told(msgspec.Struct, frozen=True, gc=False):
    """What the pod's status says of scheduling: condition PodScheduled and the nominated node."""

    status: str = ""
    reason: str = ""
    message: str = ""
    nominated: str = ""


NOTHING_TOLD = Told()


class Pod(msgspec.Struct, frozen=True, eq=False):
    """One version of a pod. `node` is "" while it has none. `created` and `started` are RFC 3339 text, which sorts.
    `owner` is the uid of what keeps replicas of it, "" if nothing does."""

    key: PodKey
    uid: str
    resource_version: str
    labels: dict[str, str]
    label_key: tuple[tuple[str, str], ...]
    template: Template
    node: str = ""
    priority: int = 0
    created: str = ""
    started: str = ""
    scheduler: str = "default-scheduler"
    gated: bool = False
    deleting: bool = False
    finished: bool = False
    preempts: bool = True
    told: Told = NOTHING_TOLD
    owner: str = ""

    @property
    def tenant(self) -> str:
        return self.key[0]

    @property
    def namespace(self) -> str:
        return self.key[1]

    @property
    def name(self) -> str:
        return self.key[2]

    @property
    def path(self) -> str:
        """As events name it: tenant/namespace/name."""
        return "/".join(self.key)

    def reference(self) -> Obj:
        """What events are about."""
        tenant, namespace, name = self.key
        meta = {"tenant": tenant, "namespace": namespace, "name": name, "uid": self.uid}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {**meta, "resourceVersion": self.resource_version}}


class Reader:
    """Reads pods from the cache's bytes, templates shared."""

    def __init__(self) -> None:
        self._templates = Templates()

    def read(self, cached: Cached) -> Pod:
        """Raises `msgspec.DecodeError` for what is no pod."""
        document = _DECODER.decode(cached.raw)
        spec, status = document.spec, document.status or _Status()
        labels = cached.labels
        return Pod(
            cached.key,
            cached.uid,
            cached.resource_version,
            labels,
            tuple(sorted(labels.items())),
            self._templates.find(cached.name, cached.tenant, cached.namespace, labels, spec, cached.raw),
            spec.node_name or "",
            spec.priority or 0,
            document.metadata.creation_timestamp or "",
            status.start_time or "",
            spec.scheduler_name or "default-scheduler",
            bool(spec.scheduling_gates) or status.phase == "NoSchedule",
            cached.deleting,
            status.phase in _GONE,
            spec.preemption_policy != "Never",
            _told(status),
            _replicas_of(cached),
        )


def _replicas_of(cached: Cached) -> str:
    managing = cached.controller
    return managing.uid if managing is not None and managing.kind in _REPLICATING else ""


def _told(status: _Status) -> Told:
    for condition in status.conditions or ():
        if condition.type == "PodScheduled":
            return Told(
                condition.status, condition.reason or "", condition.message or "", status.nominated_node_name or ""
            )
    return Told(nominated=status.nominated_node_name) if status.nominated_node_name else NOTHING_TOLD
