"""Slices of a driver's pool of devices: which there are, where, with which attributes, capacities and counters."""

from __future__ import annotations

import re
from itertools import pairwise

from arktos.model.kinds import Obj
from arktos.model.quantity import Quantity, QuantityError, parse
from arktos.model.validation.causes import (
    Errors,
    check_immutable,
    check_messages,
    forbidden,
    invalid,
    not_found,
    required,
    too_long,
    too_many,
)
from arktos.model.validation.devices import (
    check_binding,
    check_label,
    check_list,
    check_pool,
    check_qualified,
    check_set,
    check_taint,
    name_of,
)
from arktos.model.validation.formats import dns_subdomain
from arktos.model.validation.rules import Rules
from arktos.model.validation.scheduling import check_node_selector
from arktos.model.validation.volumes import check_driver

_DEVICES, _RICH_DEVICES = 128, 64
_COUNTER_SETS, _COUNTERS, _CONSUMPTIONS = 8, 32, 2
_ATTRIBUTES, _ATTRIBUTE_VALUES, _VALUE = 32, 48, 64
_TAINTS, _VALID_VALUES = 16, 10
_NUMBER = r"(0|[1-9]\d*)"
_BEFORE = r"(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
_SEMVER = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_BEFORE}(\.{_BEFORE})*)?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?\Z", re.ASCII
)
_SCALARS = ("bool", "int", "string", "version")
_LISTS = ("bools", "ints", "strings", "versions")


def _check_slice(errs: Errors, obj: Obj) -> None:
    spec = obj.get("spec") or {}
    check_driver(errs, "spec.driver", spec.get("driver", ""))
    pool = spec.get("pool") or {}
    check_pool(errs, "spec.pool.name", pool.get("name", ""))
    count, generation = pool.get("resourceSliceCount", 0), pool.get("generation", 0)
    if count <= 0:
        errs.append(invalid("spec.pool.resourceSliceCount", count, "must be greater than zero"))
    if generation < 0:
        errs.append(invalid("spec.pool.generation", generation, "must be greater than or equal to zero"))
    _check_nodes(errs, spec)
    devices, counters = spec.get("devices"), spec.get("sharedCounters")
    if devices is not None and counters is not None:
        errs.append(invalid("spec", "", "only one of `sharedCounters` or `devices` is allowed"))
    chosen = bool(spec.get("perDeviceNodeSelection"))

    def device(errs: Errors, path: str, each: Obj) -> None:
        _check_device(errs, path, each, chosen)

    most = _RICH_DEVICES if any(map(_is_rich, devices or ())) else _DEVICES
    check_set(errs, "spec.devices", devices, most, device, name_of)
    check_set(errs, "spec.sharedCounters", counters, _COUNTER_SETS, _check_counter_set, name_of)


def _is_rich(device: Obj) -> bool:
    """Whether a device has what makes it large: fewer of these fit into a slice."""
    if device.get("taints") or device.get("consumesCounters"):
        return True
    return any(name in each for each in (device.get("attributes") or {}).values() for name in _LISTS)


def _check_nodes(errs: Errors, spec: Obj) -> None:
    """Where the devices are: exactly one way to say it."""
    said = []
    node, selector = spec.get("nodeName"), spec.get("nodeSelector")
    if node:
        said.append("`nodeName`")
        check_messages(errs, "spec.nodeName", node, dns_subdomain(node))
    elif node is not None:
        errs.append(invalid("spec.nodeName", node, "must be either unset or set to a non-empty string"))
    if selector is not None:
        said.append("`nodeSelector`")
        check_node_selector(errs, "spec.nodeSelector", selector)
        terms = selector.get("nodeSelectorTerms") or []
        if len(terms) != 1:
            detail = "must have exactly one node selector term"
            errs.append(invalid("spec.nodeSelector.nodeSelectorTerms", terms, detail))
    for field in ("allNodes", "perDeviceNodeSelection"):
        if spec.get(field):
            said.append(f"`{field}`")
        elif spec.get(field) is not None:
            errs.append(invalid(f"spec.{field}", False, "must be either unset or set to true"))
    detail = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
    if not said:
        errs.append(required("spec", detail))
    elif len(said) > 1:
        errs.append(invalid("spec", f"{{{', '.join(said)}}}", f"{detail}, but multiple fields are set"))


