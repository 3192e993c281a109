"""Requests for certificates: what may be asked, and what approval and signing may add."""

from __future__ import annotations

import base64
import binascii
import re

from arktos.model.kinds import Obj
from arktos.model.validation.causes import Errors, check_immutable, duplicate, invalid, not_supported, required
from arktos.model.validation.formats import dns_subdomain
from arktos.model.validation.rules import Rules

USAGES = frozenset(
    {
        *("signing", "digital signature", "content commitment", "key encipherment", "key agreement"),
        *("data encipherment", "cert sign", "crl sign", "encipher only", "decipher only", "any", "server auth"),
        *("client auth", "code signing", "email protection", "s/mime", "ipsec end system", "ipsec tunnel"),
        *("ipsec user", "timestamping", "ocsp signing", "microsoft sgc", "netscape sgc"),
    }
)
SHORTEST_SECONDS = 600

_BASE64 = rb"-----[A-Za-z0-9+/=\s]+-----"
_PEM = re.compile(rb"-----BEGIN (NEW )?CERTIFICATE REQUEST" + _BASE64 + rb"END (NEW )?CERTIFICATE REQUEST-----")
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE" + _BASE64 + rb"END CERTIFICATE-----")


def _decoded(value: object) -> bytes:
    try:
        return base64.b64decode(str(value), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _check_new(errs: Errors, obj: Obj) -> None:
    spec = obj.get("spec") or {}
    if spec.get("request") and not _PEM.search(_decoded(spec["request"])):
        errs.append(invalid("spec.request", "", "PEM block type must be CERTIFICATE REQUEST"))
    signer = str(spec.get("signerName") or "")
    host, slash, rest = signer.partition("/")
    if signer and (not slash or not rest or dns_subdomain(host)):
        errs.append(invalid("spec.signerName", signer, "must be a fully qualified domain and path of the form 'a.b/c'"))
    usages = spec.get("usages") or []
    if not usages:
        errs.append(required("spec.usages", ""))
    seen: set[str] = set()
    for i, usage in enumerate(usages):
        if usage not in USAGES:
            errs.append(not_supported(f"spec.usages[{i}]", usage, sorted(USAGES)))
        elif usage in seen:
            errs.append(duplicate(f"spec.usages[{i}]", usage))
        seen.add(str(usage))
    seconds = spec.get("expirationSeconds")
    if isinstance(seconds, int) and seconds < SHORTEST_SECONDS:
        why = f"may not specify a duration less than {SHORTEST_SECONDS}"
        errs.append(invalid("spec.expirationSeconds", seconds, why))


def _conditions(obj: Obj) -> dict[str, Obj]:
    return {str(each.get("type")): each for each in (obj.get("status") or {}).get("conditions") or ()}


def _check_conditions(errs: Errors, obj: Obj, old: Obj) -> None:
    """Approval and denial exclude each other, and neither is ever taken back."""
    now, before = _conditions(obj), _conditions(old)
    if {"Approved", "Denied"} <= now.keys():
        errs.append(invalid("status.conditions", "Denied", "Approved and Denied conditions are mutually exclusive"))
    for kind in ("Approved", "Denied", "Failed"):
        if kind in before and kind not in now:
            errs.append(invalid("status.conditions", kind, f'updates may not remove a condition of type "{kind}"'))
        if kind in now and now[kind].get("status") != "True":
            errs.append(invalid("status.conditions", now[kind].get("status"), f"{kind} must have the status True"))


def _check_status(errs: Errors, obj: Obj, old: Obj) -> None:
    _check_conditions(errs, obj, old)
    for kind in ("Approved", "Denied"):
        if (kind in _conditions(obj)) != (kind in _conditions(old)):
            errs.append(invalid("status.conditions", kind, "is set through the approval subresource only"))
    given, before = (obj.get("status") or {}).get("certificate"), (old.get("status") or {}).get("certificate")
    if before and given != before:
        errs.append(invalid("status.certificate", "", "field is immutable once it is set"))
    if given and not _CERTIFICATE.search(_decoded(given)):
        errs.append(invalid("status.certificate", "", "must hold PEM blocks of type CERTIFICATE"))


def _check_update(errs: Errors, obj: Obj, old: Obj) -> None:
    check_immutable(errs, "spec", obj.get("spec"), old.get("spec"))


REQUEST = Rules(
    create=_check_new, update=_check_update, subresources={"approval": _check_conditions, "status": _check_status}
)
