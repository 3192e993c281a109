"""The kinds that are served, found by what a request, a stored key or an object says. Data; filled once, at import."""

from __future__ import annotations

from collections.abc import Sequence

from arktos.model import (
    kinds_access,
    kinds_admission,
    kinds_aggregation,
    kinds_arktos,
    kinds_certificates,
    kinds_core,
    kinds_devices,
    kinds_extension,
    kinds_flowcontrol,
    kinds_metrics,
    kinds_network,
    kinds_policy,
    kinds_workloads,
)
from arktos.model.kinds import Kind

_KINDS: tuple[Kind, ...] = (
    *kinds_core.ROWS,
    *kinds_arktos.ROWS,
    *kinds_workloads.ROWS,
    *kinds_network.ROWS,
    *kinds_policy.ROWS,
    *kinds_access.ROWS,
    *kinds_admission.ROWS,
    *kinds_metrics.ROWS,
    *kinds_certificates.ROWS,
    *kinds_extension.ROWS,
    *kinds_aggregation.ROWS,
    *kinds_flowcontrol.ROWS,
    *kinds_devices.ROWS,
)

_by_plural: dict[tuple[str, str, str], Kind] = {(kind.group, kind.version, kind.plural): kind for kind in _KINDS}
_by_kind: dict[tuple[str, str], Kind] = {(kind.api_version, kind.kind): kind for kind in _KINDS}
_by_resource: dict[str, Kind] = {
    kind.resource: _by_kind[kind.storage, kind.kind] if kind.storage else kind for kind in _KINDS
}
_names = frozenset(f"{kind.plural}.{kind.group}" if kind.group else kind.plural for kind in _KINDS) | set(_by_resource)


def is_resource(name: str) -> bool:
    """Whether a group-resource (`deployments.apps`) is one of the server's own, in any version."""
    return name in _names


def lookup(group: str, version: str, plural: str) -> Kind | None:
    """The kind that is served at this group, version and plural."""
    return _by_plural.get((group, version, plural))


def by_gvk(api_version: str, kind: str) -> Kind | None:
    """The kind with this apiVersion (`apps/v1`, `v1`) and name."""
    return _by_kind.get((api_version, kind))


def by_resource(resource: str) -> Kind:
    """The kind in which objects of a group-resource are stored; its own `resource` is the one in their keys, which for
    `events.events.k8s.io` is `events`. KeyError if no such resource is served."""
    return _by_resource[resource]


def stored_as(kind: Kind) -> Kind:
    """The kind in which objects of this kind are stored: itself, unless its row names another."""
    if kind.custom is not None:
        return kind.custom.definition.stored
    return _by_resource[kind.resource]


def all_kinds() -> Sequence[Kind]:
    """Every served kind; of a group's versions the preferred one comes first."""
    return _KINDS
