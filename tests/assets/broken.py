"""Images that are wrong in a way each: of containers in a registry, of virtual machines on a web server."""

from __future__ import annotations

import json
import struct
import urllib.request

from arktos.bootstrap.oci_image import CONFIG_TYPE, LAYER_TYPE, MANIFEST_TYPE, digest
from assets.http_files import FileServer
from assets.registry import Registry

FOLDER = "/images/broken"
_SLOW = 2.0
"""Seconds for each 64 KiB: what is pulled so never arrives within a test."""


def push_broken(registry: Registry) -> None:
    """`library/lost-blob` refers to a layer that the registry has lost; the layer of `library/no-image` is no archive,
    its configuration none."""
    layer = b"a layer that will be lost"
    rootfs = {"type": "layers", "diff_ids": [digest(layer)]}
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs}).encode()
    for blob in (config, layer):
        registry.push_blob("library/lost-blob", blob)
    registry.push_manifest("library/lost-blob", "latest", _manifest(config, layer), MANIFEST_TYPE)
    lost = f"http://{registry.authority}/v2/library/lost-blob/blobs/{digest(layer)}"
    with urllib.request.urlopen(urllib.request.Request(lost, method="DELETE"), timeout=10):
        pass
    prose = (b"no configuration", b"no archive either")
    for blob in prose:
        registry.push_blob("library/no-image", blob)
    registry.push_manifest("library/no-image", "latest", _manifest(*prose), MANIFEST_TYPE)


def serve_broken(files: FileServer, disk: bytes) -> None:
    """Files below FOLDER, made from `disk`, the content of a bootable one: short.qcow2 is sent in part, cut.qcow2 has
    lost its end, which nothing about its transfer tells, text.qcow2 is no disk, backed.qcow2 has a backing file,
    slow.qcow2 takes for ever."""
    files.serve(f"{FOLDER}/short.qcow2", disk, truncate_at=len(disk) // 2, ranges=False)
    files.serve(f"{FOLDER}/cut.qcow2", disk[: len(disk) * 2 // 3])
    files.serve(f"{FOLDER}/text.qcow2", b"<html>Not here</html>\n" * 5000)
    files.serve(f"{FOLDER}/backed.qcow2", _backed(disk))
    files.serve(f"{FOLDER}/slow.qcow2", disk, pause=_SLOW)


def _manifest(config: bytes, layer: bytes) -> bytes:
    def described(kind: str, blob: bytes) -> dict[str, object]:
        return {"mediaType": kind, "size": len(blob), "digest": digest(blob)}

    content = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": described(CONFIG_TYPE, config),
        "layers": [described(LAYER_TYPE, layer)],
    }
    return json.dumps(content).encode()


def _backed(disk: bytes) -> bytes:
    """A qcow2 image that claims to lie on top of a file of the machine that opens it. The header's words 8 to 20 are
    the offset and length of that file's name."""
    name = b"/etc/shadow"
    return disk[:8] + struct.pack(">QI", 0x200, len(name)) + disk[20:0x200] + name + disk[0x200 + len(name) :]
