"""OpenAPI v3: an index, and one document for each group-version, made when it is first asked for.

Clients keep a document by the hash that the index names, so the hash is of what the documents are made from: it is the
same after a restart, and costs nothing to tell. A document is written piece by piece and kept compressed; what it was
made from is dropped.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from urllib.parse import parse_qsl

from arktos.apiserver import descriptions, discovery, version
from arktos.apiserver.encoding import dumps
from arktos.apiserver.openapi_paths import Operation, Parameter, Path, paths, root
from arktos.apiserver.openapi_types import GVK, INT_OR_STRING, META, Types
from arktos.apiserver.prebuilt import Document
from arktos.model import additions
from arktos.model.kinds import Obj
from arktos.model.status import NotFound
from arktos.wire.http import Response

PREFIX = "/openapi/v3"
FORMAT = 1
"""Counts the changes of this writer, so that clients drop what an older one wrote."""

FOREVER = (("Cache-Control", "public, immutable, max-age=31536000"),)
SCHEMAS = "#/components/schemas/"
SECURITY: Obj = {
    "BearerToken": {
        "type": "apiKey",
        "name": "authorization",
        "in": "header",
        "description": "A bearer token: Bearer TOKEN.",
    }
}


def answer(path: str, query: str = "", if_none_match: str = "", encodings: str = "") -> Response:
    """Answers `/openapi/v3` and what is below it, always in JSON. NotFound."""
    name = path.removeprefix(PREFIX).strip("/")
    if not name:
        return index().answer(if_none_match, encodings)
    if name not in _names():
        raise NotFound("the server could not find the requested resource")
    current = dict(parse_qsl(query)).get("hash") == fingerprint(name)
    return document(name).answer(if_none_match, encodings, FOREVER if current else ())


@cache
def _names() -> dict[str, tuple[str, str]]:
    """The group-versions by the names of their documents (`api/v1`, `apis/apps/v1`)."""
    return {root(group, v): (group, v) for group, versions in discovery.groups().items() for v in versions}


def listed() -> dict[str, Obj]:
    """Where the built-in documents are, by name."""
    return {name: {"serverRelativeURL": f"{PREFIX}/{name}?hash={fingerprint(name)}"} for name in _names()}


@cache
def index() -> Document:
    return Document(dumps({"paths": listed()}))


@cache
def source() -> str:
    """A digest of everything that documents are made from, the rows of kinds apart."""
    from importlib import metadata  # slow to import, and needed once

    digest = hashlib.sha256()
    digest.update(resources.files("arktos.model").joinpath("kubernetes.json.gz").read_bytes())
    parts = (
        FORMAT,
        version.git_version(),
        metadata.version("kubernetes-validate"),
        additions.types(),
        additions.FIELDS,
    )
    digest.update(repr((*parts, descriptions.everything())).encode())
    return digest.hexdigest()


@cache
def fingerprint(name: str) -> str:
    """The hash of a document, without making it."""
    group, found = _names()[name]
    rows = [repr(kind) for kind in discovery.kinds_of(group, found)]
    return hashlib.sha256("\n".join([source(), *rows]).encode()).hexdigest().upper()


def fingerprint_of_all() -> str:
    """The hash of what describes all group-versions at once."""
    return hashlib.sha256("".join(fingerprint(name) for name in _names()).encode()).hexdigest().upper()


@cache
def document(name: str) -> Document:
    """The document of a group-version. KeyError if there is none of this name."""
    group, found = _names()[name]
    info = {"title": "Arktos", "version": version.git_version()}
    parts = [b'{"openapi":"3.0.0","info":', dumps(info), b',"paths":{']
    roots = {META + "APIResourceList", META + "WatchEvent"}
    for number, path in enumerate(paths(group, found)):
        parts += (b"," if number else b"", dumps(path.path), b":", dumps(path_item(path)))
        for operation in path.operations:
            roots |= {operation.response, operation.body} - {""}
    parts.append(b'},"components":{"schemas":{')
    for number, (type_name, node) in enumerate(Types().closure(roots)):
        parts += (b"," if number else b"", dumps(type_name), b":", dumps(component(type_name, node)))
    parts += (b'},"securitySchemes":', dumps(SECURITY), b"}}")
    return Document(b"".join(parts), etag=fingerprint(name))


def path_item(path: Path) -> Obj:
    item: Obj = {operation.method: _operation(operation) for operation in path.operations}
    item["parameters"] = [_parameter(parameter) for parameter in path.parameters]
    return item


def _answer(operation: Operation) -> Obj:
    """The schema of an answer; of one that is not the API's, Kubernetes says that it is a string."""
    return {"$ref": SCHEMAS + operation.response} if operation.response else {"type": "string"}


def _operation(operation: Operation) -> Obj:
    group, found, kind = operation.gvk
    content = {media: {"schema": _answer(operation)} for media in operation.gives}
    responses: Obj = {code: {"description": word, "content": content} for code, word in operation.codes}
    responses["401"] = {"description": "Unauthorized"}
    written: Obj = {
        "tags": [operation.tag],
        "description": operation.description,
        "operationId": operation.id,
        "responses": responses,
        "x-kubernetes-action": operation.action,
        GVK: {"group": group, "version": found, "kind": kind},
    }
    if operation.parameters:
        written["parameters"] = [_parameter(parameter) for parameter in operation.parameters]
    if operation.body:
        schema = {"schema": {"$ref": SCHEMAS + operation.body}}
        written["requestBody"] = {"content": dict.fromkeys(operation.takes, schema)}
        if operation.method != "delete":
            written["requestBody"]["required"] = True
    return written


def _parameter(parameter: Parameter) -> Obj:
    written: Obj = {
        "name": parameter.name,
        "in": parameter.where,
        "description": parameter.description,
        "schema": {"type": parameter.type, "uniqueItems": True},
    }
    if parameter.where == "path":
        written["required"] = True
    return written


def component(name: str, node: Obj) -> Obj:
    """A type as it stands among the components."""
    return {"format": "int-or-string", **node} if name == INT_OR_STRING else _node(node)


def _node(node: Obj) -> Obj:
    """The node with its references spelled out: with siblings they stand in an allOf, since OpenAPI 3.0 ignores what is
    written beside a `$ref`."""
    written: Obj = {}
    for key, value in node.items():
        match key:
            case "$ref" if len(node) == 1:
                written["$ref"] = SCHEMAS + value
            case "$ref":
                written["allOf"] = [{"$ref": SCHEMAS + value}]
            case "properties":
                written["properties"] = {field: _node(found) for field, found in value.items()}
            case "items" | "additionalProperties" if isinstance(value, dict):
                written[key] = _node(value)
            case _:
                written[key] = value
    return written
