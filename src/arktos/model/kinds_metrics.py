"""What nodes and pods use, as `kubectl top` asks for it: metrics.k8s.io. Never stored; the nodes are asked."""

from __future__ import annotations

from arktos.model.additions import METRICS_PREFIX
from arktos.model.kinds import Column, Kind, Scope
from arktos.model.rows import GroupVersion

_metrics = GroupVersion("metrics.k8s.io", "v1beta1", METRICS_PREFIX.removesuffix(".")).row
_READ = ("get", "list")

ROWS: tuple[Kind, ...] = (
    _metrics(
        "NodeMetrics",
        "nodes",
        Scope.CLUSTER,
        singular="",
        verbs=_READ,
        measured=True,
        columns=(
            Column("cpu", description="CPU that the node uses.", path="usage.cpu"),
            Column("memory", description="Memory that the node uses.", path="usage.memory"),
            Column("window", description="The time that CPU is averaged over.", path="window"),
        ),
    ),
    _metrics("PodMetrics", "pods", singular="", verbs=_READ, measured=True),
)
