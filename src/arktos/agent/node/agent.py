"""The node part of the agent, put together: what the agent's process makes once and runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from arktos.agent.images.ledger import Ledger
from arktos.agent.node import eviction, machine, runtime_health
from arktos.agent.node.conditions import READY
from arktos.agent.node.container_logs import ContainerLogs
from arktos.agent.node.eviction import Evict, Evictions
from arktos.agent.node.heartbeat import Heartbeat
from arktos.agent.node.image_gc import ImageCollector
from arktos.agent.node.options import NodeOptions
from arktos.agent.node.registration import NODES, Registration, keep_reporting
from arktos.agent.node.relief import Relief
from arktos.agent.node.runtime_watch import RuntimeWatch
from arktos.agent.node.stats import Stats
from arktos.agent.node.stats.collect import Collector
from arktos.agent.node.status import NodeFacts
from arktos.agent.pods.table import Pods
from arktos.agent.runtimes import Runtimes
from arktos.client import Cached, Client, Informer, Recorder
from arktos.model.kinds import Obj

_BOUND_AGAIN = 60.0
"""Seconds after which a bound on all pods that the kernel refused is tried again."""


class NodeAgent:
    """Registers the node and keeps its status, Lease, disk and memory in order; `await run()`.

    `evict(uid, reason, message, grace)` ends a pod for good. `bound(milli_cpu, memory)` bounds all pods together by
    what the node has for them; it may raise OSError. `ledger` is told which images are gone. `synced` says whether
    `pods` holds all pods that are bound to this node: before that, nothing is removed that might be a pod's. Public:
    `stats` for the streaming endpoint, `node` (the node object as of now), `pressures` (pressure conditions that
    hold), `unready`, and `wake`, which has the status looked at now.

    Raises OSError, on `run`, where the machine's own files cannot be read.
    """

    def __init__(
        self,
        options: NodeOptions,
        client: Client,
        runtimes: Runtimes,
        pods: Pods,
        recorder: Recorder,
        evict: Evict,
        synced: Callable[[], bool],
        bound: Callable[[int, int], Awaitable[None]] | None = None,
        ledger: Ledger | None = None,
        relief: Relief | None = None,
    ) -> None:
        self._options = options
        self._client = client
        self._all = list(runtimes)
        self._runtimes = RuntimeWatch(self._all, self.wake)
        self._bound = bound
        self._recorder = recorder
        self._informer = Informer(client, NODES, field_selector=f"metadata.name={options.node_name}")
        self._wake = asyncio.Event()
        self._registration: Registration | None = None
        self.stats = Stats(Collector(self._all, options.data_dir, options.pod_logs_dir).sample, options.node_name)
        self.images = ImageCollector(self._all, options, recorder, self._reference, ledger=ledger or Ledger())
        self.logs = ContainerLogs(self._all, pods, options, synced)
        self.evictions = Evictions(
            options.eviction,
            pods,
            self.stats,
            evict,
            self.images.reclaim,
            lambda: eviction.observe(options.data_dir, self.images.image_path),
            recorder,
            self._reference,
            self.wake,
            relief,
        )

    @property
    def node(self) -> Cached | None:
        return self._informer.get("", "", self._options.node_name)

    @property
    def pressures(self) -> frozenset[str]:
        return self.evictions.conditions

    @property
    def registered(self) -> bool:
        return self._registration is not None and bool(self._registration.uid)

    def unready(self) -> str | None:
        """Why pods do not come to this node, or not all of them can run here; None when all is well."""
        node = self.node
        if node is None:
            return "the node is not registered yet"
        found = {each.get("type"): each for each in (node.obj().get("status") or {}).get("conditions") or ()}
        ready = found.get(READY) or {}
        if ready.get("status") != "True":
            return f"the node is not ready: {ready.get('message', '')}"
        return self._runtimes.problem

    def wake(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled. The API server and the runtimes may come later, and come and go."""
        found = await asyncio.to_thread(machine.read)
        registration = Registration(self._client, self._informer, self._recorder, self._options, found)
        self._registration = registration
        self._informer.add_handler(self._node_changed)
        heartbeat = Heartbeat(
            self._client,
            self._options.node_name,
            lambda: registration.uid,
            duration=self._options.lease_duration,
            period=self._options.lease_renewal,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(self._informer.run(), name="node-watch")
            group.create_task(self._report(registration, found), name="node-status")
            group.create_task(heartbeat.run(), name="node-lease")
            group.create_task(self._runtimes.run(), name="node-runtimes")
            group.create_task(self._bound_pods(found), name="node-bound")
            group.create_task(self.stats.run(), name="node-statistics")
            group.create_task(self.evictions.run(), name="node-eviction")
            group.create_task(self.images.run(), name="node-images")
            group.create_task(self.logs.run(), name="node-logs")

    async def _report(self, registration: Registration, found: machine.Machine) -> None:
        await self._informer.synced.wait()
        await keep_reporting(registration, lambda: self._facts(found), self._options.status_frequency, self._wake)

    async def _facts(self, found: machine.Machine) -> NodeFacts:
        states, images, nodefs = await asyncio.gather(
            self._runtimes.look(),
            runtime_health.images(self._all),
            asyncio.to_thread(machine.filesystem, self._options.data_dir),
        )
        return NodeFacts(found, nodefs, states, self.pressures, images)

    async def _bound_pods(self, found: machine.Machine) -> None:
        """Bounds the pods together, once; until it succeeds they are bounded each by itself."""
        if self._bound is None:
            return
        reserved = self._options.reserved
        milli_cpu = max(0, found.cpus * 1000 - reserved.get("cpu", 0))
        while True:
            try:
                await self._bound(milli_cpu, max(0, found.memory - reserved.get("memory", 0)))
            except OSError as error:
                message = f'Failed to update Node Allocatable Limits "{error.filename}": {error.strerror or error}'
                self._recorder.event(self._reference(), "Warning", "FailedNodeAllocatableEnforcement", message)
                await asyncio.sleep(_BOUND_AGAIN)
            else:
                message = "Updated Node Allocatable limit across pods"
                self._recorder.event(self._reference(), "Normal", "NodeAllocatableEnforced", message)
                return

    def _node_changed(self, old: Cached | None, new: Cached | None) -> None:
        if new is None:
            # Deleted while we live: registered again at once.
            self.wake()

    def _reference(self) -> Obj:
        name = self._options.node_name
        return {"kind": "Node", "apiVersion": "v1", "metadata": {"name": name, "uid": name, "tenant": "system"}}
