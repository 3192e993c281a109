"""Pods of a real containerd, on a real API server's word, in the embedded network."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from arktos.bootstrap import containerd
from arktos.bootstrap.layout import Layout
from arktos.bootstrap.nodes import NodeSettings
from arktos.hostnet.links import Links
from arktos.rpc import cri
from arktos.rpc.method import call, connect
from arktos.rpc.protos import cri_pb2 as pb
from conftest import System, eventually
from network.node_process import NODE_IP, NodeProcess
from network.stage import Space

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("containerd") is None or shutil.which("runc") is None,
    reason="needs root and containerd",
)


class Runtime:
    """A containerd of the test's own; its files have short names, for sockets have."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="arkt-"))
        self.layout = Layout(self.folder)
        self.cgroup = self.folder.name
        self.layout.run.mkdir(parents=True)
        containerd.prepare(self.layout, NodeSettings("n1", NODE_IP, "", "10.96.0.10"))
        log = (self.folder / "log.txt").open("wb")
        command = ["containerd", "-c", str(self.layout.containerd_config)]
        self.process = subprocess.Popen(command, stdout=log, stderr=log)
        log.close()

        def serves() -> bool:
            assert self.process.poll() is None, (self.folder / "log.txt").read_text()[-3000:]
            return containerd.listens(self.layout.containerd_socket)

        eventually(serves, 60)
        containerd.import_pause_image(self.layout)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        for mount in sorted(Path("/proc/self/mounts").read_text().split()):
            if mount.startswith(f"{self.folder}/"):
                subprocess.run(["umount", "-l", mount], capture_output=True, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)
        for parent in Path("/sys/fs/cgroup").glob(f"**/{self.cgroup}"):
            for folder in (*parent.iterdir(), parent):
                if folder.is_dir():
                    folder.rmdir()


@pytest.fixture
def runtime(apart: None) -> Iterator[Runtime]:
    made = Runtime()
    yield made
    made.close()


@pytest.fixture
def node(apart: None, apiserver: System, tmp_path: Path, runtime: Runtime) -> Iterator[NodeProcess]:
    made = NodeProcess(apiserver, tmp_path)
    made.conf, made.bin = runtime.layout.cni_conf, runtime.layout.cni_bin
    made.tenant("red")
    made.tenant("blue")
    made.node("n1", "10.244.1.0/24", NODE_IP)
    yield made
    made.close()


def sandbox(pod: dict[str, Any], runtime: Runtime, ports: list[pb.PortMapping]) -> pb.PodSandboxConfig:
    meta = pod["metadata"]
    return pb.PodSandboxConfig(
        metadata=pb.PodSandboxMetadata(name=meta["name"], uid=meta["uid"], namespace=meta["namespace"], attempt=0),
        hostname=meta["name"],
        log_directory=str(runtime.folder / meta["uid"]),
        port_mappings=ports,
        linux=pb.LinuxPodSandboxConfig(
            cgroup_parent=f"/{runtime.cgroup}/{meta['uid']}",
            security_context=pb.LinuxSandboxSecurityContext(
                namespace_options=pb.NamespaceOption(network=pb.POD, pid=pb.CONTAINER, ipc=pb.POD)
            ),
        ),
    )


async def test_pods_of_containerd(node: NodeProcess, runtime: Runtime) -> None:
    channel = connect(str(runtime.layout.containerd_socket))
    made: list[str] = []
    try:

        async def network_ready() -> bool:
            status = await call(channel, cri.STATUS, pb.StatusRequest(), within=30)
            return {each.type: each.status for each in status.status.conditions}["NetworkReady"]

        assert not await network_ready()
        node.start()
        node.ready()
        async with asyncio.timeout(30):
            while not await network_ready():  # noqa: ASYNC110
                await asyncio.sleep(0.1)

        async def run(tenant: str, name: str, *ports: pb.PortMapping) -> tuple[str, Space]:
            config = sandbox(node.pod(tenant, name), runtime, list(ports))
            question = pb.RunPodSandboxRequest(config=config)
            identity = (await call(channel, cri.RUN_POD_SANDBOX, question, within=120)).pod_sandbox_id
            made.append(identity)
            question = pb.PodSandboxStatusRequest(pod_sandbox_id=identity, verbose=True)
            status = await call(channel, cri.POD_SANDBOX_STATUS, question, within=30)
            space = Space.__new__(Space)
            pid = json.loads(status.info["info"])["pid"]
            space.path = Path(f"/proc/{pid}/ns/net")
            return status.status.network.ip, space

        port = pb.PortMapping(protocol=pb.TCP, container_port=8080, host_port=18080)
        web, web_space = await run("red", "web", port)
        db, db_space = await run("red", "db")
        _, blue_space = await run("blue", "web")
        assert web.startswith("10.244.1.") and db.startswith("10.244.1.")
        assert db_space.pings(web) and not blue_space.pings(web) and not blue_space.pings(db)
        with web_space.listen(web, 8080):
            host = Space.__new__(Space)
            host.path = Path(f"/proc/{os.getpid()}/task/{threading.get_native_id()}/ns/net")
            assert host.connects(NODE_IP, 18080) and host.connects("127.0.0.1", 18080)

        # The daemon is killed while pods go: the runtime cannot be done with them until it is back.
        node.kill()
        stopping = pb.StopPodSandboxRequest(pod_sandbox_id=made[0])
        with pytest.raises(Exception, match="does not answer"):
            await call(channel, cri.STOP_POD_SANDBOX, stopping, within=120)
        node.start()
        node.ready()
        for identity in made:
            await call(channel, cri.STOP_POD_SANDBOX, pb.StopPodSandboxRequest(pod_sandbox_id=identity), within=120)
        with Links() as links:
            assert [link.name for link in links.all() if link.name.startswith("ark")] == []
    finally:
        for identity in made:
            await call(channel, cri.STOP_POD_SANDBOX, pb.StopPodSandboxRequest(pod_sandbox_id=identity), within=120)
            await call(channel, cri.REMOVE_POD_SANDBOX, pb.RemovePodSandboxRequest(pod_sandbox_id=identity), within=120)
        await channel.close()
