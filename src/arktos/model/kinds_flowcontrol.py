"""Fairness among requests: which flow a request belongs to, and how many of a priority level run at a time."""

from __future__ import annotations

from arktos.model.kinds import Kind, Scope
from arktos.model.rows import STATUS, GroupVersion

_flowcontrol = GroupVersion("flowcontrol.apiserver.k8s.io", "v1", "io.k8s.api.flowcontrol.v1").row

ROWS: tuple[Kind, ...] = (
    _flowcontrol("FlowSchema", "flowschemas", Scope.TENANT, subresources=(STATUS,), has_generation=True),
    _flowcontrol(
        "PriorityLevelConfiguration",
        "prioritylevelconfigurations",
        Scope.TENANT,
        subresources=(STATUS,),
        has_generation=True,
    ),
)
