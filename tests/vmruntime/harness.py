"""A VM runtime as a process of its own, in a network namespace of its own, and its client."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arktos.hostnet import netns
from arktos.rpc import cri, vm
from arktos.rpc.method import Answer, Method, Question, call, connect
from arktos.rpc.protos import cri_pb2 as pb
from arktos.rpc.protos import vm_pb2 as vmpb

_libc = ctypes.CDLL(None, use_errno=True)
BOOT = 120.0
SUBNET = "10.77.0.0/24"
GATEWAY = "10.77.0.1"


@dataclass
class RuntimeProcess:
    """A runtime in `folder`. `netns` is its network, where guests are reached from, too."""

    folder: Path
    image: Path
    netns: Path = field(init=False)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.netns = netns.create(f"vmtest-{secrets.token_hex(4)}")
        conf = {
            "cniVersion": "1.0.0",
            "name": "test",
            "plugins": [
                {
                    "type": "bridge",
                    "bridge": "br0",
                    "isGateway": True,
                    "ipam": {
                        "type": "host-local",
                        "dataDir": str(self.folder / "leases"),
                        "ranges": [[{"subnet": SUBNET}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                    },
                }
            ],
        }
        (self.folder / "net.d").mkdir()
        (self.folder / "net.d" / "10-test.conflist").write_text(json.dumps(conf))

    @property
    def socket(self) -> Path:
        return self.folder / "vm.sock"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def _start(self) -> None:
        program = [sys.executable, "-m", "arktos", "vmruntime", f"--socket={self.socket}", f"--data-dir={self.data}"]
        program += [f"--cni-conf-dir={self.folder / 'net.d'}", "--cni-bin-dir=/usr/lib/cni", "--accelerator=tcg"]
        program += [f"--allow-file-images={self.image.parent}", "--health-port=0"]
        with (self.folder / "runtime.log").open("ab") as log:
            self.process = subprocess.Popen(["nsenter", f"--net={self.netns}", *program], stdout=log, stderr=log)

    async def start(self) -> None:
        self.socket.unlink(missing_ok=True)
        await asyncio.to_thread(self._start)
        channel = connect(str(self.socket))
        try:
            await until(lambda: self._answers(channel), 60)
        finally:
            await channel.close()

    async def _answers(self, channel: Any) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "runtime.log").read_text()[-4000:]
        with suppress(Exception):
            await call(channel, cri.VERSION, pb.VersionRequest(), within=1)
            return True
        return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(30)

    def qemus(self) -> dict[str, int]:
        from arktos.vmruntime.processes import running_below

        return running_below(self.data / "machines") if (self.data / "machines").exists() else {}

    def leases(self) -> list[str]:
        folder = self.folder / "leases" / "test"
        return [each.name for each in folder.iterdir() if each.name[0].isdigit()] if folder.exists() else []

    def namespaces(self) -> list[str]:
        """Of sandboxes of this runtime."""
        own = [each.name for each in (self.data / "sandboxes").iterdir()]
        return [each.name for each in netns.FOLDER.iterdir() if each.name.removeprefix("arktos-vm-") in own]

    def ports(self) -> list[str]:
        """What hangs on the bridge."""
        lines = self.inside("ip", "-br", "link").splitlines()
        return [line.split("@")[0] for line in lines if line.startswith("veth")]

    def inside(self, *command: str, check: bool = True) -> str:
        """What a program prints in the runtime's network."""
        done = subprocess.run(["nsenter", f"--net={self.netns}", *command], capture_output=True, text=True, timeout=60)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        for pid in self.qemus().values():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for name in self.namespaces() if (self.data / "sandboxes").exists() else []:
            netns.remove(netns.FOLDER / name)
        netns.remove(self.netns)


