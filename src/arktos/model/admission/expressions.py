"""The expressions of policies and match conditions: the variables that they have, and their programs, kept."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from arktos.model import cel
from arktos.model.cel.library_authorizer import AUTHORIZER, RESOURCE
from arktos.model.cel.types import Type

_USER = cel.ObjectType(
    "kubernetes.UserInfo",
    lambda: {
        "username": ("username", cel.STRING),
        "uid": ("uid", cel.STRING),
        "groups": ("groups", cel.list_of(cel.STRING)),
        "extra": ("extra", cel.map_of(cel.STRING, cel.list_of(cel.STRING))),
    },
)


def _names(name: str, *fields: str) -> cel.ObjectType:
    return cel.ObjectType(name, lambda: {field: (field, cel.STRING) for field in fields})


_KIND = _names("kubernetes.GroupVersionKind", "group", "version", "kind")
_RESOURCE = _names("kubernetes.GroupVersionResource", "group", "version", "resource")

REQUEST = cel.ObjectType(
    "kubernetes.AdmissionRequest",
    lambda: {
        "kind": ("kind", _KIND),
        "resource": ("resource", _RESOURCE),
        "subResource": ("subResource", cel.STRING),
        "requestKind": ("requestKind", _KIND),
        "requestResource": ("requestResource", _RESOURCE),
        "requestSubResource": ("requestSubResource", cel.STRING),
        "name": ("name", cel.STRING),
        "namespace": ("namespace", cel.STRING),
        "operation": ("operation", cel.STRING),
        "userInfo": ("userInfo", _USER),
        "dryRun": ("dryRun", cel.BOOL),
        "options": ("options", cel.DYN),
    },
)

REQUEST_RESOURCE = "authorizer.requestResource"

_TYPES: dict[str, Type] = {
    "object": cel.DYN,
    "oldObject": cel.DYN,
    "request": REQUEST,
    "params": cel.DYN,
    "namespaceObject": cel.DYN,
    "authorizer": AUTHORIZER,
}

MATCH_VARIABLES = frozenset({"object", "oldObject", "request", "authorizer"})
"""What match conditions may look at."""
POLICY_VARIABLES = MATCH_VARIABLES | {"namespaceObject"}
"""What the other expressions of a policy may; with a paramKind, `params` too."""


def variables(names: frozenset[str], composed: tuple[str, ...] = ()) -> dict[str, Type]:
    """The types of these variables, and of `variables` with the fields `composed`."""
    types = {name: _TYPES[name] for name in names}
    if "authorizer" in types:
        types[REQUEST_RESOURCE] = RESOURCE
    types["variables"] = cel.ObjectType("kubernetes.variables", lambda: {name: (name, cel.DYN) for name in composed})
    return types


def objects(name: str) -> Type | None:
    """Which types a mutation may make: `Object`, its parts by their path, `JSONPatch`."""
    return cel.DYN if name == "JSONPatch" or name == "Object" or name.startswith("Object.") else None


def compiled(
    expression: str,
    names: frozenset[str],
    composed: tuple[str, ...] = (),
    result: Type | tuple[Type, ...] = cel.DYN,
) -> cel.Program:
    """The program, kept: who validates a policy has paid for who evaluates it. CelError."""
    found = _attempted(expression, names, composed, result)
    if isinstance(found, cel.CelError):
        raise found
    return found


@lru_cache(maxsize=4096)
def _attempted(
    expression: str, names: frozenset[str], composed: tuple[str, ...], result: Type | tuple[Type, ...]
) -> cel.Program | cel.CelError:
    try:
        return cel.compile(expression, variables(names, composed), result, objects)
    except cel.CelError as error:
        return error


LONGEST = 50_000
"""Characters that all expressions of a policy or configuration may have together."""


def length(value: Any) -> int:
    """Characters of all expressions within a part of an object."""
    if isinstance(value, list):
        return sum(map(length, value))
    if not isinstance(value, dict):
        return 0
    return sum(len(v) if k.lower().endswith("expression") and type(v) is str else length(v) for k, v in value.items())
