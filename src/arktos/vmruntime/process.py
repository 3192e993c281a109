"""The VM runtime's process: what `arktos vmruntime` runs."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder

from arktos.client.serving import HealthServer
from arktos.hostnet.cni import Cni
from arktos.vmruntime.accelerator import choose
from arktos.vmruntime.images import ImagePolicy, ImageStore
from arktos.vmruntime.power import Power
from arktos.vmruntime.qemu_command import PROGRAM
from arktos.vmruntime.runtime import Runtime
from arktos.vmruntime.users import User, Users, uid_exists
from arktos.wire import logs

_log = logs.get_logger(__name__)


class CannotServe(Exception):
    """Something that the runtime needs is not on this machine, or is somebody else's."""


@dataclass(frozen=True, slots=True)
class Options:
    socket: Path
    data_dir: Path
    cni_conf_dir: Path
    cni_bin_dir: Path
    accelerator: str = "auto"
    image_mirrors: tuple[tuple[str, str], ...] = ()
    insecure_registries: tuple[str, ...] = ()
    allow_file_images: Path | None = None
    allow_local_images: bool = False
    qemu_user: str = "nobody"
    first_uid: int = 0
    health_port: int = 10261


async def run(options: Options, stop: asyncio.Event) -> None:
    """Serves until `stop`; machines run on. Raises CannotServe, OSError."""
    users, accelerator = _needs(options)
    with _alone(options.data_dir):
        cni = Cni(options.cni_conf_dir, [options.cni_bin_dir], cache_dir=options.data_dir / "cni")
        images = _images(options, lambda id: bool(runtime.machines.using_image(id)))
        runtime = Runtime(options.data_dir, options.socket, images, cni, users=users, accelerator=accelerator)
        metrics = _Metrics(runtime)
        async with (
            runtime,
            HealthServer("127.0.0.1", options.health_port, metrics=metrics.render),
        ):
            _log.info(
                "serving", socket=str(options.socket), accelerator=accelerator, machines=runtime.machines.counts()
            )
            await stop.wait()


async def run_until_signal(options: Options) -> None:
    """`run` until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await run(options, stop)


def _needs(options: Options) -> tuple[Users, str]:
    for program in (PROGRAM, "qemu-img"):
        if shutil.which(program) is None:
            raise CannotServe(f"{program} is not installed")
    if os.geteuid() != 0:
        raise CannotServe("the VM runtime needs root rights: it makes network namespaces and taps")
    try:
        return _users(options), choose(options.accelerator)
    except KeyError:
        raise CannotServe(f"--qemu-user: there is no user {options.qemu_user!r}") from None
    except ValueError as error:
        raise CannotServe(str(error)) from None


def _users(options: Options) -> Users:
    common, first = User.named(options.qemu_user), options.first_uid
    if first and not uid_exists(first):
        _log.warning("users_shared", uid=first, reason="this user namespace has no such uid", user=options.qemu_user)
        first = 0
    return Users(common, first)


def _images(options: Options, in_use: Callable[[str], bool]) -> ImageStore:
    policy = ImagePolicy(
        mirrors=options.image_mirrors,
        insecure_registries=frozenset(options.insecure_registries),
        files=options.allow_file_images,
        allow_local=options.allow_local_images,
        qemu_user=options.qemu_user,
    )
    return ImageStore(options.data_dir / "images", policy, in_use)


@contextmanager
def _alone(data_dir: Path) -> Iterator[None]:
    """Two runtimes on one folder would fight over its machines."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(data_dir / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotServe(f"another VM runtime works in {data_dir}") from None
        yield


class _Metrics:
    """Machines by power state, and who is attached to consoles."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        counts = self._runtime.machines.counts()
        machines = GaugeMetricFamily("arktos_vmruntime_machines", "Virtual machines by power.", labels=["power"])
        for power in Power:
            machines.add_metric([power.value], counts.get(power.value, 0))
        yield machines
        sandboxes = sum(1 for _ in self._runtime.sandboxes)
        yield GaugeMetricFamily("arktos_vmruntime_sandboxes", "Pod sandboxes.", value=sandboxes)
        consoles = [machine.console for machine in self._runtime.machines if machine.console is not None]
        attached = sum(console.attached for console in consoles)
        yield GaugeMetricFamily("arktos_vmruntime_attached", "Clients attached to consoles.", value=attached)

    def render(self, accept: str) -> tuple[bytes, str]:
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type
