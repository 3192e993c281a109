"""Images that nobody uses go when the disk that they are on fills up: the longest unused first.

Limits and ages are kubelet's. Never goes: an image of a container, running or not; the image of sandboxes; what the
runtime has pinned; what came less than `minimum_age` seconds ago, since a pod may be about to start from it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import msgspec

from arktos.agent.images.ledger import Ledger
from arktos.agent.node.machine import Filesystem, filesystem
from arktos.agent.node.options import NodeOptions
from arktos.agent.runtimes import Runtime
from arktos.client import Recorder
from arktos.model.kinds import Obj
from arktos.rpc import cri
from arktos.rpc.method import RpcError
from arktos.rpc.protos import cri_pb2 as pb
from arktos.wire import logs

_PATIENCE = 60.0
_log = logs.get_logger(__name__)


class Image(NamedTuple):
    """An image as a runtime lists it."""

    id: str
    names: tuple[str, ...]
    size: int
    pinned: bool = False


@dataclass(slots=True)
class Memory:
    """Since when an image is known, and when it was last seen in use (0.0 = never)."""

    first_seen: float
    last_used: float = 0.0


def remember(
    known: Mapping[str, Memory], images: Iterable[Image], in_use: frozenset[str], now: float
) -> dict[str, Memory]:
    """What is known of the images that are there now. Pure; `in_use` are ids."""
    found: dict[str, Memory] = {}
    for image in images:
        before = known.get(image.id) or Memory(now)
        found[image.id] = Memory(before.first_seen, now if image.id in in_use else before.last_used)
    return found


def used_ids(images: Iterable[Image], references: Iterable[str]) -> frozenset[str]:
    """The ids of images that are referred to by id, tag or digest, as containers do."""
    by_name = {name: image.id for image in images for name in (image.id, *image.names)}
    found = set()
    for reference in references:
        for form in (reference, f"{reference}:latest", f"docker.io/{reference}", f"docker.io/library/{reference}"):
            if form in by_name:
                found.add(by_name[form])
    return frozenset(found)


def choose(
    images: Iterable[Image],
    known: Mapping[str, Memory],
    in_use: frozenset[str],
    wanted: int | None,
    now: float,
    minimum_age: float,
) -> list[Image]:
    """The images to remove, first to go first, until `wanted` bytes are freed (None: all that may go). Pure."""
    eligible = [
        image
        for image in images
        if image.id not in in_use and not image.pinned and now - known[image.id].first_seen >= minimum_age
    ]
    eligible.sort(key=lambda image: (known[image.id].last_used, known[image.id].first_seen, image.id))
    chosen: list[Image] = []
    freed = 0
    for image in eligible:
        if wanted is not None and freed >= wanted:
            break
        chosen.append(image)
        freed += image.size
    return chosen


def excess(disk: Filesystem, high: int, low: int) -> int:
    """Bytes to free so that the disk is used to `low` percent, 0 while it is used to less than `high` percent."""
    if not disk.capacity:
        return 0
    used = 100 - disk.available * 100 // disk.capacity
    if used < high:
        return 0
    return max(0, disk.capacity * (100 - low) // 100 - disk.available)


@dataclass(slots=True)
class _Shelf:
    """The images of one runtime."""

    images: list[Image]
    in_use: frozenset[str]
    path: str


@dataclass(slots=True)
class ImageCollector:
    """Watches over the images of all runtimes. `node` is a reference to the node object for events; `ledger` is told
    what is gone."""

    runtimes: Iterable[Runtime]
    options: NodeOptions
    recorder: Recorder
    node: Callable[[], Obj]
    clock: Callable[[], float] = time.monotonic
    ledger: Ledger = field(default_factory=Ledger)
    _known: dict[str, dict[str, Memory]] = field(default_factory=dict)
    _paths: dict[str, str] = field(default_factory=dict)
    _working: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def image_path(self) -> Path | None:
        """Where images are kept, once a runtime has said so."""
        return next((Path(path) for path in self._paths.values()), None)

    async def run(self) -> None:
        """Looks every `image_period` seconds, until cancelled. A failure is an event and a line in the log."""
        while True:
            for runtime in self.runtimes:
                await self._tend(runtime)
            await asyncio.sleep(self.options.image_period if self._paths else self.options.status_frequency)

    async def _tend(self, runtime: Runtime) -> None:
        try:
            await self.collect(runtime)
        except (RpcError, OSError) as error:
            _log.warning("images_not_collected", runtime=runtime.name, error=str(error))

    async def collect(self, runtime: Runtime) -> int:
        """Removes images of a runtime if their disk is too full. The bytes freed. Raises RpcError, OSError."""
        async with self._working:
            shelf = await self._look(runtime)
            if not shelf.path:
                return 0
            disk = await asyncio.to_thread(filesystem, shelf.path)
            options = self.options
            wanted = excess(disk, options.image_high_percent, options.image_low_percent)
            if not wanted:
                return 0
            freed = await self._remove(runtime, shelf, wanted)
        if freed < wanted:
            text = (
                f"Failed to garbage collect required amount of images. Attempted to free {wanted} bytes, "
                f"but only found {freed} bytes eligible to free."
            )
            self.recorder.event(self.node(), "Warning", "FreeDiskSpaceFailed", text)
        return freed

    async def reclaim(self) -> int:
        """Removes all images that nobody uses and that are old enough. How many bytes that freed. Never raises."""
        freed = 0
        for runtime in self.runtimes:
            try:
                async with self._working:
                    freed += await self._remove(runtime, await self._look(runtime), None)
            except RpcError as error:
                _log.warning("images_not_collected", runtime=runtime.name, error=str(error))
        return freed

    async def _look(self, runtime: Runtime) -> _Shelf:
        listed, containers, status, place = await asyncio.gather(
            runtime.call(cri.LIST_IMAGES, pb.ListImagesRequest(), within=_PATIENCE),
            runtime.call(cri.LIST_CONTAINERS, pb.ListContainersRequest(), within=_PATIENCE),
            runtime.call(cri.STATUS, pb.StatusRequest(verbose=True), within=_PATIENCE),
            runtime.call(cri.IMAGE_FS_INFO, pb.ImageFsInfoRequest(), within=_PATIENCE),
        )
        images = [Image(i.id, (*i.repo_tags, *i.repo_digests), i.size, i.pinned) for i in listed.images]
        references = [sandbox_image(status.info)]
        for container in containers.containers:
            references += (container.image.image, container.image_ref, container.image_id)
        in_use = used_ids(images, filter(None, references))
        self._known[runtime.name] = remember(self._known.get(runtime.name, {}), images, in_use, self.clock())
        path = next((found.fs_id.mountpoint for found in place.image_filesystems), "")
        if path:
            self._paths[runtime.name] = path
        return _Shelf(images, in_use, path)

    async def _remove(self, runtime: Runtime, shelf: _Shelf, wanted: int | None) -> int:
        age = self.options.image_minimum_age
        known = self._known[runtime.name]
        freed = 0
        for image in choose(shelf.images, known, shelf.in_use, wanted, self.clock(), age):
            question = pb.RemoveImageRequest(image=pb.ImageSpec(image=image.id))
            known_of = self.ledger.grants(runtime.name, image.id)
            try:
                await runtime.call(cri.REMOVE_IMAGE, question, within=_PATIENCE)
            except RpcError as error:
                _log.warning("image_not_removed", runtime=runtime.name, image=image.id, error=str(error))
                continue
            freed += image.size
            known.pop(image.id, None)
            await self.ledger.forget(runtime.name, image.id, known_of)
            _log.info("image_removed", runtime=runtime.name, image=image.id, names=list(image.names), bytes=image.size)
        return freed


def sandbox_image(info: Mapping[str, str]) -> str:
    """The image of sandboxes, from the verbose status of containerd; "" where a runtime has none or does not tell."""
    try:
        config = msgspec.json.decode(info.get("config", "{}"))
    except msgspec.DecodeError:
        return ""
    found = config.get("sandboxImage") if isinstance(config, dict) else None
    return found if isinstance(found, str) else ""
