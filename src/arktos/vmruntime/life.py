"""What is done to a machine on request: start, stop, pause, suspend, reboot, and adoption by a new runtime.

All of it is idempotent. Each takes the machine's lock for as long as it lasts.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import msgspec

from arktos.hostnet import tap
from arktos.rpc.method import RpcError
from arktos.rpc.protos import cri_pb2 as pb
from arktos.vmruntime import cloudinit, disks, growth, resources, volumes
from arktos.vmruntime.errors import Failed, NoSpace, WrongState
from arktos.vmruntime.machine import OOM_KILLED, OUT_OF_MEMORY, Machine, close_all
from arktos.vmruntime.messages import as_json, container_config
from arktos.vmruntime.monitor import Unreachable
from arktos.vmruntime.power import ACTIVE, Event, Finding, Power, finding
from arktos.vmruntime.qemu_command import MEMORY_DEVICE
from arktos.vmruntime.records import DiskSpec, Hardware, SandboxRecord
from arktos.vmruntime.volumes import VolumeDisk
from arktos.wire import logs

_SETTLE = 0.02
_RESET_WITHIN = 5.0
_GIVE_WAY = 5.0
"""Seconds that an operation has to end by itself beyond the grace of a stop that overrides it."""
_PRIVATE = 0o600
_MIGRATING = frozenset({"setup", "active", "device", "cancelling"})
_log = logs.get_logger(__name__)


class Sandboxes(Protocol):
    """Where a machine's network is."""

    async def standing(self, id: str) -> SandboxRecord:
        """One that is ready, made so if need be. Raises WrongState for one that was stopped, NotFound, Failed."""
        ...


