"""The scale subresource: a workload seen as an autoscaling/v1 Scale, and a Scale written back to its workload. Pure.

A Scale is never stored. It is read from the workload, and writing it changes `spec.replicas` and nothing else. A field
that is owned in one view is owned in the other: `.spec.replicas` is the same path in both, under another version.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from arktos.model import fieldset, selectors
from arktos.model.custom import printing
from arktos.model.kinds import Obj
from arktos.model.managed import Entry, Managed, encode, read
from arktos.model.status import BadRequest, Conflict, FieldError, invalid

API_VERSION = "autoscaling/v1"
SUBRESOURCE = "scale"

Change: TypeAlias = Callable[[Obj], Obj]
"""What a write wants: from the Scale that stands, the Scale that shall be."""

_REPLICAS = ("f:spec", "f:replicas")
_REPLICAS_SET = fieldset.of(_REPLICAS)
_CARRIED = ("name", "namespace", "tenant", "uid", "resourceVersion", "creationTimestamp")
_MAX_REPLICAS = (1 << 31) - 1


def of(workload: Obj, paths: Obj | None = None) -> Obj:
    """The Scale of a Deployment, ReplicaSet, StatefulSet or ReplicationController, without managedFields; of a custom
    resource by the `paths` of its definition (BadRequest where it has no replicas)."""
    if paths is not None:
        return _by_paths(workload, paths)
    metadata, spec, status = workload["metadata"], workload.get("spec") or {}, workload.get("status") or {}
    scale: Obj = {
        "kind": "Scale",
        "apiVersion": API_VERSION,
        "metadata": {name: metadata[name] for name in _CARRIED if name in metadata},
        "spec": {"replicas": spec.get("replicas", 1)},
        "status": {"replicas": status.get("replicas", 0)},
    }
    selector = spec.get("selector")
    if selector:
        plain = workload["kind"] == "ReplicationController"
        parsed = selectors.from_labels(selector) if plain else selectors.from_label_selector(selector)
        if parsed.labels:
            scale["status"]["selector"] = parsed.labels
    return scale


def _by_paths(workload: Obj, paths: Obj) -> Obj:
    metadata, replicas = workload["metadata"], printing.at(paths["specReplicasPath"], workload)
    if replicas is None:
        raise BadRequest(f'the spec replicas field "{paths["specReplicasPath"]}" does not exist')
    status: Obj = {"replicas": printing.at(paths["statusReplicasPath"], workload) or 0}
    if paths.get("labelSelectorPath"):
        found = printing.at(paths["labelSelectorPath"], workload)
        if isinstance(found, str) and found:
            status["selector"] = found
    return {
        "kind": "Scale",
        "apiVersion": API_VERSION,
        "metadata": {name: metadata[name] for name in _CARRIED if name in metadata},
        "spec": {"replicas": replicas},
        "status": status,
    }


def applied(workload: Obj, scale: Obj, paths: Obj | None = None) -> Obj:
    """The workload with the replicas of the Scale, and with its resourceVersion, if any, for the store to check.

    Raises BadRequest for what is no Scale, Invalid for replicas that cannot be, Conflict for a Scale of another object
    of the same name (another uid). Neither input is changed.
    """
    if scale.get("kind") != "Scale" or scale.get("apiVersion") != API_VERSION:
        raise BadRequest(f"expected a Scale of {API_VERSION}, got {scale.get('kind')} of {scale.get('apiVersion')}")
    metadata, spec = scale.get("metadata") or {}, scale.get("spec") or {}
    if not isinstance(metadata, dict) or not isinstance(spec, dict):
        raise BadRequest("metadata and spec of a Scale are objects")
    name, uid = workload["metadata"].get("name", ""), workload["metadata"].get("uid", "")
    if metadata.get("uid") not in (None, "", uid):
        raise Conflict(f"Precondition failed: UID in precondition: {metadata['uid']}, UID in object meta: {uid}")
    replicas = _replicas(spec, name)
    if paths is not None:
        result = printing.put(paths["specReplicasPath"], workload, replicas)
    else:
        result = {**workload, "spec": {**(workload.get("spec") or {}), "replicas": replicas}}
    if metadata.get("resourceVersion"):
        result["metadata"] = {**workload["metadata"], "resourceVersion": metadata["resourceVersion"]}
    return result


def _replicas(spec: dict[str, Any], name: str) -> int:
    replicas = spec.get("replicas")
    if replicas is None:
        return 0  # as upstream: what is left out is zero
    if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas > _MAX_REPLICAS:
        raise BadRequest(f"spec.replicas of a Scale is an int32, got {replicas!r}")
    if replicas < 0:
        message = f"Invalid value: {replicas}: must be greater than or equal to 0"
        raise invalid("autoscaling", "Scale", name, [FieldError("spec.replicas", "FieldValueInvalid", message)])
    return replicas


def _owned(paths: Obj | None) -> tuple[str, ...]:
    """Where the workload's replicas are, as a path of managedFields."""
    if paths is None:
        return _REPLICAS
    return tuple(f"f:{step}" for step in paths["specReplicasPath"].lstrip(".").split("."))


def managed_fields(workload: Obj, paths: Obj | None = None) -> list[Obj]:
    """The managedFields of the workload's Scale: those of its managers that own the workload's replicas."""
    managed: Managed = {}
    owned = _owned(paths)
    for entry in _entries(workload).values():
        if fieldset.has(entry.fields, owned):
            moved = entry._replace(api_version=API_VERSION, fields=_REPLICAS_SET)
            managed[moved.key] = moved
    return encode(managed)


def workload_managed_fields(workload: Obj, entries: list[Obj], paths: Obj | None = None) -> list[Obj]:
    """The managedFields of the workload after a write of its Scale left the Scale with `entries`.

    Who no longer owns the replicas there loses them here; who is new there is new here, under the workload's version.
    """
    owners = {_who(entry): entry for entry in read(entries).values() if fieldset.has(entry.fields, _REPLICAS)}
    owned = _owned(paths)
    replicas = fieldset.of(owned)
    result: Managed = {}
    for entry in _entries(workload).values():
        if fieldset.has(entry.fields, owned):
            if _who(entry) in owners:
                owner = owners.pop(_who(entry))
                entry = entry._replace(time=owner.time)
            else:
                entry = entry._replace(fields=fieldset.difference(entry.fields, replicas))
        if entry.fields:
            result[entry.key] = entry
    for owner in owners.values():
        added = owner._replace(api_version=workload["apiVersion"], fields=replicas)
        known = result.get(added.key)
        fields = added.fields if known is None else fieldset.canonical(fieldset.union(known.fields, added.fields))
        result[added.key] = added._replace(fields=fields)
    return encode(result)


def _entries(workload: Obj) -> Managed:
    return read(workload["metadata"].get("managedFields") or ())


def _who(entry: Entry) -> tuple[str, str, str]:
    return entry.manager, entry.operation, entry.subresource
