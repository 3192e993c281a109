"""Ingresses, ingress classes, network policies, addresses and address ranges."""

from __future__ import annotations

import ipaddress

from arktos.model.kinds import Obj
from arktos.model.validation.causes import (
    Errors,
    check_immutable,
    check_messages,
    forbidden,
    invalid,
    not_supported,
    required,
)
from arktos.model.validation.formats import (
    cidr,
    dns_label,
    dns_subdomain,
    domain_prefixed,
    http_path,
    parse_cidr,
    parse_ip,
    path_segment,
    port,
    port_name,
    port_number,
    wildcard_subdomain,
)
from arktos.model.validation.labels import check_selector
from arktos.model.validation.rules import Rules
from arktos.model.validation.services import check_balancer_status

_CLASS_ANNOTATION = "kubernetes.io/ingress.class"
_BAD_SEQUENCES = ("//", "/./", "/../", "%2f", "%2F")
_BAD_SUFFIXES = ("/..", "/.")


def _check_ingress(errs: Errors, obj: Obj) -> None:
    spec = obj.get("spec") or {}
    rules = spec.get("rules") or []
    if not rules and "defaultBackend" not in spec:
        errs.append(invalid("spec", rules, "either `defaultBackend` or `rules` must be specified"))
    for i, rule in enumerate(rules):
        _check_rule(errs, f"spec.rules[{i}]", rule)
    if "defaultBackend" in spec:
        _check_backend(errs, "spec.defaultBackend", spec["defaultBackend"])
    for i, tls in enumerate(spec.get("tls") or ()):
        for j, host in enumerate(tls.get("hosts") or ()):
            field = f"spec.tls[{i}].hosts[{j}]"
            check_messages(errs, field, host, wildcard_subdomain(host) if "*" in host else dns_subdomain(host))
    name = spec.get("ingressClassName")
    if name is not None:
        check_messages(errs, "spec.ingressClassName", name, dns_subdomain(name))


def _check_new_ingress(errs: Errors, obj: Obj) -> None:
    annotations = (obj.get("metadata") or {}).get("annotations") or {}
    if _CLASS_ANNOTATION in annotations and (obj.get("spec") or {}).get("ingressClassName") is not None:
        value, detail = annotations[_CLASS_ANNOTATION], "can not be set when the class field is also set"
        errs.append(invalid(f"annotations.{_CLASS_ANNOTATION}", value, detail))


def _check_rule(errs: Errors, path: str, rule: Obj) -> None:
    host = rule.get("host", "")
    if host:
        if parse_ip(host):
            errs.append(invalid(f"{path}.host", host, "must be a DNS name, not an IP address"))
        elif "*" in host:
            check_messages(errs, f"{path}.host", host, wildcard_subdomain(host))
        else:
            check_messages(errs, f"{path}.host", host, dns_subdomain(host))
    http = rule.get("http")
    if http is None:
        return
    if not http.get("paths"):
        errs.append(required(f"{path}.http.paths"))
    for i, each in enumerate(http.get("paths") or ()):
        _check_path(errs, f"{path}.http.paths[{i}]", each)


def _check_path(errs: Errors, path: str, each: Obj) -> None:
    kind, text = each.get("pathType", ""), each.get("path", "")
    if kind in ("Exact", "Prefix"):
        if not text.startswith("/"):
            errs.append(invalid(f"{path}.path", text, "must be an absolute path"))
        for bad in _BAD_SEQUENCES:
            if bad in text:
                errs.append(invalid(f"{path}.path", text, f"must not contain '{bad}'"))
        for bad in _BAD_SUFFIXES:
            if text.endswith(bad):
                errs.append(invalid(f"{path}.path", text, f"cannot end with '{bad}'"))
    elif kind == "ImplementationSpecific" and text and not text.startswith("/"):
        check_messages(errs, f"{path}.path", text, http_path(text))
    _check_backend(errs, f"{path}.backend", each.get("backend") or {})


