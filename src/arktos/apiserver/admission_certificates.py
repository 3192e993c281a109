"""Requests for certificates: whose they are, and who may approve, sign and ask for what.

As Kubernetes' admission plugins CertificateApproval, CertificateSigning and CertificateSubjectRestriction.
"""

from __future__ import annotations

import base64
import binascii
import time

from cryptography import x509
from cryptography.x509.oid import NameOID

from arktos.apiserver.admission import Attempt, Effects, Step
from arktos.apiserver.authz import Attributes, Authorizer
from arktos.apiserver.encoding import stamp
from arktos.apiserver.identity import User
from arktos.model.kinds import Obj
from arktos.model.status import FieldError, forbidden, invalid

RESOURCE = "certificatesigningrequests.certificates.k8s.io"
API_CLIENT = "kubernetes.io/kube-apiserver-client"
_MASTERS = "system:masters"


def step(authorizer: Authorizer) -> Step:
    """The admission step for requests."""

    def admit(attempt: Attempt, effects: Effects) -> None:
        user = attempt.call.user
        if attempt.operation == "create":
            _own(attempt.obj, user)
            _check_subject(attempt.obj)
            return
        _stamp(attempt)
        if attempt.subresource == "approval" and _changed(attempt, "conditions"):
            _require(authorizer, attempt, "approve")
        elif attempt.subresource == "status" and _changed(attempt, "certificate"):
            _require(authorizer, attempt, "sign")

    return admit


def _own(obj: Obj, user: User) -> None:
    """A request is its sender's, whatever it says."""
    spec = obj.setdefault("spec", {})
    spec["username"] = user.name
    for field, value in (("uid", user.uid), ("groups", list(user.groups)), ("extra", _extra(user))):
        if value:
            spec[field] = value
        else:
            spec.pop(field, None)


def _stamp(attempt: Attempt) -> None:
    """When a condition was said, and when its status became what it is, where the writer left that open."""
    if attempt.subresource not in ("approval", "status"):
        return
    now = stamp(time.time())
    earlier = {each.get("type"): each for each in ((attempt.old or {}).get("status") or {}).get("conditions") or ()}
    for each in (attempt.obj.get("status") or {}).get("conditions") or ():
        if not each.get("lastUpdateTime"):
            each["lastUpdateTime"] = now
        if not each.get("lastTransitionTime"):
            old = earlier.get(each.get("type"), {})
            same = old.get("status") == each.get("status") and old.get("lastTransitionTime")
            each["lastTransitionTime"] = same or now


def _extra(user: User) -> dict[str, list[str]]:
    return {name: list(values) for name, values in (user.extra or {}).items()}


def _changed(attempt: Attempt, field: str) -> bool:
    old = (attempt.old or {}).get("status") or {}
    return bool((attempt.obj.get("status") or {}).get(field) != old.get(field))


def _require(authorizer: Authorizer, attempt: Attempt, verb: str) -> None:
    """The right to a signer is asked for by its name, or for the whole of its domain."""
    call, signer = attempt.call, str((attempt.obj.get("spec") or {}).get("signerName"))
    domain = f"{signer.partition('/')[0]}/*"
    for name in (signer, domain):
        question = Attributes(call.user, verb, call.tenant, "certificates.k8s.io", "signers", name=name)
        if authorizer.authorize(question).allowed:
            return
    why = f'user not permitted to {verb} requests with signerName "{signer}"'
    raise forbidden(RESOURCE, attempt.obj["metadata"].get("name", ""), why)


def _check_subject(obj: Obj) -> None:
    spec = obj.get("spec") or {}
    try:
        request = x509.load_pem_x509_csr(base64.b64decode(str(spec.get("request") or ""), validate=True))
    except (ValueError, binascii.Error):
        return  # validation says it better
    if not request.is_signature_valid:
        cause = FieldError("spec.request", "FieldValueInvalid", "Invalid value: the signature is not the key's")
        raise invalid("certificates.k8s.io", "CertificateSigningRequest", obj["metadata"].get("name", ""), [cause])
    groups = [attribute.value for attribute in request.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    if spec.get("signerName") == API_CLIENT and _MASTERS in groups:
        why = f"use of {API_CLIENT} signer with {_MASTERS} group is not allowed"
        raise forbidden(RESOURCE, obj["metadata"].get("name", ""), why)
