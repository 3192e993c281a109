"""The end of containers: preStop, then the signal, then, when the time is over, the kill. All within the grace period.

The sidecars of a pod end after everything else, the last one started first (KEP-753); their preStop hooks run at the
beginning, beside the others.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping, Sequence

from arktos.agent.pods import hooks, podspec
from arktos.agent.pods.observed import Container, Observed, State
from arktos.agent.pods.table import PodRecord
from arktos.agent.pods.telling import Telling
from arktos.agent.probes.checks import Target
from arktos.agent.runtimes import Runtime
from arktos.agent.spec import labels
from arktos.model.kinds import Obj
from arktos.rpc import cri
from arktos.rpc.method import Answer, Method, Question, RpcError
from arktos.rpc.protos import cri_pb2 as pb
from arktos.wire import logs

SHORTEST = 2
"""Seconds that every container gets between signal and kill."""

SLACK = 120.0
"""Seconds beyond its grace period within which a runtime must have killed a container."""

_ALIVE = (State.RUNNING, State.UNKNOWN)
_log = logs.get_logger(__name__)


class Ending:
    """Ends the containers of one pod. What has been begun is remembered, so that a second try, with less time, runs no
    hook again."""

    def __init__(self, telling: Telling) -> None:
        self._telling = telling
        self._hooked: set[str] = set()

    async def container(
        self, runtime: Runtime, record: PodRecord, seen: Container, grace: float, message: str = ""
    ) -> None:
        """Ends one container. Raises RpcError."""
        turn = asyncio.Event()
        turn.set()
        await self._end(runtime, record, seen, grace, turn, message or f"Stopping container {seen.name}")

    async def everything(self, runtime: Runtime, record: PodRecord, grace: float) -> None:
        """Ends all containers of a pod, then its sandboxes. Raises RpcError."""
        seen = record.observed
        alive = [each for each in seen.containers if each.state in _ALIVE]
        order = _turns(record.pod, alive)
        ends = [self._in_turn(runtime, record, each, grace, order) for each in alive]
        for error in await asyncio.gather(*ends, return_exceptions=True):
            if error is not None:
                raise error
        await stop_sandboxes(runtime, seen)

    async def _in_turn(
        self, runtime: Runtime, record: PodRecord, seen: Container, grace: float, order: Mapping[str, _Turn]
    ) -> None:
        mine = order[seen.id]
        try:
            await self._end(runtime, record, seen, grace, mine.comes, f"Stopping container {seen.name}")
        finally:
            mine.end()

    async def _end(
        self, runtime: Runtime, record: PodRecord, seen: Container, grace: float, turn: asyncio.Event, message: str
    ) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace
        pod = record.pod
        if seen.id not in self._hooked:
            self._telling.normal(pod, "Killing", message, seen.name)
            await self._pre_stop(runtime, record, seen, grace)
        try:
            async with asyncio.timeout_at(deadline):
                await turn.wait()
        except TimeoutError:
            pass
        left = max(SHORTEST, math.ceil(deadline - loop.time()))
        question = pb.StopContainerRequest(container_id=seen.id, timeout=left)
        try:
            await runtime.call(cri.STOP_CONTAINER, question, within=left + SLACK)
        except RpcError as error:
            if error.code != "NOT_FOUND":
                raise

    async def _pre_stop(self, runtime: Runtime, record: PodRecord, seen: Container, grace: float) -> None:
        self._hooked.add(seen.id)
        container = _document(record.pod, seen)
        handler = (container.get("lifecycle") or {}).get("preStop")
        if not handler or grace <= 0 or seen.state is not State.RUNNING:
            return
        target = Target(runtime, seen.id, address(record), container)
        try:
            async with asyncio.timeout(grace):
                await hooks.run(handler, target)
        except TimeoutError:
            _log.info("pre_stop_cut_off", uid=record.uid, container=seen.name, grace=grace)
        except hooks.HookFailed as error:
            _log.info("pre_stop_failed", uid=record.uid, container=seen.name, error=str(error))
            self._telling.warning(record.pod, "FailedPreStopHook", "PreStopHook failed", seen.name)


def _document(pod: Obj, seen: Container) -> Obj:
    """What a container's pod says of it; of a pod that is no longer known, what the container itself carries."""
    found = podspec.named(pod, seen.name)
    if found is not None:
        return found[1]
    try:
        lifecycle = json.loads(seen.annotations.get(labels.PRE_STOP_HANDLER) or "{}")
        ports = json.loads(seen.annotations.get(labels.CONTAINER_PORTS) or "[]")
    except ValueError:
        lifecycle, ports = {}, []
    return {"name": seen.name, "lifecycle": lifecycle, "ports": ports}


