"""Images from registries (OCI distribution-spec 1.0, Docker registry v2 with its token authentication). Blocks.

Two forms: an artifact whose one layer is the disk itself, and a container image that has the disk as a file in `/disk/`
(the form of KubeVirt's containerDisk).
"""

from __future__ import annotations

import base64
import hashlib
import json
import lzma
import re
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from arktos.vmruntime.images.download import Download, Progress, Wanted
from arktos.vmruntime.images.faults import Corrupt, Denied, Unfit
from arktos.vmruntime.images.reference import OciSource
from arktos.vmruntime.images.unpack import Sparse
from arktos.vmruntime.images.web import Answer, Credentials, Web, authority, refuse

_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_ACCEPT = {"Accept": ", ".join(_MANIFESTS + _INDEXES)}
_MOST_DOCUMENT = 4 << 20
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_DISK_SUFFIXES = (".qcow2", ".img", ".raw", ".qcow2.gz", ".img.gz", ".raw.gz", ".qcow2.xz", ".img.xz", ".raw.xz")


@dataclass(frozen=True, slots=True)
class Blob:
    """The layer that is the disk, or has it within (`packed`: as a file of a tar archive)."""

    digest: str
    size: int
    packed: bool


class Repository:
    """One repository of a registry, and who asks. `machine` is the architecture, in OCI's words."""

    def __init__(self, web: Web, source: OciSource, credentials: Credentials, machine: str = "amd64") -> None:
        self._web, self._source, self._credentials, self._machine = web, source, credentials, machine
        self._base = f"{source.scheme}://{source.registry}/v2/{source.repository}"
        self._secret = credentials.header if credentials.registry_token else {}

    def find(self) -> Blob:
        """The disk that the reference names. Raises as `Web.get`, and Absent, Denied, Unfit, Corrupt."""
        name = self._source.digest or self._source.tag
        manifest = self._manifest(name)
        if "manifests" in manifest:
            manifest = self._manifest(self._for_machine(manifest))
        return _disk_layer(manifest)

    def download(self, blob: Blob, path: Path, most: int, progress: Progress) -> None:
        """Writes the layer's bytes, checked."""
        wanted = Wanted(
            f"{self._base}/blobs/{blob.digest}",
            self._source.repository,
            secret=self._secret,
            trusted=self._source.trusted,
            sha256=blob.digest.removeprefix("sha256:"),
            size=blob.size,
        )
        Download(self._web, wanted, path, most, progress).run()

    def _manifest(self, name: str) -> dict[str, Any]:
        with self._get(f"{self._base}/manifests/{name}") as answer:
            refuse(answer, f"image {self._source.repository}:{name}")
            body = answer.read(_MOST_DOCUMENT)
        if name.startswith("sha256:") and hashlib.sha256(body).hexdigest() != name.removeprefix("sha256:"):
            raise Corrupt(f"{self._source.registry} answered another manifest than {name}")
        return _document(body, "manifest")

    def _for_machine(self, index: dict[str, Any]) -> str:
        for entry in _dicts(index.get("manifests")):
            platform = entry.get("platform") or {}
            if platform.get("architecture", self._machine) == self._machine and _DIGEST.match(str(entry.get("digest"))):
                return str(entry["digest"])
        raise Unfit(f"image {self._source.repository} has none for {self._machine}")

    def _get(self, url: str) -> Answer:
        """Authenticates when the registry asks for it, once."""
        answer = self._web.get(url, _ACCEPT, self._secret, trusted=self._source.trusted)
        if answer.status != 401 or self._secret:
            return answer
        challenge = answer.header("WWW-Authenticate")
        answer.close()
        self._secret = self._answer_to(challenge)
        return self._web.get(url, _ACCEPT, self._secret, trusted=self._source.trusted)

    def _answer_to(self, challenge: str) -> dict[str, str]:
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "basic" and self._credentials.username:
            return self._credentials.header
        if scheme.lower() != "bearer":
            raise Denied(f"{self._source.registry} wants credentials for {self._source.repository}")
        parameters = dict(_PARAMETER.findall(rest))
        realm = parameters.get("realm", "")
        if urlsplit(realm).scheme not in ("http", "https"):
            raise Unfit(f"{self._source.registry} names no server for tokens")
        if realm.startswith("http:") and self._source.scheme == "https":
            raise Unfit(f"{self._source.registry} wants credentials sent over plain http")
        return {"Authorization": f"Bearer {self._token(realm, parameters)}"}

    def _token(self, realm: str, parameters: dict[str, str]) -> str:
        scope = parameters.get("scope") or f"repository:{self._source.repository}:pull"
        parts = urlsplit(realm)
        query = urlencode({"service": parameters.get("service", ""), "scope": scope})
        url = urlunsplit(parts._replace(query=f"{parts.query}&{query}" if parts.query else query))
        secret = self._credentials.header
        if self._credentials.identity_token:
            # The form that Docker's token servers take a refresh token in, too (RFC 6749 calls it differently).
            pair = base64.b64encode(f"<token>:{self._credentials.identity_token}".encode()).decode()
            secret = {"Authorization": f"Basic {pair}"}
        near = parts.hostname == urlsplit(self._base).hostname
        with self._web.get(url, {}, secret, trusted=self._source.trusted and near) as answer:
            if answer.status == 401:
                raise Denied(f"{authority(realm)} refuses the credentials for {self._source.repository}")
            refuse(answer, f"token for {self._source.repository}")
            document = _document(answer.read(_MOST_DOCUMENT), "token")
        return str(document.get("token") or document.get("access_token") or "")


