"""Roles and classes: rbac, storage, scheduling, node. All that Kubernetes calls cluster-scoped belongs to a tenant."""

from __future__ import annotations

from arktos.model.kinds import Kind, Scope
from arktos.model.rows import STATUS, GroupVersion

_rbac = GroupVersion("rbac.authorization.k8s.io", "v1", "io.k8s.api.rbac.v1").row
_storage = GroupVersion("storage.k8s.io", "v1", "io.k8s.api.storage.v1").row
_scheduling = GroupVersion("scheduling.k8s.io", "v1", "io.k8s.api.scheduling.v1").row
_node = GroupVersion("node.k8s.io", "v1", "io.k8s.api.node.v1").row

ROWS: tuple[Kind, ...] = (
    _rbac("ClusterRoleBinding", "clusterrolebindings", Scope.TENANT, create_on_update=True),
    _rbac("ClusterRole", "clusterroles", Scope.TENANT, create_on_update=True),
    _rbac("RoleBinding", "rolebindings", create_on_update=True),
    _rbac("Role", "roles", create_on_update=True),
    _storage("CSIDriver", "csidrivers", Scope.TENANT, has_generation=True, unconditional_update=False),
    _storage("CSINode", "csinodes", Scope.TENANT, unconditional_update=False),
    _storage("CSIStorageCapacity", "csistoragecapacities", unconditional_update=False),
    _storage("StorageClass", "storageclasses", Scope.TENANT, short_names=("sc",)),
    _storage(
        "VolumeAttachment",
        "volumeattachments",
        Scope.TENANT,
        subresources=(STATUS,),
        unconditional_update=False,
    ),
    _storage("VolumeAttributesClass", "volumeattributesclasses", Scope.TENANT, short_names=("vac",)),
    _scheduling("PriorityClass", "priorityclasses", Scope.TENANT, short_names=("pc",), has_generation=True),
    _node("RuntimeClass", "runtimeclasses", Scope.TENANT, unconditional_update=False),
)
