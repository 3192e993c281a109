"""OpenAPI v2: everything in one document, as JSON and as the protobuf that kubectl up to 1.28 asks for.

Made when it is first asked for, piece by piece: each path and each definition is written and dropped before the next
one is made. kubectl reads from it which fields there are, how lists merge, and whether the server validates fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from arktos.apiserver import discovery, openapi, version
from arktos.apiserver.encoding import dumps
from arktos.apiserver.openapi_paths import Operation, Parameter, Path, paths
from arktos.apiserver.openapi_types import GVK, INT_OR_STRING, META, QUANTITY, Types
from arktos.apiserver.openapi_v2_protobuf import encode, entry
from arktos.apiserver.prebuilt import Document
from arktos.model.kinds import Obj
from arktos.wire.http import Response

PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
"""The content type of the protobuf form; the one in Accept has `@` before the second version (no token of RFC 9110)."""

_WANTED = "com.github.proto-openapi.spec.v2"
DEFINITIONS = "#/definitions/"
BETWEEN = b'},"definitions":{'
"""What stands between the paths and the definitions; nothing before it looks like it."""
_SECURITY = {
    "BearerToken": {
        "type": "apiKey",
        "name": "authorization",
        "in": "header",
        "description": "A bearer token: Bearer TOKEN.",
    }
}


def answer(accept: str = "", if_none_match: str = "", encodings: str = "") -> Response:
    """Answers `/openapi/v2`: protobuf where the client prefers it, else JSON."""
    return (protobuf_document() if is_binary(accept) else json_document()).answer(if_none_match, encodings)


def is_binary(accept: str) -> bool:
    """Whether a client prefers protobuf."""
    return _WANTED in accept.partition(",")[0]


def _head() -> Obj:
    return {"swagger": "2.0", "info": {"title": "Arktos", "version": version.git_version()}}


@cache
def json_document() -> Document:
    parts = [dumps(_head())[:-1], b',"paths":{']
    roots: set[str] = set()
    for number, (name, item) in enumerate(_paths(roots)):
        parts += (b"," if number else b"", dumps(name), b":", dumps(item))
    parts.append(BETWEEN)
    for number, (name, node) in enumerate(_definitions(roots)):
        parts += (b"," if number else b"", dumps(name), b":", dumps(node))
    parts += (b'},"securityDefinitions":', dumps(_SECURITY), b',"security":[{"BearerToken":[]}]}')
    return Document(b"".join(parts), etag=openapi.fingerprint_of_all())


@cache
def protobuf_document() -> Document:
    """The same as a gnostic `openapi.v2.Document`."""
    roots: set[str] = set()
    found_paths = b"".join(entry("Paths", "path", name, item) for name, item in _paths(roots))
    found_types = b"".join(entry("Definitions", "", name, node) for name, node in _definitions(roots))
    head = {**_head(), "security": [{"BearerToken": []}], "securityDefinitions": _SECURITY}
    body = encode("Document", head, paths=found_paths, definitions=found_types)
    return Document(body, PROTOBUF, etag=openapi.fingerprint_of_all() + "-P")


def _paths(roots: set[str]) -> Iterator[tuple[str, Obj]]:
    """Every path with its item; the types that it needs are added to `roots`."""
    roots |= {META + "APIResourceList", META + "WatchEvent"}
    for group, versions in discovery.groups().items():
        for found in versions:
            for path in paths(group, found):
                for operation in path.operations:
                    roots |= {operation.response, operation.body} - {""}
                yield path.path, path_item(path)


def path_item(path: Path) -> Obj:
    item: Obj = {operation.method: _operation(operation) for operation in path.operations}
    item["parameters"] = [_parameter(parameter) for parameter in path.parameters]
    return item


def _operation(operation: Operation) -> Obj:
    group, found, kind = operation.gvk
    schema = {"$ref": DEFINITIONS + operation.response} if operation.response else {"type": "string"}
    responses: Obj = {code: {"description": word, "schema": schema} for code, word in operation.codes}
    responses["401"] = {"description": "Unauthorized"}
    parameters = [_parameter(parameter) for parameter in operation.parameters]
    if operation.body:
        body: Obj = {"name": "body", "in": "body", "schema": {"$ref": DEFINITIONS + operation.body}}
        if operation.method != "delete":
            body["required"] = True
        parameters.insert(0, body)
    written: Obj = {
        "tags": [operation.tag],
        "description": operation.description,
        "operationId": operation.id,
        "produces": list(operation.gives),
        "responses": responses,
        "x-kubernetes-action": operation.action,
        GVK: {"group": group, "version": found, "kind": kind},
    }
    if operation.takes:
        written["consumes"] = list(operation.takes)
    if parameters:
        written["parameters"] = parameters
    return written


def _parameter(parameter: Parameter) -> Obj:
    written: Obj = {
        "name": parameter.name,
        "in": parameter.where,
        "description": parameter.description,
        "type": parameter.type,
        "uniqueItems": True,
    }
    if parameter.where == "path":
        written["required"] = True
    return written


def _definitions(roots: set[str]) -> Iterator[tuple[str, Obj]]:
    for name, node in Types().closure(roots):
        yield name, _definition(name, node)


def _definition(name: str, node: Obj) -> Obj:
    """The node as v2 has it, which knows no oneOf: what may be a number is a string with a format."""
    if name == INT_OR_STRING:
        return {"description": node.get("description", ""), "type": "string", "format": "int-or-string"}
    if name == QUANTITY:
        return {"description": node.get("description", ""), "type": "string"}
    return _node(node)


def _node(node: Obj) -> Obj:
    written: Obj = {}
    for key, value in node.items():
        match key:
            case "$ref":
                written["$ref"] = DEFINITIONS + value
            case "properties":
                written["properties"] = {field: _node(found) for field, found in value.items()}
            case "items" | "additionalProperties" if isinstance(value, dict):
                written[key] = _node(value)
            case _:
                written[key] = value
    return written
