"""The Workload of virtual machines: looks, plans, and does the step of the plan."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from arktos.agent.pods import podspec
from arktos.agent.pods.backoff import CrashBackoff
from arktos.agent.pods.ending import SLACK, remove_everything, remove_sandbox, stop_sandboxes
from arktos.agent.pods.observed import Sandbox
from arktos.agent.pods.parts import Parts, log_directory
from arktos.agent.pods.starting import CREATE_WITHIN, NotStarted, Starting
from arktos.agent.pods.status import merged
from arktos.agent.pods.table import PodRecord
from arktos.agent.pods.workload import Ended, Outcome
from arktos.agent.runtimes import NoRuntime, Runtime
from arktos.agent.spec.facts import ConfigError
from arktos.agent.spec.hostname import pod_hostname
from arktos.agent.spec.resources import linux_resources
from arktos.agent.spec.sandbox import sandbox_config
from arktos.agent.vm.document import check_user_data, machine_config
from arktos.agent.vm.machine import GUEST_SHUTDOWN, Machine, Power, terminates, wanted
from arktos.agent.vm.observing import look, snapshots
from arktos.agent.vm.plan import Step, next_step
from arktos.agent.vm.resizing import Refusal, is_due, verdicts
from arktos.agent.vm.status import View, machine_pod_status
from arktos.agent.volumes.volume import VolumeError
from arktos.client.errors import ConnectionFailed
from arktos.model.kinds import Obj
from arktos.model.status import ApiError
from arktos.rpc import cri, vm
from arktos.rpc.method import RpcError
from arktos.rpc.protos import cri_pb2 as pb
from arktos.rpc.protos import vm_pb2

SANDBOX_WITHIN = 240.0
POWER_WITHIN = 300.0
"""Seconds for a change of power besides what the guest is given; memory goes to disk in it."""


@dataclass(slots=True)
class _Memory:
    """What is known of a pod beyond its document and its runtime; all of it may be lost."""

    machine: Machine | None = None
    waiting: tuple[str, str] = ("", "")
    told: tuple[Power, float] = (Power.NONE, 0.0)
    failed: bool = False
    hostname: str = ""
    given: pb.LinuxContainerResources | None = None
    refused: Refusal | None = None
    snapshots: tuple[Obj, ...] = ()
    changes: int = 1
    """Deeds that may have changed the snapshots, as far as is known."""
    listed: int = 0
    """How many of these the snapshots are of."""
    looked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set, and made anew, at every look."""


