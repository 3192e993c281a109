"""Volumes that are made on this node for claims: their directories come with the first pod, and go with the volume.

The file `provisioned.json` names the directories that were made, so that a restart forgets none. What is written there
is a volume's own directory, `<root>/<tenant>/<volume>`; nothing else is ever removed.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

from arktos.agent.volumes.volume import VolumeError
from arktos.client import ConnectionFailed
from arktos.model.status import ApiError, NotFound
from arktos.wire import logs

PROVISIONER = "arktos.io/local-path"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
LOOK_SECONDS = 30.0
"""How long after a volume has gone its directory goes, at most (the agent being up)."""

_log = logs.get_logger(__name__)


Volumes = Callable[[str, str], Awaitable[object]]
"""Asks for a volume by tenant and name: NotFound if it has gone."""


class Provisioned:
    """`memory` is the file. Calls come from one event loop."""

    def __init__(self, memory: Path, volume: Volumes) -> None:
        self._memory = memory
        self._volume = volume
        self._known: dict[str, tuple[str, str]] = _read(memory)

    async def make(self, tenant: str, name: str, path: str) -> None:
        """The directory of a volume is there after this, for any user of the pod to write. Raises VolumeError."""
        if not _is_own(Path(path), tenant, name):
            raise VolumeError(f"the path {path} is not that of a volume {name} of tenant {tenant}")
        if path not in self._known:
            self._known[path] = (tenant, name)
            await asyncio.to_thread(_write, self._memory, dict(self._known))
        try:
            await asyncio.to_thread(_make, Path(path))
        except OSError as error:
            raise VolumeError(f"cannot make {path}: {error.strerror}") from error

    async def run(self) -> None:
        """Removes what has no volume any more, until cancelled."""
        while True:
            await self.sweep()
            await asyncio.sleep(LOOK_SECONDS)

    async def _has_gone(self, tenant: str, name: str) -> bool:
        """False also where it cannot be learnt now."""
        try:
            await self._volume(tenant, name)
        except NotFound:
            return True
        except (ApiError, ConnectionFailed):
            return False
        return False

    async def sweep(self) -> None:
        """Looks at all directories once."""
        for path, (tenant, name) in list(self._known.items()):
            if not await self._has_gone(tenant, name):
                continue
            try:
                await asyncio.to_thread(_remove, Path(path))
            except OSError as error:
                _log.warning("volume_not_removed", path=path, error=error.strerror)
                continue
            self._known.pop(path, None)
            await asyncio.to_thread(_write, self._memory, dict(self._known))
            _log.info("volume_removed", tenant=tenant, volume=name)


def _is_own(path: Path, tenant: str, name: str) -> bool:
    return path.is_absolute() and ".." not in path.parts and path.parts[-2:] == (tenant, name) and len(path.parts) > 3


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o711)
    if not path.exists():
        path.mkdir(mode=0o700)
        path.chmod(0o777)


def _remove(path: Path) -> None:
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def _read(memory: Path) -> dict[str, tuple[str, str]]:
    try:
        told = json.loads(memory.read_bytes())
    except (OSError, ValueError):
        return {}
    return {path: (tenant, name) for path, (tenant, name) in told.items()}


def _write(memory: Path, known: dict[str, tuple[str, str]]) -> None:
    fresh = memory.with_suffix(".new")
    fresh.write_text(json.dumps(known))
    os.replace(fresh, memory)
