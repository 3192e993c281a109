"""More CPUs and memory while a machine runs."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arktos.rpc import cri, vm
from arktos.rpc.protos import cri_pb2 as pb
from arktos.rpc.protos import vm_pb2 as vmpb
from arktos.vmruntime import growth
from arktos.vmruntime.growth import Growth, plan, room
from arktos.vmruntime.monitor import Monitor
from arktos.vmruntime.qemu_command import arguments
from arktos.vmruntime.records import Hardware
from vmruntime.console_client import attached, log_in
from vmruntime.harness import RuntimeClient, RuntimeProcess, until

MIB = 1 << 20
KVM = Hardware(
    cpus=2, memory_mib=1024, accelerator="kvm", base_path="/b", base_format="raw", max_cpus=4, max_mib=1024 + 4096
)
TCG = msgspec.structs.replace(KVM, accelerator="tcg")
SMALL = msgspec.structs.replace(KVM, memory_mib=512, max_mib=0)


@pytest.mark.parametrize(
    ("hardware", "cpus", "memory", "expected", "said"),
    [
        (KVM, 2, 1024, Growth(0, 0, ""), ""),
        (KVM, 4, 1030, Growth(2, 8, ""), ""),
        (msgspec.structs.replace(KVM, extra_mib=8), 2, 1030, Growth(0, 8, ""), ""),
        (KVM, 2, 5120, Growth(0, 4096, ""), ""),
        (KVM, 5, 1024, None, "room for 4 vCPUs: it has 5 when it is started next"),
        (KVM, 1, 1024, None, "it has 1 instead of 2 vCPUs when"),
        (KVM, 2, 5121, None, "room for 5120 MiB of memory: it has 5121 when"),
        (KVM, 2, 1000, None, "it has 1000 instead of 1024 MiB of memory when"),
        (SMALL, 2, 513, None, "room for 512 MiB of memory: it has 513 when"),
        (TCG, 3, 1024, None, "an emulated machine has 3 instead of 2 vCPUs when"),
    ],
)
def test_what_can_be_had(hardware: Hardware, cpus: int, memory: int, expected: Growth | None, said: str) -> None:
    found = plan(hardware, cpus, memory)
    if expected is not None:
        assert found == expected
    else:
        assert (found.cpus, found.extra_mib) == (0, hardware.extra_mib) and said in found.later


@given(st.integers(1, 300), st.integers(1, 1 << 22), st.integers(1, 300), st.integers(1, 1 << 22))
def test_growth_stays_in_its_room_and_comes_to_an_end(cpus: int, memory: int, more: int, larger: int) -> None:
    most_cpus, most_mib = room(cpus, memory)
    has = msgspec.structs.replace(KVM, cpus=cpus, memory_mib=memory, max_cpus=most_cpus, max_mib=most_mib)
    found = plan(has, more, larger)
    assert has.cpus + found.cpus <= max(most_cpus, cpus)
    assert found.extra_mib % growth.BLOCK_MIB == 0 and memory + found.extra_mib <= max(most_mib, memory)
    gets = msgspec.structs.replace(has, cpus=has.cpus + found.cpus, extra_mib=found.extra_mib)
    again = plan(gets, more, larger)
    assert (again.cpus, again.extra_mib) == (0, found.extra_mib)
    if not found.later:
        assert gets.cpus == more and not again.later


def test_room_in_the_command() -> None:
    def of(hardware: Hardware) -> str:
        return " ".join(arguments("m", hardware, {"/b": 9}, []))

    grown = msgspec.structs.replace(KVM, extra_mib=8)
    assert "-smp 2,maxcpus=4" in of(KVM) and "-smp 2 " in of(TCG)
    assert "-m size=1024M,maxmem=5120M -object memory-backend-ram,id=extra,size=4096M,reserve=off" in of(grown)
    assert "virtio-mem-pci,id=more,memdev=extra,requested-size=8M" in of(grown)
    assert "-m 512M" in of(SMALL) and "virtio-mem" not in of(SMALL)


class Answers(Monitor):
    """A monitor that knows a few answers, and notes what it was told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    async def execute(self, command: str, arguments: object = None, within: float = 0) -> object:
        self.told.append((command, arguments))
        taken = {"props": {"socket-id": 0, "core-id": 0, "thread-id": 0}, "type": "t", "qom-path": "/m"}
        free = [{"props": {"socket-id": number, "core-id": 0, "thread-id": 0}, "type": "t"} for number in (2, 1)]
        return [*free, taken]


