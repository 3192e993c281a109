"""APIServices: who answers for a group-version, this server or an extension of a tenant's."""

from __future__ import annotations

from arktos.model.kinds import Kind, Scope
from arktos.model.rows import STATUS, GroupVersion

_registration = GroupVersion("apiregistration.k8s.io", "v1", "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1").row

ROWS: tuple[Kind, ...] = (
    _registration(
        "APIService",
        "apiservices",
        Scope.TENANT,
        categories=("api-extensions",),
        subresources=(STATUS,),
        unconditional_update=False,
    ),
)
