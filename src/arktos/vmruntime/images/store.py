"""The images of a node's VMs, by content.

DATA/data/<sha256>     the disks, read-only; never changed, for machines' own disks are overlays on them
DATA/links/*.json      which name stands for which
DATA/partial/          what is being fetched; emptied when the store opens
"""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from arktos.rpc.method import RpcError
from arktos.rpc.protos import cri_pb2 as pb
from arktos.vmruntime.errors import NoSpace
from arktos.vmruntime.images.faults import Corrupt, Unreachable, from_os
from arktos.vmruntime.images.fetch import Fetch, Fetched, sha256_of
from arktos.vmruntime.images.links import Link, Links
from arktos.vmruntime.images.policy import ImagePolicy
from arktos.vmruntime.images.reference import FileSource, OciSource, Source, parse
from arktos.vmruntime.images.web import Cancelled, Credentials, Lifeline

Progress = Callable[[int, int], None]
"""Bytes that have come, and bytes in all; 0 where the server doesn't say. Called on the event loop."""

_AT_ONCE = 4
_MOST_PULLS = 128
_REPORT_EVERY = 1 << 20
_PREFIX = "sha256:"


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """An image in the store. `id` is `sha256:HEX` of the file at `path`; `format` is `qcow2` or `raw`; `size` are the
    bytes that it takes on disk, `virtual_size` those that a guest sees; `references` are all names of it."""

    id: str
    path: Path
    format: str
    virtual_size: int
    size: int
    references: tuple[str, ...]


@dataclass(eq=False)
class _Pull:
    """One fetch under way, for all who want it."""

    key: tuple[str, Credentials]
    lifeline: Lifeline = field(default_factory=Lifeline)
    task: asyncio.Task[ImageRecord] | None = None
    listeners: list[Progress] = field(default_factory=list)
    waiting: int = 0


