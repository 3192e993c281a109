"""A change that meets another state of its object than it is about."""

from __future__ import annotations

from arktos.model.kinds import Kind, Obj
from arktos.model.status import Conflict, FieldError, conflict, invalid
from arktos.store.records import Key


def check_preconditions(kind: Kind, key: Key, old: Obj, new: Obj) -> None:
    """Conflict where uid or revision that the change names are not the object's. A change that names one and loses a
    race is tried again like others, and meets this here."""
    given, current = new.get("metadata") or {}, old["metadata"]
    uid, revision = given.get("uid"), given.get("resourceVersion")
    if uid and uid != current.get("uid"):
        raise conflict(
            key.resource,
            key.name,
            f"Precondition failed: UID in precondition: {uid}, UID in object meta: {current.get('uid', '')}",
        )
    if revision and revision != "0" and revision != current.get("resourceVersion"):
        raise modified(key)
    if not revision and not kind.unconditional_update:
        cause = FieldError(
            "metadata.resourceVersion", "FieldValueInvalid", "Invalid value: 0: must be specified for an update"
        )
        raise invalid(kind.group, kind.kind, key.name, [cause])


def busy(key: Key) -> Conflict:
    return conflict(key.resource, key.name, "too many other writers; try again")


def modified(key: Key) -> Conflict:
    return conflict(
        key.resource,
        key.name,
        "the object has been modified; please apply your changes to the latest version and try again",
    )