def extract_disk(archive: Path, disk: Path, most: int, check: Callable[[], None]) -> str:
    """Writes the first disk in `/disk/` of a layer; its SHA-256 checksum. Only that file's bytes are taken, nothing of
    its name, mode or links. `check` is called often, to raise when it shall end. Raises Unfit, NoSpace."""
    try:
        with tarfile.open(archive, "r|*") as layer:
            for entry in layer:
                check()
                content = layer.extractfile(entry) if entry.isreg() and _is_disk(entry.name) else None
                if content is None:
                    continue
                with Sparse(disk, most, "the disk in the image") as out:
                    while chunk := content.read(1 << 20):
                        check()
                        out.write(chunk)
                return out.sha256
    except (tarfile.TarError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        raise Unfit(f"the image's layer is no tar archive: {error}") from None
    raise Unfit("the image has no file in /disk/ of its last layer")


def _is_disk(name: str) -> bool:
    folder, _, file = name.removeprefix("./").lstrip("/").rpartition("/")
    return folder == "disk" and not file.startswith(".wh.")


def _disk_layer(manifest: dict[str, Any]) -> Blob:
    layers = _dicts(manifest.get("layers"))
    if not layers:
        raise Unfit("the image has no layers")
    plain = [layer for layer in layers if ".tar" not in _type(layer) and "tar+" not in _type(layer)]
    titled = [layer for layer in plain if _title(layer).endswith(_DISK_SUFFIXES)]
    if len(layers) == 1 and plain:
        return _blob(layers[0], packed=False)
    if len(titled) == 1:
        return _blob(titled[0], packed=False)
    if plain:
        raise Unfit("the artifact has several layers, and not one that is titled as a disk")
    if "zstd" in _type(layers[-1]):
        raise Unfit("the image's layers are packed with zstd: use gzip")
    return _blob(layers[-1], packed=True)


def _blob(layer: dict[str, Any], *, packed: bool) -> Blob:
    digest, size = str(layer.get("digest")), layer.get("size")
    if not _DIGEST.match(digest) or not isinstance(size, int) or size < 0:
        raise Unfit("the image's manifest states no SHA-256 digest and size of its layer")
    return Blob(digest, size, packed)


def _type(layer: dict[str, Any]) -> str:
    return str(layer.get("mediaType") or "")


def _title(layer: dict[str, Any]) -> str:
    annotations = layer.get("annotations")
    return str(annotations.get("org.opencontainers.image.title") or "") if isinstance(annotations, dict) else ""


def _dicts(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _document(body: bytes, what: str) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise Unfit(f"the registry's {what} is no JSON object")
    return document
