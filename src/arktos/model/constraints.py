"""Which fields must be there, and which values a string may take: the part of validation that the schema tables tell.

Upstream's `required` is a fact of serialization, not of validation: a field is listed when clients always write it.
What a server refuses to be without is less; `NOT_REQUIRED` tells the difference, so that all that real clients send
passes.
Status is what the system says of itself: it is not checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from arktos.model.kinds import Kind, Obj
from arktos.model.schema import Schema, named
from arktos.model.status import FieldError

_CORE = "io.k8s.api.core.v1."
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."

ZERO = "zero is a value of it, and absent means zero"
EMPTY = "empty is a value of it, and absent means empty"
ELSEWHERE = "its own checks give the better message, or depend on more than the field"

NOT_REQUIRED: dict[str, dict[str, str]] = {
    "io.k8s.api.apps.v1.ControllerRevision": {"revision": ZERO},
    "io.k8s.api.authentication.v1.TokenReviewSpec": {"token": ELSEWHERE},
    "io.k8s.api.autoscaling.v1.ScaleStatus": {"replicas": ZERO},
    "io.k8s.api.autoscaling.v1.HorizontalPodAutoscalerSpec": {"maxReplicas": ELSEWHERE},
    "io.k8s.api.autoscaling.v2.HPAScalingPolicy": {"periodSeconds": ELSEWHERE, "value": ELSEWHERE},
    "io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerSpec": {"maxReplicas": ELSEWHERE},
    "io.k8s.api.batch.v1.PodFailurePolicy": {"rules": EMPTY},
    _CORE + "Binding": {"target": "an empty target takes a pod off its node"},
    _CORE + "EndpointAddress": {"ip": ELSEWHERE},
    _CORE + "EndpointPort": {"port": ELSEWHERE},
    _CORE + "Event": {"involvedObject": EMPTY, "metadata": ELSEWHERE},
    _CORE + "HTTPHeader": {"value": EMPTY},
    _CORE + "ISCSIPersistentVolumeSource": {"lun": ZERO},
    _CORE + "ISCSIVolumeSource": {"lun": ZERO},
    _CORE + "LimitRangeItem": {"type": ELSEWHERE},
    _CORE + "LimitRangeSpec": {"limits": EMPTY},
    _CORE + "PreferredSchedulingTerm": {"preference": EMPTY, "weight": ELSEWHERE},
    _CORE + "ServicePort": {"port": ELSEWHERE},
    _CORE + "SleepAction": {"seconds": ELSEWHERE},
    _CORE + "Sysctl": {"value": EMPTY},
    _CORE + "Taint": {"effect": ELSEWHERE, "key": ELSEWHERE},
    _CORE + "TopologySpreadConstraint": {"maxSkew": ELSEWHERE},
    _CORE + "WeightedPodAffinityTerm": {"weight": ELSEWHERE},
    "io.k8s.api.events.v1.Event": {"eventTime": "events of the older form have none"},
    "io.k8s.api.events.v1.EventSeries": {"count": ZERO, "lastObservedTime": EMPTY},
    "io.k8s.api.storage.v1.CSIDriver": {"spec": EMPTY},
    "io.k8s.api.storage.v1.CSINodeSpec": {"drivers": "a node without drivers has none to list"},
    "io.k8s.api.storage.v1.TokenRequest": {"audience": EMPTY},
    _META + "OwnerReference": dict.fromkeys(("apiVersion", "kind", "name", "uid"), ELSEWHERE),
}
"""Fields that upstream lists as required and that a server does without, with the reason."""

Test = Callable[[Any], bool]

_UNCHECKED = frozenset({"status", "apiVersion", "kind", "metadata"})


@dataclass(slots=True)
class _Rule:
    """What to check in an object; `below` are the fields that hold something to check."""

    required: list[tuple[str, Schema]] = field(default_factory=list)
    enums: list[tuple[str, Schema]] = field(default_factory=list)
    below: list[tuple[str, Schema]] = field(default_factory=list)
    tests: dict[str, Test] | None = None
    """What a value under a name must pass, made at the first use."""

    def __bool__(self) -> bool:
        return bool(self.required or self.enums or self.below)


_rules: dict[str, _Rule] = {}
_roots: dict[str, _Rule] = {}
_pending: set[str] = set()
"""Types whose rule is being made: a type that holds itself is taken to have something to check."""


def required_and_enums(kind: Kind, obj: Obj) -> list[FieldError]:
    """The causes of a 422 that the schema tells, in the schema's order. `obj` has passed `structure.check`."""
    return named_required_and_enums(kind.schema, obj)


