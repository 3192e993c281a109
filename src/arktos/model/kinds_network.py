"""Networking, endpoint slices, events of their own group, leases."""

from __future__ import annotations

from arktos.model.kinds import Kind, Scope
from arktos.model.kinds_core import EVENT_TTL
from arktos.model.rows import STATUS, GroupVersion

_networking = GroupVersion("networking.k8s.io", "v1", "io.k8s.api.networking.v1").row
_discovery = GroupVersion("discovery.k8s.io", "v1", "io.k8s.api.discovery.v1").row
_events = GroupVersion("events.k8s.io", "v1", "io.k8s.api.events.v1").row
_coordination = GroupVersion("coordination.k8s.io", "v1", "io.k8s.api.coordination.v1").row

_REGARDING = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")

ROWS: tuple[Kind, ...] = (
    _networking("IngressClass", "ingressclasses", Scope.TENANT, has_generation=True),
    _networking("Ingress", "ingresses", short_names=("ing",), subresources=(STATUS,), has_generation=True),
    _networking("IPAddress", "ipaddresses", Scope.TENANT, short_names=("ip",)),
    _networking("NetworkPolicy", "networkpolicies", short_names=("netpol",), has_generation=True),
    _networking("ServiceCIDR", "servicecidrs", Scope.TENANT, subresources=(STATUS,)),
    _discovery("EndpointSlice", "endpointslices", has_generation=True),
    _events(
        "Event",
        "events",
        short_names=("ev",),
        lazy=True,
        ttl=EVENT_TTL,
        create_on_update=True,
        storage="v1",
        selectable={
            **{f"regarding.{part}": f"involvedObject.{part}" for part in _REGARDING},
            "reason": "reason",
            "reportingController": "reportingComponent",
            "type": "type",
        },
    ),
    _coordination(
        "Lease",
        "leases",
        create_on_update=True,
        unconditional_update=False,
        renewals=("spec.renewTime",),
    ),
)
