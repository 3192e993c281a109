"""The volumes of pods, set up and taken away for real."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.spec.pods import FACTS, container, pod
from agent.volumes.conftest import mounts_below, needs_root
from arktos.agent.sources import FileReader
from arktos.agent.spec.env import EnvironmentSources
from arktos.agent.spec.facts import ConfigError
from arktos.agent.volumes import MountedVolume, VolumeError, Volumes, emptydir, mounting
from arktos.model import dates
from arktos.model.quantity import parse
from arktos.model.status import Forbidden, ServiceUnavailable
from arktos.rpc.protos import cri_pb2 as pb

pytestmark = needs_root


class FakeSources:
    """What pods refer to, in memory."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.failure: Exception | None = None
        self.environment_of: dict[str, str] = {}
        self.tell: Callable[[str], None] = lambda uid: None
        self.files: FileReader | None = None

    def on_change(self, listener: Callable[[str], None]) -> None:
        self.tell = listener

    def read_files_with(self, reader: FileReader) -> None:
        self.files = reader

    async def config_map(self, tenant: str, namespace: str, name: str) -> dict[str, Any] | None:
        return await self.read("configmaps", tenant, namespace, name)

    async def secret(self, tenant: str, namespace: str, name: str) -> dict[str, Any] | None:
        return await self.read("secrets", tenant, namespace, name)

    async def read(self, resource: str, tenant: str, namespace: str, name: str) -> dict[str, Any] | None:
        if self.failure is not None:
            raise self.failure
        assert tenant == "acme"
        return self.objects.get((resource, name))

    async def environment(self, pod: Any, container: Any, ips: Any) -> EnvironmentSources:
        return EnvironmentSources(pod_ips=tuple(ips))


