"""One virtual machine: its record, and the QEMU process while it has one.

Everything that changes it goes through one lock; what QEMU and the guest do by themselves is heard by two tasks, one
for the monitor's events, one for the end of the process. The record is saved before anything that depends on it
happens, in such an order that a runtime killed at any point finds out what became of the machine (`power.finding`).
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from arktos.rpc.method import RpcError
from arktos.vmruntime import processes
from arktos.vmruntime.cgroup import Cgroup
from arktos.vmruntime.console import Console
from arktos.vmruntime.consolelog import LogFile
from arktos.vmruntime.errors import CalledOff, Failed, WrongState
from arktos.vmruntime.guest_agent import GuestAgent
from arktos.vmruntime.messages import container_config
from arktos.vmruntime.monitor import Monitor, Unreachable
from arktos.vmruntime.power import ACTIVE, Condition, Event, Power, after
from arktos.vmruntime.processes import Process
from arktos.vmruntime.qemu_command import MEMORY_DEVICE, MONITOR, arguments
from arktos.vmruntime.records import QEMU_FOLDER, Hardware, MachineRecord, Records
from arktos.vmruntime.users import Users
from arktos.wire import logs

_CONNECT_WITHIN, _CONNECT_POLL = 60.0, 0.02
_QUIT_WITHIN = 5.0
_PRESS_AGAIN = 10.0
_DISK_RETRY = 15.0
_ONE_RESET = 2.0
"""Seconds: firmware that finds itself started anew resets the machine once or twice more before it boots."""
MEMORY_FILE = "memory"
OOM_KILLED = "OOMKilled"
"""The reason of a machine whose QEMU the kernel has ended, as containers have it."""
OUT_OF_MEMORY = "the kernel killed QEMU: it used more than its guest's memory and its overhead, or the node ran out"

_log = logs.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Host:
    """What all machines of a runtime share."""

    records: Records[MachineRecord]
    users: Users
    groups: Sequence[int]
    changed: Callable[[str], None]


class Machine:
    """Its methods are the steps that others compose, all to be called with `lock` held."""

    def __init__(self, host: Host, record: MachineRecord, log_path: Path | None, cgroup: Cgroup) -> None:
        self.host = host
        self.record = record
        self.folder = host.records.path(record.id)
        self.lock = asyncio.Lock()
        self.agent = GuestAgent(self.folder)
        self.agent_present = False
        self.taken = 0
        """Bytes of its memory device that its guest has taken."""
        self.cgroup = cgroup
        self.log_file = LogFile(self.folder, log_path)
        self.console: Console | None = None
        self.process: Process | None = None
        self.monitor: Monitor | None = None
        self.ending = asyncio.Event()
        """Set while somebody ends it: what only waits is called off."""
        self._end_by = math.inf
        self._enders = 0
        self._sooner = asyncio.Event()
        self._reset = asyncio.Event()
        self._started = 0.0
        self._reset_at = -_ONE_RESET
        self._tasks: list[asyncio.Task[None]] = []
        self._saving = asyncio.Lock()

    @property
    def condition(self) -> Condition:
        return self.record.condition

    @property
    def power(self) -> Power:
        return self.record.condition.power

    @property
    def disk_folder(self) -> Path:
        return self.folder / QEMU_FOLDER

    @property
    def memory_file(self) -> Path:
        return self.folder / MEMORY_FILE

    def require_monitor(self) -> Monitor:
        """Raises WrongState without a process."""
        if self.monitor is None:
            raise WrongState(f"the machine is {self.power}: it has no process")
        return self.monitor

    async def note(self, event: Event, *, durable: bool = False, **detail: Any) -> None:
        """What has happened, saved and told. Raises NotAllowed; with `durable`, OSError where it cannot be saved, and
        nothing has happened then. Without, a full disk does not keep a machine from being stopped and removed."""
        async with self._saving:
            before = self.record.condition
            self.record.condition = after(before, event, time.time_ns(), **detail)
            try:
                await self._save()
            except OSError as error:
                if durable:
                    self.record.condition = before
                    raise
                _log.warning("record_not_saved", id=self.record.id, error=str(error))
            finally:
                now = self.condition
                _log.info("machine", id=self.record.id, what=event.value, power=now.power.value, reason=now.reason)
                self.host.changed(self.record.id)

    async def save(self) -> None:
        async with self._saving:
            await self._save()

    async def _save(self) -> None:
        await asyncio.to_thread(self.host.records.save, self.record)

    # The process

    async def launch(
        self, hardware: Hardware, descriptors: dict[str, int], taps: list[int], incoming: int | None = None
    ) -> None:
        """A process that stands still, with its monitor. The descriptors stay the caller's. Raises Failed with QEMU's
        words; then nothing is left of it."""
        command = arguments(self.record.id, hardware, descriptors, taps, incoming)
        kept = [*descriptors.values(), *taps, *([] if incoming is None else [incoming])]
        self.record.hardware = hardware
        self._started = processes.now()
        user = self.host.users.user(self.record.uid)
        try:
            await asyncio.to_thread(self.cgroup.prepare, hardware.cpus, hardware.memory_mib + hardware.extra_mib)
            pid = await asyncio.to_thread(processes.start, command, self.folder, user, self.host.groups, kept)
        except OSError as error:
            raise Failed(f"QEMU cannot be started: {error}") from None
        self.process = Process(pid)
        try:
            # Of what its guest is to have it has touched nothing yet.
            await asyncio.to_thread(self.cgroup.take, pid)
            score = container_config(self.record).linux.resources.oom_score_adj
            await asyncio.to_thread(processes.set_oom_score, pid, score)
            self.monitor = await self._reach(self.process)
        except BaseException:
            self.process.kill()
            await self.process.ended.wait()
            self.process = None
            await asyncio.to_thread(self.cgroup.remove)
            raise

    async def _reach(self, process: Process) -> Monitor:
        deadline = asyncio.get_running_loop().time() + _CONNECT_WITHIN
        while True:
            if process.ended.is_set():
                said = await asyncio.to_thread(processes.words, self.folder)
                raise Failed(f"QEMU ended at its start: {said or f'exit code {process.exit_code}'}")
            try:
                return await Monitor.connect(self.disk_folder, MONITOR)
            except Unreachable as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise Failed(str(error)) from None
            with suppress(TimeoutError):
                await asyncio.wait_for(process.ended.wait(), _CONNECT_POLL)

    async def adopt_process(self, pid: int) -> str | None:
        """Takes over a process that another runtime started. Its run state, None where it has gone or is deaf; a deaf
        one is killed."""
        process = Process(pid)
        try:
            self.monitor = await asyncio.wait_for(self._reach(process), _CONNECT_WITHIN)
            status = await self.monitor.status()
            self.agent_present = await _agent_present(self.monitor)
            await self._learn_hardware(self.monitor)
            await asyncio.to_thread(self.cgroup.take, pid)
        except (RpcError, Unreachable, TimeoutError, OSError) as error:
            _log.warning("machine_not_adopted", id=self.record.id, error=str(error))
            process.kill()
            await process.ended.wait()
            await self._forget_process()
            return None
        self.process = process
        return status

    async def _learn_hardware(self, monitor: Monitor) -> None:
        """What was plugged in, and not yet noted when the former runtime ended."""
        hardware = self.record.hardware
        if hardware is None:
            return
        if hardware.max_cpus:
            self.record.hardware = msgspec.structs.replace(hardware, cpus=await monitor.cpus())
        await self.learn_memory()

    async def learn_memory(self) -> None:
        """How much more memory its guest has, where no event tells."""
        if self.monitor is not None and self.record.hardware is not None and self.record.hardware.max_mib:
            self.taken = await self.monitor.taken_memory(MEMORY_DEVICE)

    def watch(self) -> None:
        """From now on the process's output, events and end are taken care of."""
        assert self.process is not None and self.monitor is not None
        self.console = Console(self.folder, self.log_file)
        talking = asyncio.create_task(self.console.run(), name="console")
        self._tasks = [
            talking,
            asyncio.create_task(self._hear(self.monitor), name="machine-events"),
            asyncio.create_task(self._outlive(self.process, talking), name="machine-end"),
        ]

    async def end_process(self) -> None:
        """Ends it in good order if that is quick, by force if not; returns when it has gone and all is told."""
        process, monitor = self.process, self.monitor
        if process is None:
            return
        if monitor is not None:
            with suppress(RpcError, Unreachable):
                await monitor.execute("quit", within=_QUIT_WITHIN)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.ended.wait(), _QUIT_WITHIN)
        process.kill()
        await process.ended.wait()
        await self._settled()

    async def _settled(self) -> None:
        """Until the tasks of an ended process have done their part."""
        tasks = [task for task in self._tasks if task.get_name() != "disk-full"]
        if tasks:
            await asyncio.wait(tasks)
        await self._forget_process()

    async def _forget_process(self) -> None:
        monitor, self.monitor, self.process = self.monitor, None, None
        self.agent_present = False
        self.taken = 0
        if monitor is not None:
            await monitor.close()
        if self.process is None:
            await asyncio.to_thread(self.cgroup.remove)

    async def _outlive(self, process: Process, talking: asyncio.Task[None]) -> None:
        await process.ended.wait()
        await asyncio.wait((talking,))
        if self.power in ACTIVE and self.process is process:
            reason, message = await self._cause(process)
            with suppress(OSError):
                await self.note(Event.PROCESS_GONE, reason=reason, message=message, exit_code=process.exit_code)
        if self.process is process:
            await self._forget_process()

    async def _cause(self, process: Process) -> tuple[str, str]:
        if await self.was_oom_killed() or await asyncio.to_thread(processes.oom_killed, process.pid, self._started):
            return OOM_KILLED, OUT_OF_MEMORY
        said = await asyncio.to_thread(processes.words, self.folder)
        return "", f"QEMU ended: {said}" if said else "QEMU ended without having been told to"

    async def was_oom_killed(self) -> bool:
        """Whether the kernel has ended its process for want of memory, as its cgroup knows."""
        return await asyncio.to_thread(self.cgroup.oom_kills) > 0

    # What QEMU and the guest do by themselves

    async def _hear(self, monitor: Monitor) -> None:
        while (event := await monitor.events.get()) is not None:
            try:
                await self._happened(monitor, event["event"], event.get("data") or {})
            except (RpcError, Unreachable, OSError) as error:
                _log.warning("event_unhandled", id=self.record.id, qemu=event["event"], error=str(error))

    async def _happened(self, monitor: Monitor, name: str, data: dict[str, Any]) -> None:
        if name == "SHUTDOWN" and data.get("guest") and self.power in ACTIVE:
            await self.guest_shut_down()
        elif name == "RESET" and data.get("reason") != "snapshot-load" and self.power in ACTIVE:
            self._reset.set()
            before, self._reset_at = self._reset_at, asyncio.get_running_loop().time()
            if self._reset_at - before > _ONE_RESET:
                await self.note(Event.RESET)
        elif name == "VSERPORT_CHANGE" and data.get("id") == "agent0":
            self.agent_present = bool(data.get("open"))
            self.host.changed(self.record.id)
        elif name == "MEMORY_DEVICE_SIZE_CHANGE" and data.get("id") == MEMORY_DEVICE:
            self.taken = int(data["size"])
            self.host.changed(self.record.id)
        elif name == "BLOCK_IO_ERROR" and data.get("action") == "stop" and self.power is Power.RUNNING:
            why = "no space left" if data.get("nospace") else str(data.get("reason"))
            await self.note(Event.DISK_FULL, message=f"a write to a disk failed: {why}; tried again by and by")
            self._tasks.append(asyncio.create_task(self._try_again(monitor), name="disk-full"))

    async def guest_shut_down(self) -> None:
        """Noted before the process that says so is ended. Does not need the lock: who holds it is waiting for this."""
        process, monitor = self.process, self.monitor
        await self.note(Event.GUEST_SHUTDOWN)
        if monitor is not None:
            with suppress(RpcError, Unreachable):
                await monitor.execute("quit", within=_QUIT_WITHIN)
        if process is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(process.ended.wait(), _QUIT_WITHIN)
            process.kill()

    async def _try_again(self, monitor: Monitor) -> None:
        """A guest that stands still for want of disk space goes on when there is some again."""
        while self.power is Power.PAUSED and self.condition.reason == "DiskFull" and self.monitor is monitor:
            await asyncio.sleep(_DISK_RETRY)
            async with self.lock:
                if self.condition.reason != "DiskFull" or self.monitor is not monitor:
                    return
                with suppress(RpcError, Unreachable, OSError):
                    await monitor.execute("cont")
                    await self.note(Event.CONTINUED, reason="Resumed")

    # What those do who hold the lock

    @contextmanager
    def ends_within(self, seconds: float) -> Iterator[None]:
        """Everybody knows meanwhile that it is to end, and by when. Of several the first moment counts."""
        self._enders += 1
        self._end_by = min(self._end_by, asyncio.get_running_loop().time() + seconds)
        self.ending.set()
        self._sooner.set()
        try:
            yield
        finally:
            self._enders -= 1
            if not self._enders:
                self._end_by = math.inf
                self.ending.clear()

    async def press_power(self) -> bool:
        """Presses the power button, again now and then since a guest that is booting does not feel it. Whether the
        process has gone by the moment of `ends_within`."""
        while self.process is not None and not self.process.ended.is_set():
            self._sooner.clear()
            left = self._end_by - asyncio.get_running_loop().time()
            if left <= 0:
                return False
            with suppress(RpcError, Unreachable):
                await self.require_monitor().execute("system_powerdown")
            await _either(self.process.ended, self._sooner, min(left, _PRESS_AGAIN))
        await self._settled()
        return True

    def expect_reset(self) -> None:
        """From now on `was_reset` hears of one."""
        self._reset.clear()

    async def was_reset(self, within: float) -> bool:
        """Whether it is, in so many seconds. Raises CalledOff where somebody wants to end it meanwhile."""
        await _either(self._reset, self.ending, within)
        if not self._reset.is_set() and self.ending.is_set():
            raise CalledOff("the reboot was called off: the machine is being stopped")
        return self._reset.is_set()

    async def let_go(self) -> None:
        """Forgets the process without ending it: the runtime ends, the machine runs on."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self.monitor is not None:
            await self.monitor.close()
        if self.process is not None:
            self.process.close()
        self.log_file.close()

    def log_rest(self) -> None:
        """Logs what was said while no runtime listened. Blocks."""
        with suppress(OSError):
            self.log_file.take(self.disk_folder / "console.raw", flush=True)


async def _agent_present(monitor: Monitor) -> bool:
    channels = await monitor.execute("query-chardev")
    return any(each["label"] == "agent" and each.get("frontend-open") for each in channels)


async def _either(one: asyncio.Event, other: asyncio.Event, within: float) -> None:
    """Until one of them is set, at most so many seconds."""
    waiting = [asyncio.create_task(one.wait()), asyncio.create_task(other.wait())]
    try:
        await asyncio.wait(waiting, timeout=within, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()


def close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
