"""APIServices: the name says the group-version, and an extension is reached by TLS."""

from __future__ import annotations

from arktos.model.kinds import Obj
from arktos.model.validation.causes import Errors, between, check_messages, forbidden, invalid, required
from arktos.model.validation.formats import dns_1035_label, dns_subdomain
from arktos.model.validation.rules import Rules

_MOST_GROUP_PRIORITY, _MOST_VERSION_PRIORITY = 20000, 1000


def _check(errs: Errors, obj: Obj) -> None:
    spec = obj.get("spec") or {}
    group, version = spec.get("group") or "", spec.get("version") or ""
    name = (obj.get("metadata") or {}).get("name") or ""
    if name and name != f"{version}.{group}":
        errs.append(invalid("metadata.name", name, 'must be `spec.version+"."+spec.group`'))
    if group:
        check_messages(errs, "spec.group", group, dns_subdomain(group))
    elif version != "v1":
        errs.append(required("spec.group", "only v1 may have an empty group and it better be legacy kube"))
    if version:
        check_messages(errs, "spec.version", version, dns_1035_label(version))
    else:
        errs.append(required("spec.version"))
    _check_priority(errs, "spec.groupPriorityMinimum", spec.get("groupPriorityMinimum"), _MOST_GROUP_PRIORITY)
    _check_priority(errs, "spec.versionPriority", spec.get("versionPriority"), _MOST_VERSION_PRIORITY)
    _check_service(errs, spec)


def _check_priority(errs: Errors, field: str, value: int | None, most: int) -> None:
    if not 0 < (value or 0) <= most:
        errs.append(invalid(field, value or 0, f"must be positive and less than {most}"))


def _check_service(errs: Errors, spec: Obj) -> None:
    service = spec.get("service")
    if service is None:
        if spec.get("caBundle"):
            size = f"{len(spec['caBundle'])} bytes"
            errs.append(invalid("spec.caBundle", size, "local APIServices may not have a caBundle"))
        if spec.get("insecureSkipTLSVerify"):
            detail = "local APIServices may not have insecureSkipTLSVerify"
            errs.append(invalid("spec.insecureSkipTLSVerify", True, detail))
        return
    for field in ("namespace", "name"):
        if not service.get(field):
            errs.append(required(f"spec.service.{field}"))
    if not 1 <= (service.get("port") or 443) <= 65535:
        errs.append(invalid("spec.service.port", service["port"], "port is not valid: " + between(1, 65535)))
    if spec.get("insecureSkipTLSVerify") and spec.get("caBundle"):
        detail = "may not be true if caBundle is present"
        errs.append(invalid("spec.insecureSkipTLSVerify", True, detail))


def _check_local(errs: Errors, obj: Obj) -> None:
    """Who names no service says that this server answers, which it does for what it has, unasked."""
    if (obj.get("spec") or {}).get("service") is None:
        errs.append(forbidden("spec.service", "local APIServices are this server's own"))


API_SERVICE = Rules(always=_check, create=_check_local)
