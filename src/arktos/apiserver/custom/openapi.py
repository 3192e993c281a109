"""OpenAPI v3 of custom resources: a document for each group-version that a tenant defines, beside the built-in ones.

A component is the schema that its definition has, with what all objects have besides: it is published as it is.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Sequence
from functools import cache
from urllib.parse import parse_qsl

import msgspec

from arktos.apiserver import openapi, version
from arktos.apiserver.discovery import BUILT_IN, Served
from arktos.apiserver.encoding import dumps
from arktos.apiserver.openapi_paths import Path, paths_of, root
from arktos.apiserver.openapi_types import GVK, META, Types
from arktos.apiserver.prebuilt import Document
from arktos.model.kinds import Kind, Obj
from arktos.model.status import NotFound
from arktos.wire.http import Response

_API_VERSION = {
    "description": "The versioned schema that this is an object of: its group and version.",
    "type": "string",
}
_FEW = 8
"""So many kinds are soon described."""
_KIND = {"description": "The kind of object that this is, in the schema of its apiVersion.", "type": "string"}


def answer(path: str, query: str, if_none_match: str, packings: str, served: Served) -> Response | Awaitable[Response]:
    """Answers `/openapi/v3` and what is below it for one tenant. NotFound."""
    if served is BUILT_IN:
        return openapi.answer(path, query, if_none_match, packings)
    name = path.removeprefix(openapi.PREFIX).strip("/")
    if not name:
        return _index(served).answer(if_none_match, packings)
    own = group_versions(served)
    if name not in own:
        return openapi.answer(path, query, if_none_match, packings)
    mark = fingerprint(own[name])
    extra = openapi.FOREVER if dict(parse_qsl(query)).get("hash") == mark else ()
    if name in served.kept or len(own[name]) <= _FEW:
        return document(served, name).answer(if_none_match, packings, extra)
    return _made(served, name, if_none_match, packings, extra)


async def _made(
    served: Served, name: str, if_none_match: str, packings: str, extra: Sequence[tuple[str, str]]
) -> Response:
    """Large, so it is made beside the loop."""
    found = await asyncio.to_thread(document, served, name)
    return found.answer(if_none_match, packings, extra)


def group_versions(served: Served) -> dict[str, list[Kind]]:
    """The kinds of the group-versions that only this tenant has, by the names of their documents."""
    found: dict[str, list[Kind]] = {}
    for kind in served.custom:
        if kind.version not in BUILT_IN.groups.get(kind.group, ()):
            found.setdefault(root(kind.group, kind.version), []).append(kind)
    return found


def fingerprint(kinds: list[Kind]) -> str:
    """The hash of a document, without making it."""
    digest = hashlib.sha256(openapi.source().encode())
    for kind in kinds:
        assert kind.custom is not None
        digest.update(repr((kind.custom.mark, kind)).encode())
    return digest.hexdigest().upper()


def _index(served: Served) -> Document:
    known = served.kept.get("openapi")
    if known is None:
        listed = dict(openapi.listed())
        for name, kinds in group_versions(served).items():
            listed[name] = {"serverRelativeURL": f"{openapi.PREFIX}/{name}?hash={fingerprint(kinds)}"}
        known = served.kept["openapi"] = Document(dumps({"paths": listed}))
    return known


def document(served: Served, name: str) -> Document:
    """The document of a group-version. NotFound."""
    kinds = group_versions(served).get(name)
    if kinds is None:
        raise NotFound("the server could not find the requested resource")
    known = served.kept.get(name)
    if known is None:
        known = served.kept[name] = _document(kinds)
    return known


def _document(kinds: list[Kind]) -> Document:
    head = {"openapi": "3.0.0", "info": {"title": "Arktos", "version": version.git_version()}}
    described: list[Path] = [path for kind in kinds for path in paths_of(kind)]
    components: dict[str, object] = {}
    for kind in kinds:
        components[kind.schema] = component(kind)
        components[kind.schema + "List"] = list_component(kind)
    components |= _shared()
    body = {
        **head,
        "paths": {path.path: openapi.path_item(path) for path in described},
        "components": {"schemas": dict(sorted(components.items())), "securitySchemes": openapi.SECURITY},
    }
    return Document(dumps(body), etag=fingerprint(kinds))


@cache
def _shared() -> dict[str, msgspec.Raw]:
    """The components that all documents of custom resources have."""
    names = ("APIResourceList", "DeleteOptions", "ListMeta", "ObjectMeta", "Patch", "Status", "WatchEvent")
    roots = {META + name for name in names} | {"io.k8s.api.autoscaling.v1.Scale"}
    return {name: msgspec.Raw(dumps(openapi.component(name, node))) for name, node in Types().closure(roots)}


def component(kind: Kind, reference: str = openapi.SCHEMAS) -> Obj:
    """The schema of an object."""
    assert kind.custom is not None
    raw = kind.custom.root.raw
    fields = {
        **raw.get("properties", {}),
        "apiVersion": _API_VERSION,
        "kind": _KIND,
        "metadata": {"description": "Standard metadata.", "allOf": [{"$ref": f"{reference}{META}ObjectMeta"}]},
    }
    made = {**raw, "type": "object", "properties": dict(sorted(fields.items()))}
    made[GVK] = [{"group": kind.group, "kind": kind.kind, "version": kind.version}]
    return made


def list_component(kind: Kind, reference: str = openapi.SCHEMAS) -> Obj:
    """The schema of a list of objects."""
    items = {"description": "The objects.", "type": "array", "items": {"$ref": reference + kind.schema}}
    return {
        "description": f"A list of objects of kind {kind.kind}.",
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": _API_VERSION,
            "items": items,
            "kind": _KIND,
            "metadata": {"description": "Standard metadata.", "allOf": [{"$ref": f"{reference}{META}ListMeta"}]},
        },
        GVK: [{"group": kind.group, "kind": kind.list_kind, "version": kind.version}],
    }
