"""What the operator allows of images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ImagePolicy:
    """`mirrors` are pairs of prefixes, the longest that fits is replaced; `insecure_registries` (HOST:PORT) are spoken
    to over plain HTTP. Both are the operator's word: their servers may have any address. `files` is the folder below
    which `file://` may point. `most_bytes` bounds what is downloaded and what that unpacks to, `most_virtual_bytes` the
    disk that a guest sees. `qemu_user` is who looks into an image; it needs no rights at all."""

    mirrors: tuple[tuple[str, str], ...] = ()
    insecure_registries: frozenset[str] = frozenset()
    files: Path | None = None
    allow_local: bool = False
    most_bytes: int = 64 << 30
    most_virtual_bytes: int = 2 << 40
    qemu_user: str = "nobody"