def _check_backend(errs: Errors, path: str, backend: Obj) -> None:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        errs.append(invalid(path, "", "cannot set both resource and service backends"))
    elif resource is not None:
        for field in ("kind", "name"):
            if not resource.get(field):
                errs.append(required(f"{path}.resource.{field}"))
    elif service is None:
        errs.append(invalid(path, "", "resource or service backend is required"))
    if service is None:
        return
    name, target = service.get("name", ""), service.get("port") or {}
    if not name:
        errs.append(required(f"{path}.service.name"))
    else:
        check_messages(errs, f"{path}.service.name", name, dns_label(name))
    by_name, number = target.get("name"), target.get("number")
    if by_name and number:
        errs.append(invalid(path, "", "cannot set both port name & port number"))
    elif by_name:
        check_messages(errs, f"{path}.service.port.name", by_name, port_name(by_name))
    elif number:
        check_messages(errs, f"{path}.service.port.number", number, port_number(number))
    else:
        errs.append(required(f"{path}.service.port", "port name or number is required"))


def _check_ingress_status(errs: Errors, obj: Obj, old: Obj) -> None:
    check_balancer_status(errs, "status.loadBalancer", (obj.get("status") or {}).get("loadBalancer") or {})


INGRESS = Rules(always=_check_ingress, create=_check_new_ingress, subresources={"status": _check_ingress_status})


def _check_class(errs: Errors, obj: Obj) -> None:
    spec = obj.get("spec") or {}
    controller = spec.get("controller", "")
    if len(controller) > 250:
        errs.append(invalid("spec.controller", controller, "must be no more than 250 characters"))
    if not controller:
        errs.append(required("spec.controller"))
    else:
        check_messages(errs, "spec.controller", controller, domain_prefixed(controller))
    parameters = spec.get("parameters")
    if parameters is None:
        return
    scope, namespace = parameters.get("scope"), parameters.get("namespace")
    if scope not in ("Cluster", "Namespace"):
        errs.append(not_supported("spec.parameters.scope", scope or "", ("Cluster", "Namespace")))
    if scope == "Namespace":
        if not namespace:
            errs.append(required("spec.parameters.namespace", "`parameters.scope` is set to 'Namespace'"))
        else:
            check_messages(errs, "spec.parameters.namespace", namespace, dns_label(namespace))
    elif scope == "Cluster" and namespace is not None:
        detail = "`parameters.scope` is set to 'Cluster'"
        errs.append(forbidden("spec.parameters.namespace", detail))
    for field in ("kind", "name"):
        text = parameters.get(field, "")
        if not text:
            errs.append(required(f"spec.parameters.{field}"))
        else:
            check_messages(errs, f"spec.parameters.{field}", text, path_segment(text))


def _check_class_update(errs: Errors, obj: Obj, old: Obj) -> None:
    new_spec, old_spec = obj.get("spec") or {}, old.get("spec") or {}
    check_immutable(errs, "spec.controller", new_spec.get("controller"), old_spec.get("controller"))


INGRESS_CLASS = Rules(always=_check_class, update=_check_class_update)


def _check_policy(errs: Errors, obj: Obj) -> None:
    spec = obj.get("spec") or {}
    if "podSelector" in spec:
        check_selector(errs, "spec.podSelector", spec["podSelector"])
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for i, rule in enumerate(spec.get(direction) or ()):
            path = f"spec.{direction}[{i}]"
            for j, each in enumerate(rule.get("ports") or ()):
                _check_policy_port(errs, f"{path}.ports[{j}]", each)
            for j, peer in enumerate(rule.get(peers) or ()):
                _check_peer(errs, f"{path}.{peers}[{j}]", peer)
    kinds = spec.get("policyTypes") or []
    if len(kinds) > 2:
        detail = "may not specify more than two policyTypes"
        errs.append(invalid("spec.policyTypes", kinds, detail))


def _check_policy_port(errs: Errors, path: str, each: Obj) -> None:
    number, end = each.get("port"), each.get("endPort")
    if number is not None:
        check_messages(errs, f"{path}.port", number, port(number))
    if end is None:
        return
    if number is None:
        errs.append(required(f"{path}.port", "must be specified when `endPort` is specified"))
    elif isinstance(number, str):
        errs.append(forbidden(f"{path}.endPort", "may not be specified when `port` is non-numeric"))
    else:
        check_messages(errs, f"{path}.endPort", end, port_number(end))
        if end < number:
            errs.append(invalid(f"{path}.endPort", end, "must be greater than or equal to `port`"))