class FakeTokens:
    """A client that only makes tokens."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.asked: list[dict[str, Any]] = []
        self.failure: Exception | None = None
        self._clock = clock

    async def create(self, kind: Any, body: dict[str, Any], **where: str) -> dict[str, Any]:
        self.asked.append({"body": body, **where})
        if self.failure is not None:
            raise self.failure
        ends = self._clock() + body["spec"]["expirationSeconds"]
        number = len(self.asked)
        return {"status": {"token": f"token-{number}", "expirationTimestamp": dates.rfc3339(dates.from_unix(ends))}}


class World:
    def __init__(self, room: Path) -> None:
        self.now = 1_000_000.0
        self.root = room / "pods"
        self.sources = FakeSources()
        self.client = FakeTokens(lambda: self.now)
        self.complaints: list[str] = []
        self.volumes = self.again()

    def again(self) -> Volumes:
        """As after a restart of the agent."""
        return Volumes(
            self.root,
            self.client,  # type: ignore[arg-type]
            self.sources,  # type: ignore[arg-type]
            lambda: replace(FACTS, allocatable={"memory": parse("64Mi")}),
            complain=lambda pod, error: self.complaints.append(error.message),
            clock=lambda: self.now,
        )


@pytest.fixture
def world(room: Path) -> World:
    return World(room)


def using(*volumes: dict[str, Any], mounts: list[dict[str, Any]] | None = None, **spec: Any) -> dict[str, Any]:
    stated = mounts if mounts is not None else [{"name": v["name"], "mountPath": f"/m/{v['name']}"} for v in volumes]
    return pod(container(volumeMounts=stated), volumes=list(volumes), **spec)


def host_path(path: str, kind: str) -> dict[str, Any]:
    return {"hostPath": {"path": path, "type": kind}}


SETTINGS = {"metadata": {"name": "settings"}, "data": {"a": "1"}}
LOGIN = {"metadata": {"name": "login"}, "data": {"key": base64.b64encode(b"s").decode()}}


async def test_every_volume_of_a_pod_and_nothing_left_of_it(world: World, room: Path) -> None:
    world.sources.objects = {("configmaps", "settings"): SETTINGS, ("secrets", "login"): LOGIN}
    (room / "host").mkdir()
    (room / "host" / "precious").write_text("1")
    described = using(
        {"name": "scratch", "emptyDir": {"sizeLimit": "1Mi"}},
        {"name": "fast", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}},
        {"name": "conf", "configMap": {"name": "settings"}},
        {"name": "login", "secret": {"secretName": "login", "defaultMode": 0o400}},
        {"name": "about", "downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        {"name": "api", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
        {"name": "host", "hostPath": {"path": str(room / "host"), "type": "Directory"}},
        {"name": "unused", "secret": {"secretName": "does-not-exist"}},
        mounts=[{"name": n} for n in ("scratch", "fast", "conf", "login", "about", "api", "host")],
        serviceAccountName="robot",
    )
    found = await world.volumes.set_up(described)
    assert set(found) == {"scratch", "fast", "conf", "login", "about", "api", "host"}
    read = {name: Path(each.path) for name, each in found.items()}
    assert stat.S_IMODE(read["scratch"].stat().st_mode) == 0o777 and found["scratch"].limit == 1 << 20
    assert (read["conf"] / "a").read_text() == "1"
    assert (read["login"] / "key").read_text() == "s"
    assert stat.S_IMODE((read["login"] / "key").stat().st_mode) == 0o400
    assert (read["about"] / "n").read_text() == "web"
    assert (read["api"] / "token").read_text() == "token-1"
    assert found["host"] == MountedVolume("host", "hostPath", str(room / "host"))
    assert {name for name, each in found.items() if each.read_only} == {"conf", "login", "about", "api"}
    in_memory = {str(read[name]) for name in ("fast", "login", "about", "api")}
    assert set(mounts_below(room)) == in_memory
    filled = os.statvfs(read["fast"])
    assert filled.f_blocks * filled.f_frsize == 8 << 20
    assert world.client.asked[0]["name"] == "robot" and world.client.asked[0]["tenant"] == "acme"
    assert world.client.asked[0]["body"]["spec"]["boundObjectRef"] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": "web",
        "uid": "u-1",
    }

    # Again, by this process and by one that knows nothing: nothing more is mounted, and what a pod wrote stays.
    (read["fast"] / "mine").write_text("x")
    (read["scratch"] / "mine").write_text("x" * 5000)
    for volumes in (world.volumes, world.again()):
        assert await volumes.set_up(described) == found
        assert set(mounts_below(room)) == in_memory and len(mounts_below(room)) == 4
        assert (read["fast"] / "mine").exists() and (read["scratch"] / "mine").exists()
        assert await volumes.uids_on_disk() == ["u-1"]
    usage = await world.volumes.usage("u-1", found.values())
    assert usage["scratch"].bytes >= 8192 and usage["scratch"].limit == 1 << 20
    assert usage["fast"].bytes == 4096 and "host" not in usage

    await world.again().tear_down("u-1")
    assert mounts_below(room) == [] and not (world.root / "u-1").exists()
    assert (room / "host" / "precious").read_text() == "1"
    await world.again().tear_down("u-1")
    assert await world.volumes.uids_on_disk() == []


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        ({"configMap": {"name": "y"}}, 'configmap "y" not found'),
        ({"secret": {"secretName": "y"}}, 'secret "y" not found'),
        ({"nfs": {"server": "s", "path": "/"}}, "no volume plugin matched: this node has no plugin nfs"),
        ({"image": {"reference": "r"}}, "no volume plugin matched: this node has no plugin image"),
        (host_path("/nowhere/at/all", "Directory"), "hostPath type check failed: /nowhere/at/all is not a directory"),
        (host_path("/etc", "File"), "hostPath type check failed: /etc is not a file"),
        (host_path("/etc/hostname", "Socket"), "hostPath type check failed: /etc/hostname is not a socket file"),
        (host_path("/dev/null", "BlockDevice"), "hostPath type check failed: /dev/null is not a block device"),
        (
            {"persistentVolumeClaim": {"claimName": "c"}},
            'error processing PVC shop/c: failed to fetch PVC from API server: persistentvolumeclaims "c" not found',
        ),
    ],
)
async def test_failures_name_the_volume(world: World, volume: dict[str, Any], message: str) -> None:
    described = using({"name": "x", **volume})
    with pytest.raises(VolumeError) as caught:
        await world.volumes.set_up(described)
    assert caught.value.message == f'MountVolume.SetUp failed for volume "x" : {message}'
    assert caught.value.reason == "FailedMount"
    await world.volumes.tear_down("u-1")


async def test_names_that_are_paths_are_refused(world: World, room: Path) -> None:
    for name in ("../../escape", "a/b", "..", ""):
        with pytest.raises(VolumeError, match="is no name of a file"):
            await world.volumes.set_up(using({"name": name, "emptyDir": {}}))
    for uid in ("..", "../x", "a/b", ""):
        with pytest.raises(VolumeError):
            await world.volumes.tear_down(uid)
        with pytest.raises(VolumeError):
            await world.volumes.set_up({**using({"name": "v", "emptyDir": {}}), "metadata": {"uid": uid, "name": "n"}})
    assert not (room / "escape").exists()


async def test_a_half_done_set_up_is_taken_away(world: World, room: Path) -> None:
    described = using({"name": "fast", "emptyDir": {"medium": "Memory"}}, {"name": "x", "configMap": {"name": "y"}})
    with pytest.raises(VolumeError):
        await world.volumes.set_up(described)
    assert len(mounts_below(room)) == 1
    await world.again().tear_down("u-1")
    assert mounts_below(room) == [] and not (world.root / "u-1").exists()


async def test_no_memory_beyond_the_pods_limit(world: World) -> None:
    limited = container(resources={"limits": {"memory": "4Mi"}}, volumeMounts=[{"name": "fast"}])
    described = pod(limited, volumes=[{"name": "fast", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}])
    found = await world.volumes.set_up(described)
    filled = os.statvfs(found["fast"].path)
    assert filled.f_blocks * filled.f_frsize == 4 << 20
    allocatable = {"memory": parse("64Mi")}
    assert emptydir.memory_size({}, pod(), allocatable) == 64 << 20
    assert emptydir.memory_size({"sizeLimit": "1Mi"}, pod(), allocatable) == 1 << 20
    await world.volumes.tear_down("u-1")


async def test_groups_and_users(world: World) -> None:
    world.sources.objects = {("secrets", "login"): LOGIN}
    described = using(
        {"name": "scratch", "emptyDir": {}},
        {"name": "fast", "emptyDir": {"medium": "Memory"}},
        {"name": "login", "secret": {"secretName": "login", "defaultMode": 0o400}},
        {"name": "api", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
        securityContext={"fsGroup": 4242, "runAsUser": 1234},
    )
    found = await world.volumes.set_up(described)
    for name in ("scratch", "fast"):
        status = os.stat(found[name].path)
        assert (status.st_gid, stat.S_IMODE(status.st_mode)) == (4242, 0o2777)
    key, token = (os.stat(f"{found[a].path}/{b}") for a, b in (("login", "key"), ("api", "token")))
    assert (key.st_uid, key.st_gid, stat.S_IMODE(key.st_mode)) == (0, 4242, 0o440)
    assert (token.st_uid, token.st_gid, stat.S_IMODE(token.st_mode)) == (1234, 4242, 0o640)
    await world.volumes.tear_down("u-1")


@pytest.fixture
def refreshing(world: World) -> Iterator[Callable[[], Awaitable[None]]]:
    tasks: list[asyncio.Task[None]] = []

    async def start() -> None:
        tasks.append(asyncio.create_task(world.volumes.run()))
        await asyncio.sleep(0)

    yield start
    for task in tasks:
        task.cancel()


def read(path: str) -> bytes:
    """The first bytes of a file or a device."""
    with open(path, "rb") as file:
        return file.read(8192)


async def until(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not look():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_changes_arrive_and_failures_keep_what_was(
    world: World, refreshing: Callable[[], Awaitable[None]]
) -> None:
    world.sources.objects = {("configmaps", "settings"): SETTINGS}
    found = await world.volumes.set_up(using({"name": "conf", "configMap": {"name": "settings"}}))
    file = Path(found["conf"].path) / "a"
    await refreshing()
    world.sources.objects["configmaps", "settings"] = {"data": {"a": "2", "b": "3"}}
    world.sources.tell("u-1")
    await until(lambda: file.read_text() == "2" and (file.parent / "b").exists())
    world.sources.objects.clear()
    world.sources.tell("u-1")
    await until(lambda: bool(world.complaints))
    assert world.complaints == ['MountVolume.SetUp failed for volume "conf" : configmap "settings" not found']
    assert file.read_text() == "2"
    world.sources.failure = Forbidden("nodes may not")
    world.sources.tell("u-1")
    await until(lambda: len(world.complaints) == 2)
    assert file.read_text() == "2"
    await world.volumes.tear_down("u-1")


async def test_tokens_are_renewed_in_time(world: World, refreshing: Callable[[], Awaitable[None]]) -> None:
    source = {"serviceAccountToken": {"path": "token", "expirationSeconds": 600}}
    described = using({"name": "api", "projected": {"sources": [source]}})
    file = Path((await world.volumes.set_up(described))["api"].path) / "token"
    world.now += 460
    await world.volumes.set_up(described)
    assert file.read_text() == "token-1" and len(world.client.asked) == 1
    world.now += 30
    await refreshing()
    await until(lambda: file.read_text() == "token-2")

    # A server that does not answer: the token is good until it ends, and asked for again only now and then.
    world.client.failure = ServiceUnavailable("busy")
    world.now += 590
    world.sources.tell("u-1")
    await until(lambda: len(world.client.asked) == 3)
    await world.volumes.set_up(described)
    assert len(world.client.asked) == 3 and file.read_text() == "token-2"
    world.now += 61
    with pytest.raises(VolumeError, match="token expired and refresh failed"):
        await world.volumes.set_up(described)
    world.client.failure = None
    assert await world.volumes.set_up(described) and file.read_text() == f"token-{len(world.client.asked)}"
    await world.volumes.tear_down("u-1")


async def test_mounts_of_a_container(world: World, room: Path) -> None:
    world.sources.objects = {("configmaps", "settings"): SETTINGS}
    described = using(
        {"name": "scratch", "emptyDir": {}},
        {"name": "conf", "configMap": {"name": "settings"}},
        mounts=[
            {"name": "scratch", "mountPath": "/data", "mountPropagation": "HostToContainer"},
            {"name": "conf", "mountPath": "etc/conf"},
            {"name": "conf", "mountPath": "/etc/a", "subPath": "a"},
            {"name": "scratch", "mountPath": "/logs", "subPathExpr": "logs/$(POD)", "readOnly": True},
        ],
    )
    holder = described["spec"]["containers"][0]
    holder["env"] = [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
    found = await world.volumes.set_up(described)
    made = await world.volumes.mounts(described, holder, found)
    assert [(each.container_path, each.readonly) for each in made] == [
        ("/data", False),
        ("/etc/conf", True),
        ("/etc/a", True),
        ("/logs", True),
    ]
    assert made[0] == pb.Mount(
        container_path="/data", host_path=found["scratch"].path, propagation=pb.PROPAGATION_HOST_TO_CONTAINER
    )
    assert read(made[2].host_path) == b"1"
    (Path(made[3].host_path) / "out").write_text("log")
    assert (Path(found["scratch"].path) / "logs" / "web" / "out").read_text() == "log"
    assert len(mounts_below(room)) == 2
    await world.again().tear_down("u-1")
    assert mounts_below(room) == []


@pytest.mark.parametrize(
    ("mount", "message"),
    [
        ({"name": "no"}, 'cannot find volume "no" to mount into container "app"'),
        ({"name": "v", "subPath": "out"}, 'failed to prepare subPath for volumeMount "v" of container "app"'),
        (
            {"name": "v", "subPath": "../x"},
            'unable to provision SubPath "../x" of container app: must not contain ".."',
        ),
        ({"name": "v", "subPath": "/x"}, 'error SubPath "/x" must not be an absolute path'),
        ({"name": "v", "subPathExpr": "$(GONE)"}, 'missing value for "GONE"'),
        (
            {"name": "v", "readOnly": True, "recursiveReadOnly": "Enabled"},
            'volume "v" requested recursive read-only mode, but it is not supported by the runtime',
        ),
    ],
)
async def test_mounts_that_cannot_be(world: World, mount: dict[str, Any], message: str) -> None:
    described = using({"name": "v", "emptyDir": {}})
    found = await world.volumes.set_up(described)
    (Path(found["v"].path) / "out").symlink_to("/etc")
    with pytest.raises(ConfigError) as caught:
        await world.volumes.mounts(described, container(volumeMounts=[{"mountPath": "/m", **mount}]), found)
    assert caught.value.message == message
    await world.volumes.tear_down("u-1")


async def test_environment_files_come_from_empty_dirs(world: World) -> None:
    described = using({"name": "v", "emptyDir": {}})
    found = await world.volumes.set_up(described)
    (Path(found["v"].path) / "env").write_text("A='1'\n")
    (Path(found["v"].path) / "out").symlink_to("/etc/hostname")
    assert world.sources.files is not None
    assert await world.sources.files(described, [("v", "env"), ("v", "gone"), ("w", "env")]) == {
        ("v", "env"): "A='1'\n"
    }
    with pytest.raises(ConfigError, match="leads out of its volume"):
        await world.sources.files(described, [("v", "out")])
    await world.volumes.tear_down("u-1")


async def test_host_paths_are_made_where_asked(world: World, room: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(room / "sock"))
        described = using(
            {"name": "d", "hostPath": {"path": str(room / "a/b"), "type": "DirectoryOrCreate"}},
            {"name": "f", "hostPath": {"path": str(room / "a/f"), "type": "FileOrCreate"}},
            {"name": "s", "hostPath": {"path": str(room / "sock"), "type": "Socket"}},
            {"name": "c", "hostPath": {"path": "/dev/null", "type": "CharDevice"}},
            {"name": "any", "hostPath": {"path": str(room / "not-there-yet")}},
        )
        found = await world.volumes.set_up(described)
    assert (room / "a/b").is_dir() and (room / "a/f").is_file() and len(found) == 5
    await world.volumes.tear_down("u-1")
    assert (room / "a/b").is_dir() and (room / "a/f").is_file()


def bound(path: str, uid: str = "c-1", **spec: Any) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        ("persistentvolumeclaims", "disk"): {
            "metadata": {"name": "disk", "uid": uid},
            "spec": {"volumeName": "pv", "volumeMode": spec.pop("mode", "Filesystem")},
            "status": {"phase": "Bound"},
        },
        ("persistentvolumes", "pv"): {
            "metadata": {"name": "pv", "annotations": {"pv.beta.kubernetes.io/gid": "99"}},
            "spec": {"claimRef": {"uid": uid}, "local": {"path": path, **spec}},
        },
    }


CLAIM = {"name": "data", "persistentVolumeClaim": {"claimName": "disk"}}


async def test_a_local_directory_outlives_its_pod(world: World, room: Path) -> None:
    (room / "disk").mkdir()
    (room / "disk" / "rows").write_text("1")
    world.sources.objects = bound(str(room / "disk"))
    found = await world.volumes.set_up(using(CLAIM, securityContext={"fsGroup": 4242}))
    assert found["data"].path == str(room / "disk") and found["data"].group == 99
    assert (room / "disk" / "rows").stat().st_gid == 4242
    await world.volumes.tear_down("u-1")
    assert (room / "disk" / "rows").read_text() == "1"


@pytest.fixture
def loop(room: Path) -> Iterator[str]:
    """A blank block device."""
    image = room / "image"
    with open(image, "wb") as file:
        file.truncate(16 << 20)
    made = subprocess.run(["losetup", "--find", "--show", str(image)], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"no loop devices: {made.stderr}")
    device = made.stdout.strip()
    yield device
    subprocess.run(["losetup", "--detach", device], check=True)


async def test_a_local_device_gets_a_filesystem_once(world: World, room: Path, loop: str) -> None:
    world.sources.objects = bound(loop, fsType="ext4")
    found = await world.volumes.set_up(using(CLAIM))
    (Path(found["data"].path) / "rows").write_text("1")
    assert mounts_below(room) == [found["data"].path]
    await world.volumes.tear_down("u-1")
    assert mounts_below(room) == []
    again = await world.again().set_up(using(CLAIM))
    assert (Path(again["data"].path) / "rows").read_text() == "1"
    await world.volumes.tear_down("u-1")


async def test_a_device_with_something_else_on_it_is_not_written(world: World, room: Path, loop: str) -> None:
    await asyncio.to_thread(subprocess.run, ["mkswap", loop], check=True, capture_output=True)
    before = read(loop)
    world.sources.objects = bound(loop)
    with pytest.raises(VolumeError, match="mount failed"):
        await world.volumes.set_up(using(CLAIM))
    assert read(loop) == before
    await world.volumes.tear_down("u-1")


async def test_a_raw_device_is_passed_on(world: World, loop: str) -> None:
    world.sources.objects = bound(loop, mode="Block")
    holder = container(volumeDevices=[{"name": "data", "devicePath": "/dev/xvda"}])
    described = pod(holder, volumes=[CLAIM])
    found = await world.volumes.set_up(described)
    assert await world.volumes.devices(described, holder, found) == [
        pb.Device(container_path="/dev/xvda", host_path=loop, permissions="mrw")
    ]
    await world.volumes.tear_down("u-1")


async def test_what_a_pod_mounted_itself_is_not_deleted(world: World, room: Path) -> None:
    """A container with bidirectional propagation leaves a mount of host data in its emptyDir."""
    (room / "host").mkdir()
    (room / "host" / "precious").write_text("1")
    found = await world.volumes.set_up(using({"name": "v", "emptyDir": {}}))
    inner = Path(found["v"].path) / "inner"
    inner.mkdir()
    mounting.bind(str(room / "host"), str(inner))
    await world.volumes.tear_down("u-1")
    assert (room / "host" / "precious").read_text() == "1" and not (world.root / "u-1").exists()


async def test_calls_about_one_pod_wait_for_each_other(world: World, room: Path) -> None:
    described = using({"name": "fast", "emptyDir": {"medium": "Memory"}})
    await asyncio.gather(*(world.volumes.set_up(described) for _ in range(8)))
    assert len(mounts_below(room)) == 1
    await asyncio.gather(*(world.volumes.tear_down("u-1") for _ in range(4)))
    assert mounts_below(room) == []


def killed_after(seconds: float, work: Callable[[], None]) -> None:
    """Does `work` in a process that is killed after so long, wherever it is then."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


