"""The pod-template-hash: stable over processes and versions of this program. Pure."""

from __future__ import annotations

import msgspec

from arktos.model.hashkey import fnv1a64
from arktos.model.kinds import Obj

LABEL = "pod-template-hash"
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_LENGTH = 10


def template_hash(template: Obj, collisions: int = 0) -> str:
    """Ten letters and digits that make no words, for a template; others for each count of collisions."""
    text = msgspec.json.encode(template, order="sorted").decode()
    value = fnv1a64(f"{text}#{collisions}" if collisions else text)
    letters = []
    for _ in range(_LENGTH):
        value, rest = divmod(value, len(_ALPHABET))
        letters.append(_ALPHABET[rest])
    return "".join(letters)


def same_template(one: Obj, other: Obj) -> bool:
    """Whether two templates make the same pods: equal but for the hash label."""
    return _bare(one) == _bare(other)


def _bare(template: Obj) -> Obj:
    metadata = {k: v for k, v in (template.get("metadata") or {}).items() if v not in (None, {}, [])}
    labels = {k: v for k, v in (metadata.pop("labels", None) or {}).items() if k != LABEL}
    return {**template, "metadata": {**metadata, "labels": labels}}
