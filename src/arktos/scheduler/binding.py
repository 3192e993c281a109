"""Carrying out bindings: written several at a time, repeated where the answer was lost, taken back where it is no.

A pod with claims that wait for their consumer is bound when these are: the chosen node is written on the claims first,
and the pod comes back into the line when the last of them is bound.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from arktos.client import Client, ConnectionFailed, Recorder
from arktos.client.ratelimit import Backoff
from arktos.model import registry
from arktos.model.kinds import Obj
from arktos.model.status import ApiError
from arktos.scheduler.engine import Bind, Engine
from arktos.scheduler.metrics import Metrics
from arktos.scheduler.pods import PodKey
from arktos.scheduler.volumes import CONFLICT, PLUGIN, SELECTED_NODE
from arktos.wire import logs

PODS = registry.by_resource("pods")
CLAIMS = registry.by_resource("persistentvolumeclaims")
_WRITERS = 24
_IN_LINE = 256
_PROVISIONING_SECONDS = 600.0
_log = logs.get_logger(__name__)


@dataclass(slots=True)
class _Waiting:
    """A pod whose claims are being bound. `seen` are those that showed the node that was chosen."""

    bind: Bind
    deadline: float
    seen: set[str] = field(default_factory=set)


class Binder:
    """`put` waits while the line is full. `woken` is called when a pod went back to the queue."""

    def __init__(
        self, client: Client, engine: Engine, recorder: Recorder, metrics: Metrics, woken: Callable[[], None]
    ) -> None:
        self._client = client
        self._engine = engine
        self._recorder = recorder
        self._metrics = metrics
        self._woken = woken
        self._line: asyncio.Queue[Bind] = asyncio.Queue(_IN_LINE)
        self._provisioning: dict[PodKey, _Waiting] = {}
        self._provisioned = asyncio.Event()

    async def put(self, bind: Bind) -> None:
        await self._line.put(bind)

    def claims_changed(self) -> None:
        """Some claim may be bound now."""
        if self._provisioning:
            self._provisioned.set()

    async def run(self) -> None:
        """Writes until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(_WRITERS):
                group.create_task(self._write())
            group.create_task(self._wait_for_claims())

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            bind = await self._line.get()
            try:
                if bind.waiting:
                    await self._select_node(bind)
                    self._provisioning[bind.pod.key] = _Waiting(bind, loop.time() + _PROVISIONING_SECONDS)
                    self._provisioned.set()
                else:
                    await self._bind(bind)
            except (ApiError, ConnectionFailed) as error:
                self._failed(bind, f"{type(error).__name__}: {error}")

    async def _bind(self, bind: Bind) -> None:
        tenant, namespace, name = bind.pod.key
        body: Obj = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "namespace": namespace, "uid": bind.pod.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": bind.node},
        }
        backoff: Backoff | None = None
        while True:
            try:
                await self._client.create(
                    PODS, body, subresource="binding", name=name, namespace=namespace, tenant=tenant
                )
                break
            except ConnectionFailed:
                # It may have been written. The booking stands, and writing it again does no harm: at worst a Conflict,
                # and by then the pod's own event has said where it is.
                backoff = backoff or Backoff(0.1, 5.0)
                await asyncio.sleep(backoff.next())
        self._metrics.scheduled += 1
        self._recorder.event(
            bind.pod.reference(),
            "Normal",
            "Scheduled",
            f"Successfully assigned {bind.pod.path} to {bind.node}",
            "Binding",
        )

    async def _select_node(self, bind: Bind) -> None:
        """On claims that nobody has chosen a node for since we looked, lest a volume is made where the pod is not."""
        tenant, namespace, _ = bind.pod.key
        for name in bind.waiting:
            claim = self._engine.volumes.claim((tenant, namespace, name))
            if claim is None or claim.selected == bind.node:
                continue
            told: Obj = {"annotations": {SELECTED_NODE: bind.node}}
            if claim.revision:
                told["resourceVersion"] = claim.revision
            await self._client.patch(CLAIMS, name, {"metadata": told}, namespace=namespace, tenant=tenant)

    async def _wait_for_claims(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            timeout = 10.0 if self._provisioning else None
            try:
                async with asyncio.timeout(timeout):
                    await self._provisioned.wait()
            except TimeoutError:
                pass
            self._provisioned.clear()
            for key, waiting in list(self._provisioning.items()):
                bind, why = waiting.bind, self._unmet(waiting, loop.time())
                if why is None:
                    continue
                del self._provisioning[key]
                if not why:
                    await self.put(bind._replace(waiting=()))
                    continue
                said = f'running PreBind plugin "{PLUGIN}": binding volumes: {why}'
                if self._engine.known(key) is not None:
                    self._recorder.event(bind.pod.reference(), "Warning", "FailedScheduling", said, "Scheduling")
                self._failed(bind, said)

    def _unmet(self, waiting: _Waiting, now: float) -> str | None:
        """Why a pod will not have its volumes on its node, "" if it has them; None while that is not known."""
        bind, known = waiting.bind, self._engine.volumes
        if self._engine.known(bind.pod.key) is None:
            return "the pod has gone"
        bound = True
        for name in bind.waiting:
            key = (*bind.pod.key[:2], name)
            claim = known.claim(key)
            if claim is None:
                return f'persistentvolumeclaims "{name}" not found'
            if known.is_bound(key):
                continue
            bound = False
            if claim.selected == bind.node:
                waiting.seen.add(name)
            elif name in waiting.seen or claim.selected:
                return f'provisioning failed for PVC "{name}"'
        if bound:
            return "" if self._engine.reaches(bind) else CONFLICT
        return "context deadline exceeded" if now > waiting.deadline else None

    def _failed(self, bind: Bind, why: str) -> None:
        self._metrics.failed += 1
        _log.info("binding_failed", pod=bind.pod.path, node=bind.node, error=why)
        self._engine.bind_failed(bind, asyncio.get_running_loop().time())
        self._woken()
