"""Compressed images, and files with holes. Blocks."""

from __future__ import annotations

import hashlib
import lzma
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from arktos.vmruntime.images.faults import Corrupt, from_os, too_large

_CHUNK = 1 << 20
_BLOCK = 64 << 10
_XZ_MEMORY = 256 << 20
_GZIP_MAGIC, _XZ_MAGIC = b"\x1f\x8b\x08", b"\xfd7zXZ\x00"


class Sparse:
    """Writes a file in which blocks of zeros take no room, and hashes what is written; within `with`, after which it is
    on the disk. Raises NoSpace beyond `most` bytes."""

    def __init__(self, path: Path, most: int, what: str) -> None:
        self._path, self._most, self._what = path, most, what
        self._hash = hashlib.sha256()
        self._size = 0

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def __enter__(self) -> Sparse:
        self._file: BinaryIO = self._path.open("wb")
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self._file.truncate(self._size)
                self._file.flush()
                os.fsync(self._file.fileno())
        except OSError as error:
            raise from_os(error, f"cannot write {self._what}") from None
        finally:
            self._file.close()

    def write(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._most:
            raise too_large(self._what, self._most)
        self._hash.update(data)
        try:
            for start in range(0, len(data), _BLOCK):
                block = data[start : start + _BLOCK]
                if any(block):
                    self._file.write(block)
                else:
                    self._file.seek(len(block), os.SEEK_CUR)
        except OSError as error:
            raise from_os(error, f"cannot write {self._what}") from None


def packing(path: Path) -> str:
    """`gzip`, `xz`, or "" for a file that is neither."""
    with path.open("rb") as file:
        head = file.read(6)
    if head.startswith(_GZIP_MAGIC):
        return "gzip"
    return "xz" if head.startswith(_XZ_MAGIC) else ""


def unpack(packed: Path, how: str, path: Path, most: int, check: Callable[[], None]) -> str:
    """Writes what a compressed file holds; its SHA-256 checksum. `check` is called often, to raise when it shall end.
    Raises Corrupt, NoSpace. A small file may hold a huge one: the bound is on what comes out."""
    with packed.open("rb") as source, Sparse(path, most, "the unpacked image") as out:
        try:
            (_gunzip if how == "gzip" else _unxz)(source, out, check)
        except (zlib.error, lzma.LZMAError, EOFError) as error:
            raise Corrupt(f"the image is not {how} as it claims to be: {error}") from None
    return out.sha256


def _gunzip(source: BinaryIO, out: Sparse, check: Callable[[], None]) -> None:
    stream = zlib.decompressobj(wbits=31)
    pending = b""
    while True:
        check()
        data = pending or source.read(_CHUNK)
        if not data:
            out.write(stream.flush())
            if stream.eof:
                return
            raise EOFError("it ends too early")
        out.write(stream.decompress(data, _CHUNK))
        pending = stream.unconsumed_tail
        if stream.eof:
            pending = stream.unused_data or source.read(_CHUNK)
            if not pending.startswith(_GZIP_MAGIC[:1]):
                return
            stream = zlib.decompressobj(wbits=31)


def _unxz(source: BinaryIO, out: Sparse, check: Callable[[], None]) -> None:
    stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
    while not stream.eof:
        check()
        data = source.read(_CHUNK) if stream.needs_input else b""
        if stream.needs_input and not data:
            raise EOFError("it ends too early")
        out.write(stream.decompress(data, _CHUNK))
