"""What the server draws for new objects: uids, and the ends of generated names."""

from __future__ import annotations

import os
import random
import zlib

_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"


def random_suffix(length: int = 5) -> str:
    """Letters for a name: unlikely to be taken, no secret."""
    return "".join(random.choices(_SUFFIX, k=length))


def suffix_of(text: str, length: int = 5) -> str:
    """The same letters for the same text: for what shall be equal in objects that are created alike."""
    number, letters = zlib.crc32(text.encode()), ""
    for _ in range(length):
        number, at = divmod(number, len(_SUFFIX))
        letters += _SUFFIX[at]
    return letters


def new_uid() -> str:
    """A random UUID (RFC 9562, version 4) of the system's randomness."""
    digits = os.urandom(16).hex()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
