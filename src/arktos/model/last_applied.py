"""kubectl's last-applied annotation, where server-side apply meets it: objects move from client-side apply unharmed.

As upstream, only the manager `kubectl` is treated so: what the annotation says is what that same user applied before.
"""

from __future__ import annotations

import msgspec

from arktos.model import fieldset
from arktos.model.fieldset import FieldSet
from arktos.model.kinds import Obj
from arktos.model.managed import owned_part, strip
from arktos.model.schema import Schema
from arktos.model.shape import applied_fields, compare, shape

ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"
MANAGER = "kubectl"
MAX_ANNOTATIONS = 256 << 10
"""Most bytes of an object's annotations together; a configuration that doesn't fit leaves the annotation empty."""


def fields(schema: Schema, live: Obj) -> FieldSet:
    """What the user last applied on the client's side and still stands so: the same user may apply over it."""
    text = _annotations(live).get(ANNOTATION)
    if not isinstance(text, str) or not text:
        return {}
    try:
        applied = msgspec.json.decode(text)
        if not isinstance(applied, dict):
            return {}
        root = shape(schema)
        part = owned_part(applied)
        changed, removed = compare(root, part, owned_part(live))
        still = strip(applied_fields(root, part) or {})
    except (msgspec.DecodeError, ValueError, RecursionError):
        return {}  # not written by kubectl: it says nothing
    return fieldset.difference(fieldset.difference(still, changed or {}), removed or {})


def synced(obj: Obj, applied: Obj) -> Obj:
    """The object with its annotation, where it has one, brought up to what is applied now."""
    annotations = _annotations(obj)
    if ANNOTATION not in annotations:
        return obj
    config = dict(applied)
    metadata = dict(config.get("metadata") or {})
    inner = {key: value for key, value in _annotations(applied).items() if key != ANNOTATION}
    metadata["annotations"] = inner
    config["metadata"] = metadata
    text = msgspec.json.encode(config, order="sorted").decode() + "\n"
    others = sum(len(key) + len(str(value)) for key, value in annotations.items() if key != ANNOTATION)
    if others + len(ANNOTATION) + len(text) > MAX_ANNOTATIONS:
        text = ""
    return {**obj, "metadata": {**obj["metadata"], "annotations": {**annotations, ANNOTATION: text}}}


def _annotations(obj: Obj) -> Obj:
    metadata = obj.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    return annotations if isinstance(annotations, dict) else {}
