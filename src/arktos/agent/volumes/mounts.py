"""What a container sees of its pod's volumes: mounts and devices for its runtime."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from arktos.agent.spec.expansion import expand_strictly
from arktos.agent.spec.facts import ConfigError
from arktos.agent.volumes import subpath
from arktos.agent.volumes.volume import MountedVolume, PodDirectory
from arktos.model.kinds import Obj
from arktos.rpc.protos import cri_pb2 as pb
from arktos.wire import logs

_log = logs.get_logger(__name__)
_PROPAGATION = {
    "": pb.PROPAGATION_PRIVATE,
    "None": pb.PROPAGATION_PRIVATE,
    "HostToContainer": pb.PROPAGATION_HOST_TO_CONTAINER,
    "Bidirectional": pb.PROPAGATION_BIDIRECTIONAL,
}


async def container_mounts(
    where: PodDirectory,
    container: Obj,
    volumes: Mapping[str, MountedVolume],
    environment: Mapping[str, str],
    *,
    recursive_read_only: bool,
) -> list[pb.Mount]:
    """The mounts of a container, in its order. Raises ConfigError."""
    made: list[pb.Mount] = []
    for position, mount in enumerate(container.get("volumeMounts") or ()):
        volume = volumes.get(mount.get("name", ""))
        if volume is None or volume.block:
            raise ConfigError(
                f'cannot find volume "{mount.get("name", "")}" to mount into container "{container["name"]}"'
            )
        source = volume.path
        part = _part(mount, container, environment)
        if part:
            source = await _shown(where, container, position, volume, part)
        path = mount.get("mountPath", "")
        made.append(
            pb.Mount(
                container_path=path if path.startswith("/") else f"/{path}",
                host_path=source,
                readonly=bool(mount.get("readOnly")) or volume.read_only,
                propagation=_PROPAGATION.get(mount.get("mountPropagation") or "", pb.PROPAGATION_PRIVATE),
                recursive_read_only=_recursively(mount, recursive_read_only),
            )
        )
    return made


def container_devices(container: Obj, volumes: Mapping[str, MountedVolume]) -> list[pb.Device]:
    """The devices that a container gets of its pod's volumes. Raises ConfigError."""
    made = []
    for device in container.get("volumeDevices") or ():
        volume = volumes.get(device.get("name", ""))
        if volume is None or not volume.block:
            raise ConfigError(
                f'cannot find volume "{device.get("name", "")}" to pass into container "{container["name"]}"'
            )
        made.append(
            pb.Device(
                container_path=device.get("devicePath", ""),
                host_path=volume.path,
                permissions="r" if volume.read_only else "mrw",
            )
        )
    return made


def _part(mount: Obj, container: Obj, environment: Mapping[str, str]) -> str:
    """The part of the volume that a mount shows, "" for all of it."""
    part = mount.get("subPath") or ""
    if mount.get("subPathExpr"):
        part = expand_strictly(mount["subPathExpr"], environment)
    if part.startswith("/"):
        raise ConfigError(f'error SubPath "{part}" must not be an absolute path')
    if ".." in part.split("/"):
        raise ConfigError(
            f'unable to provision SubPath "{part}" of container {container["name"]}: must not contain ".."'
        )
    return part


async def _shown(where: PodDirectory, container: Obj, position: int, volume: MountedVolume, part: str) -> str:
    target = where.subpath(volume.name, container["name"], position)
    try:
        await asyncio.to_thread(subpath.show, volume.path, part, target)
    except OSError as error:
        _log.warning("subpath_refused", uid=where.uid, volume=volume.name, subpath=part, error=str(error))
        raise ConfigError(
            f'failed to prepare subPath for volumeMount "{volume.name}" of container "{container["name"]}"'
        ) from error
    return str(target)


def _recursively(mount: Obj, supported: bool) -> bool:
    asked = mount.get("recursiveReadOnly") or "Disabled"
    if asked == "Enabled" and not supported:
        name = mount.get("name", "")
        raise ConfigError(f'volume "{name}" requested recursive read-only mode, but it is not supported by the runtime')
    return supported and asked in ("Enabled", "IfPossible")
