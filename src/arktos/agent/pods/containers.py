"""The Workload of containers: looks, plans, and does the steps of the plan."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from arktos.agent.images.pulling import Image
from arktos.agent.pods import podspec
from arktos.agent.pods.backoff import CrashBackoff
from arktos.agent.pods.container_status import Views
from arktos.agent.pods.ending import Ending, address, remove_container, remove_everything, remove_sandbox
from arktos.agent.pods.observed import State
from arktos.agent.pods.observing import Observer
from arktos.agent.pods.parts import Parts, log_directory
from arktos.agent.pods.plan import Kill, Plan, Situation, Start, Waiting, Why, plan, usable_sandbox
from arktos.agent.pods.resizing import Resizing
from arktos.agent.pods.starting import NotStarted, Room, Starting
from arktos.agent.pods.status import merged, pod_status
from arktos.agent.pods.table import PodRecord
from arktos.agent.pods.workload import Ended, Outcome
from arktos.agent.probes.checks import Target
from arktos.agent.probes.judging import LIVENESS, STARTUP
from arktos.agent.probes.running import Probed, Probes
from arktos.agent.runtimes import NoRuntime, Runtime
from arktos.agent.spec.facts import ConfigError, described
from arktos.agent.spec.hostname import pod_hostname
from arktos.agent.spec.sandbox import sandbox_config
from arktos.agent.volumes.volume import MountedVolume, VolumeError
from arktos.client.errors import ConnectionFailed
from arktos.model.kinds import Obj
from arktos.model.status import ApiError
from arktos.rpc import cri
from arktos.rpc.method import RpcError
from arktos.rpc.protos import cri_pb2 as pb
from arktos.wire import logs

SANDBOX_WITHIN = 240.0

_log = logs.get_logger(__name__)


@dataclass(slots=True)
class _Memory:
    """What is known of a pod beyond its document and its runtime; all of it may be lost."""

    ending: Ending
    resizing: Resizing
    waiting: dict[str, Waiting] = field(default_factory=dict)
    volumes: dict[str, MountedVolume] | None = None
    shown: tuple[Obj, Obj] | None = None
    """The pod's labels and annotations as its volumes show them."""
    config: pb.PodSandboxConfig | None = None
    adopted: bool = False
    """Whether probes of containers that run already were told that they are not new."""


