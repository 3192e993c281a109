"""The names that a definition takes, and the state that follows from them: conditions, accepted names. Pure.

A name is taken within a group of one tenant. What a definition has once been given it keeps until it lets it go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from arktos.model.kinds import Obj

ESTABLISHED = "Established"
NAMES_ACCEPTED = "NamesAccepted"
TERMINATING = "Terminating"
CONFORMANT = "KubernetesAPIApprovalPolicyConformant"

FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
"""Holds a definition until its objects are gone."""
SHARED = "arktos.io/shared"
"""The label, `"true"`, by which `system` gives every tenant a definition of its own."""
APPROVED = "api-approved.kubernetes.io"
"""The annotation that definitions in Kubernetes' own groups must have."""

_PROTECTED = re.compile(r"(.*\.)?(k8s|kubernetes)\.io")
_VERSION = re.compile(r"v([1-9][0-9]*)(?:(alpha|beta)([1-9][0-9]*))?")
_STAGES = {"alpha": 1, "beta": 2}


def holds(status: Obj, condition: str) -> bool:
    """Whether a condition is True."""
    return any(c.get("type") == condition and c.get("status") == "True" for c in status.get("conditions") or ())


def is_protected(group: str) -> bool:
    """Whether a group is one of Kubernetes' own (KEP-1111)."""
    return _PROTECTED.fullmatch(group) is not None


def version_priority(version: str) -> tuple[Any, ...]:
    """Sorts versions as clients prefer them: v10, v2, v11beta2, v3beta1, v12alpha1, others by name."""
    found = _VERSION.fullmatch(version)
    if found is None:
        return (1, version)
    return (0, -_STAGES.get(found[2] or "", 3), -int(found[1]), -int(found[3] or 0))


def put(conditions: list[Obj], kind: str, status: str, reason: str, message: str, now: str) -> list[Obj]:
    """The conditions with this one set; the time changes with the status only."""
    made = {"type": kind, "status": status, "lastTransitionTime": now, "reason": reason, "message": message}
    result = []
    for each in conditions:
        if each.get("type") == kind:
            if each.get("status") == status:
                made["lastTransitionTime"] = each.get("lastTransitionTime", now)
            continue
        result.append(each)
    place = next((at for at, each in enumerate(conditions) if each.get("type") == kind), len(result))
    result.insert(place, made)
    return result


def accept(obj: Obj, others: Iterable[Obj], now: str) -> Obj:
    """The status of a definition among the others of its group and tenant: names that nobody else has are its own. A
    definition is established once all its names were."""
    spec, status = obj["spec"], dict(obj.get("status") or {})
    wanted, had = spec["names"], status.get("acceptedNames") or {}
    resources, kinds = _taken(obj, others)
    accepted, refusal = dict(had), None
    for field, value, taken, reason in (
        ("plural", wanted["plural"], resources, "PluralConflict"),
        ("singular", wanted.get("singular", ""), resources, "SingularConflict"),
        ("shortNames", wanted.get("shortNames"), resources, "ShortNamesConflict"),
        ("kind", wanted["kind"], kinds, "KindConflict"),
        ("listKind", wanted.get("listKind", ""), kinds, "ListKindConflict"),
    ):
        clash = _clash(value, had.get(field), taken)
        if not clash:
            accepted[field] = value
        else:  # the last one is told, as upstream
            refusal = (reason, f'"{clash}" is already in use')
    accepted["categories"] = wanted.get("categories")
    status["acceptedNames"] = {field: value for field, value in accepted.items() if value}
    conditions = status.get("conditions") or []
    established = holds(status, ESTABLISHED)
    if refusal is None:
        conditions = put(conditions, NAMES_ACCEPTED, "True", "NoConflicts", "no conflicts found", now)
        if not established:
            told = ("InitialNamesAccepted", "the initial names have been accepted")
            conditions = put(conditions, ESTABLISHED, "True", *told, now)
    else:
        conditions = put(conditions, NAMES_ACCEPTED, "False", *refusal, now)
        if not established:
            told = ("NotAccepted", "not all names are accepted")
            conditions = put(conditions, ESTABLISHED, "False", *told, now)
    status["conditions"] = _conformance(obj, conditions, now)
    return status


def terminate(obj: Obj, now: str) -> None:
    """What a delete sets on a definition, in place: it stays until its objects are gone, and takes no new ones."""
    finalizers = obj["metadata"].get("finalizers") or []
    if FINALIZER not in finalizers:
        obj["metadata"]["finalizers"] = [*finalizers, FINALIZER]
    status = dict(obj.get("status") or {})
    told = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
    conditions = status.get("conditions") or []
    status["conditions"] = put(conditions, TERMINATING, "True", "InstanceDeletionPending", told, now)
    obj["status"] = status


def _taken(obj: Obj, others: Iterable[Obj]) -> tuple[set[str], set[str]]:
    """The resource names and the kinds that others of the group have."""
    resources: set[str] = set()
    kinds: set[str] = set()
    name, group = obj["metadata"].get("name"), obj["spec"]["group"]
    for other in others:
        if other["metadata"]["name"] == name or other["spec"]["group"] != group:
            continue
        had = (other.get("status") or {}).get("acceptedNames") or {}
        resources.update(filter(None, (had.get("plural"), had.get("singular"), *(had.get("shortNames") or ()))))
        kinds.update(filter(None, (had.get("kind"), had.get("listKind"))))
    return resources, kinds


def _clash(value: str | list[str] | None, had: str | list[str] | None, taken: set[str]) -> str:
    """The first wanted name that somebody else has."""
    wanted = [value] if isinstance(value, str) else value or []
    kept = [had] if isinstance(had, str) else had or []
    return next((each for each in wanted if each and each in taken and each not in kept), "")


def _conformance(obj: Obj, conditions: list[Obj], now: str) -> list[Obj]:
    if not is_protected(obj["spec"]["group"]):
        return [each for each in conditions if each.get("type") != CONFORMANT]
    text = (obj["metadata"].get("annotations") or {}).get(APPROVED, "")
    if text.startswith("unapproved"):
        return put(conditions, CONFORMANT, "False", "UnapprovedAnnotation", f"not approved: {text!r}", now)
    if re.match(r"https?://[^/]+", text):
        return put(conditions, CONFORMANT, "True", "ApprovedAnnotation", f"approved in {text}", now)
    told = f'protected groups must have approval annotation "{APPROVED}", see https://kep.k8s.io/1111'
    return put(conditions, CONFORMANT, "False", "MissingAnnotation", told, now)
