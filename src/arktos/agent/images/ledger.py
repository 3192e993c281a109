"""Who has shown that he may have an image, so that `IfNotPresent` does not hand one tenant's private image to another.

An image that a registry gave without credentials is everybody's. One that it gave for credentials is for that tenant
with those credentials; any other has to pull it himself, which costs him a question to the registry (KEP-2535). An
image of which nothing is known was put on the machine by its operator: it is everybody's, too.

    FOLDER/images/*.json    one file for each image of a runtime: who may have it
    FOLDER/pulls/*.json     one file for each name that is being pulled

A pull is noted before it begins, and struck out when its outcome is known and written. So after a kill at any instant
an image that came by a pull is never taken for an operator's. Credentials are kept as salted digests.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from arktos.agent.images.credentials import Credential
from arktos.agent.images.reference import MalformedReference, parse
from arktos.wire import logs

_log = logs.get_logger(__name__)


class Grants(msgspec.Struct, frozen=True):
    """Who may have an image: `everybody`, or the tenants by the digests of what they showed."""

    runtime: str
    image: str
    everybody: bool = False
    tenants: dict[str, tuple[str, ...]] = {}


class _Pull(msgspec.Struct, frozen=True):
    """A name that was being pulled."""

    runtime: str
    name: str


Key = tuple[str, str]
"""Runtime and image id, or runtime and canonical name."""
_Kept = TypeVar("_Kept", Grants, _Pull)


class Ledger:
    """What is known of the images of all runtimes, in memory and, with a `folder`, on disk. `load` it first."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._grants: dict[Key, Grants] = {}
        self._pulling: Counter[Key] = Counter()
        self._unsettled: set[Key] = set()
        """Pulls of which nobody knows how they ended."""
        self._spoilt: frozenset[str] = frozenset()
        """Names of files that cannot be read: of these images, who may have them is not known."""
        self._writing = asyncio.Lock()

    async def load(self) -> None:
        """Reads what an earlier agent left. Raises OSError."""
        if self._folder is not None:
            await asyncio.to_thread(self._load, self._folder)

    def allows(self, runtime: str, image: str, names: Iterable[str], tenant: str, shown: Sequence[Credential]) -> bool:
        """Whether a pod of `tenant` with these credentials may have the image with this id and these names."""
        grants = self._grants.get((runtime, image))
        if grants is None:
            keys = ((runtime, image), *((runtime, canonical(name)) for name in names))
            return not any(self._is_pulled(key) for key in keys)
        if grants.everybody:
            return True
        known = grants.tenants.get(tenant, ())
        return any(_digest(image, each) in known for each in shown)

    def grants(self, runtime: str, image: str) -> Grants | None:
        """What is known of an image now; for `forget`."""
        return self._grants.get((runtime, image))

    async def begin(self, runtime: str, name: str) -> None:
        """Notes a pull. Raises OSError: then it must not be made."""
        key = (runtime, canonical(name))
        async with self._writing:
            if not self._is_pulled(key):
                await self._write("pulls", key, _Pull(*key))
            self._pulling[key] += 1

    async def succeeded(self, runtime: str, name: str, image: str, tenant: str, shown: Credential | None) -> None:
        """A pull ended with an image, for these credentials or for nobody's. Raises OSError: then the image is given to
        nobody without another pull."""
        key = (runtime, image)
        async with self._writing:
            before = self._grants.get(key) or Grants(runtime, image)
            after = _with(before, tenant, shown)
            try:
                await self._write("images", key, after)
            except OSError:
                self._unsettled.add((runtime, canonical(name)))
                raise
            else:
                self._grants[key] = after
                self._unsettled.discard((runtime, canonical(name)))
            finally:
                await self._end((runtime, canonical(name)))

    async def failed(self, runtime: str, name: str, *, known: bool) -> None:
        """A pull ended without an image; unless that is `known`, it may still come. Never raises."""
        key = (runtime, canonical(name))
        async with self._writing:
            if not known:
                self._unsettled.add(key)
            await self._end(key)

    def interrupted(self, runtime: str, name: str) -> None:
        """A pull was left to itself: the image may still come."""
        key = (runtime, canonical(name))
        self._unsettled.add(key)
        self._pulling[key] -= 1
        self._pulling += Counter()

    async def forget(self, runtime: str, image: str, before: Grants | None) -> None:
        """The image was removed. What became known of it since `before` is of a newer pull, and stays."""
        key = (runtime, image)
        async with self._writing:
            if before is not None and self._grants.get(key) is before:
                del self._grants[key]
                await self._unlink("images", key)

    def _is_pulled(self, key: Key) -> bool:
        return self._pulling[key] > 0 or key in self._unsettled or _stem(key) in self._spoilt

    async def _end(self, key: Key) -> None:
        self._pulling[key] -= 1
        if self._pulling[key] <= 0:
            del self._pulling[key]
            if key not in self._unsettled:
                await self._unlink("pulls", key)

    # files

    async def _write(self, kind: str, key: Key, kept: Grants | _Pull) -> None:
        if self._folder is not None:
            await asyncio.to_thread(_replace, _path(self._folder / kind, key), msgspec.json.encode(kept))

    async def _unlink(self, kind: str, key: Key) -> None:
        if self._folder is None:
            return
        try:
            await asyncio.to_thread(_path(self._folder / kind, key).unlink, missing_ok=True)
        except OSError as error:
            # It costs a pull, and gives nothing away.
            _log.warning("image_note_kept", kind=kind, of=key[1], error=str(error))

    def _load(self, folder: Path) -> None:
        for kind in ("images", "pulls"):
            (folder / kind).mkdir(parents=True, exist_ok=True, mode=0o700)
        for grants in _read(folder / "images", Grants):
            self._grants[grants.runtime, grants.image] = grants
        self._unsettled = {(pull.runtime, pull.name) for pull in _read(folder / "pulls", _Pull)}
        self._spoilt = frozenset(path.stem for path in folder.glob("*/*.unreadable"))


def canonical(name: str) -> str:
    """The form in which runtimes list a name of a container's image; any other as it is."""
    try:
        meant = parse(name)
    except MalformedReference:
        return name
    if meant.digest:
        return f"{meant.registry}/{meant.path}@{meant.digest}"
    return f"{meant.registry}/{meant.path}:{meant.tag or 'latest'}"


def _with(grants: Grants, tenant: str, shown: Credential | None) -> Grants:
    if shown is None or grants.everybody:
        return Grants(grants.runtime, grants.image, everybody=True)
    known = dict.fromkeys((*grants.tenants.get(tenant, ()), _digest(grants.image, shown)))
    return Grants(grants.runtime, grants.image, False, {**grants.tenants, tenant: tuple(known)})


def _digest(image: str, shown: Credential) -> str:
    text = msgspec.json.encode([image, shown.username, shown.password, shown.identity_token])
    return hashlib.sha256(text).hexdigest()


def _stem(key: Key) -> str:
    return hashlib.sha256("/".join(key).encode()).hexdigest()[:40]


def _path(folder: Path, key: Key) -> Path:
    return folder / f"{_stem(key)}.json"


def _read(folder: Path, kind: type[_Kept]) -> list[_Kept]:
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=kind))
        except (OSError, msgspec.DecodeError) as error:
            _log.error("image_note_unreadable", file=str(path), error=str(error))
            with suppress(OSError):
                path.rename(path.with_suffix(".unreadable"))
    return found


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_suffix(".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    beside.replace(path)