class Containers:
    """Pods of containers, in the runtimes of type container. `wake` takes the uid of a pod that is to be looked at."""

    def __init__(self, parts: Parts, probes: Probes, wake: Callable[[str], None]) -> None:
        self._parts = parts
        self._probes = probes
        self._wake = wake
        self._starting = Starting(parts)
        self._backoff = CrashBackoff()
        self._observers: dict[str, Observer] = {}
        self._memories: dict[str, _Memory] = {}

    # looking

    async def observe(self, record: PodRecord) -> None:
        """As `Workload`. Raises NoRuntime, RpcError."""
        runtime = await self._runtime(record)
        observer = self._observers.setdefault(runtime.name, Observer(runtime))
        record.observed = await observer.observe(record.uid, record.observed)
        self._follow(record, runtime)

    def status(self, record: PodRecord, ended: Ended | None) -> Obj:
        """As `Workload`."""
        memory = self._memory(record)
        pod = merged(record)
        views = Views(
            pod,
            record.observed,
            self._probes.verdicts,
            memory.waiting,
            memory.resizing.actual(record),
            memory.resizing.allocated(record),
            ending=record.terminating,
        )
        facts = self._parts.facts()
        conditions = memory.resizing.conditions(record)
        return pod_status(views, host_ips=facts.ips, now=time.time(), ended=ended, resizing=conditions)

    # working

    async def sync(self, record: PodRecord) -> Outcome:
        """As `Workload`."""
        memory = self._memory(record)
        runtime = await self._runtime(record)
        made = plan(self._situation(record, memory))
        starting = {step.container["name"] for step in made.start}
        memory.waiting = {name: said for name, said in memory.waiting.items() if name in starting} | dict(made.waiting)
        if made.finished:
            return Outcome(finished=True)
        for name in made.waiting:
            message = f"Back-off restarting failed container {name} in pod {described(record.pod)}"
            self._parts.telling.warning(record.pod, "BackOff", message, name)
        settled = made.idle and memory.volumes is not None and memory.shown == _shown(record.pod)
        try:
            if not settled or memory.resizing.due(record):
                return await self._work(record, memory, runtime, made)
        except (VolumeError, ConfigError) as error:
            self._parts.telling.warning(record.pod, error.reason, error.message)
            return Outcome(made.again, error.message)
        except (ApiError, ConnectionFailed, OSError) as error:
            return Outcome(made.again, f"{type(error).__name__}: {error}")
        return Outcome(made.again)

    async def kill(self, record: PodRecord, grace: float) -> None:
        """As `Workload`. Raises NoRuntime, RpcError."""
        runtime = await self._runtime(record)
        await self._memory(record).ending.everything(runtime, record, grace)

    async def remove(self, record: PodRecord) -> None:
        """As `Workload`. Raises NoRuntime, RpcError."""
        runtime = await self._runtime(record)
        await remove_everything(runtime, record.observed)
        observer = self._observers.get(runtime.name)
        if observer is not None:
            observer.forget(each.id for each in record.observed.containers)

    def forget(self, uid: str) -> None:
        """As `Workload`."""
        self._memories.pop(uid, None)
        self._backoff.forget(uid)
        self._probes.forget(uid)
        self._parts.images.forget(uid)

    # details

    def _memory(self, record: PodRecord) -> _Memory:
        known = self._memories.get(record.uid)
        if known is None:
            known = self._memories[record.uid] = _Memory(Ending(self._parts.telling), Resizing(self._parts))
        return known

    async def _runtime(self, record: PodRecord) -> Runtime:
        """The runtime of a pod, chosen once. Raises NoRuntime."""
        if not record.runtime:
            handler = await self._parts.sources.runtime_handler(record.pod)
            record.runtime = self._parts.runtimes.choose(record.pod, handler).name
        runtime = self._parts.runtimes.get(record.runtime)
        if runtime is None:
            raise NoRuntime(f"this node has no runtime {record.runtime!r}")
        return runtime

    def _situation(self, record: PodRecord, memory: _Memory) -> Situation:
        now = time.time()
        return Situation(
            record.pod,
            record.observed,
            self._probes.verdicts,
            lambda name, ended: self._backoff.wait((record.uid, name), ended, now),
            lambda name: self._backoff.delay((record.uid, name)),
            memory.resizing.restarting(record),
        )

    def _follow(self, record: PodRecord, runtime: Runtime) -> None:
        """Probes exactly what runs."""
        if record.terminating:
            self._probes.forget(record.uid)
            return
        memory = self._memory(record)
        before = {} if memory.adopted else _told(record.pod)
        memory.adopted = True
        probed = []
        for role, container in podspec.everyone(record.pod):
            seen = record.observed.container(container["name"])
            if seen is None or seen.state is not State.RUNNING or role in (podspec.Role.INIT, podspec.Role.EPHEMERAL):
                continue
            was = before.get(seen.id, {})
            target = Target(runtime, seen.id, address(record), container)
            probed.append(Probed(record.uid, target, seen.started_at, was.get("started"), was.get("ready")))
        self._probes.follow(record.uid, probed)

    async def _work(self, record: PodRecord, memory: _Memory, runtime: Runtime, made: Plan) -> Outcome:
        if made.kill_pod:
            await self._kill_pod(record, memory, runtime)
        if made.kill:
            await asyncio.gather(*(self._kill(record, memory, runtime, each) for each in made.kill))
            return Outcome(0.0)
        room, images = await self._prepare(record, memory, runtime, made)
        await memory.resizing.apply(record, runtime)
        again, failure = made.again, ""
        for step, image in zip(made.start, images, strict=True):
            name = step.container["name"]
            try:
                await self._start(record, memory, room, step, image)
            except NotStarted as not_started:
                failure = failure or not_started.waiting.message
                if not_started.waiting.reason:
                    memory.waiting[name] = not_started.waiting
                again = _sooner(again, not_started.again)
            else:
                memory.waiting.pop(name, None)
                again = 0.0
        for container_id in made.remove_containers:
            await remove_container(runtime, container_id)
        for sandbox_id in made.remove_sandboxes:
            await remove_sandbox(runtime, sandbox_id)
        return Outcome(again)

    async def _prepare(
        self, record: PodRecord, memory: _Memory, runtime: Runtime, made: Plan
    ) -> tuple[Room, Sequence[Image | NotStarted]]:
        """Sandbox, volumes and images, at the same time. Raises what goes wrong with the sandbox or the volumes."""

        def wake() -> None:
            self._wake(record.uid)

        room = asyncio.ensure_future(self._room(record, memory, runtime, made.create_sandbox))
        volumes = asyncio.ensure_future(self._parts.volumes.set_up(record.pod))
        images = [
            asyncio.ensure_future(self._starting.image(runtime, record, step.container, wake)) for step in made.start
        ]
        # All to their ends, whatever goes wrong with one: what was made is not to be made twice.
        await asyncio.gather(room, volumes, *images, return_exceptions=True)
        memory.volumes = volumes.result()
        memory.shown = _shown(record.pod)
        sandbox_id, config, ips = room.result()
        return Room(runtime, sandbox_id, config, ips, memory.volumes), [image.result() for image in images]

    async def _room(
        self, record: PodRecord, memory: _Memory, runtime: Runtime, attempt: int | None
    ) -> tuple[str, pb.PodSandboxConfig, tuple[str, ...]]:
        """The sandbox, made if `attempt` says so: id, configuration, addresses."""
        pod, facts = record.pod, self._parts.facts()
        current = usable_sandbox(pod, record.observed)
        if attempt is None and memory.config is not None and current is not None:
            return current.id, memory.config, current.ips
        directory = log_directory(self._parts.logs_dir, pod)
        number = attempt if attempt is not None else (current.attempt if current else 0)
        config = sandbox_config(
            pod,
            attempt=number,
            warn=partial(self._parts.telling.warning, pod),
            facts=facts,
            cgroup_parent=await self._parts.cgroups.create(pod),
            log_directory=str(directory),
            hostname=pod_hostname(pod, facts),
        )
        memory.config = config
        if attempt is None:
            return (current.id, config, current.ips) if current is not None else ("", config, ())
        await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True, mode=0o755)
        handler = await self._parts.sources.runtime_handler(pod)
        question = pb.RunPodSandboxRequest(config=config, runtime_handler="" if handler == runtime.name else handler)
        try:
            answer = await runtime.call(cri.RUN_POD_SANDBOX, question, within=SANDBOX_WITHIN)
        except RpcError as error:
            said = f"rpc error: code = {error.code} desc = {error.message}"
            message = f"Failed to create pod sandbox: {said}"
            self._parts.telling.warning(pod, "FailedCreatePodSandBox", message)
            raise
        status = await runtime.call(
            cri.POD_SANDBOX_STATUS, pb.PodSandboxStatusRequest(pod_sandbox_id=answer.pod_sandbox_id)
        )
        network = status.status.network
        ips = tuple(ip for ip in (network.ip, *(each.ip for each in network.additional_ips)) if ip)
        return answer.pod_sandbox_id, config, ips

    async def _start(
        self, record: PodRecord, memory: _Memory, room: Room, step: Start, image: Image | NotStarted
    ) -> None:
        if isinstance(image, NotStarted):
            raise image
        previous = step.previous
        if previous is not None and previous.state is State.EXITED:
            self._backoff.started((record.uid, previous.name), previous.finished_at, time.time())
        elif previous is not None and previous.state is State.CREATED:
            await remove_container(room.runtime, previous.id)
        await self._starting.start(record, step, room, image, memory.ending)

    async def _kill_pod(self, record: PodRecord, memory: _Memory, runtime: Runtime) -> None:
        message = "Pod sandbox changed, it will be killed and re-created."
        self._parts.telling.normal(record.pod, "SandboxChanged", message)
        await memory.ending.everything(runtime, record, float(podspec.grace(record.pod)))

    async def _kill(self, record: PodRecord, memory: _Memory, runtime: Runtime, step: Kill) -> None:
        _log.info("container_stopped", uid=record.uid, container=step.container.name, why=step.why.value)
        grace = _grace(record.pod, step)
        await memory.ending.container(runtime, record, step.container, grace, step.message)


def _shown(pod: Obj) -> tuple[Obj, Obj]:
    """What of a pod can change and be seen in its volumes (downwardAPI)."""
    meta = pod["metadata"]
    return meta.get("labels") or {}, meta.get("annotations") or {}


def _grace(pod: Obj, step: Kill) -> float:
    """Seconds for a container's end: what the probe that failed says, else the pod's."""
    probe = {Why.LIVENESS: LIVENESS, Why.STARTUP: STARTUP}.get(step.why)
    found = podspec.named(pod, step.container.name)
    if probe and found is not None:
        stated = (found[1].get(probe) or {}).get("terminationGracePeriodSeconds")
        if stated is not None:
            return float(stated)
    return float(podspec.grace(pod))


def _told(pod: Obj) -> dict[str, Obj]:
    """The statuses that the API has of containers, by the runtime's id."""
    status = pod.get("status") or {}
    listed = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    return {each.get("containerID", "").split("://", 1)[-1]: each for each in listed if each.get("containerID")}


def _sooner(one: float | None, other: float | None) -> float | None:
    given = [each for each in (one, other) if each is not None]
    return min(given) if given else None
