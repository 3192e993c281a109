"""From a source to a checked disk in a file of its own, through everything that may go wrong. Blocks."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from arktos.vmruntime.images import disk, oci, unpack
from arktos.vmruntime.images.download import Download, Progress, Wanted
from arktos.vmruntime.images.faults import Absent, Corrupt, Denied, Unfit, from_os
from arktos.vmruntime.images.policy import ImagePolicy
from arktos.vmruntime.images.reference import FileSource, OciSource, Source, WebSource
from arktos.vmruntime.images.web import Credentials, Lifeline, Web

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Fetched:
    """A disk that was fetched: `sha256` of the file as it is kept, `source` what names the version at its origin (the
    ETag, the layer's digest, the checksum of a file)."""

    path: Path
    sha256: str
    disk: disk.Disk
    source: str


@dataclass
class Fetch:
    """One fetch. `known` is the `source` of the version that is in the store; where the origin still has that one,
    `run` returns None. `credentials` are for the origin alone. Files are made in `folder`, which is the fetch's own."""

    source: Source
    policy: ImagePolicy
    credentials: Credentials
    folder: Path
    known: str
    progress: Progress
    lifeline: Lifeline = field(default_factory=Lifeline)

    def run(self) -> Fetched | None:
        """Raises Absent, Denied, Unfit, Unreachable, Corrupt, NoSpace, Cancelled."""
        try:
            match self.source:
                case WebSource():
                    return self._from_web(self.source)
                case OciSource():
                    return self._from_registry(self.source)
                case FileSource():
                    return self._from_file(self.source)
        except OSError as error:
            raise from_os(error, "cannot store the image") from None

    def _from_web(self, source: WebSource) -> Fetched | None:
        raw = self.folder / "download"
        wanted = Wanted(
            source.url,
            source.url,
            secret=self.credentials.header,
            trusted=source.trusted,
            sha256=source.sha256,
            etag=self.known,
        )
        got = Download(self._web(), wanted, raw, self.policy.most_bytes, self.progress).run()
        return None if got.unchanged else self._finish(raw, got.sha256, got.etag)

    def _from_registry(self, source: OciSource) -> Fetched | None:
        machine = _ARCHITECTURES.get(platform.machine(), platform.machine())
        repository = oci.Repository(self._web(), source, self.credentials, machine)
        blob = repository.find()
        if blob.digest == self.known:
            return None
        if blob.size > self.policy.most_bytes:
            raise Unfit(f"the image has {blob.size} bytes; at most {self.policy.most_bytes} are taken")
        raw = self.folder / "layer"
        repository.download(blob, raw, self.policy.most_bytes, self.progress)
        if not blob.packed:
            return self._finish(raw, blob.digest.removeprefix("sha256:"), blob.digest)
        within = self.folder / "disk"
        sha256 = oci.extract_disk(raw, within, self.policy.most_bytes, self.lifeline.check)
        raw.unlink()
        return self._finish(within, sha256, blob.digest)

    def _from_file(self, source: FileSource) -> Fetched | None:
        path = self._allowed(source.path)
        copied = self.folder / "file"
        total = path.stat().st_size
        with path.open("rb") as file, unpack.Sparse(copied, self.policy.most_bytes, f"file {source.path}") as out:
            done = 0
            while chunk := file.read(1 << 20):
                self.lifeline.check()
                out.write(chunk)
                done += len(chunk)
                self.progress(done, total)
        if source.sha256 and out.sha256 != source.sha256:
            raise Corrupt(f"file {source.path} has the SHA-256 checksum {out.sha256}, not {source.sha256}")
        return self._finish(copied, out.sha256, out.sha256)

    def _allowed(self, named: str) -> Path:
        """The file, if it lies below the operator's folder when all symbolic links are followed."""
        if self.policy.files is None:
            raise Denied("images from files of the node are not allowed; the runtime's --allow-file-images lifts this")
        path = Path(os.path.realpath(named))
        if not path.is_relative_to(os.path.realpath(self.policy.files)):
            raise Denied(f"file {named} is not below {self.policy.files}")
        if not path.is_file():
            raise Absent(f"there is no file {named}")
        return path

    def _finish(self, path: Path, sha256: str, source: str) -> Fetched:
        how = unpack.packing(path)
        if how:
            plain = self.folder / "plain"
            sha256 = unpack.unpack(path, how, plain, self.policy.most_bytes, self.lifeline.check)
            path.unlink()
            path = plain
        return Fetched(path, sha256, disk.inspect(path, self.policy), source)

    def _web(self) -> Web:
        return Web(self.policy.allow_local, self.lifeline)


def sha256_of(path: Path, check: Callable[[], None] = lambda: None) -> str:
    """The checksum of a file, read anew."""
    content = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            check()
            content.update(chunk)
    return content.hexdigest()
