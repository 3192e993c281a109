"""The services as a client sees them, mostly without a guest that boots."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from arktos.rpc import cri, vm
from arktos.rpc.method import RpcError, stream
from arktos.rpc.protos import cri_pb2 as pb
from arktos.rpc.protos import vm_pb2 as vmpb
from vmruntime.harness import RuntimeClient, RuntimeProcess, until


async def test_sandboxes_and_containers_as_cri_has_them(runtime: RuntimeProcess, client: RuntimeClient) -> None:
    version = await client(cri.VERSION, pb.VersionRequest())
    assert (version.runtime_name, version.runtime_api_version) == ("arktos-vm", "v1")
    status = await client(cri.STATUS, pb.StatusRequest(verbose=True))
    assert {each.type: each.status for each in status.status.conditions} == {"RuntimeReady": True, "NetworkReady": True}
    assert status.info["accelerator"] == "tcg"
    a, b = await client.sandbox("a"), await client.sandbox("b")
    assert await client.address(a) != await client.address(b)
    with pytest.raises(RpcError, match="ALREADY_EXISTS"):
        await client.sandbox("a")

    async def sandboxes(**filter: object) -> list[str]:
        question = pb.ListPodSandboxRequest(filter=pb.PodSandboxFilter(**filter))  # type: ignore[arg-type]
        return [each.id for each in (await client(cri.LIST_POD_SANDBOX, question)).items]

    assert set(await sandboxes()) == {a, b}
    assert await sandboxes(id=a) == [a]
    assert await sandboxes(label_selector={"io.kubernetes.pod.name": "b"}) == [b]
    assert await sandboxes(state=pb.PodSandboxStateValue(state=pb.SANDBOX_NOTREADY)) == []

    first = await client.container(a)
    second = await client.container(b, client.container_config(attempt=3, annotations={"k": "v"}))
    with pytest.raises(RpcError, match="ALREADY_EXISTS"):
        await client.container(a)
    question = pb.ListContainersRequest(filter=pb.ContainerFilter(pod_sandbox_id=b))
    found = (await client(cri.LIST_CONTAINERS, question)).containers
    assert [(each.id, each.metadata.attempt, each.annotations["k"]) for each in found] == [(second, 3, "v")]
    assert found[0].state == pb.CONTAINER_CREATED and found[0].image_ref.startswith("sha256:")

    await client(cri.STOP_POD_SANDBOX, pb.StopPodSandboxRequest(pod_sandbox_id=a))
    assert await sandboxes(state=pb.PodSandboxStateValue(state=pb.SANDBOX_NOTREADY)) == [a]
    with pytest.raises(RpcError, match="FAILED_PRECONDITION"):
        await client.start(first)
    for id in (a, b):
        await client.remove_sandbox(id)
    assert (runtime.leases(), runtime.ports(), runtime.namespaces()) == ([], [], [])
    assert (await client(vm.LIST, vmpb.ListRequest())).machines == []


async def test_bad_questions_are_explained(runtime: RuntimeProcess, client: RuntimeClient) -> None:
    sandbox = await client.sandbox("a")

    async def refused(config: pb.ContainerConfig, code: str, text: str) -> None:
        with pytest.raises(RpcError) as caught:
            await client.container(sandbox, config)
        assert (caught.value.code, text in caught.value.message) == (code, True), caught.value

    def annotated(**fields: object) -> pb.ContainerConfig:
        return client.container_config(annotations={"arktos.io/virtual-machine": json.dumps(fields)})

    await refused(annotated(userData="%"), "INVALID_ARGUMENT", "userData: not base64")
    await refused(annotated(rootSize="1Mi"), "INVALID_ARGUMENT", "rootSize: is smaller than the image")
    mount = pb.Mount(host_path="/nowhere", container_path="/x")
    await refused(client.container_config(mounts=[mount]), "INVALID_ARGUMENT", "config.mounts[0].host_path: /nowhere")
    absent = client.container_config()
    absent.image.image = "images.example/absent:1"
    await refused(absent, "NOT_FOUND", "images.example/absent:1")
    on_host = client.sandbox_config("h", linux=pb.LinuxPodSandboxConfig())
    on_host.linux.security_context.namespace_options.network = pb.NODE
    with pytest.raises(RpcError, match="cannot use the node's network"):
        await client(cri.RUN_POD_SANDBOX, pb.RunPodSandboxRequest(config=on_host))
    assert os.listdir(runtime.data / "machines") == []
    for method, question in (
        (cri.START_CONTAINER, pb.StartContainerRequest(container_id="x")),
        (cri.CONTAINER_STATUS, pb.ContainerStatusRequest(container_id="x")),
        (cri.POD_SANDBOX_STATUS, pb.PodSandboxStatusRequest(pod_sandbox_id="x")),
        (vm.SET_POWER, vmpb.SetPowerRequest(id="x", power=vmpb.RUNNING)),
    ):
        with pytest.raises(RpcError, match="NOT_FOUND"):
            await client(method, question)  # type: ignore[arg-type]
    # What is gone already is no mistake.
    await client(cri.STOP_CONTAINER, pb.StopContainerRequest(container_id="x"))
    await client(cri.REMOVE_CONTAINER, pb.RemoveContainerRequest(container_id="x"))
    await client.remove_sandbox("x")


async def test_a_machine_larger_than_the_node(runtime: RuntimeProcess, client: RuntimeClient) -> None:
    sandbox = await client.sandbox("a")
    machine = await client.container(sandbox, client.container_config(memory=64 << 40))
    with pytest.raises(RpcError) as caught:
        await client.start(machine)
    assert "memory" in caught.value.message or "ram" in caught.value.message, caught.value
    found = await client.machine(machine)
    assert (found.power, found.reason) == (vmpb.CRASHED, "StartFailed")
    assert found.message in caught.value.message or caught.value.message in found.message
    assert runtime.qemus() == {}


async def test_a_watch_tells_all_then_every_change(runtime: RuntimeProcess, client: RuntimeClient) -> None:
    sandbox = await client.sandbox("a")
    machine = await client.container(sandbox)
    watch = stream(client.channel, vm.WATCH, vmpb.WatchRequest())
    async with asyncio.timeout(60):
        assert (await anext(watch)).machine.id == machine
        assert (await anext(watch)).synced
        await client.start(machine)
        assert (await anext(watch)).machine.power == vmpb.RUNNING
        os.kill(runtime.qemus()[machine], signal.SIGKILL)
        while (change := await anext(watch)).machine.power != vmpb.CRASHED:
            assert change.machine.power == vmpb.RUNNING
        assert change.machine.pod_uid == "uid-a"
        await client(cri.REMOVE_CONTAINER, pb.RemoveContainerRequest(container_id=machine))
        while not (change := await anext(watch)).removed:
            continue
        assert change.removed == machine


async def test_a_runtime_killed_anywhere_in_a_suspension_loses_nothing(
    runtime: RuntimeProcess, client: RuntimeClient
) -> None:
    """Killed at many points of a suspension: afterwards the machine runs, or its memory is kept, and it can be
    resumed; firmware that waits is guest enough."""
    sandbox = await client.sandbox("a")
    machine = await client.container(sandbox)
    await client.start(machine)
    seen = set()
    for moment in range(6):
        asking = asyncio.create_task(client.power(machine, vmpb.SUSPENDED))
        await asyncio.wait((asking,), timeout=0.03 * moment)
        runtime.kill()
        await asyncio.gather(asking, return_exceptions=True)
        await runtime.start()
        found = await client.machine(machine)
        kept = (runtime.data / "machines" / machine / "memory").exists()
        seen.add(vmpb.Power.Name(found.power))
        if found.power == vmpb.RUNNING:
            assert machine in runtime.qemus() and not kept
        else:
            assert found.power == vmpb.SUSPENDED and kept and runtime.qemus() == {}, found
            resumed = await client.power(machine, vmpb.RUNNING)
            assert (resumed.power, resumed.starts) == (vmpb.RUNNING, 1)
    assert seen <= {"RUNNING", "SUSPENDED"}


async def test_a_half_made_sandbox_of_a_killed_runtime_goes(runtime: RuntimeProcess, client: RuntimeClient) -> None:
    for moment in range(4):
        asking = asyncio.create_task(client.sandbox(f"s{moment}"))
        await asyncio.wait((asking,), timeout=0.015 * moment)
        runtime.kill()
        await asyncio.gather(asking, return_exceptions=True)
        await runtime.start()
        async with asyncio.timeout(20):
            # What was half made is taken away while the runtime serves already.
            while True:
                found = (await client(cri.LIST_POD_SANDBOX, pb.ListPodSandboxRequest())).items
                left = {len(os.listdir(runtime.data / "sandboxes")), len(runtime.leases()), len(runtime.namespaces())}
                if left == {len(found)}:
                    break
        for each in found:
            await client.remove_sandbox(each.id)


async def test_a_stray_qemu_without_a_record_is_ended(runtime: RuntimeProcess, client: RuntimeClient) -> None:
    sandbox = await client.sandbox("a")
    machine = await client.container(sandbox)
    await client.start(machine)
    runtime.kill()
    (runtime.data / "machines" / machine / "record.json").unlink()
    await runtime.start()
    assert runtime.qemus() == {}
    assert os.listdir(runtime.data / "machines") == []


async def test_twice_on_one_folder_is_refused(runtime: RuntimeProcess) -> None:
    command = [sys.executable, "-m", "arktos", "vmruntime", f"--socket={runtime.folder / 'x.sock'}"]
    command += [f"--data-dir={runtime.data}", "--cni-conf-dir=/nowhere", "--cni-bin-dir=/nowhere", "--health-port=0"]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "another VM runtime works in" in done.stderr


@pytest.mark.heavy
async def test_killed_for_want_of_memory(runtime: RuntimeProcess, client: RuntimeClient) -> None:
    """In a memory cgroup that is too small for it, which the kernel says in its log."""
    controller = Path("/sys/fs/cgroup/memory")
    if not controller.joinpath("memory.limit_in_bytes").exists():
        pytest.skip("needs the memory controller of cgroup v1")
    group = controller / f"vmtest-{os.getpid()}"
    await asyncio.to_thread(group.mkdir)
    try:
        sandbox = await client.sandbox("a")
        machine = await client.container(sandbox)
        await client.start(machine)
        (group / "memory.limit_in_bytes").write_text(str(24 << 20))
        (group / "cgroup.procs").write_text(str(runtime.qemus()[machine]))
        crashed = await client.until_power(machine, vmpb.CRASHED, 120)
        assert crashed.reason == "OOMKilled", crashed
    finally:
        runtime.close()

        async def empty() -> bool:
            return not (group / "cgroup.procs").read_text()

        await until(empty)
        group.rmdir()


@pytest.mark.heavy
async def test_a_full_disk(runtime: RuntimeProcess, client: RuntimeClient) -> None:
    """A snapshot and a suspension that do not fit are refused, and the machine goes on."""
    runtime.terminate()
    small = ["mount", "-t", "tmpfs", "-o", "size=80m", "tmpfs", str(runtime.data)]
    await asyncio.to_thread(subprocess.run, small, check=True)
    try:
        await runtime.start()
        await client.pull()
        sandbox = await client.sandbox("a")
        machine = await client.container(sandbox)
        await client.start(machine)
        await client.until_logged("a", "GUEST-READY")
        with pytest.raises(RpcError, match="RESOURCE_EXHAUSTED: the disk is full"):
            await client(vm.CREATE_SNAPSHOT, vmpb.CreateSnapshotRequest(id=machine, name="big"))
        assert not (await client(vm.LIST_SNAPSHOTS, vmpb.ListSnapshotsRequest(id=machine))).snapshots
        with pytest.raises(RpcError, match="RESOURCE_EXHAUSTED"):
            await client.power(machine, vmpb.SUSPENDED)
        assert not list((runtime.data / "machines" / machine).glob("memory*"))
        assert "1 received" in runtime.inside("ping", "-c1", "-W20", await client.address(sandbox))
        assert (await client.machine(machine)).power == vmpb.RUNNING
        await client.remove_sandbox(sandbox)
    finally:
        runtime.close()
        await asyncio.to_thread(subprocess.run, ["umount", "-l", str(runtime.data)], check=True)


async def test_volumes_become_disks_that_the_guest_can_use(
    runtime: RuntimeProcess, client: RuntimeClient, tmp_path: Path
) -> None:
    """A ConfigMap's directory, an emptyDir and a raw file that belongs to root, seen from inside."""
    settings, scratch, raw = tmp_path / "settings", tmp_path / "scratch", tmp_path / "raw.img"
    for folder in (settings, scratch):
        folder.mkdir()
    (settings / "..data").symlink_to(".")
    (settings / "colour").write_text("green")
    raw.write_bytes(b"here".ljust(1 << 20, b"\0"))
    raw.chmod(0o600)
    script = (
        "mount -t ext4 /dev/vdd /mnt && echo kept > /mnt/file && umount /mnt && mkdir -p /run/s && "
        "mount -t iso9660 /dev/vdc /run/s && echo SEEN=$(cat /run/s/colour)-$(head -c 4 /dev/vde) && "
        "printf back | dd of=/dev/vde conv=notrunc 2>/dev/null && sync && echo WRITTEN"
    )
    config = client.container_config(
        annotations={"arktos.io/virtual-machine": json.dumps({"script": script})},
        mounts=[pb.Mount(host_path=str(path), container_path="/x") for path in (settings, scratch, raw)],
    )
    sandbox = await client.sandbox("a")
    machine = await client.container(sandbox, config)
    await client.start(machine)
    log = await client.until_logged("a", "GUEST-READY")
    assert "SEEN=green-here" in log and "WRITTEN" in log, log
    await client.power(machine, vmpb.STOPPED, 60)
    assert raw.read_bytes()[:5] == b"back\0"
    assert (scratch / "disk.img").stat().st_blocks * 512 < 64 << 20
    await client.remove_sandbox(sandbox)


