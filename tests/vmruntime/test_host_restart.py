"""What is left of a machine when the host has started anew: its disk, its record; no process, no network namespace."""

from __future__ import annotations

import os
import re
import signal

import pytest

from arktos.hostnet import netns
from arktos.rpc import cri
from arktos.rpc.method import RpcError
from arktos.rpc.protos import cri_pb2 as pb
from arktos.rpc.protos import vm_pb2 as vmpb
from vmruntime.console_client import attached, log_in, run
from vmruntime.harness import RuntimeClient, RuntimeProcess, until


async def restart_host(runtime: RuntimeProcess) -> None:
    """Ends what a host's end ends, and starts the runtime again."""
    runtime.kill()
    for pid in runtime.qemus().values():
        os.kill(pid, signal.SIGKILL)
    for name in runtime.namespaces():
        netns.remove(netns.FOLDER / name)
    runtime.inside("ip", "link", "delete", "br0", check=False)

    async def nothing_left() -> bool:
        return not runtime.qemus() and not runtime.ports()

    await until(nothing_left, 20)
    await runtime.start()


async def all_gone(runtime: RuntimeProcess) -> None:
    """Namespaces without a name end in the kernel's own time."""

    async def gone() -> bool:
        return (runtime.qemus(), runtime.leases(), runtime.ports(), runtime.namespaces()) == ({}, [], [], [])

    await until(gone, 20)


async def state(client: RuntimeClient, sandbox: str) -> int:
    question = pb.PodSandboxStatusRequest(pod_sandbox_id=sandbox)
    return (await client(cri.POD_SANDBOX_STATUS, question)).status.state


async def test_machines_go_on_after_the_host_started_anew(runtime: RuntimeProcess, client: RuntimeClient) -> None:
    ran = await client.sandbox("ran")
    slept = await client.sandbox("slept")
    runner, sleeper = await client.container(ran), await client.container(slept)
    before = {each: await client.address(each) for each in (ran, slept)}
    for machine in (runner, sleeper):
        await client.start(machine)
    await client.until_logged("ran", "GUEST-READY")
    await client.until_logged("slept", "GUEST-READY")
    async with attached(client, runner) as terminal:
        await log_in(terminal)
        await run(terminal, "sync")
    async with attached(client, sleeper) as terminal:
        await log_in(terminal)
        await run(terminal, "count=41")
        await client.power(sleeper, vmpb.SUSPENDED)

    # Each runs as a user of its own, and stays that user.
    owners = {each: (runtime.data / "machines" / each / "qemu").stat().st_uid for each in (runner, sleeper)}
    assert owners[runner] != owners[sleeper]

    await restart_host(runtime)
    assert (await client.machine(runner)).power == vmpb.CRASHED
    assert (await client.machine(sleeper)).power == vmpb.SUSPENDED
    assert await state(client, ran) == await state(client, slept) == pb.SANDBOX_NOTREADY

    await client.power(sleeper, vmpb.RUNNING)
    await client.start(runner)
    assert await state(client, ran) == await state(client, slept) == pb.SANDBOX_READY
    assert {each: await client.address(each) for each in (ran, slept)} == before
    assert {each: os.stat(f"/proc/{pid}").st_uid for each, pid in runtime.qemus().items()} == owners
    log = await client.until_logged("ran", "GUEST-READY", 2)
    assert re.search(rf"GUEST-READY host=ran boot=2 ip={before[ran]}/24", log)
    for address in before.values():
        assert "1 received" in runtime.inside("ping", "-c1", "-W10", address)
    assert client.log("slept").count("GUEST-READY") == 1
    async with attached(client, sleeper) as terminal:
        await terminal.type("\necho still-$((count + 1))\n")
        await terminal.until("still-42")
    for each in (ran, slept):
        await client.remove_sandbox(each)
    await all_gone(runtime)


async def test_a_lost_network_that_cannot_be_had_again(runtime: RuntimeProcess, client: RuntimeClient) -> None:
    sandbox = await client.sandbox("a")
    machine = await client.container(sandbox)
    await restart_host(runtime)
    conf = runtime.folder / "net.d" / "10-test.conflist"
    conf.rename(conf.with_suffix(".away"))
    with pytest.raises(RpcError, match="network of sandbox"):
        await client.start(machine)
    conf.with_suffix(".away").rename(conf)
    # Tried again, it works; its address may be another's by now.
    other = await client.sandbox("b")
    await client.start(machine)
    assert await client.address(sandbox) != await client.address(other)
    assert (await client.machine(machine)).power == vmpb.RUNNING
    # A namespace that goes while the runtime runs is found out at the next start.
    await client.power(machine, vmpb.STOPPED)
    for name in runtime.namespaces():
        netns.remove(netns.FOLDER / name)
    await client.start(machine)
    # One that was stopped stays so.
    await client(cri.STOP_POD_SANDBOX, pb.StopPodSandboxRequest(pod_sandbox_id=sandbox))
    with pytest.raises(RpcError, match="FAILED_PRECONDITION"):
        await client.start(machine)
    for each in (sandbox, other):
        await client.remove_sandbox(each)
    await all_gone(runtime)
