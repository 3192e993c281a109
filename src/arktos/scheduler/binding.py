"""Carrying out bindings: written several at a time, repeated where the answer was lost, taken back where it is no.

A pod with claims that wait for their consumer is bound when these are: the chosen node is written on the claims first,
and the pod comes back into the line when the last of them is bound.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from arktos.client import Client, ConnectionFailed, Recorder
from arktos.client.ratelimit import Backoff
from arktos.model import registry
from arktos.model.kinds import Obj
from arktos.model.status import ApiError
from arktos.scheduler.engine import Bind, Engine
from arktos.scheduler.metrics import Metrics
from arktos.scheduler.pods import PodKey
from arktos.wire import logs

PODS = registry.by_resource("pods")
CLAIMS = registry.by_resource("persistentvolumeclaims")
_WRITERS = 24
_IN_LINE = 256
_PROVISIONING_SECONDS = 600.0
_SELECTED_NODE = "volume.kubernetes.io/selected-node"
_log = logs.get_logger(__name__)


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
        self._provisioning: dict[PodKey, tuple[Bind, float]] = {}
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
                    self._provisioning[bind.pod.key] = (bind, loop.time() + _PROVISIONING_SECONDS)
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
        tenant, namespace, _ = bind.pod.key
        patch: Obj = {"metadata": {"annotations": {_SELECTED_NODE: bind.node}}}
        for claim in bind.waiting:
            await self._client.patch(CLAIMS, claim, patch, namespace=namespace, tenant=tenant)

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
            for key, (bind, deadline) in list(self._provisioning.items()):
                if all(self._engine.volumes.is_bound((*key[:2], claim)) for claim in bind.waiting):
                    del self._provisioning[key]
                    await self.put(bind._replace(waiting=()))
                elif loop.time() > deadline or self._engine.known(key) is None:
                    del self._provisioning[key]
                    self._failed(bind, "timed out waiting for its volumes")

    def _failed(self, bind: Bind, why: str) -> None:
        self._metrics.failed += 1
        _log.info("binding_failed", pod=bind.pod.path, node=bind.node, error=why)
        self._engine.bind_failed(bind, asyncio.get_running_loop().time())
        self._woken()
