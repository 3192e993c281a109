"""What each verb may change of a custom resource, and of its definition, as apiextensions-apiserver has it."""

from __future__ import annotations

from arktos.model.kinds import Kind, Obj
from arktos.model.metadata import carry_over

_ENVELOPE = frozenset({"apiVersion", "kind", "metadata"})


def prepare_create(kind: Kind, obj: Obj) -> None:
    """The first state: generation 1; no status where it is a subresource."""
    obj.setdefault("metadata", {})["generation"] = 1
    if kind.has_status:
        obj.pop("status", None)


def prepare_update(kind: Kind, obj: Obj, old: Obj, subresource: str) -> None:
    """Puts back what this verb may not change. Generation counts changes of all but metadata, and of status where it
    is a subresource."""
    if subresource == "status":
        _only_status(obj, old)
        carry_over(obj, old)
        return
    carry_over(obj, old)
    if kind.has_status:
        if "status" in old:
            obj["status"] = old["status"]
        else:
            obj.pop("status", None)
    ignored = _ENVELOPE | {"status"} if kind.has_status else _ENVELOPE
    if any(obj.get(name) != old.get(name) for name in (obj.keys() | old.keys()) - ignored):
        obj["metadata"]["generation"] = (old["metadata"].get("generation") or 0) + 1


def _only_status(obj: Obj, old: Obj) -> None:
    """The old object with another status; what the client said of revision, uid and managers stays."""
    status, given = obj.get("status"), obj.get("metadata") or {}
    metadata = dict(old["metadata"])
    for name in ("resourceVersion", "uid", "managedFields"):
        if name in given:
            metadata[name] = given[name]
        else:
            metadata.pop(name, None)
    obj.clear()
    obj.update(old)
    obj["metadata"] = metadata
    obj.pop("status", None)
    if status is not None:
        obj["status"] = status


def new_definition(obj: Obj) -> None:
    """The first status of a definition: objects are stored in one version."""
    obj["status"] = {"storedVersions": _storage(obj)}


def changed_definition(obj: Obj, old: Obj) -> None:
    """A version that becomes the storage version stays among the stored ones until somebody migrates its objects."""
    status = dict(obj.get("status") or {})
    stored = list(status.get("storedVersions") or ())
    status["storedVersions"] = stored + [name for name in _storage(obj) if name not in stored]
    obj["status"] = status


def _storage(obj: Obj) -> list[str]:
    versions = (obj.get("spec") or {}).get("versions") or ()
    return [version["name"] for version in versions if version.get("storage") and version.get("name")]
