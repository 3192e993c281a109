"""What a guest is told at its first boot: the files of a NoCloud data source. Pure.

The annotation `arktos.io/virtual-machine` of the container config says it, as JSON:

    userData    base64 of what cloud-init shall take as user-data, as it is
    script      a shell script to run once; beside user data it travels as a second part of one MIME message
    sshKeys     public keys for the default user
    hostname    the guest's name, that of the sandbox by default
    instanceId  a new one makes cloud-init run anew
    rootSize    size of the root disk, a Kubernetes quantity; the image's by default
    bootVolume  the container path of the mount whose disk is booted; the image's disk is, where that is not bootable
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Any

from arktos.model import quantity
from arktos.vmruntime.errors import Invalid

ANNOTATION = "arktos.io/virtual-machine"
_BOUNDARY = "==arktos-boot-data=="
_HOSTNAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_TYPES = (
    (b"#cloud-config-archive", "text/cloud-config-archive"),
    (b"#cloud-config", "text/cloud-config"),
    (b"## template: jinja", "text/jinja2"),
    (b"#!", "text/x-shellscript"),
    (b"#include", "text/x-include-url"),
    (b"#cloud-boothook", "text/cloud-boothook"),
    (b"#part-handler", "text/part-handler"),
)


@dataclass(frozen=True, slots=True)
class BootData:
    """The annotation, read and checked."""

    user_data: bytes = b""
    script: str = ""
    ssh_keys: tuple[str, ...] = ()
    hostname: str = ""
    instance_id: str = ""
    root_size: int = 0
    """Bytes; 0 for the image's own."""
    boot_volume: str = ""


def parse(text: str) -> BootData:
    """Raises Invalid, naming what is wrong. An empty text is no data at all."""
    if not text:
        return BootData()
    try:
        found = json.loads(text)
    except ValueError as error:
        raise Invalid(field(), f"not JSON: {error}") from None
    if not isinstance(found, dict):
        raise Invalid(field(), "must be a JSON object")
    hostname = _text(found, "hostname")
    if hostname and not _HOSTNAME.fullmatch(hostname):
        raise Invalid(field("hostname"), f"{hostname!r} is not a host name")
    return BootData(
        _decoded(_text(found, "userData")),
        _text(found, "script"),
        _keys(found.get("sshKeys")),
        hostname,
        _line(found, "instanceId"),
        _size(_text(found, "rootSize")),
        _text(found, "bootVolume"),
    )


def files(data: BootData, *, hostname: str, instance_id: str) -> dict[str, bytes]:
    """Name and content of each file of the seed; the arguments are for what the data leaves open."""
    meta: dict[str, Any] = {
        "instance-id": data.instance_id or instance_id,
        "local-hostname": data.hostname or hostname,
    }
    if data.ssh_keys:
        meta["public-keys"] = list(data.ssh_keys)
    return {"meta-data": _yaml(meta), "user-data": user_data(data)}


def user_data(data: BootData) -> bytes:
    """User data as it came; a script alone as itself; both as parts of one MIME message, user data first."""
    script = data.script.encode()
    if script and not script.startswith(b"#!"):
        script = b"#!/bin/sh\n" + script
    if not script or not data.user_data:
        return script or data.user_data or b"#cloud-config\n{}\n"
    return _multipart(data.user_data, script)


def _multipart(first: bytes, script: bytes) -> bytes:
    lines = [f'Content-Type: multipart/mixed; boundary="{_BOUNDARY}"', "MIME-Version: 1.0", ""]
    for content in (first, script):
        lines += [f"--{_BOUNDARY}", f"Content-Type: {_type(content)}", "Content-Transfer-Encoding: base64", ""]
        lines += [base64.encodebytes(content).decode()]
    return "\n".join([*lines, f"--{_BOUNDARY}--", ""]).encode()


def _type(content: bytes) -> str:
    if content.lower().startswith((b"content-type: multipart", b"mime-version:", b"from ")):
        return "message/rfc822"
    return next((kind for start, kind in _TYPES if content.startswith(start)), "text/plain")


def _yaml(meta: dict[str, Any]) -> bytes:
    # A scalar in JSON is one in YAML; a line each, since small readers of NoCloud know nothing else.
    lines = []
    for name, value in meta.items():
        if isinstance(value, list):
            lines += [f"{name}:", *(f"  - {json.dumps(each)}" for each in value)]
        else:
            lines.append(f"{name}: {value}")
    return "\n".join([*lines, ""]).encode()


def field(name: str = "") -> str:
    """The name of a part of the annotation, for Invalid."""
    return f"annotations[{ANNOTATION}]" + (f".{name}" if name else "")


def _text(found: dict[str, Any], name: str) -> str:
    value = found.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Invalid(field(name), "must be a string")
    return value


def _line(found: dict[str, Any], name: str) -> str:
    value = _text(found, name)
    if not value.isprintable():
        raise Invalid(field(name), "must be one line of printable characters")
    return value


def _keys(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(key, str) for key in value):
        raise Invalid(field("sshKeys"), "must be a list of strings")
    return tuple(" ".join(key.split()) for key in value if key.strip())


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise Invalid(field("userData"), f"not base64: {error}") from None


def _size(text: str) -> int:
    if not text:
        return 0
    try:
        size = quantity.parse(text).value
    except ValueError as error:
        raise Invalid(field("rootSize"), str(error)) from None
    if size <= 0:
        raise Invalid(field("rootSize"), "must be positive")
    return size
