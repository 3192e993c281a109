"""Answers as bytes: heads made from cached parts, errors as Kubernetes Status objects."""

from __future__ import annotations

import time
import zlib
from collections.abc import Sequence
from email.utils import formatdate
from http import HTTPStatus

from arktos.model.status import ApiError
from arktos.wire import json
from arktos.wire.http import Response

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"

_NOSNIFF = ("X-Content-Type-Options", "nosniff")
_ALONE = (_NOSNIFF,)
_REASONS = {status.value: status.phrase for status in HTTPStatus}
_second = 0
_starts: dict[tuple[int, str], bytes] = {}
"""Status line, Date and Content-Type of this second's answers."""


def start(status: int, content_type: str) -> bytes:
    """Status line, Date and, unless empty, Content-Type. Cached for the second that it is true for."""
    global _second
    now = int(time.time())
    if now != _second:
        _starts.clear()
        _second = now
    known = _starts.get((status, content_type))
    if known is None:
        line = f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}\r\nDate: {formatdate(now, usegmt=True)}\r\n"
        if content_type:
            line += f"Content-Type: {_clean(content_type)}\r\n"
        known = line.encode("latin-1", "replace")
        if len(_starts) < 256:
            _starts[status, content_type] = known
    return known


def fields(headers: Sequence[tuple[str, str]]) -> bytes:
    """Header lines; whatever could end a line is replaced."""
    return "".join(f"{_clean(name)}: {_clean(value)}\r\n" for name, value in headers).encode()


def _clean(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def of_error(error: ApiError) -> Response:
    """The Status of an error. What the API says of it beyond that is in the Status' details."""
    headers = [_NOSNIFF, ("Retry-After", str(error.retry_after))] if error.retry_after else _ALONE
    return Response(error.code, json.encode(error.status()), headers=headers)


def gzipped(body: bytes | Sequence[bytes]) -> bytes:
    """A body in gzip, as fast as it gets."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    parts = (body,) if isinstance(body, bytes) else body
    return b"".join([packer.compress(part) for part in parts] + [packer.flush()])


def unframed(framed: bytes) -> bytes:
    """The data of complete chunks, for a client that does not know chunks."""
    parts, position = [], 0
    while position < len(framed):
        end = framed.index(b"\r\n", position)
        size = int(framed[position:end], 16)
        parts.append(framed[end + 2 : end + 2 + size])
        position = end + 2 + size + 2
    return b"".join(parts)
