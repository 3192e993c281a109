"""The volumes of all pods of a node."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from arktos.agent.sources import Sources
from arktos.agent.spec.env import environment
from arktos.agent.spec.facts import ConfigError, NodeFacts
from arktos.agent.spec.volume_sources import volume_sources
from arktos.agent.volumes import atomic, claims, confined, emptydir, hostpath, localdisk, mounting, mounts
from arktos.agent.volumes.ownership import READ_ONLY, Ownership, give_to_group, ownership
from arktos.agent.volumes.payload import Material, files_of
from arktos.agent.volumes.provisioned import Provisioned
from arktos.agent.volumes.tokens import Tokens
from arktos.agent.volumes.usage import Usage, measure
from arktos.agent.volumes.volume import (
    MountedVolume,
    PodDirectory,
    VolumeError,
    checked_segment,
    mounted_names,
    plugin_of,
)
from arktos.client import Client, ConnectionFailed
from arktos.model import registry
from arktos.model.kinds import Obj
from arktos.model.status import ApiError
from arktos.rpc.protos import cri_pb2 as pb
from arktos.wire import logs

_log = logs.get_logger(__name__)

_MADE = {"configMap": "configmap", "secret": "secret", "downwardAPI": "downward-api", "projected": "projected"}
_IN_MEMORY = frozenset({"secret", "projected", "downwardAPI"})
_LARGEST_ENVIRONMENT_FILE = 64 << 10
_REFRESH_AGAIN = (60.0, 90.0)
"""Seconds after which a refresh that failed is tried again."""


@dataclass
class _Pod:
    """A pod whose volumes are set up. `owned` are volumes whose files were given to the pod's group already."""

    pod: Obj
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    owned: set[str] = field(default_factory=set)
    refresh_at: float | None = None
    gone: bool = False


