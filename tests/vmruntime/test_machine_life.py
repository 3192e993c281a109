"""One machine through its whole life, for real: QEMU, a guest, its network."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from pathlib import Path

import pytest

from arktos.rpc import cri, vm
from arktos.rpc.method import RpcError
from arktos.rpc.protos import cri_pb2 as pb
from arktos.rpc.protos import vm_pb2 as vmpb
from arktos.vmruntime.monitor import Monitor
from vmruntime.console_client import Terminal, attached, log_in, run, upgraded
from vmruntime.harness import RuntimeClient, RuntimeProcess, until

LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z stdout [FP] .*")


async def test_a_machine_lives_through_everything(runtime: RuntimeProcess, client: RuntimeClient) -> None:
    sandbox = await client.sandbox("one")
    machine = await client.container(sandbox)
    assert (await client.status(machine)).state == pb.CONTAINER_CREATED
    await client.start(machine)
    log = await client.until_logged("one", "GUEST-READY")
    address = await client.address(sandbox)

    # The guest has the address, name, router, servers and MTU of its sandbox.
    assert f"GUEST-DHCP eth0 ip={address}/24 router=10.77.0.1 dns=10.96.0.10 mtu=1500" in log
    assert "GUEST-READY host=one boot=1" in log
    assert all(LOG_LINE.fullmatch(line) for line in log.splitlines())
    assert "1 received" in runtime.inside("ping", "-c1", "-W10", address)
    _unprivileged(runtime, machine)

    async with attached(client, machine) as terminal:
        await log_in(terminal)
        await _counts_in_memory(runtime, client, machine, terminal)
        await _port_forward(client, sandbox)
        await _two_attachers(client, machine, terminal)
        await _readopted(runtime, client, machine)
    await _log_reopened(runtime, client, machine)
    await _reboots(client, machine)
    await _stats(client, sandbox, machine)
    await _guest_powers_off(runtime, client, machine)
    await _crashes(runtime, client, machine)

    await client.remove_sandbox(sandbox)
    await client.remove_sandbox(sandbox)
    assert (runtime.qemus(), runtime.leases(), runtime.ports(), runtime.namespaces()) == ({}, [], [], [])
    assert os.listdir(runtime.data / "machines") == os.listdir(runtime.data / "sandboxes") == []


def _unprivileged(runtime: RuntimeProcess, machine: str) -> None:
    pid = runtime.qemus()[machine]
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert status["Uid"].split() == status["Gid"].split() == ["1900000000"] * 4
    assert status["CapEff"].strip("0") == ""
    assert status["Seccomp"] == "2"
    assert os.getsid(pid) == pid
    assert runtime.process is not None and os.getsid(runtime.process.pid) != pid


async def _counts_in_memory(runtime: RuntimeProcess, client: RuntimeClient, machine: str, terminal: Terminal) -> None:
    """What is in a shell's variable and in a file goes through pause, suspension, snapshot and restore."""
    await run(terminal, "count=41; echo kept > /home/guest/file; sync")

    assert (await client.power(machine, vmpb.PAUSED)).power == vmpb.PAUSED
    assert (await client.status(machine)).state == pb.CONTAINER_RUNNING
    assert (await client.power(machine, vmpb.RUNNING)).power == vmpb.RUNNING
    await terminal.type("echo after-pause-$((count + 1))\n")
    await terminal.until("after-pause-42")

    made = (await client(vm.CREATE_SNAPSHOT, vmpb.CreateSnapshotRequest(id=machine, name="before"))).snapshot
    assert made.memory and made.bytes > 10 << 20
    with pytest.raises(RpcError, match="ALREADY_EXISTS"):
        await client(vm.CREATE_SNAPSHOT, vmpb.CreateSnapshotRequest(id=machine, name="before"))
    await run(terminal, "count=7; rm /home/guest/file; sync")
    await client(vm.RESTORE_SNAPSHOT, vmpb.RestoreSnapshotRequest(id=machine, name="before"))
    await terminal.type("\necho restored-$count-$(cat /home/guest/file)\n")
    await terminal.until("restored-41-kept")
    with pytest.raises(RpcError, match="NOT_FOUND"):
        await client(vm.RESTORE_SNAPSHOT, vmpb.RestoreSnapshotRequest(id=machine, name="other"))

    suspended = await client.power(machine, vmpb.SUSPENDED)
    assert suspended.power == vmpb.SUSPENDED
    assert runtime.qemus() == {}
    assert (await client.status(machine)).state == pb.CONTAINER_EXITED
    with pytest.raises(RpcError, match="FAILED_PRECONDITION"):
        await client(cri.ATTACH, pb.AttachRequest(container_id=machine, stdin=True, stdout=True, tty=True))
    resumed = await client.power(machine, vmpb.RUNNING)
    assert (resumed.power, resumed.starts, resumed.reason) == (vmpb.RUNNING, 1, "Resumed")
    assert not (runtime.data / "machines" / machine / "memory").exists()
    async with attached(client, machine) as again:
        await again.type("\necho resumed-$((count + 1))\n")
        await again.until("resumed-42")

    # A snapshot with memory starts a stopped machine where it was taken.
    await client.power(machine, vmpb.STOPPED)
    assert runtime.qemus() == {}
    await client(vm.RESTORE_SNAPSHOT, vmpb.RestoreSnapshotRequest(id=machine, name="before"))
    async with attached(client, machine) as again:
        await again.type("\necho woken-$((count + 2))\n")
        await again.until("woken-43")
    listed = (await client(vm.LIST_SNAPSHOTS, vmpb.ListSnapshotsRequest(id=machine))).snapshots
    assert [(each.name, each.memory) for each in listed] == [("before", True)]
    await client(vm.DELETE_SNAPSHOT, vmpb.DeleteSnapshotRequest(id=machine, name="before"))
    assert not (await client(vm.LIST_SNAPSHOTS, vmpb.ListSnapshotsRequest(id=machine))).snapshots


