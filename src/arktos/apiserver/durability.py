"""How a write is kept: which may be acknowledged from memory, and which objects go by themselves (DESIGN 5)."""

from __future__ import annotations

from typing import Any

from arktos.apiserver.encoding import encode, header_of
from arktos.model.kinds import Kind, Obj
from arktos.store.records import Key, Put


def put_of(kind: Kind, key: Key, obj: Obj, old: Obj | None = None) -> Put:
    """The write that stores `obj` in place of `old`."""
    lazy = kind.lazy or (bool(kind.renewals) and old is not None and is_renewal(kind, obj, old))
    return Put(key, header_of(kind, obj), encode(kind, obj), lazy, float(ttl_of(kind, obj)))


def is_renewal(kind: Kind, obj: Obj, old: Obj) -> bool:
    """Whether a change is a heartbeat and nothing else; bookkeeping of who wrote it apart."""
    ignored = (*kind.renewals, "metadata.managedFields", "metadata.resourceVersion")
    return _without(obj, ignored) == _without(old, ignored)


def ttl_of(kind: Kind, obj: Obj) -> int:
    """Seconds that an object has from now on; 0 for ever."""
    if not kind.done:
        return kind.ttl
    value: Any = obj
    for step in kind.done.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return kind.done_ttl if value is True else kind.ttl


def _without(obj: Obj, paths: tuple[str, ...]) -> Obj:
    """A copy without these fields; only what leads to them is copied."""
    copied = dict(obj)
    for path in paths:
        *steps, last = path.split(".")
        at = copied
        for step in steps:
            inner = at.get(step)
            if not isinstance(inner, dict):
                break
            at[step] = at = dict(inner)
        else:
            at.pop(last, None)
    return copied