class Volumes:
    """For one event loop; calls about one pod wait for each other. `root` is where the pods' directories are.

    `facts` is asked each time, for what a node has to give changes. `recursive_read_only` is whether the runtime has
    it. `complain(pod, error)` hears of refreshes that failed; the volumes keep their last content then.
    """

    def __init__(
        self,
        root: Path,
        client: Client,
        sources: Sources,
        facts: Callable[[], NodeFacts],
        *,
        recursive_read_only: bool = False,
        complain: Callable[[Obj, VolumeError], None] = lambda pod, error: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._root = root
        self._sources = sources
        self._facts = facts
        self._recursive_read_only = recursive_read_only
        self._complain = complain
        self._clock = clock
        self._tokens = Tokens(client, clock)
        self.provisioned = Provisioned(root.parent / "provisioned.json", partial(_volume, client))
        self._pods: dict[str, _Pod] = {}
        self._stale: set[str] = set()
        self._wake = asyncio.Event()
        sources.on_change(self._changed)
        sources.read_files_with(self._environment_files)

    async def set_up(self, pod: Obj) -> dict[str, MountedVolume]:
        """Makes the volumes that the pod's containers use, by name; brings those up to date that are there. Raises
        VolumeError; what was made by then stays, for the next try or the tear-down."""
        held = self._pods.setdefault(pod["metadata"]["uid"], _Pod(pod))
        async with held.lock:
            if held.gone:
                raise VolumeError("the pod's volumes are being taken away")
            held.pod = pod
            used = mounted_names(pod)
            found: dict[str, MountedVolume] = {}
            for volume in pod["spec"].get("volumes") or ():
                if volume["name"] in used:
                    found[volume["name"]] = await self._set_up_one(held, volume)
            self._schedule(held)
            return found

    async def tear_down(self, uid: str) -> None:
        """Unmounts and deletes all that is of a pod, whether this process made it or one before. Idempotent. Raises
        VolumeError if something will not go; what is mounted is never deleted."""
        held = self._pods.get(uid)
        if held is not None:
            held.gone = True
            async with held.lock:
                await self._remove(uid)
        else:
            await self._remove(uid)
        self._pods.pop(uid, None)
        self._stale.discard(uid)
        self._tokens.forget(uid)

    async def empty(self, uid: str) -> None:
        """Deletes what is in a pod's emptyDirs on disk, for one of which nothing runs and nothing will. OSError."""
        await asyncio.to_thread(emptydir.empty, PodDirectory(self._root, uid).plugin("empty-dir"))

    async def mounts(
        self, pod: Obj, container: Obj, volumes: Mapping[str, MountedVolume], ips: Sequence[str] = ()
    ) -> list[pb.Mount]:
        """The mounts of a container. `ips` are the pod's, for a subPathExpr that names one. Raises ConfigError, and
        what reads of the container's environment raise."""
        variables: dict[str, str] = {}
        if any(mount.get("subPathExpr") for mount in container.get("volumeMounts") or ()):
            sources = await self._sources.environment(pod, container, ips)
            variables = dict(environment(pod, container, sources, self._facts()))
        where = PodDirectory(self._root, pod["metadata"]["uid"])
        return await mounts.container_mounts(
            where, container, volumes, variables, recursive_read_only=self._recursive_read_only
        )

    async def devices(self, pod: Obj, container: Obj, volumes: Mapping[str, MountedVolume]) -> list[pb.Device]:
        """The block devices of a container. Raises ConfigError."""
        return mounts.container_devices(container, volumes)

    async def uids_on_disk(self) -> list[str]:
        """The pods that have a directory here, known or not."""
        return await asyncio.to_thread(self._list)

    async def usage(self, uid: str, volumes: Iterable[MountedVolume]) -> dict[str, Usage]:
        """What each volume holds that is the pod's own: of its emptyDirs and of what is made for it."""
        own = [each for each in volumes if each.plugin == "emptyDir" or each.plugin in _MADE]
        return {each.name: await asyncio.to_thread(measure, each.path, each.limit) for each in own}

    async def run(self) -> None:
        """Keeps what is made of config maps, secrets and tokens up to date until cancelled."""
        while True:
            self._wake.clear()
            now = self._clock()
            due = {uid for uid, held in self._pods.items() if held.refresh_at is not None and held.refresh_at <= now}
            for uid in due | self._stale:
                self._stale.discard(uid)
                held = self._pods.get(uid)
                if held is not None and not held.gone:
                    await self._refresh(held)
            upcoming = min(
                (held.refresh_at for held in self._pods.values() if held.refresh_at is not None), default=None
            )
            timeout = None if upcoming is None else max(0.0, upcoming - self._clock())
            if not self._stale:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), timeout)

    async def _refresh(self, held: _Pod) -> None:
        async with held.lock:
            if held.gone:
                return
            self._schedule(held)
            used = mounted_names(held.pod)
            for volume in held.pod["spec"].get("volumes") or ():
                if volume["name"] not in used or plugin_of(volume) not in _MADE:
                    continue
                try:
                    await self._set_up_one(held, volume)
                except VolumeError as error:
                    held.refresh_at = self._clock() + random.uniform(*_REFRESH_AGAIN)
                    _log.warning("volume_not_refreshed", uid=held.pod["metadata"]["uid"], error=error.message)
                    self._complain(held.pod, error)
                else:
                    self._renew(held)

    def _changed(self, uid: str) -> None:
        if uid in self._pods:
            self._stale.add(uid)
            self._wake.set()

    def _schedule(self, held: _Pod) -> None:
        held.refresh_at = None
        self._renew(held)

    def _renew(self, held: _Pod) -> None:
        upcoming = self._tokens.next_renewal(held.pod["metadata"]["uid"])
        if upcoming is None:
            return
        # A token that could not be renewed is due already; not in a circle, though.
        upcoming = max(upcoming, self._clock() + 1.0)
        held.refresh_at = upcoming if held.refresh_at is None else min(held.refresh_at, upcoming)
        self._wake.set()

    async def _set_up_one(self, held: _Pod, volume: Obj) -> MountedVolume:
        name, plugin = volume["name"], plugin_of(volume)
        try:
            where = PodDirectory(self._root, held.pod["metadata"]["uid"])
            if plugin in _MADE:
                return await self._made(where, held.pod, volume, plugin)
            if plugin == "emptyDir":
                return await self._empty(where, held.pod, volume)
            if plugin == "hostPath":
                source = volume["hostPath"]
                await asyncio.to_thread(hostpath.check, source["path"], source.get("type") or "")
                return MountedVolume(name, plugin, source["path"])
            if plugin in ("persistentVolumeClaim", "ephemeral"):
                return await self._claimed(where, held, volume, plugin)
        except VolumeError as error:
            raise VolumeError(
                f'MountVolume.SetUp failed for volume "{name}" : {error.message}', error.reason
            ) from error
        except (OSError, ValueError, ApiError, ConnectionFailed) as error:
            raise VolumeError(f'MountVolume.SetUp failed for volume "{name}" : {error}') from error
        raise VolumeError(
            f'MountVolume.SetUp failed for volume "{name}" : no volume plugin matched: this node has no plugin {plugin}'
        )

    async def _empty(self, where: PodDirectory, pod: Obj, volume: Obj) -> MountedVolume:
        name, source = volume["name"], volume.get("emptyDir") or {}
        path = where.volume("empty-dir", name)
        group, allocatable = ownership(pod).group, self._facts().allocatable
        await asyncio.to_thread(emptydir.set_up, path, source, pod, group, allocatable)
        return MountedVolume(name, "emptyDir", str(path), limit=emptydir.size_limit(source))

    async def _made(self, where: PodDirectory, pod: Obj, volume: Obj, plugin: str) -> MountedVolume:
        path = where.volume(_MADE[plugin], volume["name"])
        owner = ownership(pod)
        files = files_of(volume, pod, await self._material(pod, volume), owner, self._facts())
        await asyncio.to_thread(_write, path, files, owner, plugin in _IN_MEMORY)
        return MountedVolume(volume["name"], plugin, str(path), read_only=True)

    async def _material(self, pod: Obj, volume: Obj) -> Material:
        meta, named = pod["metadata"], volume_sources(volume)
        tenant, namespace = meta.get("tenant", ""), meta.get("namespace", "")
        config_maps = {each: await self._sources.config_map(tenant, namespace, each) for each in named.config_maps}
        secrets = {each: await self._sources.secret(tenant, namespace, each) for each in named.secrets}
        return Material(
            {name: found for name, found in config_maps.items() if found is not None},
            {name: found for name, found in secrets.items() if found is not None},
            {key: (await self._tokens.get(pod, key)).text for key in named.tokens},
        )

    async def _claimed(self, where: PodDirectory, held: _Pod, volume: Obj, plugin: str) -> MountedVolume:
        name = volume["name"]
        found = await claims.claimed(held.pod, volume, self._sources)
        made = partial(MountedVolume, name, plugin, read_only=found.read_only, group=found.group)
        if found.provisioned:
            tenant = held.pod["metadata"].get("tenant", "")
            await self.provisioned.make(tenant, found.provisioned, found.path, found.size)
        if found.block:
            return made(path=await asyncio.to_thread(localdisk.device, found.path), block=True)
        if found.host_path_type is not None:
            await asyncio.to_thread(hostpath.check, found.path, found.host_path_type)
            return made(path=found.path)
        target = where.volume("local-volume", name)
        path = await asyncio.to_thread(localdisk.set_up, found.path, target, found.filesystem, found.mount_options)
        owner = ownership(held.pod)
        if owner.group is not None and not found.read_only and name not in held.owned:
            give = partial(give_to_group, read_only=False, on_mismatch_only=owner.on_mismatch_only)
            await asyncio.to_thread(give, Path(path), owner.group)
            held.owned.add(name)
        return made(path=path)

    async def _remove(self, uid: str) -> None:
        try:
            where = PodDirectory(self._root, uid)
            await asyncio.to_thread(_erase, where.path)
        except (OSError, ValueError) as error:
            raise VolumeError(f"the volumes of pod {uid} cannot be removed: {error}", "FailedUnMount") from error

    async def _environment_files(self, pod: Obj, named: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """Only emptyDirs can hold them."""
        where = PodDirectory(self._root, pod["metadata"]["uid"])
        found = {}
        for volume, path in named:
            try:
                folder = where.volume("empty-dir", volume)
                read = partial(confined.read_beneath, folder, path, _LARGEST_ENVIRONMENT_FILE)
                found[volume, path] = (await asyncio.to_thread(read)).decode()
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                raise ConfigError(f'environment file "{path}" of volume "{volume}": {error}') from error
        return found

    def _list(self) -> list[str]:
        found: list[str] = []
        try:
            entries = list(self._root.iterdir())
        except FileNotFoundError:
            return found
        for entry in entries:
            try:
                found.append(checked_segment(entry.name))
            except ValueError:
                continue
        return found


async def _volume(client: Client, tenant: str, name: str) -> Obj:
    return await client.get(registry.by_resource("persistentvolumes"), name, tenant=tenant)


def _write(path: Path, files: Mapping[str, atomic.File], owner: Ownership, in_memory: bool) -> None:
    if in_memory:
        emptydir.in_memory(path)
    else:
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o755)
    group = owner.group

    def give(fresh: Path) -> None:
        if group is not None:
            give_to_group(fresh, group, read_only=True)

    atomic.write(path, files, give, READ_ONLY if group is not None else 0)


def _erase(path: Path) -> None:
    if not path.is_symlink() and path.exists():
        mounting.unmount_below(path)
    confined.remove_tree(path)
