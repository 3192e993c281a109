"""A private containerd for tests: pods on the host's network, images from a private registry."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from arktos.agent.runtimes import Runtime, Runtimes, RuntimeSpec
from arktos.rpc import cri
from arktos.rpc.method import RpcError
from arktos.rpc.protos import cri_pb2 as pb

_CONFIG = """version = 2
root = "{0}/root"
state = "{0}/state"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "{0}/c.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{1}"
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{0}/cni"
"""

_NETWORK = {"cniVersion": "0.4.0", "name": "none", "plugins": [{"type": "ptp", "ipam": {"type": "host-local"}}]}


@dataclass
class PodOfTest:
    """A running pod with one container, or several."""

    uid: str
    name: str
    sandbox: str
    logs: Path
    config: pb.PodSandboxConfig
    containers: dict[str, str] = field(default_factory=dict)


@dataclass
class Containerd:
    """One containerd, its sockets and files below `folder`."""

    folder: Path
    image: str
    process: subprocess.Popen[bytes]

    @property
    def spec(self) -> RuntimeSpec:
        return RuntimeSpec("containerd", "container", str(self.folder / "c.sock"))

    def network(self, ready: bool) -> None:
        """Makes the network ready, or not."""
        conf = self.folder / "cni" / "10-none.conflist"
        if ready:
            conf.write_text(json.dumps(_NETWORK))
        else:
            conf.unlink(missing_ok=True)

    @asynccontextmanager
    async def runtime(self) -> AsyncIterator[Runtime]:
        runtime = Runtime(self.spec)
        try:
            yield runtime
        finally:
            await runtime.aclose()

    async def pull(self, runtime: Runtime, image: str = "") -> str:
        question = pb.PullImageRequest(image=pb.ImageSpec(image=image or self.image))
        return (await runtime.call(cri.PULL_IMAGE, question, within=60)).image_ref

    async def pod(self, runtime: Runtime, logs: Path, tenant: str = "acme", name: str = "web") -> PodOfTest:
        uid = str(uuid.uuid4())
        folder = logs / f"{tenant}_default_{name}_{uid}"
        folder.mkdir(parents=True)
        config = pb.PodSandboxConfig(
            metadata=pb.PodSandboxMetadata(name=name, namespace="default", uid=uid),
            log_directory=str(folder),
            labels={
                "io.kubernetes.pod.name": name,
                "io.kubernetes.pod.namespace": "default",
                "io.kubernetes.pod.uid": uid,
                "io.kubernetes.pod.tenant": tenant,
            },
            linux=pb.LinuxPodSandboxConfig(
                security_context=pb.LinuxSandboxSecurityContext(
                    namespace_options=pb.NamespaceOption(network=pb.NODE, pid=pb.CONTAINER)
                )
            ),
        )
        answer = await runtime.call(cri.RUN_POD_SANDBOX, pb.RunPodSandboxRequest(config=config), within=60)
        return PodOfTest(uid, name, answer.pod_sandbox_id, folder, config)

    async def container(self, runtime: Runtime, pod: PodOfTest, name: str, script: str, attempt: int = 0) -> str:
        (pod.logs / name).mkdir(exist_ok=True)
        config = pb.ContainerConfig(
            metadata=pb.ContainerMetadata(name=name, attempt=attempt),
            image=pb.ImageSpec(image=self.image),
            command=["sh", "-c", script],
            labels={**pod.config.labels, "io.kubernetes.container.name": name},
            log_path=f"{name}/{attempt}.log",
        )
        question = pb.CreateContainerRequest(pod_sandbox_id=pod.sandbox, config=config, sandbox_config=pod.config)
        found = (await runtime.call(cri.CREATE_CONTAINER, question, within=60)).container_id
        await runtime.call(cri.START_CONTAINER, pb.StartContainerRequest(container_id=found), within=60)
        pod.containers[name] = found
        return found

    async def remove(self, runtime: Runtime, pod: PodOfTest) -> None:
        await runtime.call(cri.STOP_POD_SANDBOX, pb.StopPodSandboxRequest(pod_sandbox_id=pod.sandbox), within=60)
        await runtime.call(cri.REMOVE_POD_SANDBOX, pb.RemovePodSandboxRequest(pod_sandbox_id=pod.sandbox), within=60)

    async def clear(self) -> None:
        """Removes every pod."""
        async with self.runtime() as runtime:
            listed = await runtime.call(cri.LIST_POD_SANDBOX, pb.ListPodSandboxRequest())
            for sandbox in listed.items:
                await self.remove(runtime, PodOfTest("", "", sandbox.id, self.folder, pb.PodSandboxConfig()))


async def _answers(spec: RuntimeSpec) -> bool:
    runtime = Runtime(spec)
    try:
        await runtime.call(cri.VERSION, pb.VersionRequest(), within=2)
    except RpcError:
        return False
    finally:
        await runtime.aclose()
    return True


@pytest.fixture(scope="module")
def containerd(busybox_image: str, pause_image: str) -> Iterator[Containerd]:
    """A containerd that only this module uses."""
    if os.geteuid() != 0:
        pytest.skip("containers need root")
    if shutil.which("containerd") is None or shutil.which("runc") is None:
        pytest.skip("containerd and runc are not installed")
    folder = Path(tempfile.mkdtemp(prefix="ark-"))
    (folder / "cni").mkdir()
    (folder / "config.toml").write_text(_CONFIG.format(folder, pause_image))
    log = (folder / "log").open("wb")
    process = subprocess.Popen(["containerd", "-c", str(folder / "config.toml")], stdout=log, stderr=log)
    made = Containerd(folder, busybox_image, process)
    made.network(True)
    try:
        deadline = time.monotonic() + 60
        while not asyncio.run(_answers(made.spec)):
            assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()[-3000:]
        yield made
        asyncio.run(made.clear())
    finally:
        process.terminate()
        process.wait(30)
        log.close()
        _unmount(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _unmount(folder: Path) -> None:
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in reversed([mount for mount in mounts if mount.startswith(f"{folder}/")]):
        subprocess.run(["umount", "-l", mount], check=False, capture_output=True)


@pytest.fixture
async def runtimes(containerd: Containerd) -> AsyncIterator[Runtimes]:
    made = Runtimes([containerd.spec])
    yield made
    await made.aclose()


@pytest.fixture
async def runtime(runtimes: Runtimes) -> Runtime:
    return next(iter(runtimes))


class Said:
    """A recorder that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, str, str]] = []

    def event(self, about: Any, type: str, reason: str, message: str, action: str = "", **_: Any) -> None:
        self.events.append((about["metadata"]["name"], type, reason, message))

    @property
    def reasons(self) -> list[str]:
        return [event[2] for event in self.events]


@pytest.fixture
def said() -> Said:
    return Said()


async def _until(look: Callable[[], Awaitable[Any]], seconds: float = 60.0) -> Any:
    async with asyncio.timeout(seconds):
        while not (found := await look()):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return found


@pytest.fixture(scope="session")
def until() -> Callable[..., Awaitable[Any]]:
    """`await until(look)`: the first truthy value that the coroutine function `look` comes to."""
    return _until
