"""OpenAPI v2 of a tenant: the built-in document, with its own kinds put in. Large, so it is made beside the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator

from arktos.apiserver import openapi_v2
from arktos.apiserver.custom.openapi import component, group_versions, list_component
from arktos.apiserver.discovery import BUILT_IN, Served
from arktos.apiserver.encoding import dumps
from arktos.apiserver.openapi_paths import paths_of
from arktos.apiserver.openapi_types import GVK
from arktos.apiserver.openapi_v2_protobuf import encode, entry
from arktos.apiserver.prebuilt import Document
from arktos.model.kinds import Kind, Obj
from arktos.wire.http import Response

_KEPT = frozenset(
    {"$ref", "description", "type", "format", "required", "items", "additionalProperties", "properties", GVK}
    | {"x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"}
)
"""What clients of v2 go by: which fields there are, and how they merge. The whole schema is in v3."""


def answer(accept: str, if_none_match: str, packings: str, served: Served) -> Response | Awaitable[Response]:
    """Answers `/openapi/v2` for one tenant."""
    if served is BUILT_IN:
        return openapi_v2.answer(accept, if_none_match, packings)
    binary = openapi_v2.is_binary(accept)
    known = served.kept.get(_name(binary))
    if known is not None:
        return known.answer(if_none_match, packings)
    return _answer(served, binary, if_none_match, packings)


async def _answer(served: Served, binary: bool, if_none_match: str, packings: str) -> Response:
    made = served.kept[_name(binary)] = await asyncio.to_thread(document, served, binary)
    return made.answer(if_none_match, packings)


def _name(binary: bool) -> str:
    return "openapi.v2.protobuf" if binary else "openapi.v2"


def document(served: Served, binary: bool) -> Document:
    """The document as JSON, or as gnostic's protobuf."""
    kinds = [kind for found in group_versions(served).values() for kind in found]
    return _binary(kinds) if binary else _json(kinds)


def _json(kinds: list[Kind]) -> Document:
    whole = openapi_v2.json_document().body
    paths = b"".join(b"," + dumps(name) + b":" + dumps(item) for name, item in _paths(kinds))
    types = b"".join(dumps(name) + b":" + dumps(node) + b"," for name, node in _definitions(kinds))
    before, middle, after = whole.partition(openapi_v2.BETWEEN)
    return Document(before + paths + middle + types + after)


def _binary(kinds: list[Kind]) -> Document:
    """Messages one after the other are one message: what both have of a field that repeats comes together."""
    paths = b"".join(entry("Paths", "path", name, item) for name, item in _paths(kinds))
    types = b"".join(entry("Definitions", "", name, node) for name, node in _definitions(kinds))
    whole = openapi_v2.protobuf_document().body
    return Document(whole + encode("Document", {}, paths=paths, definitions=types), openapi_v2.PROTOBUF)


def _paths(kinds: list[Kind]) -> Iterator[tuple[str, Obj]]:
    for kind in kinds:
        for path in paths_of(kind):
            yield path.path, openapi_v2.path_item(path)


def _definitions(kinds: list[Kind]) -> Iterator[tuple[str, Obj]]:
    for kind in kinds:
        yield kind.schema, _plain(component(kind, openapi_v2.DEFINITIONS))
        yield kind.schema + "List", _plain(list_component(kind, openapi_v2.DEFINITIONS))


def _plain(node: Obj) -> Obj:
    """A schema in the words of v2."""
    written: Obj = {}
    for key, value in node.items():
        if key == "allOf" and len(value) == 1 and "$ref" in value[0]:
            written["$ref"] = value[0]["$ref"]
        elif key == "properties":
            written[key] = {name: _plain(found) for name, found in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            written[key] = _plain(value)
        elif key in _KEPT and not isinstance(value, bool):
            written[key] = value
    if node.get("x-kubernetes-int-or-string"):
        written |= {"type": "string", "format": "int-or-string"}
    return written
