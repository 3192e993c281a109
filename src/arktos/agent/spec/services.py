"""Environment variables that describe Services: `NAME_SERVICE_HOST` and its kin."""

from __future__ import annotations

from collections.abc import Iterable

from arktos.model.kinds import Obj


def service_variables(services: Iterable[Obj], namespace: str, links: bool) -> dict[str, str]:
    """The variables of the services that a pod sees: those of its namespace if it wants `links`, and always
    `kubernetes` of the namespace `default`, unless its own namespace has one of that name."""
    seen: dict[str, Obj] = {}
    for service in services:
        meta, address = service["metadata"], (service.get("spec") or {}).get("clusterIP")
        if not address or address == "None":
            continue
        name, home = meta["name"], meta.get("namespace", "")
        if home == namespace and links:
            seen[name] = service
        elif home == "default" and name == "kubernetes":
            seen.setdefault(name, service)
    variables: dict[str, str] = {}
    for name in sorted(seen):
        variables.update(_variables(seen[name]))
    return variables


def _variables(service: Obj) -> dict[str, str]:
    spec = service["spec"]
    address, ports = spec["clusterIP"], spec.get("ports") or []
    prefix = _variable(service["metadata"]["name"])
    found = {f"{prefix}_SERVICE_HOST": address}
    for position, port in enumerate(ports):
        number, protocol = str(port["port"]), port.get("protocol") or "TCP"
        url = f"{protocol.lower()}://{f'[{address}]' if ':' in address else address}:{number}"
        if position == 0:
            found[f"{prefix}_SERVICE_PORT"] = number
            found[f"{prefix}_PORT"] = url
        if port.get("name"):
            found[f"{prefix}_SERVICE_PORT_{_variable(port['name'])}"] = number
        each = f"{prefix}_PORT_{number}_{protocol.upper()}"
        found.update({each: url, f"{each}_PROTO": protocol.lower(), f"{each}_PORT": number, f"{each}_ADDR": address})
    return found


def _variable(name: str) -> str:
    return name.upper().replace("-", "_")
