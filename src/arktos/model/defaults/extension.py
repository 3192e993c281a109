"""Defaults of what extends the API."""

from __future__ import annotations

from arktos.model.kinds import Obj


def definition(obj: Obj) -> None:
    """CustomResourceDefinition."""
    spec = obj.setdefault("spec", {})
    names = spec.setdefault("names", {})
    kind = names.get("kind")
    if kind and not names.get("singular"):
        names["singular"] = kind.lower()
    if kind and not names.get("listKind"):
        names["listKind"] = f"{kind}List"
    conversion = spec.setdefault("conversion", {})
    if not conversion.get("strategy"):
        conversion["strategy"] = "None"
    service = ((conversion.get("webhook") or {}).get("clientConfig") or {}).get("service")
    if service is not None and service.get("port") is None:
        service["port"] = 443


def api_service(obj: Obj) -> None:
    service = (obj.get("spec") or {}).get("service")
    if service and not service.get("port"):
        service["port"] = 443
