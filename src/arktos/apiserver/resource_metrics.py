"""metrics.k8s.io: what nodes and pods use, by asking the nodes' agents when somebody wants to know.

    asked for pods   --> the store says which there are, where they run, and who may see them
                     --> each node concerned is asked once (or not at all, if it was a moment ago)
                     --> joined by the pods' uids

What an agent says of a pod counts only if the store has that pod bound to that agent's node: a node can say nothing
about another node's pods, and a tenant sees what it sees in `pods`. A node that is slow or away costs its own pods
their place in the list, and nobody else theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Protocol

import msgspec

from arktos.apiserver import represent
from arktos.apiserver.call import Call
from arktos.apiserver.encoding import dumps
from arktos.apiserver.reader import Reader
from arktos.apiserver.verbs.list import query_of
from arktos.model import dates
from arktos.model.kinds import SYSTEM_TENANT, Kind, Obj
from arktos.model.quantity import Format, Quantity
from arktos.model.status import ApiError, not_found
from arktos.store.records import Header, Key, Page, Query, Record
from arktos.wire import logs
from arktos.wire.http import Response
from arktos.wire.http_client import HttpResponse
from arktos.wire.protobuf_values import format_duration

PATH = "/stats/usage"
"""Where an agent answers: nanocores and bytes of its node and of each pod."""

FRESH = 10.0
"""Seconds for which an agent's answer is kept; silence is kept as long."""
PATIENCE = 3.0
"""Seconds that an agent has to answer."""
AT_ONCE = 64
"""Agents that are asked at the same time."""

_MOST_NODES = 16384
_log = logs.get_logger(__name__)


class Agents(Protocol):
    """The agents of nodes, as `kubelets.Kubelets` reaches them. Raises ApiError for one that cannot be reached."""

    async def get(self, node: str, path: str, *, within: float = 10.0) -> HttpResponse: ...


class _Container(msgspec.Struct, frozen=True, gc=False):
    name: str
    cpu: int
    memory: int


class _Pod(msgspec.Struct, frozen=True):
    uid: str
    time: float
    window: float
    containers: list[_Container]


class _Node(msgspec.Struct, frozen=True, gc=False):
    time: float
    window: float
    cpu: int
    memory: int


class Usage(msgspec.Struct, frozen=True):
    """An agent's answer; `node` is None until it has measured for a while."""

    node: _Node | None = None
    pods: list[_Pod] = []


_NOTHING = Usage()
_decoder = msgspec.json.Decoder(Usage)


class NodeUsage:
    """What agents said, kept for a moment. Those who ask for the same node at the same time wait for one answer."""

    def __init__(self, agents: Agents, *, fresh: float = FRESH, patience: float = PATIENCE) -> None:
        self._agents = agents
        self._fresh = fresh
        self._patience = patience
        self._asked: dict[str, tuple[float, asyncio.Task[Usage]]] = {}
        self._room = asyncio.Semaphore(AT_ONCE)

    async def of(self, nodes: Iterable[str]) -> Mapping[str, Usage]:
        """The usage of each node; nothing of those that do not answer in time. Never raises."""
        names = list(dict.fromkeys(nodes))
        answers = await asyncio.gather(*(asyncio.shield(self._task(name)) for name in names))
        return dict(zip(names, answers, strict=True))

    def _task(self, node: str) -> asyncio.Task[Usage]:
        now = asyncio.get_running_loop().time()
        known = self._asked.get(node)
        if known is not None and (now < known[0] or not known[1].done()):
            return known[1]
        if len(self._asked) >= _MOST_NODES:
            self._asked = {name: entry for name, entry in self._asked.items() if now < entry[0]}
        task = asyncio.create_task(self._ask(node), name=f"usage of {node}")
        self._asked[node] = (now + self._fresh, task)
        return task

    async def _ask(self, node: str) -> Usage:
        try:
            async with self._room, asyncio.timeout(self._patience):
                answer = await self._agents.get(node, PATH, within=self._patience)
            if answer.status != 200:
                raise ValueError(f"answered {answer.status}: {answer.body[:200]!r}")
            return _decoder.decode(answer.body)
        except (ApiError, TimeoutError, ValueError, msgspec.DecodeError) as error:
            _log.debug("usage_missing", node=node, error=f"{type(error).__name__}: {error}")
            return _NOTHING

    async def aclose(self) -> None:
        """Ends what is under way."""
        running = [task for _, task in self._asked.values() if not task.done()]
        self._asked.clear()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


