"""The node's own object: made when it is not there, brought in line when it is, and its status kept true."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime

from arktos.agent.node import status as statuses
from arktos.agent.node.conditions import NODE_EVENTS
from arktos.agent.node.machine import Machine
from arktos.agent.node.options import NodeOptions
from arktos.agent.node.status import NodeFacts
from arktos.client import Cached, Client, ConnectionFailed, Informer, Recorder
from arktos.client.ratelimit import Backoff
from arktos.model import registry
from arktos.model.dates import rfc3339
from arktos.model.kinds import Obj
from arktos.model.status import AlreadyExists, ApiError, NotFound
from arktos.wire import logs

NODES = registry.by_resource("nodes")
CONTROLLED = {"volumes.kubernetes.io/controller-managed-attach-detach": "true"}

FactsSource = Callable[[], Awaitable[NodeFacts]]

_log = logs.get_logger(__name__)


def new_node(machine: Machine, options: NodeOptions, status: Obj) -> Obj:
    """The object that a node registers with. Pure."""
    spec: Obj = {"taints": list(options.taints)} if options.taints else {}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": options.node_name,
            "labels": statuses.labels(machine, options),
            "annotations": dict(CONTROLLED),
        },
        "spec": spec,
        "status": status,
    }


def label_changes(wanted: Mapping[str, str], current: Mapping[str, str]) -> dict[str, str]:
    """What an existing node's labels lack. Labels that others gave it stay. Pure."""
    return {name: value for name, value in wanted.items() if current.get(name) != value}


class Registration:
    """Keeps the node object there and its status true.

    `informer` mirrors this one node. `report(facts)` is called every few seconds with what is known; it writes when
    something changed, or when the last word is older than `status_report_frequency`. Failures are raised as the client
    raises them; the next report tries again. `uid` is that of the node object, "" before the first registration.
    """

    def __init__(
        self, client: Client, informer: Informer, recorder: Recorder, options: NodeOptions, machine: Machine
    ) -> None:
        self._client = client
        self._informer = informer
        self._recorder = recorder
        self._options = options
        self._machine = machine
        self._reported = float("-inf")
        self._labelled = ""
        self._booted = ""
        self.uid = ""

    @property
    def node(self) -> Cached | None:
        """The node object as of now."""
        return self._informer.get("", "", self._options.node_name)

    async def report(self, facts: NodeFacts) -> bool:
        """Registers, or brings the status up to date. Whether anything was written."""
        node = self.node
        if node is None:
            return await self._register(facts)
        self.uid = node.uid
        current = node.obj()
        await self._adopt(current)
        return await self._update(current, facts)

    async def _register(self, facts: NodeFacts) -> bool:
        now = datetime.now(UTC)
        made = new_node(self._machine, self._options, statuses.status(facts, self._options, {}, rfc3339(now)))
        try:
            created = await self._client.create(NODES, made)
        except AlreadyExists:
            # The mirror is behind; the next report finds it.
            return False
        self._adopted(created)
        self._reported = asyncio.get_running_loop().time()
        _log.info("node_registered", node=self._options.node_name, uid=self.uid)
        self._tell(created["status"]["conditions"], {})
        return True

    async def _adopt(self, current: Obj) -> None:
        """Labels of a node that was there before this agent (or before its restart). Once for each object."""
        if self._labelled == self.uid:
            return
        meta = current["metadata"]
        labels = label_changes(statuses.labels(self._machine, self._options), meta.get("labels") or {})
        annotations = label_changes(CONTROLLED, meta.get("annotations") or {})
        if labels or annotations:
            change: Obj = {"metadata": {"uid": self.uid, "labels": labels, "annotations": annotations}}
            await self._client.patch(NODES, self._options.node_name, change, type="strategic")
        before = ((current.get("status") or {}).get("nodeInfo") or {}).get("bootID", "")
        if before and before != self._machine.boot_id:
            text = f"Node {self._options.node_name} has been rebooted, boot id: {self._machine.boot_id}"
            self._recorder.event(self._reference(), "Warning", "Rebooted", text)
        self._adopted(current)

    async def _update(self, current: Obj, facts: NodeFacts) -> bool:
        loop = asyncio.get_running_loop()
        before: Obj = current.get("status") or {}
        wanted = statuses.status(facts, self._options, before, rfc3339(datetime.now(UTC)))
        due = loop.time() - self._reported >= self._options.status_report_frequency
        if not due and not statuses.is_change(wanted, before):
            return False
        change = statuses.patch(wanted, before, self.uid)
        await self._client.patch(NODES, self._options.node_name, change, type="strategic", subresource="status")
        self._reported = loop.time()
        self._tell(wanted["conditions"], {c.get("type"): c for c in before.get("conditions") or ()})
        return True

    def _adopted(self, node: Obj) -> None:
        self.uid = self._labelled = node["metadata"]["uid"]
        if not self._booted:
            self._booted = self.uid
            self._recorder.event(self._reference(), "Normal", "Starting", "Starting kubelet.")

    def _tell(self, conditions: list[Obj], before: Mapping[str, Obj]) -> None:
        for condition in conditions:
            reason = NODE_EVENTS.get((condition["type"], condition["status"]))
            known = before.get(condition["type"]) or {}
            if reason and known.get("status") != condition["status"]:
                text = f"Node {self._options.node_name} status is now: {reason}"
                self._recorder.event(self._reference(), "Normal", reason, text)

    def _reference(self) -> Obj:
        """As kubelet's events name a node: by its name, in place of the uid."""
        name = self._options.node_name
        return {"kind": "Node", "apiVersion": "v1", "metadata": {"name": name, "uid": name, "tenant": "system"}}


async def keep_reporting(registration: Registration, facts: FactsSource, period: float, wake: asyncio.Event) -> None:
    """Reports every `period` seconds, and at once when `wake` is set, until cancelled. What fails is tried again with
    back-off, and logged."""
    backoff = Backoff(0.2, period)
    while True:
        pause = period
        try:
            await registration.report(await facts())
            backoff.reset()
        except NotFound:
            # Deleted while we wrote; the mirror will have heard of it by the next look.
            pause = backoff.next()
        except (ApiError, ConnectionFailed, OSError) as error:
            pause = backoff.next()
            _log.warning("node_status_not_written", error=f"{type(error).__name__}: {error}", retry_in=round(pause, 2))
        try:
            await asyncio.wait_for(wake.wait(), pause)
        except TimeoutError:
            continue
        wake.clear()
