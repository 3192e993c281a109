"""Persistent volume claims: their spec also stands in stateful sets and in ephemeral volumes."""

from __future__ import annotations

from arktos.model.kinds import Obj
from arktos.model.quantity import Quantity
from arktos.model.validation.causes import (
    Errors,
    check_immutable,
    check_messages,
    forbidden,
    invalid,
    not_supported,
    required,
)
from arktos.model.validation.formats import dns_label, dns_subdomain
from arktos.model.validation.labels import check_annotations, check_labels, check_selector
from arktos.model.validation.resources import amount, check_amount, check_positive
from arktos.model.validation.rules import Rules

_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"


def check_claim_template(errs: Errors, path: str, template: Obj) -> None:
    """The claim inside an ephemeral volume: labels, annotations and a spec."""
    metadata = template.get("metadata") or {}
    check_labels(errs, f"{path}.metadata.labels", metadata.get("labels") or {})
    check_annotations(errs, f"{path}.metadata.annotations", metadata.get("annotations") or {})
    for name, value in metadata.items():
        if name not in ("labels", "annotations") and value:
            errs.append(forbidden(f"{path}.metadata.{name}", "cannot be set"))
    check_claim_spec(errs, f"{path}.spec", template.get("spec") or {})


def check_access_modes(errs: Errors, field: str, modes: list[str]) -> None:
    """ReadWriteOncePod stands alone."""
    if "ReadWriteOncePod" in modes and any(mode != "ReadWriteOncePod" for mode in modes):
        errs.append(forbidden(field, "may not use ReadWriteOncePod with other access modes"))


def check_claim_spec(errs: Errors, path: str, spec: Obj) -> None:
    """A PersistentVolumeClaimSpec."""
    modes = spec.get("accessModes") or []
    if not modes:
        errs.append(required(f"{path}.accessModes", "at least 1 access mode is required"))
    check_access_modes(errs, f"{path}.accessModes", modes)
    if "selector" in spec:
        check_selector(errs, f"{path}.selector", spec["selector"])
    requests = (spec.get("resources") or {}).get("requests") or {}
    field = f"{path}.resources[storage]"
    if "storage" not in requests:
        errs.append(required(field))
    else:
        check_positive(errs, field, requests["storage"])
    for name in ("storageClassName", "volumeAttributesClassName"):
        if spec.get(name):
            check_messages(errs, f"{path}.{name}", spec[name], dns_subdomain(spec[name]))
    _check_sources(errs, path, spec)


def _check_sources(errs: Errors, path: str, spec: Obj) -> None:
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None:
        _check_source(errs, f"{path}.dataSource", source)
    if reference is None:
        return
    _check_source(errs, f"{path}.dataSourceRef", reference)
    namespace = reference.get("namespace")
    if namespace:
        check_messages(errs, f"{path}.dataSourceRef.namespace", namespace, dns_label(namespace))
        if source is not None:
            detail = "may not be specified when dataSourceRef.namespace is specified"
            errs.append(invalid(path, f"{path}.dataSource", detail))
    elif source is not None and any(source.get(n) != reference.get(n) for n in ("apiGroup", "kind", "name")):
        errs.append(invalid(path, f"{path}.dataSource", "must match dataSourceRef"))


def _check_source(errs: Errors, path: str, source: Obj) -> None:
    for name in ("name", "kind"):
        if not source.get(name):
            errs.append(required(f"{path}.{name}"))
    group = source.get("apiGroup")
    if not group and source.get("kind") != "PersistentVolumeClaim":
        detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        errs.append(invalid(path, source.get("kind", ""), detail))
    if group:
        check_messages(errs, f"{path}.apiGroup", group, dns_subdomain(group))


def _check(errs: Errors, claim: Obj) -> None:
    check_claim_spec(errs, "spec", claim.get("spec") or {})


def _check_update(errs: Errors, claim: Obj, old: Obj) -> None:
    new_spec, old_spec = claim.get("spec") or {}, old.get("spec") or {}
    bound = (claim.get("status") or {}).get("phase") == "Bound"
    if _frozen(new_spec, old_spec, bound) != _frozen(old_spec, old_spec, bound):
        detail = (
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        )
        errs.append(forbidden("spec", detail))
    new_size, old_size = _storage(new_spec), _storage(old_spec)
    if new_size is not None and old_size is not None and new_size < old_size:
        capacity = amount(((old.get("status") or {}).get("capacity") or {}).get("storage", "0"))
        if capacity is not None and new_size <= capacity:
            field = "spec.resources.requests.storage"
            errs.append(forbidden(field, "field can not be less than status.capacity"))
    check_immutable(errs, "volumeMode", new_spec.get("volumeMode"), old_spec.get("volumeMode"))
    before, after = old_spec.get("volumeAttributesClassName"), new_spec.get("volumeAttributesClassName")
    if before is not None and after is None:
        errs.append(forbidden("spec.volumeAttributesClassName", "update from non-nil value to nil is forbidden"))
    elif before and after == "":
        detail = "update from non-nil value to an empty string is forbidden"
        errs.append(forbidden("spec.volumeAttributesClassName", detail))
    annotations = [(each.get("metadata") or {}).get("annotations") or {} for each in (claim, old)]
    classes = [each.get(_BETA_CLASS) for each in annotations]
    check_immutable(errs, f"metadata.annotations.{_BETA_CLASS}", *classes)


def _storage(spec: Obj) -> Quantity | None:
    requests = (spec.get("resources") or {}).get("requests") or {}
    return amount(requests["storage"]) if "storage" in requests else None


def _frozen(spec: Obj, old: Obj, bound: bool) -> Obj:
    """What of a claim's spec must stay, given what it was."""
    kept = dict(spec)
    if not old.get("volumeName"):
        kept.pop("volumeName", None)
    if old.get("storageClassName") is None:
        kept.pop("storageClassName", None)
    if bound:
        kept.pop("volumeAttributesClassName", None)
        needs = dict(kept.get("resources") or {})
        needs["requests"] = {k: v for k, v in (needs.get("requests") or {}).items() if k != "storage"}
        kept["resources"] = needs
    return kept


_RESIZING = (
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
)


def _check_status(errs: Errors, claim: Obj, old: Obj) -> None:
    status = claim.get("status") or {}
    for name in ("capacity", "allocatedResources"):
        for resource, value in (status.get(name) or {}).items():
            check_amount(errs, f"status.{name}[{resource}]", resource, value)
    for value in (status.get("allocatedResourceStatuses") or {}).values():
        if value not in _RESIZING:
            errs.append(not_supported("status.allocatedResourceStatus", value, _RESIZING))


CLAIM = Rules(always=_check, update=_check_update, subresources={"status": _check_status})
