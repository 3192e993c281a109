"""Where a proxy may connect to for a pod: its own address, and nothing else that somebody might have written there.

A pod's status is written by its node, but a tenant's admin may write it too. So an address is taken only if it can be
the pod's: one of the node's addresses on the host's network, else one of the node's pod addresses that no pod of
another tenant there has.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from arktos.model.kinds import Obj
from arktos.model.status import BadRequest, ServiceUnavailable

_FINISHED = frozenset({"Succeeded", "Failed"})


def pod_address(pod: Obj, node: Obj | None, others: Iterable[Obj]) -> str:
    """The address of a pod on `node`; `others` are the pods that are there. Raises BadRequest where it must not be
    connected to, ServiceUnavailable where there is none yet."""
    name = pod["metadata"]["name"]
    text = _ip(pod)
    if not text:
        raise ServiceUnavailable(f"pod {name} has no address")
    address = _proxyable(text)
    if node is None:
        # Nothing tells whose the address is by now.
        raise ServiceUnavailable(f"the node of pod {name} is not there")
    nodes_own = _addresses(node)
    if (pod.get("spec") or {}).get("hostNetwork"):
        if text not in nodes_own:
            raise BadRequest("address not allowed")
        return text
    ranges = _pod_ranges(node)
    if text in nodes_own or (ranges and not any(address in network for network in ranges)):
        raise BadRequest("address not allowed")
    tenant = pod["metadata"].get("tenant")
    for other in others:
        strange = other["metadata"].get("tenant") != tenant
        if strange and _ip(other) == text and (other.get("status") or {}).get("phase") not in _FINISHED:
            raise BadRequest("address not allowed")
    return text


def _ip(pod: Obj) -> str:
    return str((pod.get("status") or {}).get("podIP") or "")


def _proxyable(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Kubernetes' rule: a unicast address that is neither loopback nor link-local."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise BadRequest("address not allowed") from error
    if address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified:
        raise BadRequest("address not allowed")
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        raise BadRequest("address not allowed")
    return address


def _addresses(node: Obj | None) -> frozenset[str]:
    status = (node or {}).get("status") or {}
    return frozenset(str(each.get("address") or "") for each in status.get("addresses") or ())


def _pod_ranges(node: Obj | None) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    spec = (node or {}).get("spec") or {}
    found = []
    for text in spec.get("podCIDRs") or [spec.get("podCIDR")]:
        try:
            found.append(ipaddress.ip_network(text or "", strict=False))
        except ValueError:
            continue
    return found


def split_name(text: str) -> tuple[str, str, str]:
    """Scheme, name and port of `[scheme:]name[:port]`. Raises ValueError."""
    match text.split(":"):
        case [name] if name:
            return "", name, ""
        case [name, port] if name:
            return "", name, port
        case [scheme, name, port] if name and scheme in ("", "http", "https"):
            return scheme, name, port
    raise ValueError(f"not a name: {text!r}")