async def _port_forward(client: RuntimeClient, sandbox: str) -> None:
    url = (await client(cri.PORT_FORWARD, pb.PortForwardRequest(pod_sandbox_id=sandbox, port=[80]))).url
    async with upgraded(url, "portforward.k8s.io") as connection, asyncio.timeout(60):
        pair = {"port": "80", "requestID": "0"}
        await connection.open({"streamType": "error", **pair})
        data = await connection.open({"streamType": "data", **pair})
        await data.write(b"GET /index.html HTTP/1.0\r\n\r\n")
        answer = b""
        while b"GUEST-READY" not in answer:
            answer += await data.read()
    with pytest.raises(RpcError, match="NOT_FOUND"):
        await client(cri.PORT_FORWARD, pb.PortForwardRequest(pod_sandbox_id="none", port=[80]))


async def _two_attachers(client: RuntimeClient, machine: str, _: Terminal) -> None:
    async with attached(client, machine) as first, attached(client, machine) as second:
        await first.type("\necho seen-by-$((1 + 1))\n")
        await first.until("seen-by-2")
        await second.until("seen-by-2")


async def _readopted(runtime: RuntimeProcess, client: RuntimeClient, machine: str) -> None:
    pid = runtime.qemus()[machine]
    async with attached(client, machine) as terminal:
        await terminal.type("\n(sleep 2; echo said-while-$((3 * 3))) & echo beg''un\n")
        await terminal.until("begun")
    runtime.kill()
    raw = runtime.data / "machines" / machine / "qemu" / "console.raw"

    async def said() -> bool:
        return b"said-while-9" in raw.read_bytes()

    await until(said)
    await runtime.start()
    assert runtime.qemus()[machine] == pid
    assert (await client.machine(machine)).power == vmpb.RUNNING
    # What was said meanwhile is in the log, once; lines of before are not repeated.
    log = await client.until_logged("one", "said-while-9")
    assert log.count("said-while-9") == 1
    assert log.count("GUEST-READY host=one boot=1 ") == 1
    async with attached(client, machine) as terminal:
        await terminal.type("\necho adopted-$((4 * 4))\n")
        await terminal.until("adopted-16")


