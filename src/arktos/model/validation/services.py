"""Services: ports, addresses, families, and what of them may change."""

from __future__ import annotations

from arktos.model.kinds import Obj
from arktos.model.validation.causes import (
    IMMUTABLE,
    Errors,
    check_messages,
    duplicate,
    forbidden,
    invalid,
    not_supported,
    required,
)
from arktos.model.validation.formats import (
    cidr,
    dns_label,
    dns_subdomain,
    ip,
    non_special_ip,
    parse_ip,
    port,
    port_number,
    qualified_name,
)
from arktos.model.validation.labels import check_labels
from arktos.model.validation.rules import Rules

_ONLY_BALANCER = "may only be used when `type` is 'LoadBalancer'"
_NOT_EXTERNAL_NAME = "may not be set for ExternalName services"
_CHANGED = "may not change once set"
_MAX_AFFINITY = 86400
_DISTRIBUTIONS = ("PreferClose", "PreferSameNode", "PreferSameZone")
_IP_MODES = ("Proxy", "VIP")


def _spec(service: Obj) -> Obj:
    return service.get("spec") or {}


def _is_headless(spec: Obj) -> bool:
    return spec.get("clusterIPs") == ["None"] or (not spec.get("clusterIPs") and spec.get("clusterIP") == "None")


