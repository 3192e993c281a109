"""Type checking of a ValidatingAdmissionPolicy (KEP-3488): its expressions over the types that it names, as warnings in
its status. Unlike what validation refuses, a warning is about types that may be there: the policy still counts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import msgspec

from arktos.model import cel, schema
from arktos.model.admission.expressions import LONGEST, POLICY_VARIABLES, length, objects, variables
from arktos.model.cel.schemas import of_schema
from arktos.model.cel.types import Type
from arktos.model.kinds import Kind, Obj

_MOST_TYPES = 10
_MOST_TEXT = 100_000
"""Characters that are checked in all: types beyond that are not."""


def new_policy(obj: Obj) -> None:
    """Writes the status of a new policy."""
    obj["status"] = _status(obj.get("spec") or {}, 1)


def changed_policy(obj: Obj, old: Obj) -> None:
    """Writes the status of a policy whose spec has changed."""
    if obj.get("spec") != old.get("spec"):
        obj["status"] = _status(obj.get("spec") or {}, (old.get("metadata") or {}).get("generation", 0) + 1)


def _status(spec: Obj, generation: int) -> Obj:
    warnings: list[Obj] = msgspec.json.decode(checked(msgspec.json.encode(spec)))
    checking: Obj = {"expressionWarnings": warnings} if warnings else {}
    return {"observedGeneration": generation, "typeChecking": checking}


@lru_cache(maxsize=64)
def checked(spec: bytes) -> bytes:
    """The warnings about a spec, both as JSON: kept, for who prepares a write beside the event loop."""
    return msgspec.json.encode(list(_warnings(msgspec.json.decode(spec))))


def _warnings(spec: Obj) -> Iterator[Obj]:
    if length(spec) > LONGEST:
        return
    most = min(_MOST_TYPES, _MOST_TEXT // max(length(spec), 1))
    kinds = list(_kinds(spec.get("matchConstraints") or {}))[:most]
    if not kinds:
        return
    from arktos.model import registry

    param = spec.get("paramKind")
    params = registry.by_gvk(param.get("apiVersion") or "", param.get("kind") or "") if param else None
    typed = [(kind, _types(kind, spec, params)) for kind in kinds]
    for path, expression in _expressions(spec):
        found = [text for kind, types in typed if (text := _checked(kind, expression, types))]
        if found:
            yield {"fieldRef": path, "warning": "\n".join(found)}


def _expressions(spec: Obj) -> Iterator[tuple[str, str]]:
    for index, validation in enumerate(spec.get("validations") or ()):
        yield f"spec.validations[{index}].expression", validation.get("expression") or ""
        if validation.get("messageExpression"):
            yield f"spec.validations[{index}].messageExpression", validation["messageExpression"]
    for index, annotation in enumerate(spec.get("auditAnnotations") or ()):
        yield f"spec.auditAnnotations[{index}].valueExpression", annotation.get("valueExpression") or ""


def _kinds(constraints: Obj) -> Iterator[Kind]:
    """The built-in kinds that the rules name; wildcards name none."""
    from arktos.model import registry  # whose rows are made of tables that this module is in

    for rule in constraints.get("resourceRules") or ():
        for group in rule.get("apiGroups") or ():
            for version in rule.get("apiVersions") or ():
                for resource in rule.get("resources") or ():
                    kind = None if "*" in (group, version, resource) else registry.lookup(group, version, resource)
                    if kind is not None:
                        yield kind


def _types(kind: Kind, spec: Obj, params: Kind | None) -> dict[str, Type]:
    names = POLICY_VARIABLES | {"params"} if spec.get("paramKind") else POLICY_VARIABLES
    types = variables(frozenset(names))
    types["object"] = types["oldObject"] = of_schema(schema.of(kind))
    if params is not None:
        types["params"] = of_schema(schema.of(params))
    composed: dict[str, tuple[str, Type]] = {}
    types["variables"] = cel.ObjectType("kubernetes.variables", lambda: composed)
    for variable in spec.get("variables") or ():
        try:
            found = cel.compile(variable.get("expression") or "", types, cel.DYN, objects).type
        except cel.CelError:
            found = cel.DYN
        composed[variable.get("name") or ""] = (variable.get("name") or "", found)
    return types


def _checked(kind: Kind, expression: str, types: dict[str, Type]) -> str:
    try:
        cel.compile(expression, types, cel.DYN, objects)
    except cel.CelError as error:
        return f"{kind.api_version}, Kind={kind.kind}: {error}\n"
    return ""
