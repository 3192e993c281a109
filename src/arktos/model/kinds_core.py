"""The core group, v1, as Kubernetes 1.36 serves it."""

from __future__ import annotations

from arktos.model.kinds import Kind, Scope, Subresource
from arktos.model.rows import CREATE, NO_COLLECTION_DELETE, READ_WRITE, SCALE, STATUS, GroupVersion, connection, proxy

_core = GroupVersion("", "v1", "io.k8s.api.core.v1").row

EVENT_TTL = 3600
"""Seconds that an Event is kept."""


def _same(*paths: str) -> dict[str, str]:
    """Labels that are the path of their value."""
    return {path: path for path in paths}


_PODS = (
    STATUS,
    Subresource("binding", CREATE, kind="Binding"),
    Subresource("eviction", CREATE, kind="Eviction", group="policy", version="v1"),
    Subresource("ephemeralcontainers", READ_WRITE),
    Subresource("resize", READ_WRITE),
    Subresource("action", CREATE, kind="CustomAction"),
    connection("attach", "PodAttachOptions"),
    connection("exec", "PodExecOptions"),
    connection("portforward", "PodPortForwardOptions"),
    proxy("PodProxyOptions"),
    Subresource("log", ("get",), connects=True),
)

ROWS: tuple[Kind, ...] = (
    _core("Binding", "bindings", verbs=CREATE),
    _core("ComponentStatus", "componentstatuses", Scope.TENANT, short_names=("cs",), verbs=("get", "list")),
    _core("ConfigMap", "configmaps", short_names=("cm",)),
    _core("Endpoints", "endpoints", short_names=("ep",), create_on_update=True),
    _core(
        "Event",
        "events",
        short_names=("ev",),
        lazy=True,
        ttl=EVENT_TTL,
        create_on_update=True,
        selectable={
            **_same(
                "involvedObject.kind",
                "involvedObject.namespace",
                "involvedObject.name",
                "involvedObject.uid",
                "involvedObject.apiVersion",
                "involvedObject.resourceVersion",
                "involvedObject.fieldPath",
                "reason",
                "reportingComponent",
                "type",
            ),
            "source": "source.component|reportingComponent",
        },
        indexed=("involvedObject.uid",),
    ),
    _core("LimitRange", "limitranges", short_names=("limits",), create_on_update=True),
    _core(
        "Namespace",
        "namespaces",
        Scope.TENANT,
        short_names=("ns",),
        verbs=NO_COLLECTION_DELETE,
        subresources=(STATUS, Subresource("finalize", ("update",))),
        selectable=_same("status.phase"),
    ),
    _core(
        "Node",
        "nodes",
        Scope.CLUSTER,
        short_names=("no",),
        subresources=(STATUS, proxy("NodeProxyOptions")),
        selectable=_same("spec.unschedulable"),
    ),
    _core(
        "PersistentVolumeClaim",
        "persistentvolumeclaims",
        short_names=("pvc",),
        subresources=(STATUS,),
    ),
    _core(
        "PersistentVolume",
        "persistentvolumes",
        Scope.TENANT,
        short_names=("pv",),
        subresources=(STATUS,),
    ),
    _core(
        "Pod",
        "pods",
        short_names=("po",),
        categories=("all",),
        subresources=_PODS,
        selectable=_same(
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ),
        indexed=("spec.nodeName",),
        has_generation=True,
        graceful=True,
        alike=True,
    ),
    _core("PodTemplate", "podtemplates", has_generation=True),
    _core(
        "ReplicationController",
        "replicationcontrollers",
        short_names=("rc",),
        categories=("all",),
        subresources=(STATUS, SCALE),
        selectable=_same("status.replicas"),
        has_generation=True,
    ),
    _core("ResourceQuota", "resourcequotas", short_names=("quota",), subresources=(STATUS,)),
    _core("Secret", "secrets", selectable=_same("type")),
    _core(
        "ServiceAccount",
        "serviceaccounts",
        short_names=("sa",),
        subresources=(Subresource("token", CREATE, kind="TokenRequest", group="authentication.k8s.io", version="v1"),),
    ),
    _core(
        "Service",
        "services",
        short_names=("svc",),
        categories=("all",),
        subresources=(STATUS, proxy("ServiceProxyOptions")),
        selectable=_same("spec.clusterIP", "spec.type"),
        create_on_update=True,
    ),
)
