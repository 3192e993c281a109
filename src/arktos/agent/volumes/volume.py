"""What a volume is to those who mount it, and what can be wrong with one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from arktos.model.kinds import Obj

_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}\Z")


class VolumeError(Exception):
    """A volume cannot be had now; the set-up is tried again later. `reason` and `message` are for an event."""

    def __init__(self, message: str, reason: str = "FailedMount") -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True)
class MountedVolume:
    """One volume of a pod, ready. `path` is its content on the node: a directory, for a hostPath perhaps a file or
    socket, the device if `block`. `read_only` whatever a mount says; `group` is one that processes need to read it.
    `limit` bytes is what an emptyDir may hold, 0 for no limit."""

    name: str
    plugin: str
    path: str
    read_only: bool = False
    block: bool = False
    group: int | None = None
    limit: int = 0


@dataclass(frozen=True, slots=True)
class PodDirectory:
    """Where the volumes of one pod lie. Raises ValueError for a uid that is no single file name."""

    root: Path
    uid: str

    def __post_init__(self) -> None:
        checked_segment(self.uid)

    @property
    def path(self) -> Path:
        return self.root / self.uid

    def volume(self, plugin: str, name: str) -> Path:
        """The content of a volume. ValueError for a name that is no single file name."""
        return self.plugin(plugin) / checked_segment(name)

    def plugin(self, plugin: str) -> Path:
        """Where the volumes of a plugin are."""
        return self.path / "volumes" / f"kubernetes.io~{plugin}"

    def subpath(self, volume: str, container: str, position: int) -> Path:
        """What the mount at this position of a container's list shows of a volume."""
        return self.path / "volume-subpaths" / checked_segment(volume) / checked_segment(container) / str(position)


def checked_segment(name: str) -> str:
    """`name`, if it can be one part of a path. ValueError."""
    if not _SEGMENT.match(name) or ".." in name:
        raise ValueError(f"{name!r} is no name of a file")
    return name


def mounted_names(pod: Obj) -> set[str]:
    """The volumes that some container of a pod uses; only these are set up."""
    spec = pod["spec"]
    holders = [
        each for part in ("initContainers", "containers", "ephemeralContainers") for each in spec.get(part) or ()
    ]
    if spec.get("virtualMachine") is not None:
        holders.append(spec["virtualMachine"])
    names: set[str] = set()
    for holder in holders:
        for part in ("volumeMounts", "volumeDevices"):
            names.update(each.get("name", "") for each in holder.get(part) or ())
        for variable in holder.get("env") or ():
            ref = (variable.get("valueFrom") or {}).get("fileKeyRef")
            if ref:
                names.add(ref.get("volumeName", ""))
    return names


def plugin_of(volume: Obj) -> str:
    """The plugin that a volume of a pod names: the field beside its name."""
    for key, value in volume.items():
        if key != "name" and value is not None:
            return key
    return "emptyDir"
