"""Kubernetes protobuf (`application/vnd.kubernetes.protobuf`) to and from objects in their JSON shape.

A body is the prefix `k8s\\0` and a runtime.Unknown that names apiVersion and kind and holds the message. The messages
themselves are a table (`protobuf_table`), so that no generated code is needed. JSON shape means: as Go would write the
decoded object as JSON, an explicit zero behind a pointer kept, the zero of an omitempty value dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from arktos.wire.protobuf_decode import MAGIC, DecodeError, read_envelope, read_message
from arktos.wire.protobuf_encode import EncodeError, write_message
from arktos.wire.protobuf_table import META, message, message_name, varint

__all__ = [
    "CONTENT_TYPE",
    "MAX_FRAME",
    "DecodeError",
    "EncodeError",
    "Frames",
    "decode",
    "decode_message",
    "encodable",
    "encode",
    "encode_bare",
    "encode_message",
    "envelope",
    "frame",
    "list_of",
    "watch_event",
]

CONTENT_TYPE = "application/vnd.kubernetes.protobuf"
_PIECES = 96
MAX_FRAME = 16 << 20
"""Bytes that one frame of a watch stream may have."""


def decode(data: bytes, unnamed: str = "") -> dict[str, Any]:
    """The object in an enveloped body, with its apiVersion and kind. Raises `DecodeError`, whatever the bytes.

    `unnamed` is the full name of the message expected in an envelope that names no kind (a WatchEvent has none)."""
    try:
        return read_envelope(bytes(data), 0, unnamed)
    except IndexError as error:
        raise DecodeError("unexpected EOF") from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(str(error)) from error


def decode_message(name: str, data: bytes) -> dict[str, Any]:
    """The bare message of full name `name` (`k8s.io.api.core.v1.Pod`). Raises `DecodeError`; KeyError for the name."""
    kind = message(name)
    try:
        return read_message(kind, bytes(data), 0, len(data), 0)
    except IndexError as error:
        raise DecodeError("unexpected EOF") from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(str(error)) from error


def encodable(api_version: str, kind: str) -> bool:
    """Whether objects of that kind have a protobuf form; custom resources and kinds of ours have none."""
    return message_name(api_version, kind) is not None


def encode(obj: dict[str, Any]) -> bytes:
    """The enveloped form of an object that carries apiVersion and kind. Raises `EncodeError`."""
    raw = encode_bare(obj)
    return b"".join(envelope(obj["apiVersion"], obj["kind"], (raw,)))


def encode_bare(obj: dict[str, Any]) -> bytes:
    """The message of an object that carries apiVersion and kind, without its envelope. Raises `EncodeError`."""
    api_version, kind = obj.get("apiVersion"), obj.get("kind")
    if not isinstance(api_version, str) or not isinstance(kind, str):
        raise EncodeError("apiVersion and kind are needed")
    name = message_name(api_version, kind)
    if name is None:
        raise EncodeError(f'"{kind}" of "{api_version}" has no protobuf form')
    return write_message(message(name), obj, 0)


def envelope(api_version: str, kind: str, raw: Sequence[bytes]) -> list[bytes]:
    """What makes a body of a message that is there in parts."""
    type_meta = _sized(b"\x0a", api_version.encode()) + _sized(b"\x12", kind.encode())
    head = b"".join((MAGIC, _sized(b"\x0a", type_meta), b"\x12", varint(sum(map(len, raw)))))
    return [head, *raw, b"\x1a\x00\x22\x00"]


def list_of(metadata: dict[str, Any], items: Iterable[bytes]) -> list[bytes]:
    """The message of a list of any kind, in parts of some dozen items: its ListMeta and its items, which are messages.
    Raises `EncodeError`."""
    parts = [_sized(b"\x0a", write_message(message(META + "ListMeta"), metadata, 0))]
    pieces: list[bytes] = []
    for item in items:
        pieces += (b"\x12", varint(len(item)), item)
        if len(pieces) >= _PIECES:
            parts.append(b"".join(pieces))
            pieces.clear()
    parts.append(b"".join(pieces))
    return parts


def watch_event(kind: str, body: bytes) -> bytes:
    """An element of a `;stream=watch` body: the event's message with an enveloped object, framed."""
    return frame(_sized(b"\x0a", kind.encode()) + _sized(b"\x12", _sized(b"\x0a", body)))


def encode_message(name: str, obj: dict[str, Any]) -> bytes:
    """The bare message of full name `name`. Raises `EncodeError`; KeyError for the name."""
    return write_message(message(name), obj, 0)


def frame(data: bytes) -> bytes:
    """One element of a `;stream=watch` body: its length as four bytes, big-endian, and itself."""
    return len(data).to_bytes(4, "big") + data


class Frames:
    """Cuts a `;stream=watch` body into its elements. Feed it bytes as they come."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The elements that are complete now. Raises `DecodeError` for one over `MAX_FRAME`."""
        pending = self._pending
        pending += data
        complete = []
        start = 0
        while len(pending) - start >= 4:
            size = int.from_bytes(pending[start : start + 4], "big")
            if size > MAX_FRAME:
                raise DecodeError(f"a frame of {size} bytes is too large")
            if len(pending) - start - 4 < size:
                break
            complete.append(bytes(pending[start + 4 : start + 4 + size]))
            start += 4 + size
        del pending[:start]
        return complete


def _sized(tag: bytes, body: bytes) -> bytes:
    return tag + varint(len(body)) + body
