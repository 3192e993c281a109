"""JSON merge patch (RFC 7386). Pure: the input is never changed, and what the patch leaves alone is shared with it."""

from __future__ import annotations

from typing import Any

from arktos.model.kinds import Obj
from arktos.model.patch_json import equal
from arktos.model.status import BadRequest


def apply(doc: Obj, patch: Any) -> Obj:
    """The document with the patch merged in: objects merge, null removes, everything else replaces.

    Returns `doc` itself when nothing changes. Raises BadRequest when the patch is not an object.
    """
    if not isinstance(patch, dict):
        raise BadRequest("error decoding patch: a merge patch is an object")
    try:
        return merged(doc, patch)
    except RecursionError:
        raise BadRequest("the patch is nested too deeply") from None


def merged(doc: Any, patch: Obj) -> Obj:
    """`patch` merged into `doc`, which may be anything; what is not an object counts as an empty one."""
    if not isinstance(doc, dict):
        doc = {}
    result: Obj = doc
    for key, value in patch.items():
        before = result.get(key)
        if value is None:
            if key in result:
                if result is doc:
                    result = doc.copy()
                del result[key]
            continue
        after = merged(before, value) if isinstance(value, dict) else value
        if after is before:
            continue
        if result is doc:
            result = doc.copy()
        result[key] = after
    return result


def diff(before: Obj, after: Obj) -> Obj:
    """The smallest merge patch that makes `after` of `before`. Nulls in `after` cannot be expressed, and vanish."""
    patch: Obj = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            inner = diff(old, value)
            if inner:
                patch[key] = inner
        elif key not in before or not equal(old, value):
            patch[key] = value
    return patch