def _check_peer(errs: Errors, path: str, peer: Obj) -> None:
    for name in ("podSelector", "namespaceSelector"):
        if name in peer:
            check_selector(errs, f"{path}.{name}", peer[name])
    block = peer.get("ipBlock")
    if block is not None:
        _check_block(errs, f"{path}.ipBlock", block)
        if "podSelector" in peer or "namespaceSelector" in peer:
            errs.append(forbidden(path, "may not specify both ipBlock and another peer"))
    elif not peer:
        errs.append(required(path, "must specify a peer"))


def _check_block(errs: Errors, path: str, block: Obj) -> None:
    text = block.get("cidr", "")
    whole = parse_cidr(text)
    if not text:
        errs.append(required(f"{path}.cidr"))
    else:
        check_messages(errs, f"{path}.cidr", text, cidr(text))
    for i, hole in enumerate(block.get("except") or ()):
        field, part = f"{path}.except[{i}]", parse_cidr(hole)
        if part is None:
            check_messages(errs, field, hole, cidr(hole))
        elif whole is not None and not _strictly_within(part, whole):
            errs.append(invalid(field, hole, "must be a strict subset of `cidr`"))


def _strictly_within(
    part: ipaddress.IPv4Network | ipaddress.IPv6Network, whole: ipaddress.IPv4Network | ipaddress.IPv6Network
) -> bool:
    if isinstance(part, ipaddress.IPv4Network) and isinstance(whole, ipaddress.IPv4Network):
        return part != whole and part.subnet_of(whole)
    if isinstance(part, ipaddress.IPv6Network) and isinstance(whole, ipaddress.IPv6Network):
        return part != whole and part.subnet_of(whole)
    return False


NETWORK_POLICY = Rules(always=_check_policy)


def _check_ip_address(errs: Errors, obj: Obj) -> None:
    parent = (obj.get("spec") or {}).get("parentRef")
    if parent is None:
        return
    for field in ("resource", "name"):
        text = parent.get(field, "")
        if not text:
            errs.append(required(f"spec.parentRef.{field}"))
        else:
            check_messages(errs, f"spec.parentRef.{field}", text, path_segment(text))
    if parent.get("group"):
        check_messages(errs, "spec.parentRef.group", parent["group"], dns_subdomain(parent["group"]))


def _check_ip_address_update(errs: Errors, obj: Obj, old: Obj) -> None:
    check_immutable(errs, "spec", obj.get("spec"), old.get("spec"))


IP_ADDRESS = Rules(always=_check_ip_address, update=_check_ip_address_update)


def _check_range(errs: Errors, obj: Obj) -> None:
    ranges = (obj.get("spec") or {}).get("cidrs") or []
    if not ranges:
        errs.append(required("spec.cidrs", "at least one CIDR required"))
    elif len(ranges) > 2:
        errs.append(invalid("spec.cidrs", ranges, "may only hold up to 2 values"))
    parsed = [parse_cidr(text) for text in ranges]
    for i, text in enumerate(ranges):
        check_messages(errs, f"spec.cidrs[{i}]", text, cidr(text))
        if parsed[i] is not None and str(parsed[i]) != text:
            detail = f'must be in canonical form ("{parsed[i]}")'
            errs.append(invalid(f"spec.cidrs[{i}]", text, detail))
    versions = [each.version for each in parsed if each]
    if len(set(versions)) != len(versions):
        errs.append(invalid("spec.cidrs", ranges, "may specify no more than one IP for each IP family"))


def _check_range_update(errs: Errors, obj: Obj, old: Obj) -> None:
    now, before = ((each.get("spec") or {}).get("cidrs") or [] for each in (obj, old))
    if now != before and not (len(before) == 1 and len(now) == 2 and now[0] == before[0]):
        errs.append(invalid("spec.cidrs", now, "field is immutable"))


SERVICE_CIDR = Rules(always=_check_range, update=_check_range_update)
