"""CRI's ImageService, on the store of VM images."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from arktos.rpc import cri
from arktos.rpc.protos import cri_pb2 as pb
from arktos.vmruntime.errors import Invalid, NotFound
from arktos.vmruntime.machines import BaseImage, Machines
from arktos.vmruntime.operations import Operations
from arktos.vmruntime.services import Implementation


class Image(Protocol):
    """One image of the store. `path` does not change as long as the image is there, nor does what is in it."""

    @property
    def id(self) -> str: ...
    @property
    def path(self) -> Path: ...
    @property
    def format(self) -> str: ...
    @property
    def virtual_size(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def references(self) -> Sequence[str]: ...


class Images(Protocol):
    """The store, as far as CRI needs it. It raises RpcError for what its callers shall know."""

    async def open(self) -> None: ...
    async def aclose(self) -> None: ...

    async def pull(self, reference: str, auth: pb.AuthConfig | None) -> Image: ...
    async def status(self, reference: str) -> Image | None: ...
    async def list(self) -> Sequence[Image]: ...
    async def remove(self, reference: str) -> None: ...
    async def usage(self) -> tuple[int, int]: ...


async def base_image(images: Images, reference: str) -> BaseImage:
    """What a machine is made from. Raises NotFound for an image that has not been pulled."""
    if not reference:
        raise Invalid("config.image.image", "is required")
    found = await images.status(reference)
    if found is None:
        raise NotFound("image", reference)
    return BaseImage(found.id, Path(found.path), found.format, found.virtual_size)


class ImageService:
    """`folder` is where the store is."""

    def __init__(self, images: Images, machines: Machines, operations: Operations, folder: Path) -> None:
        self._images = images
        self._folder = folder
        self._machines = machines
        self._operations = operations

    def implementations(self) -> list[Implementation]:
        return [
            (cri.LIST_IMAGES, self.list),
            (cri.IMAGE_STATUS, self.status),
            (cri.PULL_IMAGE, self.pull),
            (cri.REMOVE_IMAGE, self.remove),
            (cri.IMAGE_FS_INFO, self.usage),
        ]

    async def list(self, question: pb.ListImagesRequest) -> pb.ListImagesResponse:
        wanted = question.filter.image.image
        if wanted:
            found = await self._images.status(wanted)
            return pb.ListImagesResponse(images=[_message(found)] if found else [])
        return pb.ListImagesResponse(images=[_message(each) for each in await self._images.list()])

    async def status(self, question: pb.ImageStatusRequest) -> pb.ImageStatusResponse:
        """No image at all is the answer for one that is not there."""
        found = await self._images.status(question.image.image)
        if found is None:
            return pb.ImageStatusResponse()
        info = {"path": str(found.path), "format": found.format, "virtualSize": str(found.virtual_size)}
        return pb.ImageStatusResponse(image=_message(found), info=info if question.verbose else {})

    async def pull(self, question: pb.PullImageRequest) -> pb.PullImageResponse:
        """Ends with its caller: a download that nobody waits for is of no use."""
        if not question.image.image:
            raise Invalid("image.image", "is required")
        auth = question.auth if question.HasField("auth") else None
        found = await self._images.pull(question.image.image, auth)
        return pb.PullImageResponse(image_ref=found.id)

    async def remove(self, question: pb.RemoveImageRequest) -> pb.RemoveImageResponse:
        if await self._images.status(question.image.image) is not None:
            await self._operations.finish(self._images.remove(question.image.image))
        return pb.RemoveImageResponse()

    async def usage(self, question: pb.ImageFsInfoRequest) -> pb.ImageFsInfoResponse:
        used, files = await self._images.usage()
        own = await self._machines.usage()
        now = time.time_ns()
        return pb.ImageFsInfoResponse(
            image_filesystems=[_filesystem(str(self._folder), used, files, now)],
            container_filesystems=[_filesystem(str(self._machines.folder), *own, now)],
        )


def _filesystem(mountpoint: str, used: int, files: int, now: int) -> pb.FilesystemUsage:
    return pb.FilesystemUsage(
        timestamp=now,
        fs_id=pb.FilesystemIdentifier(mountpoint=mountpoint),
        used_bytes=pb.UInt64Value(value=used),
        inodes_used=pb.UInt64Value(value=files),
    )


def _message(image: Image) -> pb.Image:
    tags = [name for name in image.references if "@" not in name]
    digests = [name for name in image.references if "@" in name]
    return pb.Image(
        id=image.id,
        repo_tags=tags,
        repo_digests=digests,
        size=image.size,
        spec=pb.ImageSpec(image=tags[0] if tags else image.id),
    )
