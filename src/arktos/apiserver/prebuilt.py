"""Documents that are the same for everybody: made once, kept small, answered with ETag and 304 (RFC 9110 13.1.2)."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Sequence

from arktos.wire.http import Response

_PACK_FROM = 65536
"""Bytes from which a document is kept compressed: nearly every client takes it so, and it is a tenth of the size."""


class Document:
    """An immutable answer. `etag` is of the content, so a restart doesn't change it."""

    __slots__ = ("_body", "_packed", "content_type", "etag")

    def __init__(self, body: bytes, content_type: str = "application/json", etag: str = "") -> None:
        self.content_type = content_type
        self.etag = etag or hashlib.sha256(body).hexdigest().upper()
        self._packed = len(body) >= _PACK_FROM
        self._body = gzip.compress(body, 5, mtime=0) if self._packed else body

    @property
    def body(self) -> bytes:
        return gzip.decompress(self._body) if self._packed else self._body

    def answer(self, if_none_match: str = "", encodings: str = "", extra: Sequence[tuple[str, str]] = ()) -> Response:
        """Whole, compressed where `encodings` (Accept-Encoding) allows it, or 304 where the client has it already."""
        sent = [("ETag", f'"{self.etag}"'), ("Vary", "Accept, Accept-Encoding"), *extra]
        if if_none_match and self._is_one_of(if_none_match):
            return Response(304, b"", self.content_type, sent)
        if self._packed and "gzip" in encodings:
            return Response(200, self._body, self.content_type, [*sent, ("Content-Encoding", "gzip")])
        return Response(200, self.body, self.content_type, sent)

    def _is_one_of(self, condition: str) -> bool:
        tags = (tag.strip().removeprefix("W/").strip('"') for tag in condition.split(","))
        return any(tag in (self.etag, "*") for tag in tags)
