"""Which groups, versions and resources there are, plainly and aggregated (KEP-3352): what all tenants have, and what a
tenant has besides (`custom.catalogue`).

Kubernetes' clients know two scopes: kinds that belong to a tenant look cluster-scoped to them. The plain lists say
more: `tenanted`, beside `namespaced`. Documents are made when they are first asked for.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from arktos.apiserver import encodings
from arktos.apiserver.encoding import dumps
from arktos.apiserver.prebuilt import Document
from arktos.model import registry
from arktos.model.custom.names import version_priority
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


class Served:
    """The kinds of one tenant, and the documents that tell of them. `beside` are the built-in ones, of whose documents
    those parts are taken over that the others have nothing to add to."""

    def __init__(self, kinds: Sequence[Kind], beside: Served | None = None) -> None:
        self.custom = kinds if beside is not None else ()
        self._kinds: tuple[Kind, ...] = (*beside._kinds, *kinds) if beside is not None else tuple(kinds)
        self._beside = beside
        self._own = frozenset(kind.group for kind in kinds)
        self._documents: dict[tuple[str, ...], Document] = {}
        self._groups: dict[str, bytes] = {}
        self.kept: dict[str, Document] = {}
        """Documents that others make of these kinds, by what they call them."""

    @cached_property
    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """The versions of every group, preferred one first; groups by rank, those without one last."""
        found: dict[str, list[str]] = {}
        for kind in self._kinds:
            versions = found.setdefault(kind.group, [])
            if kind.version not in versions:
                versions.append(kind.version)
        built_in = self._beside.groups if self._beside is not None else found
        for group in self._own:
            if group not in built_in:
                found[group].sort(key=version_priority)
        ranks = {group: rank for rank, group in enumerate(_ORDER)}
        return {g: tuple(found[g]) for g in sorted(found, key=lambda g: (ranks.get(g, len(ranks)), g))}

    def kinds_of(self, group: str, version: str) -> list[Kind]:
        """The kinds of a group-version by plural name."""
        served = (kind for kind in self._kinds if kind.group == group and kind.version == version)
        return sorted(served, key=lambda kind: kind.plural)

    def plain(self, path: str) -> Document:
        """APIVersions, APIGroupList, APIGroup or APIResourceList, by path. NotFound, which is not kept."""
        known = self._documents.get((path,))
        if known is None:
            known = self._documents[path,] = Document(dumps(self._plain(path.strip("/").split("/"))))
        return known

    def aggregated(self, path: str, version: str) -> Document:
        """All of `/api` or of `/apis` in one APIGroupDiscoveryList of `version`."""
        known = self._documents.get((path, version))
        if known is None:
            wanted: Iterable[str] = [""] if path == "/api" else [group for group in self.groups if group]
            head = {"kind": _LIST, "apiVersion": f"apidiscovery.k8s.io/{version}", "metadata": {}}
            items = b",".join(self._group_bytes(group) for group in wanted)
            body = dumps(head)[:-1] + b',"items":[' + items + b"]}"
            told = f"application/json;g=apidiscovery.k8s.io;v={version};as={_LIST}"
            known = self._documents[path, version] = Document(body, told)
        return known

    def _group_bytes(self, group: str) -> bytes:
        if self._beside is not None and group not in self._own:
            return self._beside._group_bytes(group)
        known = self._groups.get(group)
        if known is None:
            known = self._groups[group] = dumps(self._discovered_group(group))
        return known

    def _plain(self, steps: list[str]) -> Obj:
        served = self.groups
        match steps:
            case ["api"]:
                return {"kind": "APIVersions", "versions": list(served[""]), "serverAddressByClientCIDRs": []}
            case ["apis"]:
                return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [self._group(g) for g in served if g]}
            case ["api", version] if version in served[""]:
                return {"kind": "APIResourceList", "groupVersion": version, "resources": self._resources("", version)}
            case ["apis", group] if group and group in served:
                return {"kind": "APIGroup", "apiVersion": "v1", **self._group(group)}
            case ["apis", group, version] if group and version in served.get(group, ()):
                return {
                    "kind": "APIResourceList",
                    "apiVersion": "v1",
                    "groupVersion": f"{group}/{version}",
                    "resources": self._resources(group, version),
                }
        raise NotFound("the server could not find the requested resource")

    def _group(self, group: str) -> Obj:
        versions = [{"groupVersion": f"{group}/{version}", "version": version} for version in self.groups[group]]
        return {"name": group, "versions": versions, "preferredVersion": versions[0]}

    def _resources(self, group: str, version: str) -> list[Obj]:
        found: list[Obj] = []
        for kind in self.kinds_of(group, version):
            found.append(_resource(kind))
            found += [_subresource(kind, kind.subresources[name]) for name in sorted(kind.subresources)]
        return found

    def _discovered_group(self, group: str) -> Obj:
        return {
            "metadata": {"name": group, "creationTimestamp": None} if group else {"creationTimestamp": None},
            "versions": [
                {
                    "version": version,
                    "resources": [_discovered(kind) for kind in self.kinds_of(group, version)],
                    "freshness": "Current",
                }
                for version in self.groups[group]
            ],
        }


BUILT_IN = Served(registry.all_kinds())
"""What every tenant has."""


def groups() -> Mapping[str, tuple[str, ...]]:
    """The versions of every built-in group."""
    return BUILT_IN.groups


def kinds_of(group: str, version: str) -> list[Kind]:
    """The built-in kinds of a group-version by plural name."""
    return BUILT_IN.kinds_of(group, version)


def answer(
    path: str, accept: str = "", if_none_match: str = "", packings: str = "", served: Served = BUILT_IN
) -> Response:
    """Answers `/api`, `/apis` and what is below them but names no resource. NotFound, NotAcceptable."""
    form = negotiate(accept, encodings.EVERY, (_LIST,))
    if form is None:
        raise encodings.none_of(encodings.EVERY)
    if path in ("/api", "/apis") and form.as_ and form.version in AGGREGATED:
        return served.aggregated(path, form.version).answer(if_none_match, packings)
    return served.plain(path).answer(if_none_match, packings)


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
