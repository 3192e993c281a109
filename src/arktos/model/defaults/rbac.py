"""Defaults of role bindings: the API groups that references leave out."""

from __future__ import annotations

from arktos.model.kinds import Obj

_GROUP = "rbac.authorization.k8s.io"


def role_binding(obj: Obj) -> None:
    """A RoleBinding or ClusterRoleBinding."""
    role = obj.get("roleRef")
    if role is not None and not role.get("apiGroup"):
        role["apiGroup"] = _GROUP
    for subject in obj.get("subjects") or ():
        if not subject.get("apiGroup") and subject.get("kind") in ("User", "Group"):
            subject["apiGroup"] = _GROUP
