"""More vCPUs and memory for a machine that runs: what of it can be had now. Pure.

Memory comes by a virtio-mem device, in blocks, as far as the guest's driver takes them; vCPUs are plugged in one by
one. Both need room that the machine was started with. The room for memory lies above 4 GiB, which makes a Linux guest
set 64 MiB aside for devices that cannot reach so far, whether it has any or not: so only machines have it for which
that is little. An emulator with a thread per vCPU has a translation cache that is handed out to threads in parts; QEMU
7.2 aborts where a vCPU comes while none is left. So emulated machines get more vCPUs only with a new process.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from arktos.vmruntime.accelerator import TCG
from arktos.vmruntime.records import Hardware
from arktos.vmruntime.resources import MOST_CPUS

LEAST_MIB = 1024
"""Machines with less memory have no room for more."""
BLOCK_MIB = 4
"""What a guest takes at once."""
_ALIGNED_MIB = 128
_NEXT = "when it is started next"


class Growth(NamedTuple):
    """vCPUs to be plugged in; what the memory device is to hold, in MiB; and why the rest has to wait."""

    cpus: int
    extra_mib: int
    later: str


def room(cpus: int, memory_mib: int) -> tuple[int, int]:
    """The most vCPUs and MiB that a machine may grow to that is started with these: what the host has."""
    most_cpus = min(max(cpus, os.cpu_count() or 1), MOST_CPUS)
    if memory_mib < LEAST_MIB:
        return most_cpus, 0
    host = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    beyond = (host - memory_mib) // _ALIGNED_MIB * _ALIGNED_MIB
    return most_cpus, memory_mib + beyond if beyond > 0 else 0


def plan(hardware: Hardware, cpus: int, memory_mib: int) -> Growth:
    """How a machine that has this hardware comes to have so much, as far as it can while it runs."""
    more, not_cpus = _cpus(hardware, cpus)
    extra, not_memory = _memory(hardware, memory_mib)
    return Growth(more, extra, "; ".join(filter(None, (not_cpus, not_memory))))


def _cpus(hardware: Hardware, wanted: int) -> tuple[int, str]:
    more = wanted - hardware.cpus
    if more <= 0:
        return 0, f"it has {wanted} instead of {hardware.cpus} vCPUs {_NEXT}" if more else ""
    if hardware.accelerator == TCG:
        return 0, f"an emulated machine has {wanted} instead of {hardware.cpus} vCPUs {_NEXT}"
    if wanted > hardware.max_cpus:
        return 0, f"it was started with room for {hardware.max_cpus} vCPUs: it has {wanted} {_NEXT}"
    return more, ""


def _memory(hardware: Hardware, wanted: int) -> tuple[int, str]:
    has = hardware.memory_mib + hardware.extra_mib
    if has - BLOCK_MIB < wanted <= has:
        return hardware.extra_mib, ""
    if wanted < has:
        return hardware.extra_mib, f"it has {wanted} instead of {has} MiB of memory {_NEXT}"
    if wanted > hardware.max_mib:
        most = max(hardware.max_mib, hardware.memory_mib)
        return hardware.extra_mib, f"it was started with room for {most} MiB of memory: it has {wanted} {_NEXT}"
    blocks = -(-(wanted - hardware.memory_mib) // BLOCK_MIB)
    return min(blocks * BLOCK_MIB, hardware.max_mib - hardware.memory_mib), ""