class ImageStore:
    """One per data folder; for one event loop. `in_use` says whether a machine's disk lies on an image (by id): such an
    image loses its names when it is removed, and its content with the next `remove` or `open` after that."""

    def __init__(self, folder: Path, policy: ImagePolicy, in_use: Callable[[str], bool] = lambda _: False) -> None:
        self._data, self._links_folder, self._partial = folder / "data", folder / "links", folder / "partial"
        self._policy, self._in_use = policy, in_use
        self._links = Links(self._links_folder)
        self._pulls: dict[tuple[str, Credentials], _Pull] = {}
        # Downloads may stall for long: they must not take the threads that everybody else's files need.
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="image")
        self._changing = asyncio.Lock()

    async def open(self) -> None:
        """Reads what is there, and clears away what a killed process left. To be called first."""
        await asyncio.to_thread(self._open)

    async def aclose(self) -> None:
        """Calls off what is being fetched."""
        pulls = list(self._pulls.values())
        for pull in pulls:
            pull.lifeline.cut()
        await asyncio.gather(*(pull.task for pull in pulls if pull.task), return_exceptions=True)
        await asyncio.to_thread(self._threads.shutdown)

    async def pull(
        self, reference: str, auth: pb.AuthConfig | None = None, progress: Progress | None = None
    ) -> ImageRecord:
        """Gets an image, or makes sure that the one in the store is still what its origin has. Those who ask for the
        same with the same credentials share one transfer, which goes on while any of them waits. Raises RpcError:
        INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED, UNAVAILABLE, DATA_LOSS, RESOURCE_EXHAUSTED."""
        source = parse(reference, self._policy)
        credentials = _credentials(auth)
        pinned = self._pinned(reference, source)
        if pinned is not None:
            return pinned
        key = (reference, credentials)
        pull = self._pulls.get(key)
        if pull is None:
            if len(self._pulls) >= _MOST_PULLS:
                raise NoSpace(f"{_MOST_PULLS} images are being pulled already")
            pull = self._pulls[key] = _Pull(key)
            pull.task = asyncio.create_task(self._pull(source, pull), name=f"pull {reference}")
        if progress is not None:
            pull.listeners.append(progress)
        return await self._join(pull, progress)

    async def status(self, reference: str) -> ImageRecord | None:
        """The image of a name or an id, None if it is not in the store."""
        sha256 = self._sha256(reference)
        return self._records().get(sha256) if sha256 else None

    async def list(self) -> list[ImageRecord]:
        return list(self._records().values())

    async def remove(self, reference: str) -> None:
        """Removes an image, with all its names, by any of them or by its id. Idempotent."""
        async with self._changing:
            await asyncio.to_thread(self._remove, self._sha256(reference))

    async def usage(self) -> tuple[int, int]:
        """Bytes and inodes that the store takes."""
        return await asyncio.to_thread(self._usage)

    async def verify(self, reference: str) -> None:
        """Reads an image anew. Raises Corrupt where its bytes are no longer those that were stored: then it is removed,
        so that the next pull brings it back."""
        sha256 = self._sha256(reference)
        if not sha256:
            return
        if await asyncio.to_thread(sha256_of, self._data / sha256) != sha256:
            await self.remove(reference)
            raise Corrupt(f"image {reference} was changed on disk")

    # pulls

    async def _join(self, pull: _Pull, progress: Progress | None) -> ImageRecord:
        assert pull.task is not None
        pull.waiting += 1
        try:
            return await asyncio.shield(pull.task)
        finally:
            pull.waiting -= 1
            if progress is not None:
                pull.listeners.remove(progress)
            if not pull.waiting and not pull.task.done():
                pull.lifeline.cut()
                self._done_with(pull)

    def _done_with(self, pull: _Pull) -> None:
        """Whoever asks from now on begins anew."""
        if self._pulls.get(pull.key) is pull:
            del self._pulls[pull.key]

    async def _pull(self, source: Source, pull: _Pull) -> ImageRecord:
        reference, credentials = pull.key
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=self._partial))
        try:
            fetch = Fetch(
                source,
                self._policy,
                credentials,
                folder,
                self._known(reference),
                self._reporter(pull),
                pull.lifeline,
            )
            fetched = await asyncio.get_running_loop().run_in_executor(self._threads, fetch.run)
            async with self._changing:
                return await asyncio.to_thread(self._keep, reference, credentials, fetched)
        except Cancelled:
            raise RpcError("CANCELLED", f"the pull of {reference} was called off") from None
        finally:
            self._done_with(pull)
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    def _reporter(self, pull: _Pull) -> Progress:
        loop = asyncio.get_running_loop()
        told = 0

        def tell(done: int, total: int) -> None:
            for listener in pull.listeners:
                listener(done, total)

        def report(done: int, total: int) -> None:
            nonlocal told
            if done < told or done - told >= _REPORT_EVERY or done == total:
                told = done
                loop.call_soon_threadsafe(tell, done, total)

        return report

    def _pinned(self, reference: str, source: Source) -> ImageRecord | None:
        """The image of a name that can only mean what is in the store, and that anybody may have."""
        link = self._links.by_reference.get(reference)
        stated = source.digest if isinstance(source, OciSource) else source.sha256
        if not stated or link is None or not link.anonymous or isinstance(source, FileSource):
            return None
        return self._records().get(link.sha256)

    def _known(self, reference: str) -> str:
        link = self._links.by_reference.get(reference)
        return link.source if link and (self._data / link.sha256).exists() else ""

    # the store; all of this blocks

    def _open(self) -> None:
        for folder in (self._data, self._links_folder, self._partial):
            folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        for left in self._partial.iterdir():
            shutil.rmtree(left, ignore_errors=True)
        self._links.load()
        for link in list(self._links.by_reference.values()):
            if not (self._data / link.sha256).exists():
                self._links.remove(link.reference)
        self._sweep()

    def _keep(self, reference: str, credentials: Credentials, fetched: Fetched | None) -> ImageRecord:
        """Takes in what was fetched, or confirms what is there."""
        former = self._links.by_reference.get(reference)
        anonymous = credentials == Credentials()
        if fetched is None:
            if former is None:
                raise Unreachable(f"image {reference} was removed while it was pulled")
            changes = {"anonymous": former.anonymous or anonymous, "pulled_at": time.time()}
            link = msgspec.structs.replace(former, **changes)
        else:
            link = self._take(reference, fetched, anonymous)
        try:
            self._links.save(link)
        except OSError as error:
            raise from_os(error, "cannot store the image") from None
        if former is not None and former.sha256 != link.sha256:
            self._sweep()
        return self._records()[link.sha256]

    def _take(self, reference: str, fetched: Fetched, anonymous: bool) -> Link:
        place = self._data / fetched.sha256
        try:
            fetched.path.chmod(0o444)
            if not place.exists():
                fetched.path.replace(place)
            _sync(self._data)
            size = place.stat().st_blocks * 512
        except OSError as error:
            raise from_os(error, "cannot store the image") from None
        return Link(
            reference=reference,
            sha256=fetched.sha256,
            format=fetched.disk.format,
            virtual_size=fetched.disk.virtual_size,
            size=size,
            source=fetched.source,
            anonymous=anonymous,
            pulled_at=time.time(),
        )

    def _remove(self, sha256: str) -> None:
        for link in list(self._links.by_reference.values()):
            if link.sha256 == sha256:
                self._links.remove(link.reference)
        self._sweep()

    def _sweep(self) -> None:
        """Removes content that has no name and that no machine needs."""
        named = {link.sha256 for link in self._links.by_reference.values()}
        for path in self._data.iterdir():
            if path.name not in named and not self._in_use(_PREFIX + path.name):
                path.unlink(missing_ok=True)

    def _usage(self) -> tuple[int, int]:
        size = inodes = 0
        for folder in (self._data, self._links_folder, self._partial):
            for root, folders, files in os.walk(folder):
                inodes += len(folders) + len(files)
                for name in files:
                    try:
                        size += os.lstat(os.path.join(root, name)).st_blocks * 512
                    except FileNotFoundError:
                        continue
        return size, inodes

    # lookups

    def _sha256(self, reference: str) -> str:
        link = self._links.by_reference.get(reference)
        if link is not None:
            return link.sha256
        wanted = reference.removeprefix(_PREFIX)
        return wanted if any(each.sha256 == wanted for each in self._links.by_reference.values()) else ""

    def _records(self) -> dict[str, ImageRecord]:
        names: dict[str, list[Link]] = {}
        for link in self._links.by_reference.values():
            names.setdefault(link.sha256, []).append(link)
        return {
            sha256: ImageRecord(
                _PREFIX + sha256,
                self._data / sha256,
                links[0].format,
                links[0].virtual_size,
                links[0].size,
                tuple(sorted(link.reference for link in links)),
            )
            for sha256, links in names.items()
        }


def _credentials(auth: pb.AuthConfig | None) -> Credentials:
    if auth is None:
        return Credentials()
    username, password = auth.username, auth.password
    if not username and auth.auth:
        username, password = _decoded(auth.auth)
    return Credentials(username, password, auth.identity_token, auth.registry_token)


def _decoded(auth: str) -> tuple[str, str]:
    try:
        username, _, password = base64.b64decode(auth, validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return username, password.rstrip("\0")


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