def named_required_and_enums(type_name: str, obj: Obj) -> list[FieldError]:
    """As `required_and_enums`, of a named type."""
    rule = _roots.get(type_name)
    if rule is None:
        rule = _roots[type_name] = _rule_of_root(named(type_name))
    causes: list[FieldError] = []
    if not _passes(rule, obj):
        _check(rule, obj, "", causes)
    return causes


def is_required(type_name: str, name: str) -> bool:
    """Whether a server refuses objects of a type that lack this field."""
    return name in named(type_name).required and name not in NOT_REQUIRED.get(type_name, {})


def _rule_of_root(schema: Schema) -> _Rule:
    """An object's own rule: without status and metadata, which have their own."""
    rule = _rule(schema)
    if schema.name.startswith(_META):
        return rule
    required, enums, below = (
        [(name, inner) for name, inner in part if name not in _UNCHECKED]
        for part in (rule.required, rule.enums, rule.below)
    )
    return _Rule(required, enums, below)


def _rule(schema: Schema) -> _Rule:
    known = _rules.get(schema.name)
    if known is not None:
        return known
    rule = _rules[schema.name] = _Rule()
    _pending.add(schema.name)
    for name, below in schema.properties.items():
        if is_required(schema.name, name):
            rule.required.append((name, below))
        element = below.items if below.type in ("array", "map") and below.items is not None else below
        if element.enum:
            rule.enums.append((name, below))
        if element.type == "object" and (element.name in _pending or _rule(element)):
            rule.below.append((name, below))
    _pending.discard(schema.name)
    return rule


def _passes(rule: _Rule, obj: dict[str, Any]) -> bool:
    """Whether `_check` would find nothing. Looks at what there is, not at what there might be, and makes no paths."""
    for name, _ in rule.required:
        if not (value := obj.get(name)) and value in (None, "", []):
            return False
    tests = rule.tests
    if tests is None:
        tests = rule.tests = _tests(rule)
    if tests:
        for name, value in obj.items():
            test = tests.get(name)
            if test is not None and value is not None and not test(value):
                return False
    return True


def _tests(rule: _Rule) -> dict[str, Test]:
    tests: dict[str, Test] = {name: _allowed(schema) for name, schema in rule.enums}
    return tests | {name: _below(schema) for name, schema in rule.below}


def _allowed(schema: Schema) -> Test:
    if schema.type == "array" and schema.items is not None:
        of_items = frozenset(schema.items.enum)
        return lambda values: all(value in of_items for value in values)
    one = frozenset(schema.enum)
    return lambda value: not value or (type(value) is str and value in one)


def _below(schema: Schema) -> Test:
    if schema.type == "object":
        rule = _rules[schema.name]
        return lambda value: _passes(rule, value)
    assert schema.items is not None
    each = _rules[schema.items.name]

    def all_pass(values: Iterable[Any]) -> bool:
        for value in values:  # noqa: SIM110 - a generator costs twice as much
            if not _passes(each, value):
                return False
        return True

    return all_pass if schema.type == "array" else lambda values: all_pass(values.values())


def _check(rule: _Rule, obj: dict[str, Any], path: str, causes: list[FieldError]) -> None:
    for name, schema in rule.required:
        if obj.get(name) in (None, "", []):
            _missing(schema, f"{path}{name}", causes)
    for name, schema in rule.enums:
        value = obj.get(name)
        if value:
            _check_enum(schema, value, f"{path}{name}", causes)
    for name, schema in rule.below:
        value = obj.get(name)
        if value is None:
            continue
        if schema.type == "object":
            _check(_rules[schema.name], value, f"{path}{name}.", causes)
        elif schema.items is not None:
            below = _rules[schema.items.name]
            entries = value.items() if schema.type == "map" else enumerate(value)
            for at, item in entries:
                _check(below, item, f"{path}{name}[{at}].", causes)


def _missing(schema: Schema, path: str, causes: list[FieldError]) -> None:
    """An object that is missing is told by what it must hold, where that is known."""
    inner = _rule(schema).required if schema.type == "object" else []
    if not inner:
        causes.append(FieldError(path, "FieldValueRequired", "Required value"))
    for name, below in inner:
        _missing(below, f"{path}.{name}", causes)


def _check_enum(schema: Schema, value: Any, path: str, causes: list[FieldError]) -> None:
    if schema.type == "array" and schema.items is not None:
        for index, item in enumerate(value):
            if item not in schema.items.enum:
                causes.append(unsupported(f"{path}[{index}]", item, schema.items.enum))
    elif value not in schema.enum:
        causes.append(unsupported(path, value, schema.enum))


def unsupported(path: str, value: str, supported: tuple[str, ...]) -> FieldError:
    """The cause of a value that is not one of those supported."""
    listed = ", ".join(f'"{item}"' for item in supported)
    return FieldError(path, "FieldValueNotSupported", f'Unsupported value: "{value}": supported values: {listed}')