class Life:
    def __init__(self, sandboxes: Sandboxes, accelerator: str) -> None:
        self._sandboxes = sandboxes
        self._accelerator = accelerator

    async def start(self, machine: Machine) -> None:
        """Until its process runs. A paused one goes on, a suspended one resumes, a running one runs."""
        async with machine.lock:
            if machine.power is Power.RUNNING:
                return
            if machine.power is Power.PAUSED:
                await self._continue(machine)
            elif machine.power is Power.SUSPENDED:
                await self._resume(machine)
            else:
                await self._boot(machine)

    async def _boot(self, machine: Machine) -> None:
        try:
            await self.bring_up(machine, await self._equip(machine))
            await machine.require_monitor().execute("cont")
        except (RpcError, Unreachable, OSError) as error:
            await self._failed_start(machine, error)
        await machine.note(Event.STARTED)

    async def _failed_start(self, machine: Machine, error: Exception) -> None:
        said = error.message if isinstance(error, RpcError) else str(error)
        await machine.note(Event.START_FAILED, message=said, exit_code=1)
        await machine.end_process()
        if isinstance(error, RpcError):
            raise error
        raise Failed(f"the machine cannot be started: {said}") from None

    async def _equip(self, machine: Machine) -> Hardware:
        """The hardware of a machine that boots now; its volumes' disks are made."""
        record = machine.record
        sandbox = await self._sandboxes.standing(record.sandbox_id)
        config = container_config(record)
        boot = cloudinit.parse(config.annotations.get(cloudinit.ANNOTATION, "")).boot_volume
        planned = await asyncio.to_thread(volumes.plan, config.mounts, boot)
        for volume in planned:
            await _make(volume, machine.disk_folder)
        seed = DiskSpec(serial="cidata", path="cidata.iso", read_only=True)
        most_cpus, most_mib = growth.room(record.cpus, record.memory_mib)
        return Hardware(
            cpus=record.cpus,
            max_cpus=most_cpus,
            memory_mib=record.memory_mib,
            max_mib=most_mib,
            accelerator=self._accelerator,
            base_path=record.image_path,
            base_format=record.image_format,
            disks=(seed, *[await asyncio.to_thread(volumes.bootable, volume.disk) for volume in planned]),
            nics=(sandbox.nic,) if sandbox.nic else (),
        )

    async def bring_up(self, machine: Machine, hardware: Hardware, incoming: int | None = None) -> None:
        """A process with this hardware that stands still and is watched. Raises what `Machine.launch` does, OSError
        for a disk or tap that cannot be opened, WrongState without a network."""
        # Of a guest that has just shut down the old one may still be about to end: it has disks, tap and sockets.
        await machine.end_process()
        sandbox = await self._sandboxes.standing(machine.record.sandbox_id)
        opened = await asyncio.to_thread(_open_all, hardware, sandbox.netns)
        try:
            await machine.launch(hardware, *opened, incoming)
        finally:
            close_all([*opened[0].values(), *opened[1]])
        machine.watch()

    async def _continue(self, machine: Machine) -> None:
        await _execute(machine, "cont")
        await machine.note(Event.CONTINUED)

    async def pause(self, machine: Machine) -> None:
        """Stands still with its memory in place. Raises WrongState where it does not run."""
        async with machine.lock:
            if machine.power is Power.SUSPENDED:
                await self._resume(machine, run=False)
            elif machine.power not in ACTIVE:
                raise WrongState(f"the machine is {machine.power}: only a running one can be paused")
            elif machine.power is Power.RUNNING:
                await _execute(machine, "stop")
                await machine.note(Event.PAUSED)

    async def stop(self, machine: Machine, grace: float) -> None:
        """The guest is asked to shut down; after `grace` seconds its process is killed. 0 kills at once. A suspended
        machine loses its memory.

        It goes before all else: who waits for a reboot is told that it is called off, an earlier stop gets no more
        time than this one, and what does not give way in time loses its process."""
        with machine.ends_within(grace):
            await self._have(machine, grace + _GIVE_WAY)
            try:
                await self._stop(machine, grace)
            finally:
                machine.lock.release()

    async def _have(self, machine: Machine, within: float) -> None:
        """Takes the lock, after so many seconds by ending the process that its holder needs."""
        try:
            await asyncio.wait_for(machine.lock.acquire(), within)
        except TimeoutError:
            _log.warning("operation_overridden", id=machine.record.id)
            if machine.power in ACTIVE:
                await machine.note(Event.STOP_REQUESTED)
            if machine.process is not None:
                machine.process.kill()
            await machine.lock.acquire()

    async def _stop(self, machine: Machine, grace: float) -> None:
        if machine.power is Power.SUSPENDED:
            await machine.note(Event.DISCARDED)
            await asyncio.to_thread(machine.memory_file.unlink, missing_ok=True)
        if machine.power not in ACTIVE:
            return
        await machine.note(Event.STOP_REQUESTED)
        if grace > 0:
            if machine.power is Power.PAUSED:
                await self._continue(machine)
            if await machine.press_power():
                return
        await self.kill(machine)

    async def kill(self, machine: Machine) -> None:
        """Ends a machine at once, on request. The lock is the caller's."""
        if machine.power in ACTIVE:
            # Noted first: a runtime that starts after us ends what it finds of a stopped machine.
            await machine.note(Event.KILLED)
        await machine.end_process()

    async def reboot(self, machine: Machine, *, hard: bool, grace: float) -> None:
        """Resets it, or asks the guest to restart and resets it after `grace` seconds. Raises WrongState where it does
        not run, CalledOff where it is stopped meanwhile."""
        async with machine.lock:
            if machine.power is not Power.RUNNING:
                raise WrongState(f"the machine is {machine.power}: only a running one can be rebooted")
            machine.expect_reset()
            if not hard:
                await _ask_to_restart(machine)
                if await machine.was_reset(grace):
                    return
            await _execute(machine, "system_reset")
            await machine.was_reset(_RESET_WITHIN)

    async def resize(self, machine: Machine, wanted: pb.LinuxContainerResources) -> None:
        """Its hardware from its next start on, and now what it can be given of it while it runs: `growth` says what.
        Raises Failed."""
        async with machine.lock:
            config, record = container_config(machine.record), machine.record
            config.linux.resources.MergeFrom(wanted)
            record.config = as_json(config)
            record.cpus = resources.cpus(config.linux.resources)
            record.memory_mib = resources.memory_mib(config.linux.resources)
            await machine.save()
            if machine.power in ACTIVE and record.hardware is not None:
                await _grow(machine, record.hardware)
        machine.host.changed(record.id)

    async def suspend(self, machine: Machine) -> None:
        """Its memory goes to disk, its process ends. Raises WrongState where there is no process, NoSpace and Failed;
        then the machine goes on as before."""
        async with machine.lock:
            if machine.power is Power.SUSPENDED:
                return
            if machine.power not in ACTIVE:
                raise WrongState(f"the machine is {machine.power}: only a running one can be suspended")
            partial = machine.memory_file.with_suffix(".partial")
            try:
                await _execute(machine, "stop")
                await _keep_memory(machine, partial)
            except BaseException:
                await asyncio.to_thread(partial.unlink, missing_ok=True)
                if machine.power is Power.RUNNING:
                    with suppress(RpcError):
                        await _execute(machine, "cont")
                raise
            # From the rename on the memory counts; the guest has not run since it was written.
            await asyncio.to_thread(os.replace, partial, machine.memory_file)
            await machine.note(Event.SUSPENDED)
            await machine.end_process()

    async def _resume(self, machine: Machine, *, run: bool = True) -> None:
        hardware = machine.record.hardware
        if hardware is None:
            raise Failed("the hardware of the suspended machine is not known")
        try:
            memory = os.open(machine.memory_file, os.O_RDONLY | os.O_CLOEXEC)
            try:
                await self.bring_up(machine, hardware, memory)
            finally:
                os.close(memory)
            await _loaded(machine)
            await machine.learn_memory()
        except (RpcError, Unreachable, OSError) as error:
            await self._failed_start(machine, error)
        try:
            await machine.note(Event.RESUMED, durable=True)
        except OSError as error:
            await self._failed_start(machine, error)
        # Noted, but not yet running: should we die now, the file still is the whole machine. It goes before the guest
        # takes its first step.
        await asyncio.to_thread(machine.memory_file.unlink, missing_ok=True)
        if run:
            await _execute(machine, "cont")
        else:
            await machine.note(Event.PAUSED)
        await self.catch_up(machine)

    async def catch_up(self, machine: Machine) -> None:
        """Gives a machine whose hardware is that of an earlier moment what it was given since, as far as it can be had
        now. The lock is the caller's."""
        if machine.record.hardware is not None:
            try:
                await _grow(machine, machine.record.hardware)
            except (RpcError, Unreachable, OSError) as error:
                _log.warning("machine_not_grown", id=machine.record.id, error=str(error))

    async def adopt(self, machine: Machine, pid: int | None) -> None:
        """Brings record and process together after a restart of the runtime."""
        async with machine.lock:
            status = None if pid is None else await machine.adopt_process(pid)
            kept = machine.memory_file.exists()
            found = finding(machine.power, status, kept)
            _log.info("machine_found", id=machine.record.id, power=machine.power.value, status=status or "",
                      finding=found.value)  # fmt: skip
            if status is not None:
                machine.watch()
            else:
                await asyncio.to_thread(machine.log_rest)
            await self._settle(machine, found)
            if machine.power is not Power.SUSPENDED:
                await asyncio.to_thread(machine.memory_file.unlink, missing_ok=True)
            await asyncio.to_thread(machine.memory_file.with_suffix(".partial").unlink, missing_ok=True)

    async def _settle(self, machine: Machine, found: Finding) -> None:
        if found is Finding.CONTINUE:
            await _stop_migration(machine)
            await asyncio.to_thread(machine.memory_file.unlink, missing_ok=True)
            await _execute(machine, "cont")
        elif found is Finding.GUEST_SHUTDOWN:
            await machine.guest_shut_down()
        elif found is Finding.GONE:
            killed = await machine.was_oom_killed()
            reason, message = (OOM_KILLED, OUT_OF_MEMORY) if killed else ("", "QEMU ended while the runtime was away")
            await machine.note(Event.PROCESS_GONE, reason=reason, message=message)
            await asyncio.to_thread(machine.cgroup.remove)
        elif found is Finding.SUSPENDED:
            await machine.note(Event.SUSPENDED)
        elif found is Finding.END:
            await machine.end_process()
        elif found is Finding.ADOPT and machine.condition.stop_requested:
            await machine.note(Event.STOP_WITHDRAWN)