@contextmanager
def entered(path: Path) -> Iterator[None]:
    """The calling thread is in the network namespace until the end."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    there = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        assert _libc.setns(there, netns.CLONE_NEWNET) == 0
        yield
    finally:
        assert _libc.setns(home, netns.CLONE_NEWNET) == 0
        os.close(there)
        os.close(home)


async def until(look: Callable[[], Awaitable[Any]], seconds: float = 60.0, what: str = "") -> Any:
    """The first truthy answer."""
    deadline = time.monotonic() + seconds
    while True:
        found = await look()
        if found:
            return found
        assert time.monotonic() < deadline, f"{what or look} did not come true in {seconds} s; last: {found!r}"
        await asyncio.sleep(0.05)


class RuntimeClient:
    def __init__(self, runtime: RuntimeProcess) -> None:
        self.runtime = runtime
        self.channel = connect(str(runtime.socket))

    async def __call__(self, method: Method[Question, Answer], question: Question, within: float = BOOT) -> Answer:
        return await call(self.channel, method, question, within=within)

    def sandbox_config(self, name: str, **more: Any) -> pb.PodSandboxConfig:
        return pb.PodSandboxConfig(
            metadata=pb.PodSandboxMetadata(name=name, namespace="default", uid=f"uid-{name}", attempt=0),
            hostname=name,
            log_directory=str(self.runtime.folder / "logs" / name),
            dns_config=pb.DNSConfig(servers=["10.96.0.10"], searches=["default.svc.cluster.local", "cluster.local"]),
            labels={"io.kubernetes.pod.name": name, "io.kubernetes.pod.uid": f"uid-{name}"},
            annotations={"note": name},
            **more,
        )

    async def pull(self) -> str:
        question = pb.PullImageRequest(image=pb.ImageSpec(image=f"file://{self.runtime.image}"))
        return (await self(cri.PULL_IMAGE, question)).image_ref

    async def sandbox(self, name: str, **more: Any) -> str:
        question = pb.RunPodSandboxRequest(config=self.sandbox_config(name, **more))
        return (await self(cri.RUN_POD_SANDBOX, question)).pod_sandbox_id

    def container_config(self, name: str = "vm", memory: int = 192 << 20, **more: Any) -> pb.ContainerConfig:
        return pb.ContainerConfig(
            metadata=pb.ContainerMetadata(name=name, attempt=more.pop("attempt", 0)),
            image=pb.ImageSpec(image=f"file://{self.runtime.image}"),
            log_path=f"{name}/0.log",
            tty=True,
            stdin=True,
            labels={"io.kubernetes.container.name": name},
            linux=pb.LinuxContainerConfig(
                resources=pb.LinuxContainerResources(
                    cpu_quota=more.pop("cpu_quota", 100_000), cpu_period=100_000, memory_limit_in_bytes=memory
                )
            ),
            **more,
        )

    async def container(self, sandbox: str, config: pb.ContainerConfig | None = None) -> str:
        question = pb.CreateContainerRequest(pod_sandbox_id=sandbox, config=config or self.container_config())
        return (await self(cri.CREATE_CONTAINER, question)).container_id

    async def start(self, id: str) -> None:
        await self(cri.START_CONTAINER, pb.StartContainerRequest(container_id=id))

    async def status(self, id: str) -> pb.ContainerStatus:
        return (await self(cri.CONTAINER_STATUS, pb.ContainerStatusRequest(container_id=id))).status

    async def machine(self, id: str) -> vmpb.VirtualMachine:
        return next(each for each in (await self(vm.LIST, vmpb.ListRequest())).machines if each.id == id)

    async def address(self, sandbox: str) -> str:
        question = pb.PodSandboxStatusRequest(pod_sandbox_id=sandbox)
        return (await self(cri.POD_SANDBOX_STATUS, question)).status.network.ip

    async def power(self, id: str, power: vmpb.Power, grace: int = 0) -> vmpb.VirtualMachine:
        question = vmpb.SetPowerRequest(id=id, power=power, grace_seconds=grace)
        return (await self(vm.SET_POWER, question)).machine

    async def until_power(self, id: str, power: vmpb.Power, seconds: float = 60) -> vmpb.VirtualMachine:
        async def look() -> vmpb.VirtualMachine | None:
            found = await self.machine(id)
            return found if found.power == power else None

        found: vmpb.VirtualMachine = await until(look, seconds, f"power {vmpb.Power.Name(power)}")
        return found

    def log(self, pod: str, name: str = "vm") -> str:
        path = self.runtime.folder / "logs" / pod / name / "0.log"
        return path.read_text(errors="replace") if path.exists() else ""

    async def until_logged(self, pod: str, text: str, times: int = 1, seconds: float = BOOT) -> str:
        async def look() -> str:
            found = self.log(pod)
            return found if found.count(text) >= times else ""

        return str(await until(look, seconds, f"{times} x {text!r} in the log, which is {self.log(pod)[-1500:]!r}"))

    async def remove_sandbox(self, id: str) -> None:
        await self(cri.STOP_POD_SANDBOX, pb.StopPodSandboxRequest(pod_sandbox_id=id))
        await self(cri.REMOVE_POD_SANDBOX, pb.RemovePodSandboxRequest(pod_sandbox_id=id))

    async def aclose(self) -> None:
        await self.channel.close()