async def test_a_volume_to_boot_from(
    runtime: RuntimeProcess, client: RuntimeClient, tmp_path: Path, vm_image: Path
) -> None:
    """Where it has a boot loader; else the image boots, which may be there to fill it."""
    full, empty = tmp_path / "full", tmp_path / "empty"
    for folder in (full, empty):
        folder.mkdir()
    raw = full / "disk.img"
    await asyncio.to_thread(subprocess.run, ["qemu-img", "convert", "-O", "raw", vm_image, raw], check=True)
    # What the guest's kernel is told tells whose boot loader it was.
    content = raw.read_bytes()
    assert content.count(b" quiet ") == 1
    raw.write_bytes(content.replace(b" quiet ", b" vol=1 "))
    told = {"script": "echo TOLD=$(cat /proc/cmdline)", "bootVolume": "/disk"}

    async def started(name: str, folder: Path) -> str:
        config = client.container_config(
            annotations={"arktos.io/virtual-machine": json.dumps(told)},
            mounts=[pb.Mount(host_path=str(folder), container_path="/disk")],
        )
        machine = await client.container(await client.sandbox(name), config)
        await client.start(machine)
        return machine

    machine = await started("full", full)
    await started("empty", empty)
    assert "vol=1" in await client.until_logged("full", "GUEST-READY")
    log = await client.until_logged("empty", "GUEST-READY")
    assert "TOLD=" in log and "quiet" in log and "vol=1" not in log
    with pytest.raises(RpcError, match="FAILED_PRECONDITION: the machine boots from a volume"):
        await client(vm.CREATE_SNAPSHOT, vmpb.CreateSnapshotRequest(id=machine, name="half"))

    bad = client.container_config(annotations={"arktos.io/virtual-machine": json.dumps(told)})
    with pytest.raises(RpcError, match="bootVolume: no mount has the path '/disk'"):
        await client.container(await client.sandbox("none"), bad)
