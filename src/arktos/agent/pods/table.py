"""The pods of this node: what each should be, and what was last seen of it.

    record = pods.find("acme", "default", "web-0")
    if record and (container := record.container_id("nginx")): ...

One `Pods` per agent. The pod workers write it; everyone else on the event loop reads: node status, eviction, stats and
the streaming endpoint. What a reader gets is current as of the last event of the runtime, without asking it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from arktos.agent.pods.observed import NOTHING, Container, Observed, State
from arktos.model.kinds import Obj

FINISHED = frozenset({"Succeeded", "Failed"})


@dataclass(slots=True, eq=False)
class PodRecord:
    """One pod.

    `pod` is the newest object from the API server, with the status that it had there: replaced as a whole, never
    changed. `status` is the status that this agent gives it ({} before the first look). `observed` is what the runtime
    named `runtime` has of it. `terminating` is true from the moment at which it is being stopped for good, for whatever
    reason; `finished` once nothing of it runs or will run. `admitted` once this node has taken it: only then does it
    count for what the node has left.
    """

    pod: Obj
    runtime: str = ""
    observed: Observed = NOTHING
    status: Obj = field(default_factory=dict)
    terminating: bool = False
    finished: bool = False
    admitted: bool = False

    @property
    def uid(self) -> str:
        return str(self.pod["metadata"]["uid"])

    @property
    def tenant(self) -> str:
        return str(self.pod["metadata"].get("tenant") or "")

    @property
    def namespace(self) -> str:
        return str(self.pod["metadata"].get("namespace") or "")

    @property
    def name(self) -> str:
        return str(self.pod["metadata"]["name"])

    @property
    def sandbox_id(self) -> str:
        """The newest sandbox, "" without one. It need not be ready."""
        sandbox = self.observed.sandbox
        return sandbox.id if sandbox else ""

    @property
    def ips(self) -> tuple[str, ...]:
        """The pod's addresses in its newest sandbox; empty on the host's network."""
        sandbox = self.observed.sandbox
        return sandbox.ips if sandbox else ()

    def container(self, name: str) -> Container | None:
        """The newest container (or virtual machine) of a name, running or not; init and ephemeral ones too."""
        return self.observed.container(name)

    def container_id(self, name: str, *, running: bool = True) -> str:
        """The runtime's id of the newest container of a name, "" if there is none that runs; with `running=False` one
        that has ended will do."""
        found = self.observed.container(name)
        if found is None or (running and found.state is not State.RUNNING):
            return ""
        return found.id


class Pods:
    """By uid, and by tenant, namespace and name. Where two pods of one name are here (the elder one still ending), a
    name is the younger's."""

    def __init__(self) -> None:
        self._by_uid: dict[str, PodRecord] = {}
        self._by_name: dict[tuple[str, str, str], str] = {}

    def __len__(self) -> int:
        return len(self._by_uid)

    def __iter__(self) -> Iterator[PodRecord]:
        """All pods, as of now."""
        return iter(list(self._by_uid.values()))

    def __contains__(self, uid: str) -> bool:
        return uid in self._by_uid

    def get(self, uid: str) -> PodRecord | None:
        return self._by_uid.get(uid)

    def find(self, tenant: str, namespace: str, name: str) -> PodRecord | None:
        return self._by_uid.get(self._by_name.get((tenant, namespace, name), ""))

    def by_container(self, container_id: str) -> PodRecord | None:
        """The pod that has a container, or a sandbox, of this id."""
        for record in self._by_uid.values():
            seen = record.observed
            ids = [*(each.id for each in seen.containers), *(each.id for each in seen.sandboxes)]
            if container_id in ids:
                return record
        return None

    # for the pod workers

    def put(self, pod: Obj) -> PodRecord:
        """Takes the newest object of a pod, and gives its record."""
        meta = pod["metadata"]
        record = self._by_uid.get(meta["uid"])
        if record is None:
            record = self._by_uid[meta["uid"]] = PodRecord(pod)
        else:
            record.pod = pod
        if not meta.get("deletionTimestamp") or (record.tenant, record.namespace, record.name) not in self._by_name:
            self._by_name[record.tenant, record.namespace, record.name] = record.uid
        return record

    def forget(self, uid: str) -> None:
        """Drops a pod of which nothing is left."""
        record = self._by_uid.pop(uid, None)
        if record is None:
            return
        key = (record.tenant, record.namespace, record.name)
        if self._by_name.get(key) == uid:
            del self._by_name[key]
