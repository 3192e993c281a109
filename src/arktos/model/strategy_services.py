"""What the server keeps for services: allocated addresses and ports, and the fields that belong to a type."""

from __future__ import annotations

from arktos.model.kinds import Obj

_NODE_PORT_TYPES = ("NodePort", "LoadBalancer")
_ADDRESSES = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")


def prepare_create(service: Obj) -> None:
    """One address in both fields, and families for those that will be allocated."""
    spec = service.get("spec") or {}
    _pair_addresses(spec, {})
    _choose_families(spec)


def prepare_update(service: Obj, old: Obj) -> None:
    """Keep what was allocated and isn't named; drop what came with a type that the service no longer has."""
    spec, before = service.get("spec") or {}, old.get("spec") or {}
    if _needs_address(spec) and _needs_address(before):
        _keep_addresses(spec, before)
    _pair_addresses(spec, before)
    if _needs_node_ports(spec) and _needs_node_ports(before):
        _keep_node_ports(spec, before)
    if _needs_health_check(spec) and _needs_health_check(before) and not spec.get("healthCheckNodePort"):
        _copy(spec, before, "healthCheckNodePort")
    _drop_dependents(spec, before)
    _choose_families(spec)


def _needs_address(spec: Obj) -> bool:
    return spec.get("type") != "ExternalName"


def _needs_node_ports(spec: Obj) -> bool:
    kind = spec.get("type")
    return kind == "NodePort" or (kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False)


def _needs_health_check(spec: Obj) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _is_reachable(spec: Obj) -> bool:
    return spec.get("type") in _NODE_PORT_TYPES or (spec.get("type") == "ClusterIP" and bool(spec.get("externalIPs")))


def _copy(spec: Obj, before: Obj, field: str) -> None:
    if field in before:
        spec[field] = before[field]


def _pair_addresses(spec: Obj, before: Obj) -> None:
    """`clusterIP` and the first of `clusterIPs` are one: a client that knows only one of them speaks for both."""
    first, addresses = spec.get("clusterIP"), spec.get("clusterIPs")
    if first and not addresses:
        spec["clusterIPs"] = [first]
    elif addresses and before and first != before.get("clusterIP") and addresses == before.get("clusterIPs"):
        if first:
            spec["clusterIPs"] = [first]
        else:
            spec.pop("clusterIPs", None)


def _keep_addresses(spec: Obj, before: Obj) -> None:
    if not spec.get("clusterIP") and not spec.get("clusterIPs"):
        _copy(spec, before, "clusterIP")
        _copy(spec, before, "clusterIPs")
    elif not spec.get("clusterIP") and spec.get("clusterIPs") == before.get("clusterIPs"):
        _copy(spec, before, "clusterIP")
    for field in ("ipFamilyPolicy", "ipFamilies"):
        if not spec.get(field):
            _copy(spec, before, field)


def _keep_node_ports(spec: Obj, before: Obj) -> None:
    known = {(p.get("protocol"), p.get("port")): p["nodePort"] for p in before.get("ports") or () if p.get("nodePort")}
    taken = {port.get("nodePort") for port in spec.get("ports") or ()}
    for port in spec.get("ports") or ():
        if not port.get("nodePort"):
            number = known.get((port.get("protocol"), port.get("port")))
            if number and number not in taken:
                port["nodePort"] = number


def _drop_dependents(spec: Obj, before: Obj) -> None:
    """Fields that only the old type has go with it, unless the client has just set them."""
    released = _needs_address(before) and not _needs_address(spec)
    if released and spec.get("clusterIPs") in (None, [], before.get("clusterIPs")):
        for field in _ADDRESSES:
            spec.pop(field, None)
    if _needs_node_ports(before) and not _needs_node_ports(spec):
        old_ports = {port.get("nodePort") for port in before.get("ports") or ()}
        for port in spec.get("ports") or ():
            if port.get("nodePort") in old_ports:
                port.pop("nodePort", None)
    for had, has, fields in (
        (_needs_health_check(before), _needs_health_check(spec), ("healthCheckNodePort",)),
        (_is_reachable(before), _is_reachable(spec), ("externalTrafficPolicy",)),
        (
            before.get("type") == "LoadBalancer",
            spec.get("type") == "LoadBalancer",
            ("allocateLoadBalancerNodePorts", "loadBalancerClass"),
        ),
    ):
        for field in fields:
            if had and not has and spec.get(field) == before.get(field):
                spec.pop(field, None)


def _choose_families(spec: Obj) -> None:
    """IPv4 and one stack, unless addresses, families or a headless service without selector say otherwise."""
    if not _needs_address(spec):
        return
    addresses = spec.get("clusterIPs") or []
    headless = addresses == ["None"]
    anywhere = headless and not spec.get("selector")
    if not spec.get("ipFamilyPolicy"):
        two = len(spec.get("ipFamilies") or ()) > 1 or len(addresses) > 1
        spec["ipFamilyPolicy"] = (
            "RequireDualStack" if two or (anywhere and not spec.get("ipFamilies")) else "SingleStack"
        )
    if not spec.get("ipFamilies"):
        families = ["IPv6" if ":" in each else "IPv4" for each in addresses if not headless] or ["IPv4"]
        spec["ipFamilies"] = ["IPv4", "IPv6"] if anywhere and spec["ipFamilyPolicy"] != "SingleStack" else families
