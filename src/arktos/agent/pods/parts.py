"""What the life of a pod needs from the rest of the agent, as seams."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from arktos.agent.images.pulling import Images
from arktos.agent.pods.admission import Admission
from arktos.agent.pods.telling import Telling
from arktos.agent.runtimes import Runtimes
from arktos.agent.sources import Sources
from arktos.agent.spec.facts import NodeFacts
from arktos.agent.volumes import Volumes
from arktos.model.kinds import Obj


class PodCgroups(Protocol):
    """The cgroups around pods. All raise OSError."""

    async def create(self, pod: Obj) -> str:
        """Makes a pod's cgroup, if need be, and sets its limits to what the pod's document says. Gives the path that a
        runtime wants as the sandbox's parent, "" where there are none."""

    async def remove(self, uid: str) -> None: ...

    async def uids(self) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that is shared by the pods of this node. `facts` are as of now."""

    runtimes: Runtimes
    images: Images
    volumes: Volumes
    cgroups: PodCgroups
    sources: Sources
    telling: Telling
    admission: Admission
    facts: Callable[[], NodeFacts]
    pods_dir: Path
    logs_dir: Path


def log_directory(logs_dir: Path, pod: Obj) -> Path:
    """Where a pod's logs are."""
    meta = pod["metadata"]
    parts = (meta.get("tenant") or "", meta.get("namespace") or "", meta["name"], meta["uid"])
    return logs_dir / "_".join(parts)
