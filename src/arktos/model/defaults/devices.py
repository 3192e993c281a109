"""Defaults of claims to devices."""

from __future__ import annotations

from arktos.model.kinds import Obj


def resource_claim(obj: Obj) -> None:
    """A ResourceClaim."""
    _spec(obj.get("spec"))


def resource_claim_template(obj: Obj) -> None:
    """A ResourceClaimTemplate."""
    _spec((obj.get("spec") or {}).get("spec"))


def _spec(spec: Obj | None) -> None:
    for request in ((spec or {}).get("devices") or {}).get("requests") or ():
        for each in (request.get("exactly"), *(request.get("firstAvailable") or ())):
            if each is not None:
                _request(each)


def _request(request: Obj) -> None:
    """One device, unless it is said how many."""
    if not request.get("allocationMode"):
        request["allocationMode"] = "ExactCount"
    if request["allocationMode"] == "ExactCount" and not request.get("count"):
        request["count"] = 1
    for toleration in request.get("tolerations") or ():
        if not toleration.get("operator"):
            toleration["operator"] = "Equal"
