"""Tenants and namespaces, and Arktos' own small kinds: actions and controller instances."""

from __future__ import annotations

from arktos.model.actions import ACTION_FIELDS
from arktos.model.kinds import RESERVED_TENANTS, Obj
from arktos.model.metadata import check_finalizer
from arktos.model.validation.causes import (
    Errors,
    check_immutable,
    check_messages,
    check_not_negative,
    forbidden,
    invalid,
    required,
)
from arktos.model.validation.formats import cidr, dns_subdomain
from arktos.model.validation.resources import check_list, check_quota_name
from arktos.model.validation.rules import Rules


def _check_finalizers(errs: Errors, obj: Obj) -> None:
    for i, finalizer in enumerate((obj.get("spec") or {}).get("finalizers") or ()):
        check_finalizer(errs, f"spec.finalizers[{i}]", finalizer)


def _check_finalize(errs: Errors, obj: Obj, old: Obj) -> None:
    _check_finalizers(errs, obj)


def _check_phase(errs: Errors, obj: Obj, old: Obj) -> None:
    phase = (obj.get("status") or {}).get("phase", "")
    if not (old.get("metadata") or {}).get("deletionTimestamp"):
        if phase != "Active":
            errs.append(invalid("status.Phase", phase, "may only be 'Active' if `deletionTimestamp` is empty"))
    elif phase != "Terminating":
        errs.append(invalid("status.Phase", phase, "may only be 'Terminating' if `deletionTimestamp` is not empty"))


_ENDING = {"status": _check_phase, "finalize": _check_finalize}

NAMESPACE = Rules(create=_check_finalizers, subresources=_ENDING)


def _check_tenant(errs: Errors, tenant: Obj) -> None:
    spec = tenant.get("spec") or {}
    if spec.get("quota"):
        check_list(errs, "spec.quota", spec["quota"], check_quota_name)
    for i, text in enumerate((spec.get("network") or {}).get("cidrs") or ()):
        check_messages(errs, f"spec.network.cidrs[{i}]", text, cidr(text))


def _check_new_tenant(errs: Errors, tenant: Obj) -> None:
    _check_finalizers(errs, tenant)
    name = (tenant.get("metadata") or {}).get("name", "")
    if name in RESERVED_TENANTS:
        errs.append(invalid("metadata.name", name, "is a reserved tenant name"))


def _check_tenant_update(errs: Errors, tenant: Obj, old: Obj) -> None:
    before = (old.get("spec") or {}).get("storageClusterId")
    if before:
        after = (tenant.get("spec") or {}).get("storageClusterId")
        check_immutable(errs, "spec.storageClusterId", after, before)


TENANT = Rules(always=_check_tenant, create=_check_new_tenant, update=_check_tenant_update, subresources=_ENDING)

_CHOICES = ", ".join(f"`{name}`" for name in ACTION_FIELDS)


def _check_action(errs: Errors, action: Obj) -> None:
    spec = action.get("spec") or {}
    found = [name for name in ACTION_FIELDS if name in spec]
    if not found:
        errs.append(required("spec", f"must specify one of: {_CHOICES}"))
    for name in found[1:]:
        errs.append(forbidden(f"spec.{name}", "may not specify more than 1 action"))
    if not spec.get("podName"):
        errs.append(required("spec.podName"))
    for name in ("podName", "nodeName"):
        if spec.get(name):
            check_messages(errs, f"spec.{name}", spec[name], dns_subdomain(spec[name]))
    if "rebootAction" in spec:
        check_not_negative(errs, spec["rebootAction"], "spec.rebootAction", "delayInSeconds")
    if "restoreAction" in spec and not spec["restoreAction"].get("snapshotID"):
        errs.append(required("spec.restoreAction.snapshotID"))
    if "stopAction" in spec:
        check_not_negative(errs, spec["stopAction"], "spec.stopAction", "gracePeriodSeconds")


def _check_action_update(errs: Errors, action: Obj, old: Obj) -> None:
    for name in ("podName", *ACTION_FIELDS):
        new_spec, old_spec = action.get("spec") or {}, old.get("spec") or {}
        check_immutable(errs, f"spec.{name}", new_spec.get(name), old_spec.get(name))


ACTION = Rules(always=_check_action, update=_check_action_update)


def _check_instance(errs: Errors, instance: Obj) -> None:
    if not instance.get("controllerType"):
        errs.append(required("controllerType"))
    check_not_negative(errs, instance, "", "controllerKey", "workloadNum", "rangeStart", "leaseDurationSeconds")
    start, end = instance.get("rangeStart"), instance.get("controllerKey")
    if isinstance(start, int) and isinstance(end, int) and not instance.get("isLocked") and start > end:
        errs.append(invalid("rangeStart", start, "must not be greater than controllerKey"))


def _check_instance_update(errs: Errors, instance: Obj, old: Obj) -> None:
    check_immutable(errs, "controllerType", instance.get("controllerType"), old.get("controllerType"))


CONTROLLER_INSTANCE = Rules(always=_check_instance, update=_check_instance_update)
