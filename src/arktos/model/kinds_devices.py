"""Devices that pods claim (KEP-4381): what there is of them, classes of them, and claims to them."""

from __future__ import annotations

from arktos.model.kinds import Kind, Scope
from arktos.model.rows import STATUS, GroupVersion

_resource = GroupVersion("resource.k8s.io", "v1", "io.k8s.api.resource.v1").row

ROWS: tuple[Kind, ...] = (
    _resource("DeviceClass", "deviceclasses", Scope.TENANT, has_generation=True),
    _resource("ResourceClaim", "resourceclaims", subresources=(STATUS,)),
    _resource("ResourceClaimTemplate", "resourceclaimtemplates"),
    _resource(
        "ResourceSlice",
        "resourceslices",
        Scope.TENANT,
        selectable={"spec.driver": "spec.driver", "spec.nodeName": "spec.nodeName"},
        indexed=("spec.nodeName",),
        has_generation=True,
    ),
)
