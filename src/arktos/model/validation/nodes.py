"""Nodes."""

from __future__ import annotations

from arktos.model.kinds import Obj
from arktos.model.validation.causes import Errors, check_messages, duplicate, forbidden, invalid
from arktos.model.validation.formats import cidr, parse_cidr
from arktos.model.validation.resources import check_amount
from arktos.model.validation.rules import Rules
from arktos.model.validation.scheduling import check_taints


def _check(errs: Errors, node: Obj) -> None:
    spec = node.get("spec") or {}
    if spec.get("taints"):
        check_taints(errs, "metadata.taints", spec["taints"])
    blocks = spec.get("podCIDRs") or []
    for i, block in enumerate(blocks):
        check_messages(errs, f"spec.podCIDRs[{i}]", block, cidr(block))
        if block in blocks[:i]:
            errs.append(duplicate(f"spec.podCIDRs[{i}]", block))
    versions = [parsed.version for parsed in map(parse_cidr, blocks) if parsed]
    if len(set(versions)) != len(versions):
        errs.append(invalid("spec.podCIDRs", blocks, "may specify no more than one CIDR for each IP family"))
    _check_status(errs, node)


def _check_status(errs: Errors, node: Obj) -> None:
    status = node.get("status") or {}
    for name in ("capacity", "allocatable"):
        for resource, value in (status.get(name) or {}).items():
            check_amount(errs, f"status.{name}.{resource}", resource, value)


def _check_update(errs: Errors, node: Obj, old: Obj) -> None:
    new_spec, old_spec = node.get("spec") or {}, old.get("spec") or {}
    if old_spec.get("podCIDRs") and new_spec.get("podCIDRs") != old_spec["podCIDRs"]:
        detail = 'node updates may not change podCIDR except from "" to valid'
        errs.append(forbidden("spec.podCIDRs", detail))
    if old_spec.get("providerID") and new_spec.get("providerID") != old_spec["providerID"]:
        detail = 'node updates may not change providerID except from "" to valid'
        errs.append(forbidden("spec.providerID", detail))
    if new_spec.get("externalID", "") != old_spec.get("externalID", ""):
        errs.append(forbidden("spec.externalID", "may not be updated"))


def _check_status_update(errs: Errors, node: Obj, old: Obj) -> None:
    _check_status(errs, node)
    seen: set[tuple[str, str]] = set()
    for i, address in enumerate((node.get("status") or {}).get("addresses") or ()):
        key = (address.get("type", ""), address.get("address", ""))
        if key in seen:
            errs.append(duplicate(f"status.addresses[{i}]", address))
        seen.add(key)


NODE = Rules(always=_check, update=_check_update, subresources={"status": _check_status_update})
