"""What devices, their classes and claims to them have in common: names, selectors, configurations, taints."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from arktos.model.cel import BOOL, DYN, STRING, CelError, ObjectType, map_of
from arktos.model.cel import compile as compile_cel
from arktos.model.cel.library_kubernetes import QUANTITY
from arktos.model.kinds import Obj
from arktos.model.validation.causes import (
    Errors,
    check_messages,
    duplicate,
    invalid,
    not_supported,
    required,
    too_long,
    too_many,
)
from arktos.model.validation.formats import dns_label, dns_subdomain, label_value
from arktos.model.validation.labels import check_label_name
from arktos.model.validation.resources import is_extended
from arktos.model.validation.rules import Rules
from arktos.model.validation.volumes import check_driver

REQUESTS = 32
"""Requests that a claim may have, and devices that are allocated to one."""
CONFIGURATIONS = 32
EXPRESSION = 10 * 1024
"""Bytes of a selector's expression."""
PARAMETERS = 10 * 1024
"""Bytes of a driver's own parameters."""
_SELECTORS = 32
_CONDITIONS = 4
_POOL_NAME = 253
_ID = 32
_EFFECTS = ("NoExecute", "NoSchedule", "None")

Each = Callable[[Errors, str, Any], None]


def check_list(errs: Errors, field: str, items: Sequence[Any] | None, most: int, each: Each) -> None:
    """Every element, unless there are more than `most`: then only that is told."""
    if items is None:
        return
    if len(items) > most:
        errs.append(too_many(field, len(items), most))
        return
    for i, item in enumerate(items):
        each(errs, f"{field}[{i}]", item)


def check_set(
    errs: Errors, field: str, items: Sequence[Any] | None, most: int, each: Each, key: Callable[[Any], Hashable]
) -> None:
    """As `check_list`, and no two elements with one key."""
    check_list(errs, field, items, most, each)
    seen = set()
    for i, item in enumerate(items if items and len(items) <= most else ()):
        found = key(item)
        if found in seen:
            errs.append(duplicate(f"{field}[{i}]", found))
        seen.add(found)


def name_of(item: Obj) -> str:
    return str(item.get("name", ""))


def check_label(errs: Errors, field: str, name: str) -> None:
    """A device, a request, a counter: a DNS label."""
    check_messages(errs, field, name, dns_label(name))


def check_pool(errs: Errors, field: str, name: str) -> None:
    """The name of a pool: subdomains between slashes."""
    if not name:
        errs.append(required(field))
        return
    if len(name) > _POOL_NAME:
        errs.append(too_long(field, _POOL_NAME))
    for part in name.split("/"):
        check_messages(errs, field, part, dns_subdomain(part))


def check_qualified(errs: Errors, field: str, name: str, *, fully: bool = False) -> None:
    """The name of an attribute or a capacity: an identifier, with its driver's domain before it if `fully`."""
    domain, slash, identifier = name.rpartition("/")
    if "/" in domain:
        errs.append(invalid(field, name, "must not contain more than one slash"))
        return
    if slash and not domain:
        errs.append(invalid(field, "", "the domain must not be empty"))
    elif slash:
        check_driver(errs, field, domain)
    if slash and not identifier:
        errs.append(invalid(field, "", "the name must not be empty"))
    else:
        _check_identifier(errs, field, identifier)
    if fully and not slash:
        detail = "a fully qualified name must be a domain and a name separated by a slash"
        errs.append(invalid(field, name, detail))


_IDENTIFIER = (
    "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters "
    "or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')"
)


def _check_identifier(errs: Errors, field: str, text: str) -> None:
    if len(text) > _ID:
        errs.append(too_long(field, _ID))
    if not (text.isascii() and text.isidentifier()):
        errs.append(invalid(field, text, _IDENTIFIER))


_DEVICE = ObjectType(
    "kubernetes.DRADevice",
    lambda: {
        "driver": ("driver", STRING),
        "attributes": ("attributes", map_of(STRING, map_of(STRING, DYN))),
        "capacity": ("capacity", map_of(STRING, map_of(STRING, QUANTITY))),
        "allowMultipleAllocations": ("allowMultipleAllocations", BOOL),
    },
)
"""What a selector may ask a device for."""


def check_selectors(errs: Errors, field: str, selectors: Sequence[Obj] | None) -> None:
    """Expressions that choose devices: true or false of a `device`."""
    check_list(errs, field, selectors, _SELECTORS, _check_selector)


