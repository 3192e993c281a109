"""Kinds that define kinds: custom resources."""

from __future__ import annotations

from arktos.model.kinds import Kind, Scope
from arktos.model.rows import STATUS, GroupVersion

_extensions = GroupVersion("apiextensions.k8s.io", "v1", "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1").row

ROWS: tuple[Kind, ...] = (
    _extensions(
        "CustomResourceDefinition",
        "customresourcedefinitions",
        Scope.TENANT,
        short_names=("crd", "crds"),
        categories=("api-extensions",),
        subresources=(STATUS,),
        has_generation=True,
        unconditional_update=False,
    ),
)
