"""Virtual machines in pods: `spec.virtualMachine`, `nics`, `vpc`, and what may become of them.

The rules are the original's wire rules (one of containers or virtual machine; a key for logging in), with the power
states checked, which the original left open.
"""

from __future__ import annotations

import base64
import binascii

from arktos.model.kinds import Obj
from arktos.model.validation.causes import (
    Errors,
    check_immutable,
    check_messages,
    duplicate,
    forbidden,
    invalid,
    required,
    too_long,
)
from arktos.model.validation.formats import dns_label, ip
from arktos.model.validation.resources import check_requirements

USER_DATA_LIMIT = 65535
"""Bytes of `userData`, decoded."""

_FIXED_NIC = "eth0"


def check_machine(errs: Errors, path: str, spec: Obj) -> None:
    """The virtual machine of a pod spec that has one, its network and its company."""
    if spec.get("containers"):
        errs.append(
            forbidden(f"{path}.containers,virtualMachine", "may not specify both containers and virtualMachine")
        )
    machine = spec["virtualMachine"]
    at = f"{path}.virtualMachine"
    name = machine.get("name", "")
    if not name:
        errs.append(required(f"{at}.name"))
    else:
        check_messages(errs, f"{at}.name", name, dns_label(name))
    if not machine.get("keyPairName") and not machine.get("publicKey"):
        errs.append(required(f"{at}.keyPairName", "one of keyPairName and publicKey is required"))
    if machine.get("userData"):
        _check_user_data(errs, f"{at}.userData", machine["userData"])
    if machine.get("resources"):
        check_requirements(errs, f"{at}.resources", machine["resources"])
    for field, key in (("volumeMounts", "mountPath"), ("volumeDevices", "devicePath")):
        _check_paths(errs, f"{at}.{field}", machine.get(field) or [], key)


def _check_user_data(errs: Errors, field: str, text: str) -> None:
    if len(text) > USER_DATA_LIMIT * 2:
        errs.append(too_long(field, USER_DATA_LIMIT))
        return
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        errs.append(invalid(field, text, "must be base64"))
        return
    if len(data) > USER_DATA_LIMIT:
        errs.append(too_long(field, USER_DATA_LIMIT))


def _check_paths(errs: Errors, path: str, entries: list[Obj], key: str) -> None:
    seen: set[str] = set()
    for i, entry in enumerate(entries):
        at = entry.get(key, "")
        for field in ("name", key):
            if not entry.get(field):
                errs.append(required(f"{path}[{i}].{field}"))
        if at and at in seen:
            errs.append(invalid(f"{path}[{i}].{key}", at, "must be unique"))
        seen.add(at)


def check_nics(errs: Errors, path: str, nics: list[Obj]) -> None:
    """`spec.nics`: unique names, addresses that are some."""
    seen: set[str] = set()
    for i, nic in enumerate(nics):
        name = nic.get("name")
        if name:
            if name in seen:
                errs.append(duplicate(f"{path}[{i}].name", name))
            seen.add(name)
        if nic.get("ipAddress"):
            check_messages(errs, f"{path}[{i}].ipAddress", nic["ipAddress"], ip(nic["ipAddress"]))


def check_machine_update(errs: Errors, spec: Obj, old: Obj) -> None:
    """What may become of a pod's virtual machine and network: much, but a pod stays what it is and where it is."""
    if ("virtualMachine" in spec) != ("virtualMachine" in old):
        errs.append(forbidden("spec.virtualMachine", "may not be added to or removed from a pod"))
    check_immutable(errs, "spec.vpc", spec.get("vpc", ""), old.get("vpc", ""))
    _check_nics_update(errs, spec.get("nics") or [], old.get("nics") or [])


def _check_nics_update(errs: Errors, nics: list[Obj], old: list[Obj]) -> None:
    now = {nic.get("name"): (i, nic) for i, nic in enumerate(nics) if nic.get("name")}
    for before in old:
        name = before.get("name")
        if name == _FIXED_NIC and name not in now:
            errs.append(forbidden("spec.nics", f"nic {_FIXED_NIC} may not be removed"))
        if name in now and before.get("portId"):
            i, nic = now[name]
            check_immutable(errs, f"spec.nics[{i}].portId", nic.get("portId", ""), before["portId"])
