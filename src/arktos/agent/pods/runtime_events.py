"""Hears from the runtimes which pods have changed: containerd's event stream, the VM runtime's watch.

Events name containers and sandboxes; the table of pods says whose they are. What it does not know yet (a container that
is just being made) belongs to a pod whose worker looks anyhow when its own call returns; for its end, which the runtime
may still not show then, the table is asked again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from arktos.agent.pods.table import Pods
from arktos.agent.runtimes import Runtime
from arktos.client.ratelimit import Backoff
from arktos.rpc import containerd, cri, vm
from arktos.rpc.method import RpcError
from arktos.rpc.protos import containerd_events_pb2, cri_pb2, vm_pb2
from arktos.wire import logs

CONTAINERD_NAMESPACE = "k8s.io"
_EXITS = ("/tasks/exit", "/tasks/delete")
_OTHERS = ("/tasks/start", "/tasks/oom", "/tasks/paused", "/tasks/resumed")
_AGAIN = (0.05, 0.5, 3.0, 10.0)
"""Seconds after an end at which to look again: the runtime's CRI side hears of it from the same stream, not earlier."""
_SETTLING = (1.0, 4.0)
_HEALTHY = 5.0

_log = logs.get_logger(__name__)


class RuntimeEvents:
    """One runtime's events. `wake` takes the uid of a pod; `resumed` is called whenever the stream was (re-)opened, for
    what was missed meanwhile nobody will tell."""

    def __init__(
        self, runtime: Runtime, pods: Pods, wake: Callable[[str], None], resumed: Callable[[Runtime], None]
    ) -> None:
        self._runtime = runtime
        self._pods = pods
        self._wake = wake
        self._resumed = resumed
        self._backoff = Backoff(0.1, 5.0)

    async def run(self) -> None:
        """Until cancelled; a stream that breaks is opened again."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await (self._machines() if self._runtime.type == "vm" else self._containers())
                error = "the runtime has closed it"
            except RpcError as broken:
                error = str(broken)
            if loop.time() - began > _HEALTHY:
                self._backoff.reset()
            delay = self._backoff.next()
            _log.warning("runtime_events_broken", runtime=self._runtime.name, error=error, again=round(delay, 2))
            await asyncio.sleep(delay)

    async def _containers(self) -> None:
        question = containerd_events_pb2.SubscribeRequest(filters=[f"namespace=={CONTAINERD_NAMESPACE}"])
        resuming = asyncio.create_task(self._when_there())
        try:
            async for envelope in self._runtime.stream(containerd.SUBSCRIBE, question):
                self._heard(envelope.topic, envelope.event.value)
        finally:
            resuming.cancel()

    def _heard(self, topic: str, encoded: bytes) -> None:
        if topic in _EXITS:
            exit_event = containerd_events_pb2.TaskExit.FromString(encoded)
            container_id = exit_event.container_id
            if topic == "/tasks/exit" and exit_event.id != container_id:
                return  # a command that was run inside
        elif topic in _OTHERS:
            container_id = containerd_events_pb2.TaskEvent.FromString(encoded).container_id
        else:
            return
        record = self._pods.by_container(container_id)
        if record is not None:
            self._wake(record.uid)
        if topic in _EXITS:
            loop = asyncio.get_running_loop()
            for delay in _AGAIN:
                loop.call_later(delay, self._wake_if_alive, container_id)

    def _wake_if_alive(self, container_id: str) -> None:
        """Looks again at what has ended and was not seen to have. Whose it was may have become known only now: a
        container can end before the call that started it has returned."""
        record = self._pods.by_container(container_id)
        if record is None:
            return
        alive = {each.id for each in record.observed.running}
        alive |= {each.id for each in record.observed.sandboxes if each.ready}
        if container_id in alive:
            self._wake(record.uid)

    async def _when_there(self) -> None:
        """Tells of the stream as soon as the runtime answers: the stream itself is silent until something happens. And
        twice more: the runtime may have answered this before it took the subscription in."""
        while True:
            try:
                await self._runtime.call(cri.VERSION, cri_pb2.VersionRequest(), within=5.0)
                break
            except RpcError:
                await asyncio.sleep(0.2)
        for pause in _SETTLING:
            self._resumed(self._runtime)
            await asyncio.sleep(pause)
        self._resumed(self._runtime)

    async def _machines(self) -> None:
        resuming = asyncio.create_task(self._when_there())
        try:
            async for change in self._runtime.stream(vm.WATCH, vm_pb2.WatchRequest()):
                if change.machine.pod_uid in self._pods:
                    self._wake(change.machine.pod_uid)
        finally:
            resuming.cancel()
