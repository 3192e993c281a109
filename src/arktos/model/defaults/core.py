"""Defaults of the core group's smaller kinds, and of endpoint slices."""

from __future__ import annotations

import base64

from arktos.model.defaults import resources
from arktos.model.kinds import Obj

_NAME_LABEL = "kubernetes.io/metadata.name"
_CLIENT_IP_SECONDS = 10800
_EXTERNAL_TYPES = ("NodePort", "LoadBalancer")


def service(obj: Obj) -> None:
    """A Service, but for addresses, their families and node ports: those are allocated, or follow from the old ones."""
    spec = obj.get("spec")
    if spec is None:
        spec = obj["spec"] = {}
    if not spec.get("type"):
        spec["type"] = "ClusterIP"
    _affinity(spec)
    for port in spec.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
        if port.get("targetPort") in (None, 0, "") and "port" in port:
            port["targetPort"] = port["port"]
    kind = spec["type"]
    reachable = kind in _EXTERNAL_TYPES or (kind == "ClusterIP" and spec.get("externalIPs"))
    if reachable and not spec.get("externalTrafficPolicy"):
        spec["externalTrafficPolicy"] = "Cluster"
    if kind == "ExternalName":
        return
    if spec.get("internalTrafficPolicy") is None and kind in ("ClusterIP", *_EXTERNAL_TYPES):
        spec["internalTrafficPolicy"] = "Cluster"
    if kind == "LoadBalancer":
        if spec.get("allocateLoadBalancerNodePorts") is None:
            spec["allocateLoadBalancerNodePorts"] = True
        _balancer_status(obj)


def _affinity(spec: Obj) -> None:
    if not spec.get("sessionAffinity"):
        spec["sessionAffinity"] = "None"
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        client = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        if client.get("timeoutSeconds") is None:
            spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": _CLIENT_IP_SECONDS}}


def _balancer_status(obj: Obj) -> None:
    balancer = (obj.get("status") or {}).get("loadBalancer") or {}
    for ingress in balancer.get("ingress") or ():
        if ingress.get("ip") and ingress.get("ipMode") is None:
            ingress["ipMode"] = "VIP"


def secret(obj: Obj) -> None:
    """A Secret: type, and `stringData` folded into `data`, which it overrides."""
    if not obj.get("type"):
        obj["type"] = "Opaque"
    plain = obj.pop("stringData", None)
    if plain:
        data = obj.get("data")
        if data is None:
            data = obj["data"] = {}
        for name, text in plain.items():
            data[name] = base64.b64encode(text.encode("utf-8", "surrogatepass")).decode("ascii")


def namespace(obj: Obj) -> None:
    """A Namespace: the label by which selectors find it by name."""
    metadata = obj.get("metadata")
    if metadata and metadata.get("name"):
        labels = metadata.get("labels")
        if labels is None:
            labels = metadata["labels"] = {}
        labels[_NAME_LABEL] = metadata["name"]
    _active(obj)


def tenant(obj: Obj) -> None:
    """A Tenant."""
    _active(obj)


def _active(obj: Obj) -> None:
    status = obj.get("status")
    if status is None:
        status = obj["status"] = {}
    if not status.get("phase"):
        status["phase"] = "Active"


def node(obj: Obj) -> None:
    """A Node: what is allocatable is the capacity, unless the agent says less."""
    status = obj.get("status")
    if not status:
        return
    if "capacity" in status:
        resources.round_up(status["capacity"])
        if status.get("allocatable") is None:
            status["allocatable"] = dict(status["capacity"])
    if status.get("allocatable"):
        resources.round_up(status["allocatable"])


def endpoints(obj: Obj) -> None:
    """An Endpoints object: port protocols."""
    for subset in obj.get("subsets") or ():
        for port in subset.get("ports") or ():
            if not port.get("protocol"):
                port["protocol"] = "TCP"


def endpoint_slice(obj: Obj) -> None:
    """An EndpointSlice: port names and protocols."""
    for port in obj.get("ports") or ():
        if port.get("name") is None:
            port["name"] = ""
        if port.get("protocol") is None:
            port["protocol"] = "TCP"


def limit_range(obj: Obj) -> None:
    """A LimitRange: a container's default limit follows `max`, its default request the default limit, then `min`."""
    for item in (obj.get("spec") or {}).get("limits") or ():
        for name in ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio"):
            if item.get(name):
                resources.round_up(item[name])
        if item.get("type") != "Container":
            continue
        limits = {**(item.get("max") or {}), **(item.get("default") or {})}
        requests = {**(item.get("min") or {}), **limits, **(item.get("defaultRequest") or {})}
        if limits:
            item["default"] = limits
        if requests:
            item["defaultRequest"] = requests


def resource_quota(obj: Obj) -> None:
    """A ResourceQuota: amounts in whole thousandths."""
    hard = (obj.get("spec") or {}).get("hard")
    if hard:
        resources.round_up(hard)
    status = obj.get("status") or {}
    for name in ("hard", "used"):
        if status.get(name):
            resources.round_up(status[name])