async def _grow(machine: Machine, has: Hardware) -> None:
    more = growth.plan(has, machine.record.cpus, machine.record.memory_mib)
    if not more.cpus and more.extra_mib == has.extra_mib:
        return
    gets = msgspec.structs.replace(has, cpus=has.cpus + more.cpus, extra_mib=more.extra_mib)
    await asyncio.to_thread(machine.cgroup.bound, gets.cpus, gets.memory_mib + gets.extra_mib)
    machine.record.hardware = gets
    await machine.save()
    monitor = machine.require_monitor()
    try:
        if gets.extra_mib != has.extra_mib:
            await monitor.give_memory(MEMORY_DEVICE, gets.extra_mib << 20)
        for _ in range(more.cpus):
            await monitor.plug_cpu()
    except Unreachable as error:
        raise Failed(str(error)) from None
    except RpcError:
        machine.record.hardware = msgspec.structs.replace(gets, cpus=await monitor.cpus())
        await machine.save()
        raise


async def _make(volume: VolumeDisk, folder: Path) -> None:
    if volume.content:
        await asyncio.to_thread(volumes.write_content, volume, folder)
    elif volume.scratch and not await asyncio.to_thread(os.path.lexists, volume.disk.path):
        await disks.make_filesystem(Path(volume.disk.path), volume.disk.serial, volumes.SCRATCH_SIZE)