@pytest.mark.parametrize("milliseconds", [0, 2, 4, 6, 8, 10, 15, 20, 30, 50])
def test_a_process_killed_at_any_instant_leaves_nothing(world: World, room: Path, milliseconds: int) -> None:
    world.sources.objects = {("configmaps", "settings"): SETTINGS, ("secrets", "login"): LOGIN}
    described = using(
        {"name": "fast", "emptyDir": {"medium": "Memory"}},
        {"name": "conf", "configMap": {"name": "settings"}},
        {"name": "login", "secret": {"secretName": "login"}},
        {"name": "scratch", "emptyDir": {}},
        mounts=[{"name": name, "mountPath": f"/{name}"} for name in ("fast", "conf", "login")]
        + [{"name": "scratch", "mountPath": "/s", "subPath": f"p{number}"} for number in range(4)],
    )

    async def set_up(volumes: Volumes) -> None:
        found = await volumes.set_up(described)
        await volumes.mounts(described, described["spec"]["containers"][0], found)

    killed_after(milliseconds / 1000, lambda: asyncio.run(set_up(world.again())))
    asyncio.run(set_up(world.again()))
    assert len(mounts_below(room)) == 6
    (room / "host").mkdir()
    (room / "host" / "precious").write_text("1")
    mounting.bind(str(room / "host"), str(world.root / "u-1/volumes/kubernetes.io~empty-dir/scratch/p0"))
    killed_after(milliseconds / 1000, lambda: asyncio.run(world.again().tear_down("u-1")))
    asyncio.run(world.again().tear_down("u-1"))
    assert mounts_below(room) == [] and not (world.root / "u-1").exists()
    assert (room / "host" / "precious").read_text() == "1"
