"""Header blocks of SPDY/3.1: name/value pairs, compressed with one zlib context per direction (draft 3, 2.6.10)."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

LARGEST_BLOCK = 64 * 1024
"""Bytes of a header block, as it travels and unpacked."""
_MAX_HEADERS = 256

_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow"
    " authorization cache-control connection content-base content-encoding content-language content-length"
    " content-location content-md5 content-range content-type date etag expect expires from host if-match"
    " if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma"
    " proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade"
    " user-agent vary via warning www-authenticate method get status|200 OK|version HTTP/1.1 url public set-cookie"
    " keep-alive origin"
)
_CODES = (
    "100 101 201 202 205 206 300 302 303 304 305 306 307 402 405 406 407 408 409 410 411 412 413 414 415 416 417 502"
    " 504 505"
)
_PHRASES = (
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden"
    "404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,"
    "publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def _words() -> list[str]:
    before, one, after = _WORDS.split("|")
    return [*before.split(" "), one, *after.split(" ")]


DICTIONARY = (
    b"".join(len(word).to_bytes(4, "big") + word.encode() for word in _words())
    + _CODES.replace(" ", "").encode()
    + _PHRASES.encode()
)
"""What every context begins with; its Adler-32 stands in the first bytes of each direction (RFC 1950)."""


class SpdyError(Exception):
    """The peer does not speak SPDY/3.1, or goes beyond a limit: the connection is of no more use."""


class HeaderPacker:
    """Packs the header blocks of one direction, in their order."""

    def __init__(self) -> None:
        self._zlib = zlib.compressobj(zlib.Z_BEST_SPEED, zdict=DICTIONARY)

    def pack(self, headers: Mapping[str, str]) -> bytes:
        plain = len(headers).to_bytes(4, "big")
        for name, value in headers.items():
            for text in (name.lower(), value):
                raw = text.encode()
                plain += len(raw).to_bytes(4, "big") + raw
        return self._zlib.compress(plain) + self._zlib.flush(zlib.Z_SYNC_FLUSH)


class HeaderUnpacker:
    """Unpacks the header blocks of one direction, each of them and in their order: the context spans them all."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(zdict=DICTIONARY)

    def unpack(self, block: bytes) -> dict[str, str]:
        """Names are lower case; several values of a name are joined with `, `. Raises SpdyError."""
        try:
            plain = self._zlib.decompress(block, LARGEST_BLOCK)
        except zlib.error as error:
            raise SpdyError(f"a header block cannot be unpacked: {error}") from error
        if self._zlib.unconsumed_tail or self._zlib.unused_data or self._zlib.eof:
            raise SpdyError("a header block is too large, or ends the compression")
        try:
            return _parse(plain)
        except ValueError as error:
            raise SpdyError(f"a header block is malformed: {error}") from error


def _parse(plain: bytes) -> dict[str, str]:
    at = 0

    def number() -> int:
        nonlocal at
        if len(plain) - at < 4:
            raise ValueError("cut off")
        at += 4
        return int.from_bytes(plain[at - 4 : at], "big")

    def text() -> str:
        nonlocal at
        size = number()
        if size > len(plain) - at:
            raise ValueError("cut off")
        at += size
        return plain[at - size : at].decode("utf-8")

    count = number()
    if count > _MAX_HEADERS:
        raise ValueError("too many headers")
    found: dict[str, str] = {}
    for _ in range(count):
        name = text().lower()
        value = text().replace("\0", ", ")
        if not name or name in found:
            raise ValueError("an empty or repeated name")
        found[name] = value
    if at != len(plain):
        raise ValueError("more bytes than headers")
    return found
