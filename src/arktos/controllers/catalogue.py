"""Which controllers there are, and where. Data; importing it costs nothing."""

from __future__ import annotations

from collections.abc import Sequence

CONTROLLERS: dict[str, str] = {
    "serviceaccount": "arktos.controllers.serviceaccount",
    "tenant": "arktos.controllers.tenant",
    "replicaset": "arktos.controllers.replicaset",
    "replicationcontroller": "arktos.controllers.replicaset.replication",
    "deployment": "arktos.controllers.deployment",
    "daemonset": "arktos.controllers.daemonset",
    "statefulset": "arktos.controllers.statefulset",
    "job": "arktos.controllers.job",
    "cronjob": "arktos.controllers.cronjob",
    "ttlafterfinished": "arktos.controllers.ttlafterfinished",
    "disruption": "arktos.controllers.disruption",
    "persistentvolume": "arktos.controllers.persistentvolume",
    "attachdetach": "arktos.controllers.attachdetach",
    "ephemeralvolume": "arktos.controllers.ephemeralvolume",
    "resourceclaim": "arktos.controllers.resourceclaim",
    "clusterroleaggregation": "arktos.controllers.clusterroleaggregation",
    "tokencleaner": "arktos.controllers.tokencleaner",
    "horizontalpodautoscaler": "arktos.controllers.horizontalpodautoscaler",
    "namespace": "arktos.controllers.namespace",
    "garbagecollector": "arktos.controllers.garbagecollector",
    "nodelifecycle": "arktos.controllers.nodelifecycle",
    "podgc": "arktos.controllers.podgc",
    "certificates": "arktos.controllers.certificates",
    "endpointslice": "arktos.controllers.endpointslice",
    "endpointslicemirroring": "arktos.controllers.endpointslice.mirroring",
    "endpoints": "arktos.controllers.endpoints",
    "nodeipam": "arktos.controllers.nodeipam",
    "resourcequota": "arktos.controllers.resourcequota",
    "volumeprotection": "arktos.controllers.volumeprotection",
}
"""Name -> the module whose `build(context)` makes its `Unit`."""

RANGED = frozenset({"deployment", "replicaset"})
"""Those that mirror their range only, if they may."""


def select(names: str) -> Sequence[str]:
    """The controllers that a comma list names: `*` is all, `-name` leaves one out. ValueError for an unknown name."""
    wanted: set[str] = set()
    unwanted: set[str] = set()
    for word in (part.strip() for part in names.split(",")):
        name = word.removeprefix("-")
        if word == "*":
            wanted.update(CONTROLLERS)
        elif name not in CONTROLLERS:
            raise ValueError(f"no controller {name!r}; there are: {', '.join(CONTROLLERS)}")
        elif word.startswith("-"):
            unwanted.add(name)
        else:
            wanted.add(name)
    return [name for name in CONTROLLERS if name in wanted - unwanted]
