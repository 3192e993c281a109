"""In-place resize (KEP-1287): running containers are given the resources that their pod's document now says.

What a container has is known from its start, or from the API's status of it after a restart of this process. A resize
for which the node has no room waits, and the pod's conditions say so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from arktos.agent.pods import conditions, podspec
from arktos.agent.pods.conditions import Verdict
from arktos.agent.pods.observed import State
from arktos.agent.pods.parts import Parts
from arktos.agent.pods.podspec import Role
from arktos.agent.pods.table import PodRecord
from arktos.agent.runtimes import Runtime
from arktos.agent.spec.resources import linux_resources
from arktos.model import quantity
from arktos.model.kinds import Obj
from arktos.rpc import cri
from arktos.rpc.method import RpcError
from arktos.rpc.protos import cri_pb2 as pb

_RESIZED = ("cpu", "memory")
_ROLES = (Role.REGULAR, Role.SIDECAR)


class Resizing:
    """The resources of one pod's containers, by container id."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._actual: dict[str, Obj] = {}
        self._failure = ""

    def actual(self, record: PodRecord) -> Mapping[str, Obj]:
        """What running containers have, by id."""
        self._learn(record)
        return self._actual

    def allocated(self, record: PodRecord) -> Mapping[str, Obj]:
        """The requests that containers were granted, by name."""
        self._learn(record)
        found = {}
        for _, container in podspec.everyone(record.pod):
            seen = record.observed.container(container["name"])
            granted = self._actual.get(seen.id) if seen is not None else None
            requests = (granted if granted is not None else container.get("resources") or {}).get("requests")
            if requests:
                found[container["name"]] = requests
        return found

    def restarting(self, record: PodRecord) -> frozenset[str]:
        """The running containers whose new resources need a restart, and may be had."""
        wanted = [each for each in self._pending(record) if _needs_restart(*each)]
        if not wanted or self._parts.admission.refuse_resize(record.pod):
            return frozenset()
        return frozenset(container["name"] for container, _ in wanted)

    def due(self, record: PodRecord) -> bool:
        """Whether some container can be given other resources as it runs, now."""
        wanted = [each for each in self._pending(record) if not _needs_restart(*each)]
        return bool(wanted) and self._parts.admission.refuse_resize(record.pod) is None

    def conditions(self, record: PodRecord) -> Sequence[tuple[str, Verdict]]:
        """What the pod's conditions say of a resize; nothing if none is wanted."""
        if record.terminating or not self._pending(record):
            return ()
        refused = self._parts.admission.refuse_resize(record.pod)
        if refused is not None:
            return ((conditions.RESIZE_PENDING, ("True", *refused)),)
        verdict = ("True", "Error", self._failure) if self._failure else ("True", "", "")
        return ((conditions.RESIZE_IN_PROGRESS, verdict),)

    async def apply(self, record: PodRecord, runtime: Runtime) -> None:
        """Gives containers their new resources. What fails is said in the pod's conditions, and tried again."""
        if not self.due(record):
            return
        try:
            await self._parts.cgroups.create(record.pod)
            for container, _ in self._pending(record):
                seen = record.observed.container(container["name"])
                if seen is None or _needs_restart(container, self._actual[seen.id]):
                    continue
                wanted = linux_resources(record.pod, container, self._parts.facts())
                question = pb.UpdateContainerResourcesRequest(container_id=seen.id, linux=wanted)
                await runtime.call(cri.UPDATE_CONTAINER_RESOURCES, question)
                self._actual[seen.id] = container.get("resources") or {}
            self._failure = ""
        except (RpcError, OSError) as error:
            self._failure = str(error)
            raise

    def _pending(self, record: PodRecord) -> list[tuple[Obj, Obj]]:
        """Running containers that have other resources than they should: their documents, and what they have."""
        self._learn(record)
        found = []
        for role, container in podspec.everyone(record.pod):
            seen = record.observed.container(container["name"])
            if role in _ROLES and seen is not None and seen.state is State.RUNNING:
                has = self._actual[seen.id]
                if _different(container.get("resources") or {}, has):
                    found.append((container, has))
        return found

    def _learn(self, record: PodRecord) -> None:
        """Notes the resources of containers not seen before, forgets those that are gone."""
        status = record.pod.get("status") or {}
        told = {
            each.get("containerID", "").split("://", 1)[-1]: each.get("resources")
            for part in ("containerStatuses", "initContainerStatuses")
            for each in status.get(part) or ()
        }
        alive = {}
        for _, container in podspec.everyone(record.pod):
            seen = record.observed.container(container["name"])
            if seen is not None and seen.state is State.RUNNING:
                known = self._actual.get(seen.id)
                first = told.get(seen.id)
                given = first if first is not None else container.get("resources") or {}
                alive[seen.id] = known if known is not None else given
        self._actual = alive


def _different(wanted: Obj, has: Obj) -> bool:
    return bool(_changed(wanted, has))


def _changed(wanted: Obj, has: Obj) -> set[str]:
    """The resources whose request or limit differs."""
    return {
        name
        for part in ("requests", "limits")
        for name in _RESIZED
        if _amount(wanted, part, name) != _amount(has, part, name)
    }


def _amount(resources: Obj, part: str, name: str) -> quantity.Quantity | None:
    stated = (resources.get(part) or {}).get(name)
    return None if stated is None else quantity.parse(str(stated))


def _needs_restart(container: Obj, has: Obj) -> bool:
    """Whether some resource that changes has the resize policy RestartContainer."""
    policies = {each["resourceName"]: each.get("restartPolicy") for each in container.get("resizePolicy") or ()}
    changed = _changed(container.get("resources") or {}, has)
    return any(policies.get(name) == "RestartContainer" for name in changed)