def _open_all(hardware: Hardware, netns: str) -> tuple[dict[str, int], list[int]]:
    opened: dict[str, int] = {}
    taps: list[int] = []
    try:
        opened[hardware.base_path] = os.open(hardware.base_path, os.O_RDONLY | os.O_CLOEXEC)
        for disk in hardware.disks:
            if os.path.isabs(disk.path):
                mode = os.O_RDONLY if disk.read_only else os.O_RDWR
                if os.path.basename(disk.path) == volumes.SCRATCH_FILE:
                    # Its folder may be shared with a container, which could have put a link there.
                    mode |= os.O_NOFOLLOW
                opened[disk.path] = os.open(disk.path, mode | os.O_CLOEXEC)
        for nic in hardware.nics:
            taps.append(tap.open_tap(netns, nic.tap))
    except BaseException:
        close_all([*opened.values(), *taps])
        raise
    return opened, taps


async def _execute(machine: Machine, command: str) -> None:
    try:
        await machine.require_monitor().execute(command)
    except Unreachable as error:
        raise Failed(str(error)) from None


async def _keep_memory(machine: Machine, path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _PRIVATE)
    try:
        await machine.require_monitor().send_memory(descriptor, machine.ending)
        await asyncio.to_thread(os.fsync, descriptor)
    except Unreachable as error:
        raise Failed(str(error)) from None
    except OSError as error:
        raise NoSpace(f"the memory cannot be kept: {error.strerror}") from None
    finally:
        os.close(descriptor)


async def _loaded(machine: Machine) -> None:
    # An event tells it too, but is lost on a monitor that connects after a quick load.
    while await machine.require_monitor().status() == "inmigrate":  # noqa: ASYNC110
        await asyncio.sleep(_SETTLE)


async def _stop_migration(machine: Machine) -> None:
    """A suspension that was under way when the former runtime died is called off."""
    with suppress(RpcError, Unreachable):
        monitor = machine.require_monitor()
        await monitor.execute("migrate_cancel")
        status = "active"
        while status in _MIGRATING:
            await asyncio.sleep(_SETTLE)
            status = (await monitor.execute("query-migrate")).get("status", "none")


async def _ask_to_restart(machine: Machine) -> None:
    """By its agent where there is one, else by Ctrl-Alt-Del."""
    with suppress(RpcError, Unreachable):
        if machine.agent_present:
            await machine.agent.ask("guest-shutdown", {"mode": "reboot"}, answer=False)
        else:
            keys = [{"type": "qcode", "data": key} for key in ("ctrl", "alt", "delete")]
            await machine.require_monitor().execute("send-key", {"keys": keys})