class Machines:
    """Pods that are virtual machines, in the runtimes of type vm. `wake` takes the uid of a pod that is to be looked
    at."""

    def __init__(self, parts: Parts, wake: Callable[[str], None]) -> None:
        self._parts = parts
        self._wake = wake
        self._starting = Starting(parts)
        self._backoff = CrashBackoff()
        self._memories: dict[str, _Memory] = {}

    async def seen(self, record: PodRecord) -> Machine | None:
        """The machine of a pod as it is now, None if there is none. Raises NoRuntime, RpcError."""
        return (await look(await self.runtime(record), record.uid)).machine

    async def next_look(self, uid: str) -> None:
        """Returns when the pod has been looked at once more."""
        self._wake(uid)
        await self._memories.setdefault(uid, _Memory()).looked.wait()

    def refresh(self, uid: str) -> None:
        """Has everything of a pod looked at again: something was done to its machine."""
        if uid in self._memories:
            self._memories[uid].changes += 1
        self._wake(uid)

    async def ended(self, record: PodRecord) -> None:
        """Returns when the pod is stopped for good."""
        while not record.terminating:
            await self._memory(record).looked.wait()

    # looking

    async def observe(self, record: PodRecord) -> None:
        """As `Workload`. Raises NoRuntime, RpcError."""
        runtime = await self.runtime(record)
        seen = await look(runtime, record.uid)
        record.observed = seen.observed
        memory = self._memory(record)
        memory.machine, memory.given = seen.machine, seen.resources
        if seen.machine is not None and seen.machine.power is Power.RUNNING:
            memory.waiting = ("", "")
        if seen.machine is not None and memory.listed < memory.changes:
            changes = memory.changes
            try:
                memory.snapshots = await snapshots(runtime, seen.machine)
            except RpcError as error:
                # A disk that cannot be read must not keep everything else of the machine from being told.
                if error.code != "UNKNOWN":
                    raise
            # What was done meanwhile is not in them: they are asked for once more.
            memory.listed = changes
        self._tell_ends(record, memory)
        looked, memory.looked = memory.looked, asyncio.Event()
        looked.set()

    def status(self, record: PodRecord, ended: Ended | None) -> Obj:
        """As `Workload`."""
        memory = self._memory(record)
        view = View(
            merged(record),
            memory.machine,
            record.observed,
            memory.waiting,
            memory.failed,
            memory.snapshots,
            verdicts(memory.machine, memory.given, memory.refused),
        )
        return machine_pod_status(view, host_ips=self._parts.facts().ips, now=time.time(), ended=ended)

    # working

    async def sync(self, record: PodRecord) -> Outcome:
        """As `Workload`."""
        memory = self._memory(record)
        runtime = await self.runtime(record)
        policy = podspec.restart_policy(record.pod)
        step = next_step(wanted(record.pod), memory.machine, terminates=terminates(record.pod), restart_policy=policy)
        try:
            await self._resize(record, memory, runtime)
            return await self._do(record, memory, runtime, step)
        except NotStarted as not_started:
            memory.waiting = (not_started.waiting.reason, not_started.waiting.message)
            return Outcome(not_started.again)
        except (VolumeError, ConfigError) as error:
            memory.waiting = (error.reason, error.message)
            self._parts.telling.warning(record.pod, error.reason, error.message)
            return Outcome(error=error.message)
        except (ApiError, ConnectionFailed, OSError) as error:
            return Outcome(error=f"{type(error).__name__}: {error}")

    async def kill(self, record: PodRecord, grace: float) -> None:
        """As `Workload`. Raises NoRuntime, RpcError."""
        runtime = await self.runtime(record)
        for seen in record.observed.containers:
            memory = self._memory(record)
            if memory.machine is not None and memory.machine.power in (Power.RUNNING, Power.PAUSED):
                self._parts.telling.normal(record.pod, "Killing", f"Stopping virtual machine {seen.name}")
            timeout = math.ceil(grace)
            try:
                question = pb.StopContainerRequest(container_id=seen.id, timeout=timeout)
                await runtime.call(cri.STOP_CONTAINER, question, within=timeout + SLACK)
            except RpcError as error:
                if error.code != "NOT_FOUND":
                    raise
        await stop_sandboxes(runtime, record.observed)

    async def remove(self, record: PodRecord) -> None:
        """As `Workload`. Raises NoRuntime, RpcError."""
        await remove_everything(await self.runtime(record), record.observed)

    def forget(self, uid: str) -> None:
        """As `Workload`."""
        self._memories.pop(uid, None)
        self._backoff.forget(uid)
        self._parts.images.forget(uid)

    async def runtime(self, record: PodRecord) -> Runtime:
        """The runtime of a pod, chosen once. Raises NoRuntime."""
        if not record.runtime:
            handler = await self._parts.sources.runtime_handler(record.pod)
            record.runtime = self._parts.runtimes.choose(record.pod, handler).name
        runtime = self._parts.runtimes.get(record.runtime)
        if runtime is None:
            raise NoRuntime(f"this node has no runtime {record.runtime!r}")
        return runtime

    async def _resize(self, record: PodRecord, memory: _Memory, runtime: Runtime) -> None:
        """Gives a machine the resources that its pod's document says by now, where the node has them."""
        memory.refused, spec = None, record.pod["spec"]["virtualMachine"]
        wanted = linux_resources(record.pod, spec, self._parts.facts())
        if memory.machine is None or not is_due(wanted, memory.given):
            return
        memory.refused = self._parts.admission.refuse_resize(record.pod)
        if memory.refused is not None:
            return
        question = pb.UpdateContainerResourcesRequest(container_id=memory.machine.id, linux=wanted)
        try:
            await self._parts.cgroups.create(record.pod)
            await runtime.call(cri.UPDATE_CONTAINER_RESOURCES, question)
        except (RpcError, OSError) as error:
            self._parts.telling.warning(record.pod, "ResizeFailed", f"Cannot resize virtual machine: {error}")
            raise
        self._parts.telling.normal(record.pod, "Resized", f"Resized virtual machine {spec['name']}")
        self._wake(record.uid)

    # steps

    async def _do(self, record: PodRecord, memory: _Memory, runtime: Runtime, step: Step) -> Outcome:
        if step is Step.NOTHING:
            return Outcome()
        if step is Step.SUCCEED or step is Step.FAIL:
            memory.failed = step is Step.FAIL
            return Outcome(finished=True, deleted=step is Step.SUCCEED)
        if step is Step.CREATE:
            await self._create(record, memory, runtime)
            return Outcome(0.0)
        assert memory.machine is not None
        if step is Step.RESTART:
            left = self._crash_wait(record, memory, memory.machine)
            if left > 0:
                return Outcome(left)
        if step in (Step.RUN, Step.RESTART):
            await self._run(record, memory, runtime, memory.machine)
            return Outcome(0.0)
        await self._change(record, runtime, memory.machine, step)
        return Outcome(0.0)

    async def _create(self, record: PodRecord, memory: _Memory, runtime: Runtime) -> None:
        pod, machine = record.pod, record.pod["spec"]["virtualMachine"]
        facts = self._parts.facts()
        memory.hostname = pod_hostname(pod, facts)
        await asyncio.to_thread(check_user_data, machine)

        def wake() -> None:
            self._wake(record.uid)

        room = asyncio.ensure_future(self._room(record, memory, runtime))
        volumes = asyncio.ensure_future(self._parts.volumes.set_up(pod))
        image = asyncio.ensure_future(self._starting.image(runtime, record, machine, wake))
        # All to their ends, whatever goes wrong with one: what was made is not to be made twice.
        await asyncio.gather(room, volumes, image, return_exceptions=True)
        mounted, (sandbox, config), found = volumes.result(), room.result(), image.result()
        if isinstance(found, NotStarted):
            raise found
        told = machine_config(
            pod,
            image_ref=found.ref,
            mounts=await self._parts.volumes.mounts(pod, machine, mounted, sandbox.ips),
            devices=await self._parts.volumes.devices(pod, machine, mounted),
            facts=facts,
            hostname=memory.hostname,
        )
        question = pb.CreateContainerRequest(pod_sandbox_id=sandbox.id, config=told, sandbox_config=config)
        try:
            await runtime.call(cri.CREATE_CONTAINER, question, within=CREATE_WITHIN)
        except RpcError as error:
            self._fail(record, memory, "CreateVirtualMachineError", error)
            raise
        memory.waiting = ("", "")
        self._parts.telling.normal(pod, "Created", f"Created virtual machine {machine['name']}")

    async def _room(self, record: PodRecord, memory: _Memory, runtime: Runtime) -> tuple[Sandbox, pb.PodSandboxConfig]:
        """A sandbox that is ready, an old one or a new one, and its config."""
        pod, current = record.pod, record.observed.sandbox
        directory = log_directory(self._parts.logs_dir, pod)
        reusable = current is not None and current.ready and bool(current.ips)
        attempt = 0 if current is None else current.attempt + (not reusable)
        config = sandbox_config(
            pod,
            attempt=attempt,
            warn=partial(self._parts.telling.warning, pod),
            facts=self._parts.facts(),
            cgroup_parent=await self._parts.cgroups.create(pod),
            log_directory=str(directory),
            hostname=memory.hostname,
        )
        if current is not None and reusable:
            return current, config
        await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True, mode=0o755)
        handler = await self._parts.sources.runtime_handler(pod)
        question = pb.RunPodSandboxRequest(config=config, runtime_handler="" if handler == runtime.name else handler)
        try:
            answer = await runtime.call(cri.RUN_POD_SANDBOX, question, within=SANDBOX_WITHIN)
        except RpcError as error:
            said = f"rpc error: code = {error.code} desc = {error.message}"
            self._parts.telling.warning(pod, "FailedCreatePodSandBox", f"Failed to create pod sandbox: {said}")
            raise
        for old in record.observed.sandboxes:
            await remove_sandbox(runtime, old.id)
        status = await runtime.call(
            cri.POD_SANDBOX_STATUS, pb.PodSandboxStatusRequest(pod_sandbox_id=answer.pod_sandbox_id)
        )
        ip = status.status.network.ip
        return Sandbox(answer.pod_sandbox_id, attempt, True, time.time(), (ip,) if ip else ()), config

    async def _run(self, record: PodRecord, memory: _Memory, runtime: Runtime, machine: Machine) -> None:
        if machine.power is Power.CRASHED:
            self._backoff.started((record.uid, machine.id), machine.changed_at, time.time())
        # A machine outlives its host's run; what is mounted and its cgroup do not.
        await self._parts.cgroups.create(record.pod)
        await self._parts.volumes.set_up(record.pod)
        try:
            await self._power(runtime, machine, vm_pb2.RUNNING)
        except RpcError as error:
            self._fail(record, memory, "RunVirtualMachineError", error)
            raise
        memory.waiting = ("", "")
        name = record.pod["spec"]["virtualMachine"]["name"]
        going_on = machine.power in (Power.PAUSED, Power.SUSPENDED)
        reason, verb = ("Resumed", "Resumed") if going_on else ("Started", "Started")
        self._parts.telling.normal(record.pod, reason, f"{verb} virtual machine {name}")

    async def _change(self, record: PodRecord, runtime: Runtime, machine: Machine, step: Step) -> None:
        name = record.pod["spec"]["virtualMachine"]["name"]
        if step is Step.STOP:
            self._parts.telling.normal(record.pod, "Stopping", f"Stopping virtual machine {name}")
            await self._power(runtime, machine, vm_pb2.STOPPED, podspec.grace(record.pod))
        elif step is Step.PAUSE:
            await self._power(runtime, machine, vm_pb2.PAUSED)
            self._parts.telling.normal(record.pod, "Paused", f"Paused virtual machine {name}")
        elif step is Step.SUSPEND:
            await self._power(runtime, machine, vm_pb2.SUSPENDED)
            self._parts.telling.normal(record.pod, "Suspended", f"Suspended virtual machine {name}")

    async def _power(self, runtime: Runtime, machine: Machine, power: vm_pb2.Power, grace: int = 0) -> None:
        question = vm_pb2.SetPowerRequest(id=machine.id, power=power, grace_seconds=grace)
        await runtime.call(vm.SET_POWER, question, within=POWER_WITHIN + grace)

    # telling

    def _memory(self, record: PodRecord) -> _Memory:
        return self._memories.setdefault(record.uid, _Memory())

    def _fail(self, record: PodRecord, memory: _Memory, reason: str, error: RpcError) -> None:
        memory.waiting = (reason, error.message)
        self._parts.telling.warning(record.pod, "Failed", f"Error: {error.message}")

    def _crash_wait(self, record: PodRecord, memory: _Memory, machine: Machine) -> float:
        """Seconds until a crashed machine may be started again; says so when there are any."""
        key = (record.uid, machine.id)
        left = self._backoff.wait(key, machine.changed_at, time.time())
        if left > 0:
            name = record.pod["spec"]["virtualMachine"]["name"]
            delay = f"back-off {self._backoff.delay(key):.0f}s restarting crashed virtual machine {name}"
            memory.waiting = ("CrashLoopBackOff", delay)
            self._parts.telling.warning(record.pod, "BackOff", f"Back-off restarting crashed virtual machine {name}")
        return left

    def _tell_ends(self, record: PodRecord, memory: _Memory) -> None:
        """An event for each end that nobody here has asked for, once."""
        machine = memory.machine
        if machine is None:
            return
        now = (machine.power, machine.changed_at)
        if now == memory.told:
            return
        memory.told = now
        name = record.pod["spec"]["virtualMachine"]["name"]
        if machine.power is Power.CRASHED:
            why = f"{machine.reason}: {machine.message}" if machine.message else machine.reason
            self._parts.telling.warning(record.pod, "Crashed", f"Virtual machine {name} crashed: {why}")
        elif machine.power is Power.STOPPED and machine.reason == GUEST_SHUTDOWN:
            self._parts.telling.normal(
                record.pod, "GuestShutdown", f"Virtual machine {name} was shut down by its guest"
            )
