"""Container images of one layer, made in memory and saved as an OCI image layout (OCI image-spec 1.0)."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass(frozen=True, slots=True)
class Image:
    """An image for linux/amd64 as the three blobs that a registry keeps. Equal input makes equal bytes."""

    layer: bytes
    config: bytes
    manifest: bytes


def digest(blob: bytes) -> str:
    """The content address of a blob, as `sha256:HEX`."""
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def build(
    files: Mapping[str, tuple[bytes, int]],
    config: Mapping[str, Any],
    *,
    links: Mapping[str, str] | None = None,
    folders: Mapping[str, int] | None = None,
) -> Image:
    """An image of `files` (path -> content and mode), symbolic `links` (path -> target) and `folders` (path -> mode)
    besides those that files stand in; `config` is the image's execution configuration (`Cmd`, `Env`, ...)."""
    unpacked = _layer(files, links or {}, folders or {})
    layer = gzip.compress(unpacked, 6, mtime=0)
    described = {
        "architecture": "amd64",
        "os": "linux",
        "config": dict(config),
        "rootfs": {"type": "layers", "diff_ids": [digest(unpacked)]},
    }
    encoded = json.dumps(described).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": _descriptor(CONFIG_TYPE, encoded),
        "layers": [_descriptor(LAYER_TYPE, layer)],
    }
    return Image(layer, encoded, json.dumps(manifest).encode())


def save(image: Image, path: Path, reference: str) -> None:
    """Writes an OCI layout as a tar file that `ctr images import` takes in under the name `reference`."""
    annotations = {
        "io.containerd.image.name": reference,
        "org.opencontainers.image.ref.name": reference.rpartition(":")[2],
    }
    index = {
        "schemaVersion": 2,
        "manifests": [{**_descriptor(MANIFEST_TYPE, image.manifest), "annotations": annotations}],
    }
    with tarfile.open(path, "w") as layout:
        _add_file(layout, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}', 0o644)
        _add_file(layout, "index.json", json.dumps(index).encode(), 0o644)
        for blob in (image.layer, image.config, image.manifest):
            _add_file(layout, f"blobs/{digest(blob).replace(':', '/')}", blob, 0o644)


def _descriptor(media_type: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest(blob), "size": len(blob)}


def _layer(files: Mapping[str, tuple[bytes, int]], links: Mapping[str, str], folders: Mapping[str, int]) -> bytes:
    buffer = io.BytesIO()
    modes = {**dict.fromkeys(_parents([*files, *links, *folders]), 0o755), **folders}
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as layer:
        for path in sorted(modes):
            entry = tarfile.TarInfo(path)
            entry.type, entry.mode = tarfile.DIRTYPE, modes[path]
            layer.addfile(entry)
        for path, (content, mode) in sorted(files.items()):
            _add_file(layer, path, content, mode)
        for path, target in sorted(links.items()):
            entry = tarfile.TarInfo(path)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            layer.addfile(entry)
    return buffer.getvalue()


def _parents(paths: Iterable[str]) -> set[str]:
    return {str(parent) for path in paths for parent in PurePosixPath(path).parents if parent.name}


def _add_file(archive: tarfile.TarFile, path: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))
