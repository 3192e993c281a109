"""What becomes of a request for a certificate. Pure: the request as it stands in, what to write or remove out."""

from __future__ import annotations

import base64
import binascii
import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509

from arktos.controllers import conditions
from arktos.controllers.certificates import signers
from arktos.controllers.certificates.authority import SKEW, Authority
from arktos.controllers.certificates.signers import Names
from arktos.model import dates
from arktos.model.kinds import SYSTEM_TENANT, Obj

PENDING_SECONDS = 24 * 3600.0
SETTLED_SECONDS = 3600.0
"""How long requests are kept: those that nobody answers, and those that were answered."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do: a subresource whose status is to be `status`, or the removal of the request. `after` are seconds
    until there is something to do again."""

    subresource: str = ""
    status: Obj | None = None
    remove: bool = False
    after: float | None = None


def step(csr: Obj, node: Obj | None, authority: Authority | None, now: float) -> Step:
    """The next step of a request. `node` is the node that it names, if there is one."""
    expires = expiry(csr)
    if expires is not None and now >= expires:
        return Step(remove=True)
    later = Step(after=None if expires is None else expires - now)
    spec, status = csr.get("spec") or {}, csr.get("status") or {}
    given = status.get("conditions") or []
    signer = str(spec.get("signerName"))
    if signer not in signers.SIGNERS or conditions.is_true(given, "Denied") or conditions.is_true(given, "Failed"):
        return later
    stamp = dates.rfc3339(dates.from_unix(now))
    tenant = csr["metadata"].get("tenant") or SYSTEM_TENANT
    try:
        request = x509.load_pem_x509_csr(base64.b64decode(str(spec.get("request"))))
        names = Names.of(request)
    except (ValueError, binascii.Error) as error:
        return _failed(status, "SignerValidationFailure", f"the request cannot be read: {error}", stamp)
    objection = signers.objection(signer, names, spec.get("usages") or (), tenant)
    if not conditions.is_true(given, "Approved"):
        if objection or not signers.approves(spec, names, node):
            return later
        why = "Auto approving node certificate after checking whose it is"
        return _with(status, "approval", "Approved", "AutoApproved", why, stamp)
    if status.get("certificate") or authority is None:
        return later
    if objection:
        return _failed(status, "SignerValidationFailure", objection, stamp)
    when = datetime.datetime.fromtimestamp(now, datetime.UTC)
    # A tenant's certificate must not seem older than the tenant.
    skew = SKEW if tenant == SYSTEM_TENANT else datetime.timedelta()
    usages, seconds = spec.get("usages") or (), spec.get("expirationSeconds")
    signed = authority.sign(request, signers.subject(names, tenant), usages, when, seconds, skew)
    return Step("status", {**status, "certificate": base64.b64encode(signed).decode()})


def node_name(csr: Obj) -> str:
    """The node that a request is for, "" if it is for none."""
    spec = csr.get("spec") or {}
    try:
        names = Names.of(x509.load_pem_x509_csr(base64.b64decode(str(spec.get("request")))))
    except (ValueError, binascii.Error):
        return ""
    prefix = "system:node:"
    return names.common_name.removeprefix(prefix) if names.common_name.startswith(prefix) else ""


def expiry(csr: Obj) -> float | None:
    """When a request is removed, in seconds since the epoch: an hour after it was answered, a day after it was made
    where nobody has, and at the latest when what was issued holds no more. None for one that was approved and waits for
    its signer: that is kept."""
    status = csr.get("status") or {}
    given: Sequence[Obj] = status.get("conditions") or ()
    created = dates.unix(csr["metadata"]["creationTimestamp"])
    if not given:
        return created + PENDING_SECONDS
    issued = _issued(str(status.get("certificate") or ""))
    times = []
    for each in given:
        if each.get("type") in ("Denied", "Failed") or (each.get("type") == "Approved" and issued is not None):
            said = each.get("lastUpdateTime")
            times.append((dates.unix(said) if said else created) + SETTLED_SECONDS)
    if issued:
        times.append(issued)
    return min(times, default=None)


def _issued(certificate: str) -> float | None:
    """The end of an issued certificate; 0.0 where it cannot be read, None where there is none."""
    if not certificate:
        return None
    try:
        return x509.load_pem_x509_certificate(base64.b64decode(certificate)).not_valid_after_utc.timestamp()
    except (ValueError, binascii.Error):
        return 0.0


def _failed(status: Obj, reason: str, message: str, stamp: str) -> Step:
    return _with(status, "status", "Failed", reason, message, stamp)


def _with(status: Obj, subresource: str, kind: str, reason: str, message: str, stamp: str) -> Step:
    new = conditions.put(status.get("conditions"), kind, "True", reason, message, stamp, lastUpdateTime=stamp)
    return Step(subresource, {**status, "conditions": new})