class _Turn:
    """A container's turn to get its signal: `comes` when all that must have ended before it have."""

    def __init__(self, before: int) -> None:
        self.comes = asyncio.Event()
        self._missing = before
        self._after: list[_Turn] = []
        if not before:
            self.comes.set()

    def precedes(self, other: _Turn) -> None:
        self._after.append(other)

    def end(self) -> None:
        for other in self._after:
            other._missing -= 1
            if not other._missing:
                other.comes.set()
        self._after = []


def _turns(pod: Obj, alive: Sequence[Container]) -> dict[str, _Turn]:
    """Everything at once, then sidecar after sidecar, from the last to the first."""
    places = {each["name"]: place for place, each in enumerate(podspec.sidecars(pod))}
    sidecars = sorted((each for each in alive if each.name in places), key=lambda each: -places[each.name])
    first = [each for each in alive if each.name not in places]
    turns = {each.id: _Turn(0) for each in first}
    earlier = list(turns.values())
    for each in sidecars:
        turn = turns[each.id] = _Turn(len(earlier))
        for other in earlier:
            other.precedes(turn)
        earlier.append(turn)
    return turns


async def stop_sandboxes(runtime: Runtime, seen: Observed) -> None:
    """Takes networks and processes from all sandboxes of a pod. Raises RpcError."""
    for sandbox in seen.sandboxes:
        if sandbox.ready:
            await _unless_gone(runtime, cri.STOP_POD_SANDBOX, pb.StopPodSandboxRequest(pod_sandbox_id=sandbox.id))


async def remove_everything(runtime: Runtime, seen: Observed) -> None:
    """Removes all containers and sandboxes of a pod. Raises RpcError."""
    for container in seen.containers:
        await remove_container(runtime, container.id)
    for sandbox in seen.sandboxes:
        await remove_sandbox(runtime, sandbox.id)


async def remove_container(runtime: Runtime, container_id: str) -> None:
    await _unless_gone(runtime, cri.REMOVE_CONTAINER, pb.RemoveContainerRequest(container_id=container_id))


async def remove_sandbox(runtime: Runtime, sandbox_id: str) -> None:
    """Stops it first: a sandbox that was never stopped keeps its network."""
    await _unless_gone(runtime, cri.STOP_POD_SANDBOX, pb.StopPodSandboxRequest(pod_sandbox_id=sandbox_id))
    await _unless_gone(runtime, cri.REMOVE_POD_SANDBOX, pb.RemovePodSandboxRequest(pod_sandbox_id=sandbox_id))


async def _unless_gone(runtime: Runtime, method: Method[Question, Answer], question: Question) -> None:
    try:
        await runtime.call(method, question, within=SLACK)
    except RpcError as error:
        if error.code != "NOT_FOUND":
            raise


def address(record: PodRecord) -> str:
    """Where a pod is reached from its node; the node itself for one on the node's network."""
    sandbox = record.observed.sandbox
    if sandbox is not None and sandbox.ips:
        return sandbox.ips[0]
    return str((record.status or record.pod.get("status") or {}).get("hostIP") or "127.0.0.1")
