"""No object of the right types makes defaulting, strategies or validation raise; defaulting is idempotent."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arktos.model import defaults, metadata, strategy, validation
from arktos.model.kinds import Kind, Obj, Scope
from arktos.model.registry import all_kinds, by_gvk, stored_as
from arktos.model.schema import Schema, named
from arktos.model.structure import accepts, check

_FIXTURES = Path(__file__).resolve().parents[3] / "shared" / "wire" / "fixtures"
_STRINGS = (
    "",
    "x",
    "a/b",
    "A b\n",
    "..",
    "-1",
    "25%",
    "*",
    "None",
    "Always",
    "Never",
    "OnDelete",
    "RollingUpdate",
    "ExternalName",
    "ClientIP",
    "In",
    "Exists",
    "Localhost",
    "10.0.0.1",
    "::1",
    "10.0.0.0/8",
    "ÿ" * 300,
)
_INTEGERS = (-1, 0, 1, 80, 70000, 2**31 - 1)
_QUANTITIES = ("0", "-1", "1", "100m", "1Gi", "10u", "1e3")


def _minimal(kind: Kind) -> Obj:
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": "x"}}


def _made(schema: Schema, depth: int = 0) -> Any:
    """A value of a type with every field that is not too deep."""
    match schema.type:
        case "object":
            return {n: _made(f, depth + 1) for n, f in schema.properties.items()} if depth < 9 else {}
        case "map":
            return {"example.com/k": _made(schema.items, depth + 1)} if schema.items and depth < 9 else {}
        case "array":
            return [_made(schema.items, depth + 1)] if schema.items and depth < 9 else []
        case "integer" | "int-or-string":
            return 1
        case "number":
            return 1.5
        case "boolean":
            return True
        case "quantity":
            return "1"
        case "any":
            return {"a": 1}
        case _:
            if schema.format == "date-time":
                micro = schema.name.endswith("MicroTime")
                return "2026-01-01T00:00:00.000000Z" if micro else "2026-01-01T00:00:00Z"
            return "YQ==" if schema.format == "byte" else (schema.enum[0] if schema.enum else "x")


def _fixture(kind: Kind) -> Obj | None:
    path = _FIXTURES / f"{kind.group or 'core'}.{kind.version}.{kind.kind}.json"
    return json.loads(path.read_text()) if path.exists() else None


@cache
def _bases() -> list[tuple[Kind, Obj]]:
    found: list[tuple[Kind, Obj]] = []
    for kind in all_kinds():
        if stored_as(kind) is not kind:
            continue
        full = {**_made(named(kind.schema)), "apiVersion": kind.api_version, "kind": kind.kind}
        for obj in (_minimal(kind), full, _fixture(kind)):
            if obj is not None:
                assert check(kind, obj).type_errors == []
                found.append((kind, obj))
    return found


def _sites(schema: Schema, value: Any, depth: int = 0) -> Iterator[tuple[Any, Any, Schema]]:
    """Every place inside a value: its holder, its key there, its type."""
    if isinstance(value, dict):
        for key, item in value.items():
            below = schema.properties.get(key) if schema.type == "object" else schema.items
            if below is not None and not (depth == 0 and key in ("apiVersion", "kind")):
                yield value, key, below
                yield from _sites(below, item, depth + 1)
    elif isinstance(value, list) and schema.items is not None:
        for index, item in enumerate(value):
            yield value, index, schema.items
            yield from _sites(schema.items, item, depth + 1)


def _replacement(draw: Any, schema: Schema, value: Any) -> Any:
    match schema.type:
        case "string" if not schema.format:
            return draw(st.sampled_from(_STRINGS))
        case "integer":
            return draw(st.sampled_from(_INTEGERS))
        case "int-or-string":
            return draw(st.sampled_from((*_INTEGERS, *_STRINGS)))
        case "boolean":
            return draw(st.booleans())
        case "quantity":
            return draw(st.sampled_from(_QUANTITIES))
        case "array":
            return draw(st.sampled_from(([], copy.deepcopy(value) * 2, copy.deepcopy(value) * 21)))
        case "object" | "map":
            return {}
        case _:
            return value


@st.composite
def _mutated(draw: st.DrawFn) -> tuple[Kind, Obj, Obj]:
    kind, base = draw(st.sampled_from(_bases()))
    obj = copy.deepcopy(base)
    schema = named(kind.schema)
    for _ in range(draw(st.integers(0, 12))):
        sites = list(_sites(schema, obj))
        if not sites:
            break
        holder, key, below = draw(st.sampled_from(sites))
        if draw(st.booleans()):
            del holder[key]
        else:
            holder[key] = _replacement(draw, below, holder[key])
    return kind, base, obj


def _fill(kind: Kind, obj: Obj) -> None:
    (obj.setdefault("metadata", {})).pop("resourceVersion", None)
    namespace = "default" if kind.scope is Scope.NAMESPACE else ""
    metadata.fill(kind, obj, uid="u-1", now="2026-01-01T00:00:00Z", suffix="abcde", tenant="acme", namespace=namespace)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(_mutated())
def test_no_object_of_the_right_types_makes_anything_raise(case: tuple[Kind, Obj, Obj]) -> None:
    kind, base, obj = case
    old, status = copy.deepcopy(base), copy.deepcopy(obj.get("status", {}))
    for each in (old, obj):
        defaults.apply(kind, each)
        _fill(kind, each)
        strategy.prepare_create(kind, each)
        assert check(kind, copy.deepcopy(each)).unknown == []
    errors = validation.validate_create(kind, obj)
    assert all(error.reason.startswith("FieldValue") and error.message for error in errors)
    for subresource in ("", *kind.subresources):
        new = copy.deepcopy(obj)
        if subresource == "status":
            new["status"] = copy.deepcopy(status)
            old["status"] = copy.deepcopy(base.get("status", {}))
        strategy.prepare_update(kind, new, old, subresource)
        assert isinstance(validation.validate_update(kind, new, old, subresource), list)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(_mutated())
def test_defaulting_is_idempotent_and_keeps_types(case: tuple[Kind, Obj, Obj]) -> None:
    kind, _, obj = case
    defaults.apply(kind, obj)
    once = copy.deepcopy(obj)
    defaults.apply(kind, obj)
    assert obj == once
    assert accepts(kind, obj) or check(kind, copy.deepcopy(obj)).type_errors == []


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(_mutated())
def test_an_unchanged_put_changes_nothing_and_is_valid_if_the_object_is(case: tuple[Kind, Obj, Obj]) -> None:
    kind, _, obj = case
    defaults.apply(kind, obj)
    _fill(kind, obj)
    strategy.prepare_create(kind, obj)
    obj["metadata"]["resourceVersion"] = "7"
    defaults.apply(kind, obj)
    new = copy.deepcopy(obj)
    strategy.prepare_update(kind, new, obj)
    assert new == obj
    if not validation.validate_create(kind, obj):
        assert validation.validate_update(kind, new, obj) == []


@pytest.mark.parametrize("kind", all_kinds(), ids=lambda k: f"{k.api_version}.{k.kind}")
def test_rules_load_for_every_kind(kind: Kind) -> None:
    assert validation.rules_of(kind) is validation.rules_of(kind)
    assert by_gvk(kind.api_version, kind.kind) is kind