async def test_a_cpu_is_plugged_in_at_the_first_free_place() -> None:
    monitor = Answers()
    await monitor.plug_cpu()
    place = {"driver": "t", "socket-id": 1, "core-id": 0, "thread-id": 0}
    assert monitor.told == [("query-hotpluggable-cpus", None), ("device_add", place)]


async def resized(client: RuntimeClient, id: str, *, cpus: int = 1, memory: int) -> vmpb.VirtualMachine:
    wanted = pb.LinuxContainerResources(
        cpu_quota=cpus * 100_000, cpu_period=100_000, memory_limit_in_bytes=memory * MIB
    )
    await client(cri.UPDATE_CONTAINER_RESOURCES, pb.UpdateContainerResourcesRequest(container_id=id, linux=wanted))
    return await client.machine(id)


async def test_a_machine_grows_as_it_runs(runtime: RuntimeProcess, client: RuntimeClient) -> None:
    sandbox = await client.sandbox("a")
    machine = await client.container(sandbox, client.container_config(memory=1024 * MIB))
    await client.start(machine)
    await client.until_logged("a", "GUEST-READY")
    found = await client.machine(machine)
    assert (found.cpus, found.memory_bytes, found.resize_pending) == (1, 1024 * MIB, "")

    async def has(mebibytes: int) -> bool:
        return (await client.machine(machine)).memory_bytes == mebibytes * MIB

    await resized(client, machine, memory=1224)
    await until(lambda: has(1224))
    async with attached(client, machine) as terminal:
        await log_in(terminal)

        async def inside(least: int) -> None:
            await terminal.type(
                f"[ $(awk '/^MemTotal/ {{print $2}}' /proc/meminfo) -gt {least * 1024} ] && echo y''es-{least}\n"
            )
            await terminal.until(f"yes-{least}")

        await inside(1060)
        await client(vm.CREATE_SNAPSHOT, vmpb.CreateSnapshotRequest(id=machine, name="grown"))
        await resized(client, machine, memory=1324)
        await until(lambda: has(1324))
    # A runtime that starts after a killed one knows what the machine has.
    runtime.kill()
    await runtime.start()
    assert await has(1324)
    assert (await client.power(machine, vmpb.SUSPENDED)).memory_bytes == 0
    # What it is given meanwhile, it gets as soon as it runs again.
    await resized(client, machine, memory=1424)
    await client.power(machine, vmpb.RUNNING)
    await until(lambda: has(1424))
    # What cannot be had now is had after the next start.
    found = await resized(client, machine, cpus=2, memory=1100)
    assert found.memory_bytes == 1424 * MIB and found.cpus == 1
    assert "2 instead of 1 vCPUs" in found.resize_pending and "1100 instead of 1424 MiB" in found.resize_pending
    # A snapshot has the hardware that it was taken with.
    await client(vm.RESTORE_SNAPSHOT, vmpb.RestoreSnapshotRequest(id=machine, name="grown"))
    assert await has(1224)
    await client.power(machine, vmpb.STOPPED)
    await client.start(machine)
    found = await client.machine(machine)
    assert (found.cpus, found.memory_bytes, found.resize_pending) == (2, 1100 * MIB, "")
    assert "cpus=2" in (await client.until_logged("a", "GUEST-READY", 2)).rpartition("GUEST-READY")[2]
