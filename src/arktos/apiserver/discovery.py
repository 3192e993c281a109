"""Which groups, versions and resources there are, plainly and aggregated (KEP-3352). The same in every tenant.

Kubernetes' clients know two scopes: kinds that belong to a tenant look cluster-scoped to them. The plain lists say
more: `tenanted`, beside `namespaced`. Documents are made when they are first asked for, from the registry alone.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from functools import cache

from arktos.apiserver import encodings
from arktos.apiserver.encoding import dumps
from arktos.apiserver.prebuilt import Document
from arktos.model import registry
from arktos.model.kinds import Kind, Obj, Scope, Subresource
from arktos.model.status import NotFound
from arktos.wire.http import Response
from arktos.wire.mediatype import negotiate

AGGREGATED = ("v2", "v2beta1")
"""The versions of apidiscovery.k8s.io that can be asked for."""

_LIST = "APIGroupDiscoveryList"
_ORDER = (
    "",
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
)
"""Groups as kube-apiserver ranks them. A client that is given a bare name, such as `events`, takes the first match."""


@cache
def groups() -> Mapping[str, tuple[str, ...]]:
    """The versions of every group, preferred one first; groups by rank, those without one last."""
    found: dict[str, list[str]] = {}
    for kind in registry.all_kinds():
        versions = found.setdefault(kind.group, [])
        if kind.version not in versions:
            versions.append(kind.version)
    ranks = {group: rank for rank, group in enumerate(_ORDER)}
    return {g: tuple(found[g]) for g in sorted(found, key=lambda g: (ranks.get(g, len(ranks)), g))}


def kinds_of(group: str, version: str) -> list[Kind]:
    """The kinds of a group-version by plural name."""
    served = (kind for kind in registry.all_kinds() if kind.group == group and kind.version == version)
    return sorted(served, key=lambda kind: kind.plural)


def answer(path: str, accept: str = "", if_none_match: str = "", packings: str = "") -> Response:
    """Answers `/api`, `/apis` and what is below them but names no resource. NotFound, NotAcceptable."""
    form = negotiate(accept, encodings.EVERY, (_LIST,))
    if form is None:
        raise encodings.none_of(encodings.EVERY)
    if path in ("/api", "/apis") and form.as_ and form.version in AGGREGATED:
        return aggregated(path, form.version).answer(if_none_match, packings)
    return plain(path).answer(if_none_match, packings)


@cache
def plain(path: str) -> Document:
    """APIVersions, APIGroupList, APIGroup or APIResourceList, by path. NotFound, which is not cached."""
    return Document(dumps(_plain(path.strip("/").split("/"))))


def _plain(steps: list[str]) -> Obj:
    served = groups()
    match steps:
        case ["api"]:
            return {"kind": "APIVersions", "versions": list(served[""]), "serverAddressByClientCIDRs": []}
        case ["apis"]:
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(g) for g in served if g]}
        case ["api", version] if version in served[""]:
            return {"kind": "APIResourceList", "groupVersion": version, "resources": _resources("", version)}
        case ["apis", group] if group and group in served:
            return {"kind": "APIGroup", "apiVersion": "v1", **_group(group)}
        case ["apis", group, version] if group and version in served.get(group, ()):
            return {
                "kind": "APIResourceList",
                "apiVersion": "v1",
                "groupVersion": f"{group}/{version}",
                "resources": _resources(group, version),
            }
    raise NotFound("the server could not find the requested resource")


def _group(group: str) -> Obj:
    versions = [{"groupVersion": f"{group}/{version}", "version": version} for version in groups()[group]]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def _resources(group: str, version: str) -> list[Obj]:
    found: list[Obj] = []
    for kind in kinds_of(group, version):
        found.append(_resource(kind))
        found += [_subresource(kind, kind.subresources[name]) for name in sorted(kind.subresources)]
    return found


def _resource(kind: Kind) -> Obj:
    row: Obj = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.scope is Scope.NAMESPACE,
        "tenanted": kind.scope is not Scope.CLUSTER,
        "kind": kind.kind,
        "verbs": sorted(kind.verbs),
    }
    if kind.short_names:
        row["shortNames"] = list(kind.short_names)
    if kind.categories:
        row["categories"] = list(kind.categories)
    if "get" in kind.verbs and not kind.measured:
        row["storageVersionHash"] = _storage_version_hash(kind)
    return row


def _subresource(kind: Kind, entry: Subresource) -> Obj:
    row: Obj = {
        "name": f"{kind.plural}/{entry.name}",
        "singularName": "",
        "namespaced": kind.scope is Scope.NAMESPACE,
        "tenanted": kind.scope is not Scope.CLUSTER,
        "kind": entry.kind or kind.kind,
        "verbs": sorted(entry.verbs),
    }
    if entry.version:
        row["group"], row["version"] = entry.group, entry.version
    return row


def _storage_version_hash(kind: Kind) -> str:
    """What tells clients that objects are stored in another version than before: a digest of that version's name."""
    stored = registry.stored_as(kind)
    name = f"{stored.group}/{stored.version}/{stored.kind}"
    return base64.b64encode(hashlib.sha256(name.encode()).digest()[:8]).decode()


@cache
def aggregated(path: str, version: str) -> Document:
    """All of `/api` or of `/apis` in one APIGroupDiscoveryList of `version`."""
    wanted: Iterable[str] = [""] if path == "/api" else [group for group in groups() if group]
    body = {
        "kind": _LIST,
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": [_discovered_group(group) for group in wanted],
    }
    return Document(dumps(body), f"application/json;g=apidiscovery.k8s.io;v={version};as={_LIST}")


def _discovered_group(group: str) -> Obj:
    return {
        "metadata": {"name": group, "creationTimestamp": None} if group else {"creationTimestamp": None},
        "versions": [
            {
                "version": version,
                "resources": [_discovered(kind) for kind in kinds_of(group, version)],
                "freshness": "Current",
            }
            for version in groups()[group]
        ],
    }


def _discovered(kind: Kind) -> Obj:
    row: Obj = {
        "resource": kind.plural,
        "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "scope": "Namespaced" if kind.scope is Scope.NAMESPACE else "Cluster",
        "singularResource": kind.singular,
        "verbs": sorted(kind.verbs),
    }
    if kind.short_names:
        row["shortNames"] = list(kind.short_names)
    if kind.categories:
        row["categories"] = list(kind.categories)
    if kind.subresources:
        entries = [kind.subresources[name] for name in sorted(kind.subresources)]
        row["subresources"] = [
            {
                "subresource": entry.name,
                "responseKind": {
                    "group": entry.group if entry.version else kind.group,
                    "version": entry.version or kind.version,
                    "kind": entry.kind or kind.kind,
                },
                "verbs": sorted(entry.verbs),
            }
            for entry in entries
        ]
    return row