async def _log_reopened(runtime: RuntimeProcess, client: RuntimeClient, machine: str) -> None:
    path = runtime.folder / "logs" / "one" / "vm" / "0.log"
    path.rename(path.with_suffix(".old"))
    await client(cri.REOPEN_CONTAINER_LOG, pb.ReopenContainerLogRequest(container_id=machine))
    async with attached(client, machine) as terminal:
        await terminal.type("\necho in-the-new-$((5 * 5))\n")
        await terminal.until("in-the-new-25")
    await client.until_logged("one", "in-the-new-25")
    assert "GUEST-READY" not in client.log("one")


async def _reboots(client: RuntimeClient, machine: str) -> None:
    before = await client.machine(machine)
    await client(vm.REBOOT, vmpb.RebootRequest(id=machine, hard=True))
    await client.until_logged("one", "GUEST-READY host=one boot=2")
    after = await client.machine(machine)
    assert (after.reboots, after.starts) == (before.reboots + 1, before.starts)
    await client(vm.REBOOT, vmpb.RebootRequest(id=machine, grace_seconds=60))
    await client.until_logged("one", "GUEST-READY host=one boot=3")
    assert (await client.machine(machine)).reboots == before.reboots + 2


async def _stats(client: RuntimeClient, sandbox: str, machine: str) -> None:
    found = (await client(cri.CONTAINER_STATS, pb.ContainerStatsRequest(container_id=machine))).stats
    assert found.cpu.usage_core_nano_seconds.value > 10**8
    assert found.memory.working_set_bytes.value > 64 << 20
    assert found.writable_layer.used_bytes.value > 1 << 16
    pod = (await client(cri.POD_SANDBOX_STATS, pb.PodSandboxStatsRequest(pod_sandbox_id=sandbox))).stats
    assert pod.linux.network.default_interface.rx_bytes.value > 0
    assert pod.linux.network.default_interface.tx_bytes.value > 0
    assert pod.linux.process.process_count.value == 1


async def _guest_powers_off(runtime: RuntimeProcess, client: RuntimeClient, machine: str) -> None:
    """A guest that shuts down while no runtime is there: the next one finds out that it was no crash."""
    runtime.kill()
    monitor = await Monitor.connect(runtime.data / "machines" / machine / "qemu", "qmp")
    await monitor.execute("system_powerdown")

    async def has_shut_down() -> bool:
        return await monitor.status() == "shutdown"

    await until(has_shut_down)
    await monitor.close()
    await runtime.start()
    off = await client.until_power(machine, vmpb.STOPPED)
    assert (off.reason, off.exit_code) == ("GuestShutdown", 0)
    assert runtime.qemus() == {}
    # The same container starts again from its disk.
    await client.start(machine)
    await client.until_logged("one", "GUEST-READY host=one boot=4")
    stopped = await client.power(machine, vmpb.STOPPED, 60)
    assert (stopped.reason, stopped.exit_code) == ("Requested", 0)
    assert client.log("one").count("GUEST-POWER-BUTTON") == 2
    await client.start(machine)
    assert (await client.machine(machine)).starts == 4


async def _crashes(runtime: RuntimeProcess, client: RuntimeClient, machine: str) -> None:
    os.kill(runtime.qemus()[machine], signal.SIGKILL)
    crashed = await client.until_power(machine, vmpb.CRASHED)
    assert (crashed.reason, crashed.exit_code) == ("Killed", 137)
    status = await client.status(machine)
    assert (status.state, status.exit_code, status.reason) == (pb.CONTAINER_EXITED, 137, "Killed")
    assert status.finished_at > status.started_at
