"""Claims to devices and their templates; what was allocated to a claim, and for whom."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping

from arktos.model.kinds import Obj
from arktos.model.validation.causes import (
    Errors,
    check_immutable,
    check_messages,
    forbidden,
    invalid,
    not_supported,
    required,
    too_long,
    too_many,
)
from arktos.model.validation.devices import (
    CONFIGURATIONS,
    PARAMETERS,
    REQUESTS,
    check_binding,
    check_configuration,
    check_label,
    check_list,
    check_pool,
    check_qualified,
    check_raw,
    check_selectors,
    check_set,
    check_toleration,
    name_of,
)
from arktos.model.validation.formats import dns_subdomain
from arktos.model.validation.labels import check_annotations, check_labels
from arktos.model.validation.rules import Rules
from arktos.model.validation.scheduling import check_node_selector
from arktos.model.validation.volumes import check_driver

_CONSTRAINTS, _CHOICES, _TOLERATIONS, _CONSUMERS = 32, 8, 16, 256
_CONDITIONS, _INTERFACE, _HARDWARE, _ADDRESSES = 8, 256, 128, 16
_MODES = ("All", "ExactCount")
_SOURCES = ("FromClaim", "FromClass")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_NO_REQUEST = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"

Requests = Mapping[str, frozenset[str]]
"""The requests of a claim, and the choices of each."""


def _check_claim(errs: Errors, obj: Obj) -> None:
    check_claim_spec(errs, "spec", obj.get("spec") or {})


def check_claim_spec(errs: Errors, path: str, spec: Obj) -> None:
    """The spec of a claim, also of one that is still a template."""
    devices, path = spec.get("devices") or {}, f"{path}.devices"
    requests = _requests(devices)
    check_set(errs, f"{path}.requests", devices.get("requests"), REQUESTS, _check_request, name_of)

    def constraint(errs: Errors, field: str, each: Obj) -> None:
        _check_references(errs, field, each, requests)
        match, distinct = each.get("matchAttribute"), each.get("distinctAttribute")
        if match is not None:
            check_qualified(errs, f"{field}.matchAttribute", match, fully=True)
        elif distinct is not None:
            check_qualified(errs, f"{field}.distinctAttribute", distinct, fully=True)
        else:
            errs.append(required(field, 'exactly one of "matchAttribute" or "distinctAttribute" is required'))

    def configuration(errs: Errors, field: str, each: Obj) -> None:
        _check_references(errs, field, each, requests)
        check_configuration(errs, field, each)

    check_list(errs, f"{path}.constraints", devices.get("constraints"), _CONSTRAINTS, constraint)
    check_list(errs, f"{path}.config", devices.get("config"), CONFIGURATIONS, configuration)


def _requests(devices: Obj) -> Requests:
    return {
        name_of(request): frozenset(name_of(each) for each in request.get("firstAvailable") or ())
        for request in devices.get("requests") or ()
    }


def _check_references(errs: Errors, path: str, holder: Obj, requests: Requests) -> None:
    def each(errs: Errors, field: str, name: str) -> None:
        _check_reference(errs, field, name, requests)

    check_set(errs, f"{path}.requests", holder.get("requests"), REQUESTS, each, str)


def _check_reference(errs: Errors, field: str, name: str, requests: Requests) -> None:
    request, _, choice = name.partition("/")
    if "/" in choice:
        errs.append(invalid(field, name, _NO_REQUEST))
        return
    for part in name.split("/"):
        check_label(errs, field, part)
    if request not in requests or ("/" in name and choice not in requests[request]):
        errs.append(invalid(field, name, _NO_REQUEST))


def _check_request(errs: Errors, path: str, request: Obj) -> None:
    check_label(errs, f"{path}.name", name_of(request))
    exactly, choices = request.get("exactly"), request.get("firstAvailable") or []
    detail = "exactly one of `exactly` or `firstAvailable` is required"
    if exactly is None and not choices:
        errs.append(required(path, detail))
    elif exactly is not None and choices:
        errs.append(invalid(path, None, f"{detail}, but multiple fields are set"))
    elif exactly is not None:
        _check_wanted(errs, f"{path}.exactly", exactly)
    else:
        check_set(errs, f"{path}.firstAvailable", choices, _CHOICES, _check_choice, name_of)


def _check_choice(errs: Errors, path: str, choice: Obj) -> None:
    check_label(errs, f"{path}.name", name_of(choice))
    _check_wanted(errs, path, choice)


def _check_wanted(errs: Errors, path: str, wanted: Obj) -> None:
    """Which devices, and how many."""
    device_class = wanted.get("deviceClassName", "")
    if not device_class:
        errs.append(required(f"{path}.deviceClassName"))
    else:
        check_messages(errs, f"{path}.deviceClassName", device_class, dns_subdomain(device_class))
    check_selectors(errs, f"{path}.selectors", wanted.get("selectors"))
    mode, count = wanted.get("allocationMode", ""), wanted.get("count", 0)
    if mode == "All":
        if count:
            errs.append(invalid(f"{path}.count", count, "must not be specified when allocationMode is 'All'"))
    elif mode == "ExactCount":
        if count <= 0:
            errs.append(invalid(f"{path}.count", count, "must be greater than zero"))
    else:
        errs.append(not_supported(f"{path}.allocationMode", mode, _MODES))
    check_list(errs, f"{path}.tolerations", wanted.get("tolerations"), _TOLERATIONS, check_toleration)
    for name in (wanted.get("capacity") or {}).get("requests") or {}:
        check_qualified(errs, f"{path}.capacity.requests", name)


def _check_claim_update(errs: Errors, obj: Obj, old: Obj) -> None:
    check_immutable(errs, "spec", obj.get("spec"), old.get("spec"))


def _check_status(errs: Errors, obj: Obj, old: Obj) -> None:
    status, before = obj.get("status") or {}, old.get("status") or {}
    requests = _requests((obj.get("spec") or {}).get("devices") or {})
    check_set(
        errs,
        "status.reservedFor",
        status.get("reservedFor"),
        _CONSUMERS,
        _check_consumer,
        lambda each: str(each.get("uid", "")),
    )
    allocation = status.get("allocation")
    allocated = {_device(each) for each in _results(allocation)}

    def device(errs: Errors, field: str, each: Obj) -> None:
        _check_device(errs, field, each)
        if _device(each) not in allocated:
            shown = "/".join(part for part in _device(each) if part)
            errs.append(invalid(field, shown, "must be an allocated device in the claim"))

    devices = status.get("devices") or []
    check_set(errs, "status.devices", devices, len(devices), device, _device)
    _check_reserved(errs, obj, status, before)
    if allocation is None:
        return
    if before.get("allocation") is not None:
        check_immutable(errs, "status.allocation", allocation, before["allocation"])
    else:
        _check_allocation(errs, allocation, requests)


def _check_reserved(errs: Errors, obj: Obj, status: Obj, before: Obj) -> None:
    reserved = status.get("reservedFor") or []
    if not reserved:
        return
    if status.get("allocation") is None:
        errs.append(forbidden("status.reservedFor", "may not be specified when `allocated` is not set"))
    elif (obj.get("metadata") or {}).get("deletionTimestamp"):
        known = before.get("reservedFor") or []
        if any(each not in known for each in reserved):
            detail = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"
            errs.append(forbidden("status.reservedFor", detail))


def _check_consumer(errs: Errors, path: str, consumer: Obj) -> None:
    for name in ("resource", "name", "uid"):
        if not consumer.get(name):
            errs.append(required(f"{path}.{name}"))


def _results(allocation: Obj | None) -> list[Obj]:
    return ((allocation or {}).get("devices") or {}).get("results") or []


def _device(each: Obj) -> tuple[str, ...]:
    return tuple(str(each.get(name) or "") for name in ("driver", "pool", "device", "shareID"))


def _check_device_id(errs: Errors, path: str, each: Obj) -> None:
    check_driver(errs, f"{path}.driver", each.get("driver", ""))
    check_pool(errs, f"{path}.pool", each.get("pool", ""))
    check_label(errs, f"{path}.device", each.get("device", ""))
    share = each.get("shareID")
    if share is not None and not _UUID.match(share):
        detail = (
            "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase "
            "hexadecimal characters"
        )
        errs.append(invalid(f"{path}.shareID", share, detail))


def _check_device(errs: Errors, path: str, each: Obj) -> None:
    """What a driver says of an allocated device."""
    _check_device_id(errs, path, each)
    conditions = each.get("conditions") or []
    if len(conditions) > _CONDITIONS:
        errs.append(too_many(f"{path}.conditions", len(conditions), _CONDITIONS))
    if each.get("data") is not None:
        check_raw(errs, f"{path}.data", each["data"], PARAMETERS)
    network = each.get("networkData") or {}
    for field, most in (("interfaceName", _INTERFACE), ("hardwareAddress", _HARDWARE)):
        if len(network.get(field, "").encode("utf-8", "replace")) > most:
            errs.append(too_long(f"{path}.networkData.{field}", most))
    check_set(errs, f"{path}.networkData.ips", network.get("ips"), _ADDRESSES, _check_interface, str)


def _check_interface(errs: Errors, field: str, text: str) -> None:
    try:
        found = ipaddress.ip_interface(text) if "/" in text and "%" not in text else None
    except ValueError:
        found = None
    if found is None:
        detail = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)"
        errs.append(invalid(field, text, detail))
    elif str(found) != text:
        errs.append(invalid(field, text, f'must be in canonical form ("{found}")'))


def _check_allocation(errs: Errors, allocation: Obj, requests: Requests) -> None:
    def result(errs: Errors, path: str, each: Obj) -> None:
        _check_reference(errs, f"{path}.request", each.get("request", ""), requests)
        _check_device_id(errs, path, each)
        check_binding(errs, path, each)
        check_list(errs, f"{path}.tolerations", each.get("tolerations"), _TOLERATIONS, check_toleration)

    def configuration(errs: Errors, path: str, each: Obj) -> None:
        source = each.get("source", "")
        if not source:
            errs.append(required(f"{path}.source"))
        elif source not in _SOURCES:
            errs.append(not_supported(f"{path}.source", source, _SOURCES))
        _check_references(errs, path, each, requests)
        check_configuration(errs, path, each)

    path, devices = "status.allocation", allocation.get("devices") or {}
    check_list(errs, f"{path}.devices.results", devices.get("results"), REQUESTS, result)
    check_list(errs, f"{path}.devices.config", devices.get("config"), 2 * CONFIGURATIONS, configuration)
    if allocation.get("nodeSelector") is not None:
        check_node_selector(errs, f"{path}.nodeSelector", allocation["nodeSelector"])


RESOURCE_CLAIM = Rules(create=_check_claim, update=_check_claim_update, subresources={"status": _check_status})


def _check_template(errs: Errors, obj: Obj) -> None:
    spec = obj.get("spec") or {}
    metadata = spec.get("metadata") or {}
    check_labels(errs, "spec.metadata.labels", metadata.get("labels") or {})
    check_annotations(errs, "spec.metadata.annotations", metadata.get("annotations") or {})
    check_claim_spec(errs, "spec.spec", spec.get("spec") or {})


RESOURCE_CLAIM_TEMPLATE = Rules(create=_check_template, update=_check_claim_update)