def _check_device(errs: Errors, path: str, device: Obj, chosen: bool) -> None:
    check_label(errs, f"{path}.name", name_of(device))
    attributes, capacity = device.get("attributes") or {}, device.get("capacity") or {}
    _check_sizes(errs, path, attributes, capacity)
    for name, attribute in attributes.items():
        check_qualified(errs, f"{path}.attributes", name)
        _check_attribute(errs, f"{path}.attributes[{name}]", attribute)
    shared = bool(device.get("allowMultipleAllocations"))
    for name, amount in capacity.items():
        check_qualified(errs, f"{path}.capacity", name)
        _check_capacity(errs, f"{path}.capacity[{name}]", amount, shared)
    check_list(errs, f"{path}.taints", device.get("taints"), _TAINTS, check_taint)
    check_set(
        errs,
        f"{path}.consumesCounters",
        device.get("consumesCounters"),
        _CONSUMPTIONS,
        _check_consumption,
        lambda each: str(each.get("counterSet", "")),
    )
    _check_device_node(errs, path, device, chosen)
    check_binding(errs, path, device)
    for name, mapping in (device.get("nodeAllocatableResourceMappings") or {}).items():
        key = mapping.get("capacityKey")
        if key is not None and key not in capacity:
            errs.append(not_found(f"{path}.nodeAllocatableResourceMappings[{name}].capacityKey", key))


def _check_sizes(errs: Errors, path: str, attributes: Obj, capacity: Obj) -> None:
    total = len(attributes) + len(capacity)
    if total > _ATTRIBUTES:
        detail = f"the total number of attributes and capacities must not exceed {_ATTRIBUTES}"
        errs.append(invalid(path, total, detail))
    values = sum(sum(len(each.get(name) or ()) for name in _LISTS) or 1 for each in attributes.values())
    if values > _ATTRIBUTE_VALUES:
        detail = f"the total number of attribute values must not exceed {_ATTRIBUTE_VALUES}"
        errs.append(invalid(path, values, detail))


def _check_attribute(errs: Errors, path: str, attribute: Obj) -> None:
    said = [name for name in (*_SCALARS, *_LISTS) if attribute.get(name) is not None]
    if len(said) != 1:
        errs.append(invalid(path, attribute if said else "", "exactly one value must be specified"))
    for name in ("string", "version"):
        if name in said:
            _check_text(errs, f"{path}.{name}", attribute[name], name == "version")
    for name in _LISTS:
        if name not in said:
            continue
        if not attribute[name]:
            errs.append(invalid(f"{path}.{name}", attribute[name], "must not be empty if specified"))
        if name in ("strings", "versions"):
            for i, text in enumerate(attribute[name]):
                _check_text(errs, f"{path}.{name}[{i}]", text, name == "versions")


def _check_text(errs: Errors, field: str, text: str, version: bool) -> None:
    if version and not _SEMVER.match(text):
        errs.append(invalid(field, text, "must be a string compatible with semver.org spec 2.0.0"))
    if len(text.encode("utf-8", "replace")) > _VALUE:
        errs.append(too_long(field, _VALUE))


def _quantity(text: object) -> Quantity:
    """What structure has let through is a quantity."""
    try:
        return parse(str(text))
    except QuantityError:
        return Quantity()


def _check_capacity(errs: Errors, path: str, capacity: Obj, shared: bool) -> None:
    policy = capacity.get("requestPolicy")
    if policy is None:
        return
    path = f"{path}.requestPolicy"
    if not shared:
        errs.append(forbidden(path, "allowMultipleAllocations must be true"))
        return
    values, span, default = policy.get("validValues"), policy.get("validRange"), policy.get("default")
    if values and span is not None:
        detail = 'exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time'
        errs.append(forbidden(path, detail))
        return
    named = "validValues" if values else "validRange" if span is not None else ""
    if not named:
        return
    if default is None:
        errs.append(required(f"{path}.default", f"required when {named} is defined"))
    elif values:
        _check_values(errs, f"{path}.validValues", values, default, capacity.get("value"))
    else:
        _check_span(errs, f"{path}.validRange", span or {}, default, capacity.get("value"))


def _check_values(errs: Errors, path: str, values: list[str], default: str, whole: object) -> None:
    parsed, most = [_quantity(each) for each in values], _quantity(whole)
    for i, (before, after) in enumerate(pairwise(parsed)):
        if before > after:
            errs.append(invalid(f"{path}[{i + 1}]", values[i + 1], "values must be sorted in ascending order"))

    def each(errs: Errors, field: str, value: Quantity) -> None:
        if value > most:
            errs.append(invalid(field, str(value), f"option is larger than capacity value: {most}"))

    check_set(errs, path, parsed, _VALID_VALUES, each, str)
    if _quantity(default) not in parsed:
        errs.append(invalid(path, default, "default value is not valid according to the requestPolicy"))