def _check_selector(errs: Errors, field: str, selector: Obj) -> None:
    cel = selector.get("cel")
    if cel is None:
        errs.append(required(f"{field}.cel"))
        return
    expression, field = cel.get("expression", ""), f"{field}.cel.expression"
    if len(expression.encode("utf-8", "replace")) > EXPRESSION:
        errs.append(too_long(field, EXPRESSION))
        return
    fault = _fault(expression)
    if fault:
        errs.append(invalid(field, expression, fault))


@lru_cache(maxsize=256)
def _fault(expression: str) -> str:
    """What is wrong with an expression, "" if nothing."""
    try:
        given = compile_cel(expression, {"device": _DEVICE}).type
    except CelError as error:
        return f"compilation failed: {error}"
    return "" if given in (BOOL, DYN) else f"must evaluate to bool or the unknown type, not {given}"


def check_configuration(errs: Errors, field: str, configuration: Obj) -> None:
    """A driver's own parameters, which are a JSON object to everybody else."""
    opaque = configuration.get("opaque")
    if opaque is None:
        errs.append(required(f"{field}.opaque"))
        return
    check_driver(errs, f"{field}.opaque.driver", opaque.get("driver", ""))
    check_raw(errs, f"{field}.opaque.parameters", opaque.get("parameters"), PARAMETERS)


def check_raw(errs: Errors, field: str, value: Any, most: int) -> None:
    """An arbitrary JSON object of at most `most` bytes."""
    if value is None:
        errs.append(required(field))
    elif not isinstance(value, dict):
        errs.append(invalid(field, "<value omitted>", "must be a valid JSON object"))
    elif len(msgspec.json.encode(value)) > most:
        errs.append(too_long(field, most))


def check_taint(errs: Errors, field: str, taint: Obj) -> None:
    """A taint of a device."""
    check_label_name(errs, f"{field}.key", taint.get("key", ""))
    value, effect = taint.get("value", ""), taint.get("effect", "")
    if value:
        check_messages(errs, f"{field}.value", value, label_value(value))
    if not effect:
        errs.append(required(f"{field}.effect"))
    elif effect not in _EFFECTS:
        errs.append(not_supported(f"{field}.effect", effect, _EFFECTS))


def check_toleration(errs: Errors, field: str, toleration: Obj) -> None:
    """A toleration of a device's taint."""
    value, operator, effect = (toleration.get(name, "") for name in ("value", "operator", "effect"))
    if toleration.get("key"):
        check_label_name(errs, f"{field}.key", toleration["key"])
    if operator == "Exists":
        if value:
            errs.append(invalid(f"{field}.value", value, "must be empty for operator `Exists`"))
    elif operator == "Equal":
        check_messages(errs, f"{field}.value", value, label_value(value))
    elif not operator:
        errs.append(required(f"{field}.operator"))
    else:
        errs.append(not_supported(f"{field}.operator", operator, ("Equal", "Exists")))
    if effect and effect not in _EFFECTS:
        errs.append(not_supported(f"{field}.effect", effect, _EFFECTS))


def check_binding(errs: Errors, path: str, holder: Obj) -> None:
    """The conditions that a device waits for before a pod is bound, and those that end the wait: both or none."""
    good, bad = holder.get("bindingConditions") or [], holder.get("bindingFailureConditions") or []
    for field, conditions in (("bindingConditions", good), ("bindingFailureConditions", bad)):
        check_set(errs, f"{path}.{field}", conditions, _CONDITIONS, check_label_name, str)
    for i, condition in enumerate(bad):
        if condition in good:
            detail = "bindingFailureConditions must not overlap with bindingConditions"
            errs.append(invalid(f"{path}.bindingFailureConditions[{i}]", condition, detail))
    if bad and not good:
        detail = "bindingConditions are required to use bindingFailureConditions"
        errs.append(invalid(f"{path}.bindingConditions", good, detail))
    if good and not bad:
        detail = "bindingFailureConditions are required to use bindingConditions"
        errs.append(invalid(f"{path}.bindingFailureConditions", bad, detail))


def _check_class(errs: Errors, obj: Obj) -> None:
    spec = obj.get("spec") or {}
    check_selectors(errs, "spec.selectors", spec.get("selectors"))
    check_list(errs, "spec.config", spec.get("config"), CONFIGURATIONS, check_configuration)
    extended = spec.get("extendedResourceName")
    if extended is not None and not is_extended(extended):
        errs.append(invalid("spec.extendedResourceName", extended, "must be a valid extended resource name"))


DEVICE_CLASS = Rules(always=_check_class)
