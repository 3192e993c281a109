"""Volumes that are made on this node for claims: their directories come with the first pod, and go with the volume.

The file `provisioned.json` names the directories that were made, so that a restart forgets none. What is written there
is a volume's own directory, `<root>/<tenant>/<volume>`; nothing else is ever removed. Data of volumes that the
operators (tenant `system`) want to retain stays when the volume has gone; that of others goes, whatever they want:
nobody could reach it any more, and nobody's quota would count it.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from arktos.agent.volumes import confined
from arktos.agent.volumes.volume import VolumeError
from arktos.client import ConnectionFailed
from arktos.model.kinds import SYSTEM_TENANT, Obj
from arktos.model.status import ApiError, NotFound
from arktos.wire import logs

PROVISIONER = "arktos.io/local-path"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
LOOK_SECONDS = 30.0
"""How long after a volume has gone its directory goes, at most (the agent being up)."""

_log = logs.get_logger(__name__)


Volumes = Callable[[str, str], Awaitable[Obj]]
"""Asks for a volume by tenant and name: NotFound if it has gone."""


class Made(NamedTuple):
    """A directory is that of a volume. `retain`: as the volume said when it was last seen."""

    tenant: str
    name: str
    retain: bool = False


class Provisioned:
    """`memory` is the file. Calls come from one event loop."""

    def __init__(self, memory: Path, volume: Volumes) -> None:
        self._memory = memory
        self._volume = volume
        self._known = _read(memory)
        self._writing = asyncio.Lock()

    async def make(self, tenant: str, name: str, path: str, size: int = 0) -> None:
        """The directory of a volume is there after this, for any user of the pod to write. Raises VolumeError, also for
        a size in bytes that its filesystem cannot have."""
        if not _is_own(Path(path), tenant, name):
            raise VolumeError(f"the path {path} is not that of a volume {name} of tenant {tenant}")
        if path not in self._known:
            self._known[path] = Made(tenant, name)
            await self._remember()
        try:
            await asyncio.to_thread(_make, Path(path), size)
        except OSError as error:
            raise VolumeError(f"cannot make {path}: {error.strerror}") from error

    async def run(self) -> None:
        """Removes what has no volume any more, until cancelled."""
        while True:
            await self.sweep()
            await asyncio.sleep(LOOK_SECONDS)

    async def sweep(self) -> None:
        """Looks at all directories once."""
        seen = dict(self._known)
        for path, made in seen.items():
            try:
                volume = await self._volume(made.tenant, made.name)
            except NotFound:
                await self._gone(path, made)
                continue
            except (ApiError, ConnectionFailed):
                continue
            spec = volume["spec"]
            if (spec.get("hostPath") or {}).get("path") != path:
                # Another volume took the name.
                await self._gone(path, made)
            elif (retain := spec.get("persistentVolumeReclaimPolicy") == "Retain") != made.retain:
                self._known[path] = made._replace(retain=retain)
        if self._known != seen:
            await self._remember()

    async def _gone(self, path: str, made: Made) -> None:
        kept = made.retain and made.tenant == SYSTEM_TENANT
        if not kept:
            try:
                await asyncio.to_thread(confined.remove_tree, Path(path))
            except OSError as error:
                _log.warning("volume_not_removed", path=path, error=error.strerror)
                return
        self._known.pop(path, None)
        _log.info("volume_kept" if kept else "volume_removed", tenant=made.tenant, volume=made.name, path=path)

    async def _remember(self) -> None:
        async with self._writing:
            await asyncio.to_thread(_write, self._memory, dict(self._known))


def _is_own(path: Path, tenant: str, name: str) -> bool:
    return path.is_absolute() and ".." not in path.parts and path.parts[-2:] == (tenant, name) and len(path.parts) > 3


def _make(path: Path, size: int) -> None:
    if path.is_dir():
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o711)
    found = os.statvfs(path.parent)
    if size > found.f_blocks * found.f_frsize:
        raise VolumeError(
            f"not enough room for the volume: it has {size} bytes, the filesystem of {path} has "
            f"{found.f_blocks * found.f_frsize}"
        )
    # Made aside and renamed, so that a directory that is there has its rights. The content may change them.
    fresh = path.with_name(f".{path.name}")
    fresh.mkdir(exist_ok=True)
    fresh.chmod(0o777)
    os.rename(fresh, path)


def _read(memory: Path) -> dict[str, Made]:
    try:
        told = json.loads(memory.read_bytes())
    except (OSError, ValueError):
        return {}
    return {path: Made(*made) for path, made in told.items()}


def _write(memory: Path, known: dict[str, Made]) -> None:
    fresh = memory.with_suffix(".new")
    with fresh.open("w") as file:
        json.dump(known, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, memory)