def _check(errs: Errors, service: Obj) -> None:
    spec = _spec(service)
    kind = spec.get("type", "")
    headless = _is_headless(spec)
    if not kind:
        errs.append(required("spec.type"))
    if not spec.get("ports") and not headless and kind != "ExternalName":
        errs.append(required("spec.ports"))
    if headless and kind in ("LoadBalancer", "NodePort"):
        errs.append(invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services"))
    if kind == "ExternalName":
        _check_external_name(errs, spec)
    else:
        _check_cluster_ips(errs, spec, headless)
    _check_ports(errs, spec.get("ports") or [], kind)
    if spec.get("selector"):
        check_labels(errs, "spec.selector", spec["selector"])
    _check_affinity(errs, spec)
    for i, address in enumerate(spec.get("externalIPs") or ()):
        field = f"spec.externalIPs[{i}]"
        check_messages(errs, field, address, ip(address) or non_special_ip(address))
    _check_balancer(errs, spec, kind)
    _check_traffic(errs, spec, kind)


def _check_external_name(errs: Errors, spec: Obj) -> None:
    for field in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if spec.get(field):
            errs.append(forbidden(f"spec.{field}", _NOT_EXTERNAL_NAME))
    name = spec.get("externalName", "").removesuffix(".")
    if not name:
        errs.append(required("spec.externalName"))
    else:
        check_messages(errs, "spec.externalName", name, dns_subdomain(name))


def _check_ports(errs: Errors, ports: list[Obj], kind: str) -> None:
    names: set[str] = set()
    numbers: set[tuple[str, int]] = set()
    node_ports: set[tuple[str, int]] = set()
    for i, each in enumerate(ports):
        path = f"spec.ports[{i}]"
        _check_port(errs, path, each, len(ports) > 1, names)
        protocol, number, node = each.get("protocol", ""), each.get("port", 0), each.get("nodePort", 0)
        if (protocol, number) in numbers:
            errs.append(duplicate(path, {"protocol": protocol, "port": number}))
        numbers.add((protocol, number))
        if not node:
            continue
        if kind == "ClusterIP":
            errs.append(forbidden(f"{path}.nodePort", "may not be used when `type` is 'ClusterIP'"))
        elif (protocol, node) in node_ports:
            errs.append(duplicate(f"{path}.nodePort", node))
        check_messages(errs, f"{path}.nodePort", node, port_number(node))
        node_ports.add((protocol, node))


def _check_port(errs: Errors, path: str, each: Obj, needs_name: bool, names: set[str]) -> None:
    name = each.get("name", "")
    if name:
        check_messages(errs, f"{path}.name", name, dns_label(name))
        if name in names:
            errs.append(duplicate(f"{path}.name", name))
        names.add(name)
    elif needs_name:
        errs.append(required(f"{path}.name"))
    number = each.get("port", 0)
    check_messages(errs, f"{path}.port", number, port_number(number))
    target = each.get("targetPort")
    if target is not None and target != number:
        check_messages(errs, f"{path}.targetPort", target, port(target))
    if each.get("appProtocol") is not None:
        check_messages(errs, f"{path}.appProtocol", each["appProtocol"], qualified_name(each["appProtocol"]))


def _check_affinity(errs: Errors, spec: Obj) -> None:
    kind, config = spec.get("sessionAffinity", ""), spec.get("sessionAffinityConfig")
    if not kind:
        errs.append(required("spec.sessionAffinity"))
    elif kind == "None":
        if config is not None:
            detail = "must not be set when session affinity is None"
            errs.append(forbidden("spec.sessionAffinityConfig", detail))
    elif kind == "ClientIP":
        field = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
        seconds = ((config or {}).get("clientIP") or {}).get("timeoutSeconds")
        if seconds is None:
            errs.append(required(field, "when session affinity type is ClientIP"))
        elif not 0 < seconds <= _MAX_AFFINITY:
            errs.append(invalid(field, seconds, f"must be greater than 0 and less than {_MAX_AFFINITY}"))


def _check_cluster_ips(errs: Errors, spec: Obj, headless: bool) -> None:
    first, addresses = spec.get("clusterIP", ""), spec.get("clusterIPs") or []
    if first and addresses and addresses[0] != first:
        errs.append(invalid("spec.clusterIPs", addresses, "first value must match `clusterIP`"))
    elif addresses and not first:
        errs.append(invalid("spec.clusterIPs", addresses, "must be empty when `clusterIP` is not specified"))
    families = spec.get("ipFamilies") or []
    for i, family in enumerate(families):
        if family in families[:i]:
            errs.append(duplicate(f"spec.ipFamilies[{i}]", family))
    if headless:
        return
    if len(addresses) > 1 and "None" in addresses:
        errs.append(invalid("spec.clusterIPs", addresses, "'None' must be the first and only value"))
        return
    if len(addresses) > 2:
        errs.append(invalid("spec.clusterIPs", addresses, "may only hold up to 2 values"))
    found = len(errs)
    for i, address in enumerate(addresses or ([first] if first else [])):
        check_messages(errs, f"spec.clusterIPs[{i}]", address, ip(address))
    if len(errs) == found:
        _check_families(errs, addresses, families)


def _check_families(errs: Errors, addresses: list[str], families: list[str]) -> None:
    actual = ["IPv6" if ":" in address else "IPv4" for address in addresses]
    if len(set(actual)) != len(actual):
        detail = "may specify no more than one IP for each IP family"
        errs.append(invalid("spec.clusterIPs", addresses, detail))
    for i, (address, family, wanted) in enumerate(zip(addresses, actual, families, strict=False)):
        if family != wanted and wanted in ("IPv4", "IPv6"):
            detail = f"expected an {wanted} value as indicated by `ipFamilies[{i}]`"
            errs.append(invalid(f"spec.clusterIPs[{i}]", address, detail))


def _check_balancer(errs: Errors, spec: Obj, kind: str) -> None:
    balancer = kind == "LoadBalancer"
    ranges = spec.get("loadBalancerSourceRanges")
    if ranges:
        if not balancer:
            errs.append(forbidden("spec.LoadBalancerSourceRanges", _ONLY_BALANCER))
        for i, text in enumerate(ranges):
            check_messages(errs, f"spec.LoadBalancerSourceRanges[{i}]", text.strip(), cidr(text.strip()))
    if spec.get("allocateLoadBalancerNodePorts") is not None and not balancer:
        errs.append(forbidden("spec.allocateLoadBalancerNodePorts", _ONLY_BALANCER))
    name = spec.get("loadBalancerClass")
    if name is not None:
        if balancer:
            check_messages(errs, "spec.loadBalancerClass", name, qualified_name(name))
        else:
            errs.append(forbidden("spec.loadBalancerClass", _ONLY_BALANCER))


def _needs_health_check(spec: Obj) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _check_traffic(errs: Errors, spec: Obj, kind: str) -> None:
    external, health = spec.get("externalTrafficPolicy", ""), spec.get("healthCheckNodePort", 0)
    reachable = kind in ("LoadBalancer", "NodePort") or (kind == "ClusterIP" and bool(spec.get("externalIPs")))
    if external and not reachable:
        detail = "may only be set for externally-accessible services"
        errs.append(invalid("spec.externalTrafficPolicy", external, detail))
    elif reachable and not external:
        errs.append(required("spec.externalTrafficPolicy"))
    if health and not _needs_health_check(spec):
        detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        errs.append(invalid("spec.healthCheckNodePort", health, detail))
    elif health:
        check_messages(errs, "spec.healthCheckNodePort", health, port_number(health))
    distribution = spec.get("trafficDistribution")
    if distribution is not None and distribution not in _DISTRIBUTIONS:
        errs.append(not_supported("spec.trafficDistribution", distribution, _DISTRIBUTIONS))


def _check_update(errs: Errors, service: Obj, old: Obj) -> None:
    new_spec, old_spec = _spec(service), _spec(old)
    if _needs_health_check(new_spec) and _needs_health_check(old_spec):
        before = old_spec.get("healthCheckNodePort", 0)
        if before and new_spec.get("healthCheckNodePort", 0) != before:
            errs.append(forbidden("spec.healthCheckNodePort", IMMUTABLE))
    classes = [each.get("loadBalancerClass") for each in (new_spec, old_spec)]
    if new_spec.get("type") == old_spec.get("type") == "LoadBalancer" and classes[0] != classes[1]:
        errs.append(invalid("spec.loadBalancerClass", classes[0], _CHANGED))
    if "ExternalName" in (new_spec.get("type"), old_spec.get("type")):
        return
    if _is_headless(new_spec) and _is_headless(old_spec):
        return
    _check_kept(errs, new_spec, old_spec, "clusterIPs", "clusterIP")
    if not _is_headless(new_spec) and not _is_headless(old_spec):
        _check_kept(errs, new_spec, old_spec, "ipFamilies", "ipFamily")


def _check_kept(errs: Errors, spec: Obj, old: Obj, field: str, noun: str) -> None:
    """The first stays; the second may be added, and removed by those who say SingleStack."""
    now, before = spec.get(field) or [], old.get(field) or []
    if not before:
        return
    if not now:
        errs.append(invalid(f"spec.{field}[0]", now, f"primary {noun} can not be unset"))
    elif now[0] != before[0]:
        errs.append(invalid(f"spec.{field}[0]", now, _CHANGED))
    elif len(now) == len(before) and now != before:
        errs.append(invalid(f"spec.{field}[1]", now, _CHANGED))
    elif len(now) < len(before) and spec.get("ipFamilyPolicy") != "SingleStack":
        detail = f"must be set to 'SingleStack' when releasing the secondary {noun}"
        errs.append(invalid("spec.ipFamilyPolicy", spec.get("ipFamilyPolicy"), detail))


def check_balancer_status(errs: Errors, path: str, status: Obj) -> None:
    """The addresses that a load balancer gave."""
    for i, ingress in enumerate(status.get("ingress") or ()):
        field = f"{path}.ingress[{i}]"
        address, name, mode = ingress.get("ip"), ingress.get("hostname"), ingress.get("ipMode")
        if address:
            check_messages(errs, f"{field}.ip", address, ip(address))
        if mode is not None:
            if not address:
                errs.append(forbidden(f"{field}.ipMode", "may not be specified when `ip` is not set"))
            elif mode not in _IP_MODES:
                errs.append(not_supported(f"{field}.ipMode", mode, _IP_MODES))
        if name:
            check_messages(errs, f"{field}.hostname", name, dns_subdomain(name))
            if parse_ip(name):
                errs.append(invalid(f"{field}.hostname", name, "must be a DNS name, not an IP address"))


def _check_status(errs: Errors, service: Obj, old: Obj) -> None:
    balancer = (service.get("status") or {}).get("loadBalancer") or {}
    if balancer.get("ingress") and _spec(old).get("type") != "LoadBalancer":
        detail = "may only be used when `spec.type` is 'LoadBalancer'"
        errs.append(forbidden("status.loadBalancer.ingress", detail))
        return
    check_balancer_status(errs, "status.loadBalancer", balancer)


SERVICE = Rules(always=_check, update=_check_update, subresources={"status": _check_status})