def _check_span(errs: Errors, path: str, span: Obj, default: str, whole: object) -> None:
    if span.get("min") is None:
        errs.append(required(f"{path}.min", "required when validRange is defined"))
        return
    least, usual, most = _quantity(span["min"]), _quantity(default), _quantity(whole)
    highest = _quantity(span["max"]) if span.get("max") is not None else None
    if least > most:
        errs.append(invalid(f"{path}.min", str(least), f"min is larger than capacity value: {most}"))
    if usual < least:
        errs.append(invalid(f"{path}.default", str(usual), f"default is less than min: {least}"))
    if highest is not None:
        if least > highest:
            errs.append(invalid(f"{path}.max", str(least), f"min is larger than max: {highest}"))
        if highest > most:
            errs.append(invalid(f"{path}.max", str(highest), f"max is larger than capacity value: {most}"))
        if usual > highest:
            errs.append(invalid(f"{path}.default", str(usual), f"default is more than max: {highest}"))
    if span.get("step") is not None:
        _check_step(errs, f"{path}.step", _quantity(span["step"]), least, [usual, highest], most)


def _check_step(
    errs: Errors, field: str, step: Quantity, least: Quantity, reached: list[Quantity | None], most: Quantity
) -> None:
    if step.sign <= 0:
        errs.append(invalid(field, str(step), "must be greater than zero"))
        return
    if least + step > most:
        errs.append(invalid(field, str(step), f"one step {least + step} is larger than capacity value: {most}"))
    for value in reached:
        if value is not None and (value - least).value % step.value:
            detail = f"value is not a multiple of a given step ({step}) from ({least})"
            errs.append(invalid(field, str(value), detail))


def _check_counter_set(errs: Errors, path: str, counters: Obj) -> None:
    check_label(errs, f"{path}.name", name_of(counters))
    _check_counters(errs, f"{path}.counters", counters.get("counters") or {})


def _check_consumption(errs: Errors, path: str, consumption: Obj) -> None:
    check_label(errs, f"{path}.counterSet", consumption.get("counterSet", ""))
    _check_counters(errs, f"{path}.counters", consumption.get("counters") or {})


def _check_counters(errs: Errors, field: str, counters: Obj) -> None:
    if not counters:
        errs.append(required(field))
    elif len(counters) > _COUNTERS:
        errs.append(too_many(field, len(counters), _COUNTERS))
    else:
        for name in counters:
            check_label(errs, field, name)


def _check_device_node(errs: Errors, path: str, device: Obj, chosen: bool) -> None:
    node, selector, everywhere = device.get("nodeName"), device.get("nodeSelector"), device.get("allNodes")
    if not chosen:
        if any(each is not None for each in (node, selector, everywhere)):
            detail = (
                "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true "
                "in the ResourceSlice spec"
            )
            errs.append(invalid(path, None, detail))
        return
    said = []
    if node:
        said.append("`nodeName`")
        check_messages(errs, f"{path}.nodeName", node, dns_subdomain(node))
    elif node is not None:
        errs.append(invalid(f"{path}.nodeName", node, "must not be empty"))
    if selector is not None:
        said.append("`nodeSelector`")
        check_node_selector(errs, f"{path}.nodeSelector", selector)
    if everywhere:
        said.append("`allNodes`")
    elif everywhere is not None:
        errs.append(invalid(f"{path}.allNodes", False, "must be either unset or set to true"))
    detail = (
        "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to "
        "true in the ResourceSlice spec"
    )
    if not said:
        errs.append(required(path, detail))
    elif len(said) > 1:
        errs.append(invalid(path, f"{{{', '.join(said)}}}", detail))


def _check_slice_update(errs: Errors, obj: Obj, old: Obj) -> None:
    spec, before = obj.get("spec") or {}, old.get("spec") or {}
    now_pool, old_pool = ((each.get("pool") or {}).get("name") for each in (spec, before))
    check_immutable(errs, "spec.pool.name", now_pool, old_pool)
    for field in ("driver", "nodeName"):
        check_immutable(errs, f"spec.{field}", spec.get(field), before.get(field))


RESOURCE_SLICE = Rules(always=_check_slice, update=_check_slice_update)
