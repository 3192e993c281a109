"""The command line of QEMU for a machine. Pure.

QEMU runs in the machine's folder, so that its own files have short names there (a unix socket's path is limited to 107
bytes) and no folder above needs to be open to its user. What is not its own, images and volumes, it gets as
descriptors: fd sets for disks, inherited ones for taps.

`-action shutdown=pause` keeps the process after the guest has shut down: a runtime that was away at that time still
finds out that it was the guest's wish. Its sandbox forbids to spawn programs and to change users.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from arktos.vmruntime.records import DiskSpec, Hardware

PROGRAM = "qemu-system-x86_64"
MONITOR, SERIAL, AGENT = "qmp", "serial", "agent"
"""Sockets in the machine's folder."""
CONSOLE_RAW = "console.raw"
ROOT_DISK = "root.qcow2"
SEED_DISK = "cidata.iso"
ROOT_NODE = "root"
MEMORY_DEVICE = "more"
AGENT_CHANNEL = "org.qemu.guest_agent.0"

_SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
_TCG_CACHE_MIB = 16
"""For translated code. It fills up whatever its size, and counts against the 60 MiB that a machine may take above its
memory; with twice as much a guest boots a tenth faster."""


def arguments(
    id: str, hardware: Hardware, descriptors: Mapping[str, int], taps: Sequence[int], incoming: int | None = None
) -> list[str]:
    """The whole command. `descriptors` has the base image and every disk by its path, where that is not relative to
    the machine's folder; `taps` one per NIC. With `incoming`, the machine waits for its memory from that descriptor;
    it stands still in any case, until it is told to go on.
    """
    command = [PROGRAM, "-name", f"arktos-{id}", "-machine", "pc", *_processor(hardware), "-S"]
    command += [*_memory(hardware), "-nodefaults", "-no-user-config", "-display", "none"]
    command += ["-sandbox", _SANDBOX, "-action", "shutdown=pause,panic=none", "-rtc", "base=utc"]
    command += ["-qmp", f"unix:{MONITOR},server=on,wait=off"]
    command += [
        *("-chardev", f"socket,id=console,path={SERIAL},server=on,wait=off,logfile={CONSOLE_RAW},logappend=on"),
        *("-serial", "chardev:console"),
        *("-object", "rng-random,id=entropy,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=entropy"),
        *("-device", "virtio-serial-pci", "-chardev", f"socket,id=agent,path={AGENT},server=on,wait=off"),
        *("-device", f"virtserialport,chardev=agent,id=agent0,name={AGENT_CHANNEL}"),
    ]
    command += _root(hardware, descriptors)
    for number, disk in enumerate(hardware.disks):
        command += _disk(number, disk, descriptors)
    for number, (nic, tap) in enumerate(zip(hardware.nics, taps, strict=True)):
        device = f"virtio-net-pci,netdev=net{number},mac={nic.mac},host_mtu={nic.mtu},romfile="
        command += ["-netdev", f"tap,id=net{number},fd={tap},vhost=off", "-device", device]
    return command if incoming is None else [*command, "-incoming", f"fd:{incoming}"]


def _processor(hardware: Hardware) -> list[str]:
    cpus = str(hardware.cpus)
    if hardware.accelerator == "kvm":
        if hardware.max_cpus > hardware.cpus:
            cpus += f",maxcpus={hardware.max_cpus}"
        return ["-accel", "kvm", "-cpu", "host", "-smp", cpus]
    return ["-accel", f"tcg,thread=multi,tb-size={_TCG_CACHE_MIB}", "-cpu", "max", "-smp", cpus]


def _memory(hardware: Hardware) -> list[str]:
    """With room for more: a device that has none of it yet, or what it had before."""
    beyond = hardware.max_mib - hardware.memory_mib
    if beyond <= 0:
        return ["-m", f"{hardware.memory_mib}M"]
    return [
        *("-m", f"size={hardware.memory_mib}M,maxmem={hardware.max_mib}M"),
        *("-object", f"memory-backend-ram,id=extra,size={beyond}M,reserve=off"),
        *("-device", f"virtio-mem-pci,id={MEMORY_DEVICE},memdev=extra,requested-size={hardware.extra_mib}M"),
    ]


def _fd_set(number: int, descriptor: int) -> list[str]:
    return ["-add-fd", f"fd={descriptor},set={number}"]


def _root(hardware: Hardware, descriptors: Mapping[str, int]) -> list[str]:
    """Base and overlay named explicitly, formats too: nothing that a guest or an image wrote decides what is opened."""
    base = f"driver={hardware.base_format},node-name=base,read-only=on,file.driver=file,file.filename=/dev/fdset/1"
    if hardware.base_format == "qcow2":
        base += ",backing="
    volume_first = any(disk.boot for disk in hardware.disks)
    root = f"driver=qcow2,node-name={ROOT_NODE},file.driver=file,file.filename={ROOT_DISK},backing=base"
    return [
        *_fd_set(1, descriptors[hardware.base_path]),
        *("-blockdev", base, "-blockdev", f"{root},discard=unmap,detect-zeroes=unmap"),
        *("-device", f"virtio-blk-pci,drive={ROOT_NODE},serial=root,bootindex={int(volume_first)}"),
    ]


def _disk(number: int, disk: DiskSpec, descriptors: Mapping[str, int]) -> list[str]:
    node = f"disk{number}"
    descriptor = descriptors.get(disk.path)
    set_number = number + 2
    name = disk.path if descriptor is None else f"/dev/fdset/{set_number}"
    driver = "host_device" if disk.path.startswith("/dev/") else "file"
    options = f"driver={disk.format},node-name={node},file.driver={driver},file.filename={_escaped(name)}"
    options += ",read-only=on" if disk.read_only else ",discard=unmap"
    if disk.format == "qcow2":
        options += ",backing="
    device = f"virtio-blk-pci,drive={node},serial={_escaped(disk.serial)}"
    if disk.boot:
        device += ",bootindex=0"
    return [
        *([] if descriptor is None else _fd_set(set_number, descriptor)),
        *("-blockdev", options, "-device", device),
    ]


def _escaped(text: str) -> str:
    return text.replace(",", ",,")
