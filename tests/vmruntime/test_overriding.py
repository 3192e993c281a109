"""What goes before what: the end of a machine before all else, a start after what has just ended."""

from __future__ import annotations

import asyncio
import json
import os
import time

import pytest

from arktos.hostnet import netns
from arktos.rpc import cri, vm
from arktos.rpc.method import RpcError
from arktos.rpc.protos import cri_pb2 as pb
from arktos.rpc.protos import vm_pb2 as vmpb
from vmruntime.harness import RuntimeClient, RuntimeProcess, until

DEAF = "sed -i '/ctrlaltdel/d' /etc/inittab; kill -HUP 1; killall acpid"
OFF_AGAIN = "echo '(sleep 1; poweroff) &' >>/etc/rc; sync"


def scripted(client: RuntimeClient, script: str) -> pb.ContainerConfig:
    return client.container_config(annotations={"arktos.io/virtual-machine": json.dumps({"script": script})})


async def test_a_stop_overrides_what_merely_waits(runtime: RuntimeProcess, client: RuntimeClient) -> None:
    """A reboot and a stop of a guest that heeds neither keyboard nor power button."""
    machine = await client.container(await client.sandbox("deaf"), scripted(client, DEAF))
    await client.start(machine)
    await client.until_logged("deaf", "GUEST-READY")

    rebooting = asyncio.create_task(client(vm.REBOOT, vmpb.RebootRequest(id=machine, grace_seconds=60)))
    assert not (await asyncio.wait((rebooting,), timeout=1))[0]
    began = time.monotonic()
    stopping = asyncio.create_task(client.power(machine, vmpb.STOPPED, 100))
    with pytest.raises(RpcError, match="ABORTED: the reboot was called off: the machine is being stopped"):
        await rebooting
    assert not (await asyncio.wait((stopping,), timeout=1))[0]
    # With less grace than the one before.
    await client(cri.STOP_CONTAINER, pb.StopContainerRequest(container_id=machine, timeout=1))
    stopped = await stopping
    assert (stopped.power, stopped.reason) == (vmpb.STOPPED, "Requested")
    assert time.monotonic() - began < 20
    assert runtime.qemus() == {}


async def test_a_guest_that_has_just_ended_is_started(runtime: RuntimeProcess, client: RuntimeClient) -> None:
    """Its process may not have ended yet: it still holds the disk, the tap, the names of the sockets."""
    machine = await client.container(await client.sandbox("off"), scripted(client, OFF_AGAIN))
    await client.start(machine)
    await client.until_logged("off", "GUEST-READY")
    await client.power(machine, vmpb.STOPPED, 60)
    await client.start(machine)
    for boots in (2, 3):

        async def is_off() -> bool:
            return (await client.machine(machine)).power != vmpb.RUNNING

        await until(is_off)
        assert (await client.machine(machine)).reason == "GuestShutdown"
        await client.start(machine)
        await client.until_logged("off", f"boot={boots + 1}")


async def test_snapshots_are_listed_while_they_change(runtime: RuntimeProcess, client: RuntimeClient) -> None:
    machine = await client.container(await client.sandbox("a"))
    await client.start(machine)
    await client(vm.CREATE_SNAPSHOT, vmpb.CreateSnapshotRequest(id=machine, name="first"))
    seen: set[tuple[str, ...]] = set()

    async def look() -> None:
        while not done.is_set():
            found = (await client(vm.LIST_SNAPSHOTS, vmpb.ListSnapshotsRequest(id=machine))).snapshots
            seen.add(tuple(each.name for each in found))

    done = asyncio.Event()
    looking = [asyncio.create_task(look()) for _ in range(3)]
    for _ in range(8):
        await client(vm.CREATE_SNAPSHOT, vmpb.CreateSnapshotRequest(id=machine, name="second"))
        await client(vm.RESTORE_SNAPSHOT, vmpb.RestoreSnapshotRequest(id=machine, name="second"))
        await client(vm.DELETE_SNAPSHOT, vmpb.DeleteSnapshotRequest(id=machine, name="second"))
    done.set()
    await asyncio.gather(*looking)
    assert seen == {("first",), ("first", "second")}
    await client.power(machine, vmpb.STOPPED)
    (left,) = (await client(vm.LIST_SNAPSHOTS, vmpb.ListSnapshotsRequest(id=machine))).snapshots
    assert (left.name, left.memory) == ("first", True)


async def test_a_sandbox_whose_namespace_was_only_begun_goes(runtime: RuntimeProcess, client: RuntimeClient) -> None:
    """Killed between the making of the file and what is bound to it."""
    runtime.kill()
    id = os.urandom(16).hex()
    folder = runtime.data / "sandboxes" / id
    folder.mkdir()
    record = {"id": id, "config": {"metadata": {"name": "x", "uid": "x", "namespace": "default"}}}
    (folder / "record.json").write_text(json.dumps(record))
    begun = netns.FOLDER / f"arktos-vm-{id}"
    begun.touch()
    try:
        await runtime.start()
        assert not folder.exists() and not begun.exists()
    finally:
        begun.unlink(missing_ok=True)
