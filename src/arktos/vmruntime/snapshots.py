"""Snapshots of a machine, inside its root disk: the disk, and the memory where there is a process.

Volumes are not part of a snapshot. One with memory goes on where it was taken, also in a machine that had stopped; one
without boots a machine that ran, and leaves a stopped one stopped.
"""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from arktos.rpc.method import RpcError
from arktos.vmruntime import cloudinit, disks
from arktos.vmruntime.disks import DiskSnapshot
from arktos.vmruntime.errors import AlreadyExists, Failed, Invalid, NoSpace, NotFound, WrongState
from arktos.vmruntime.life import Life
from arktos.vmruntime.machine import Machine
from arktos.vmruntime.messages import container_config
from arktos.vmruntime.monitor import Unreachable
from arktos.vmruntime.power import ACTIVE, Event, Power
from arktos.vmruntime.qemu_command import ROOT_DISK, ROOT_NODE
from arktos.vmruntime.records import Hardware

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?")

_FULL = 8 << 20
"""Bytes left on a disk that is called full."""


def check_name(name: str) -> None:
    """Raises Invalid for what is no DNS-like name of at most 63 characters; numbers alone would be taken for ids."""
    if not _NAME.fullmatch(name) or name.isdigit():
        problem = "must be lower-case letters, digits, '-' or '.', at most 63, begin and end with a letter or digit"
        raise Invalid("name", f"{name!r} {problem}, and not be a number")


async def listed(machine: Machine) -> list[DiskSnapshot]:
    """Oldest first. Raises Failed, TooLate."""
    if machine.monitor is not None:
        with suppress(Unreachable):
            return _sorted(await machine.monitor.snapshots(ROOT_NODE))
    async with machine.lock:
        return await _listed(machine)


async def _listed(machine: Machine) -> list[DiskSnapshot]:
    """The lock is the caller's. A process is asked: it alone knows when the disk can be read."""
    if machine.monitor is None:
        return _sorted(await disks.snapshots(machine.disk_folder / ROOT_DISK))
    try:
        return _sorted(await machine.monitor.snapshots(ROOT_NODE))
    except Unreachable as error:
        raise Failed(str(error)) from None


def _sorted(found: list[dict[str, Any]]) -> list[DiskSnapshot]:
    return sorted(map(disks.snapshot_of, found), key=lambda each: each.created_at)


async def create(machine: Machine, name: str) -> DiskSnapshot:
    """Raises Invalid, AlreadyExists, NoSpace and Failed: then the machine goes on as before; WrongState while it is
    suspended, since its disk alone would not be the machine, and for one that boots from a volume."""
    check_name(name)
    _check_disk(machine)
    async with machine.lock:
        if any(each.name == name for each in await _listed(machine)):
            raise AlreadyExists(f"there is a snapshot {name!r} already")
        if machine.power in ACTIVE:
            await _save_with_memory(machine, name)
        elif machine.power is Power.SUSPENDED:
            raise WrongState("the machine is SUSPENDED: resume or stop it first")
        else:
            await disks.create_snapshot(machine.disk_folder / ROOT_DISK, name)
        return await _the(machine, name)


def _check_disk(machine: Machine) -> None:
    if cloudinit.parse(container_config(machine.record).annotations.get(cloudinit.ANNOTATION, "")).boot_volume:
        raise WrongState("the machine boots from a volume, which a snapshot would not hold")


async def _save_with_memory(machine: Machine, name: str) -> None:
    hardware = machine.record.hardware
    try:
        await _job(machine, "snapshot-save", name)
    except RpcError as error:
        await _go_on(machine)
        if await asyncio.to_thread(_full, machine.disk_folder):
            # QEMU calls it an input/output error.
            raise NoSpace(f"the disk is full: {error.message}") from None
        raise
    if hardware is not None:
        machine.record.snapshots = {**machine.record.snapshots, name: hardware}
        await machine.save()


def _full(folder: Path) -> bool:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize < _FULL


async def restore(machine: Machine, life: Life, name: str) -> None:
    """Raises NotFound, Failed; WrongState while it is suspended."""
    async with machine.lock:
        snapshot = await _the(machine, name)
        if machine.power is Power.SUSPENDED:
            raise WrongState("the machine is SUSPENDED: resume or stop it first")
        if snapshot.memory_bytes:
            await _restore_memory(machine, life, name)
        else:
            await _restore_disk(machine, life, name)


async def _restore_memory(machine: Machine, life: Life, name: str) -> None:
    wanted = machine.record.snapshots.get(name) or machine.record.hardware
    if wanted is None:
        raise Failed(f"the hardware that snapshot {name!r} needs is not known")
    if machine.power not in ACTIVE or machine.record.hardware != wanted:
        await _start_with(machine, life, wanted)
    try:
        await _job(machine, "snapshot-load", name)
        await machine.learn_memory()
        await machine.require_monitor().execute("cont")
    except (RpcError, Unreachable) as error:
        await _give_up(machine, life, error)
    await machine.note(Event.RESTORED)
    await life.catch_up(machine)


async def _restore_disk(machine: Machine, life: Life, name: str) -> None:
    runs = machine.power in ACTIVE
    if runs:
        await life.kill(machine)
    await disks.apply_snapshot(machine.disk_folder / ROOT_DISK, name)
    if runs and machine.record.hardware is not None:
        await _start_with(machine, life, machine.record.hardware)
        try:
            await machine.require_monitor().execute("cont")
        except Unreachable as error:
            await _give_up(machine, life, error)
        await machine.note(Event.RESTORED)


async def _start_with(machine: Machine, life: Life, hardware: Hardware) -> None:
    """A fresh process that stands still."""
    await life.kill(machine)
    try:
        await life.bring_up(machine, hardware)
    except (RpcError, OSError) as error:
        await machine.note(Event.START_FAILED, message=str(error), exit_code=1)
        raise Failed(f"the machine cannot be started: {error}") from None


async def _give_up(machine: Machine, life: Life, error: Exception) -> None:
    """A machine that ran goes on where QEMU lets it; a process made for the restore ends."""
    if machine.power in ACTIVE:
        await _go_on(machine)
    else:
        await machine.note(Event.START_FAILED, message=str(error), exit_code=1)
        await machine.end_process()
    raise error if isinstance(error, RpcError) else Failed(str(error))


async def delete(machine: Machine, name: str) -> None:
    """Raises NotFound, Failed."""
    async with machine.lock:
        await _the(machine, name)
        if machine.power in ACTIVE:
            await _job(machine, "snapshot-delete", name)
        else:
            await disks.delete_snapshot(machine.disk_folder / ROOT_DISK, name)
        if name in machine.record.snapshots:
            machine.record.snapshots = {each: it for each, it in machine.record.snapshots.items() if each != name}
            await machine.save()


async def _the(machine: Machine, name: str) -> DiskSnapshot:
    for each in await _listed(machine):
        if each.name == name:
            return each
    raise NotFound("snapshot", name)


async def _job(machine: Machine, command: str, name: str) -> None:
    question: dict[str, object] = {"tag": name, "devices": [ROOT_NODE]}
    if command != "snapshot-delete":
        question["vmstate"] = ROOT_NODE
    try:
        await machine.require_monitor().job(command, question)
    except Unreachable as error:
        raise Failed(str(error)) from None


async def _go_on(machine: Machine) -> None:
    if machine.power is not Power.RUNNING:
        return
    with suppress(RpcError, Unreachable):
        monitor = machine.require_monitor()
        if await monitor.status() != "running":
            await monitor.execute("cont")