class ResourceMetrics:
    """Answers GET and LIST of the kinds that are measured."""

    def __init__(self, reader: Reader, usage: NodeUsage) -> None:
        self._reader = reader
        self._usage = usage

    async def answer(self, call: Call, verb: str) -> Response:
        """Raises NotFound for what does not exist or has not been measured."""
        pods = call.kind.plural == "pods"
        wanted = self._wanted(call, pods)
        found = await (self._pods(call.kind, wanted) if pods else self._nodes(call.kind, wanted))
        if verb == "list":
            return await represent.collection(call, Page(found, self._reader.revision, False, 0))
        if not found:
            name = f"{call.info.namespace}/{call.info.name}" if pods else call.info.name
            raise not_found(f"{call.kind.kind.lower()}.{call.kind.group}", name)
        return represent.one(call, found[0])

    def _wanted(self, call: Call, pods: bool) -> list[Record]:
        """The stored objects whose metrics are asked for."""
        resource = "pods" if pods else "nodes"
        if call.info.name:
            record = self._reader.get(call.key._replace(resource=resource))
            return [record] if record is not None else []
        query = query_of(call)
        tenant = query.tenant if pods else SYSTEM_TENANT
        return list(self._reader.list(Query(resource, tenant, query.namespace, query.selector)).records)

    async def _pods(self, kind: Kind, records: Iterable[Record]) -> list[Record]:
        running = [
            (record, node)
            for record in records
            if (node := record.header.fields.get("spec.nodeName", ""))
            and record.header.fields.get("status.phase") == "Running"
        ]
        usage = await self._usage.of(node for _, node in running)
        measured = {node: {pod.uid: pod for pod in found.pods} for node, found in usage.items()}
        return [
            _record(
                kind,
                record,
                pod.time,
                pod.window,
                {"containers": [_used(c.cpu, c.memory, c.name) for c in pod.containers]},
            )
            for record, node in running
            if (pod := measured[node].get(record.header.uid)) is not None
        ]

    async def _nodes(self, kind: Kind, records: Iterable[Record]) -> list[Record]:
        nodes = list(records)
        usage = await self._usage.of(record.key.name for record in nodes)
        return [
            _record(kind, record, node.time, node.window, _used(node.cpu, node.memory))
            for record in nodes
            if (node := usage[record.key.name].node) is not None
        ]


def _record(kind: Kind, about: Record, at: float, window: float, content: Obj) -> Record:
    """A metrics object as if it were stored; its revision is the time it is of, in microseconds."""
    time = dates.rfc3339(dates.from_unix(at))
    key = about.key
    metadata: Obj = {"name": key.name, "creationTimestamp": time}
    if key.namespace:
        metadata.update(namespace=key.namespace, tenant=key.tenant)
    if about.header.labels:
        metadata["labels"] = about.header.labels
    body: Obj = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}
    body.update(timestamp=time, window=format_duration(round(window * 1000) * 10**6), **content)
    header = Header(about.header.uid, labels=about.header.labels)
    return Record(Key(kind.resource, key.tenant, key.namespace, key.name), int(at * 1e6), header, dumps(body))


def _used(nanocores: int, memory: int, name: str = "") -> Obj:
    usage = {"cpu": str(Quantity(nanocores)), "memory": str(Quantity.of(memory, Format.BINARY))}
    return {"name": name, "usage": usage} if name else {"usage": usage}
