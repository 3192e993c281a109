"""Bodies that the server's own OpenAPI document allows, and bodies that are nearly so, for every operation it tells of:
each answer is an object or a Status, in the encoding asked for, and what was stored can be read in every form."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arktos.wire import protobuf, yaml, yaml_encode
from arktos.wire.http import Response

Schema = dict[str, Any]
PROTOBUF, YAML = "application/vnd.kubernetes.protobuf", "application/yaml"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = f"{PROTOBUF};as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
_DEPTH = 7
_OPTIONS: dict[str, Any] = {"deadline": None, "suppress_health_check": list(HealthCheck)}
_WORDS = (
    *("a", "b", "default", "x.example.com", "example.com/a", "web", "nginx:1.27", "10.0.0.1", "10.0.0.0/24", "::1"),
    *("", "..", "A b", "*", "25%", "http", "TCP", "Always", "Never", "ClusterIP", "None", "In", "Exists", "0 * * * *"),
    *("1.2.3", "kubernetes.io/kubelet-serving", "system:masters", "device.driver == 'a'", "ü\n", "x" * 300),
)
_NUMBERS = (-(2**31), -1, 0, 1, 2, 80, 8080, 65536, 2**31 - 1, 2**53)
_ANYTHING = (None, True, 0, -1.5, "x", [], {}, [None], [[1]], {"": None}, 2**63, "\x00")
_EITHER = (-1, 0, 1, 80, "25%", "1", "100m", "1Gi", "-1", "http", "x")
_STAMPS = ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000001Z", "yesterday")


class Server:
    """An API server that lives through all examples, on a loop of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, api: Any) -> None:
        self.loop = loop
        self.api = api
        self.documents: dict[str, Schema] = {}
        for path in self.get("/openapi/v3")["paths"]:
            self.documents[path] = self.get(f"/openapi/v3/{path}")
        self.operations = sorted(self._operations(), key=lambda found: found[:3])

    def get(self, target: str) -> Any:
        return self.loop.run_until_complete(self.api.get(target)).ok()

    def _operations(self) -> Iterator[tuple[str, str, str, str, Schema]]:
        for group_version, document in self.documents.items():
            for path, operations in document["paths"].items():
                for method, operation in operations.items():
                    if not isinstance(operation, dict) or "{path}" in path:
                        continue
                    content = (operation.get("requestBody") or {}).get("content") or {"": {"schema": {}}}
                    for media_type, body in content.items():
                        yield group_version, path, method.upper(), media_type, body["schema"]

    def call(self, method: str, target: str, body: object = None, **more: Any) -> Response | None:
        """The answer, which must be one; None for a stream."""
        asked = f"{method} {target} {body!r} {more}"
        reply = self.loop.run_until_complete(self.api.reply(method, target, body, **more))
        if not isinstance(reply, Response):
            if hasattr(reply, "on_close"):
                return None
            raise AssertionError(f"{asked}: {reply!r}")
        whole = reply.body if isinstance(reply.body, bytes) else b"".join(reply.body)
        assert reply.status < 500 or reply.status in (503, 504), f"{asked}: {whole[:2000]!r}"
        found = _decoded(reply.content_type, whole)
        if reply.status >= 400:
            assert isinstance(found, dict) and found["kind"] == "Status", f"{asked}: {whole[:500]!r}"
            assert found["status"] == "Failure" and found["code"] == reply.status and found.get("reason"), asked
        return Response(reply.status, whole, reply.content_type)


def _decoded(content_type: str, body: bytes) -> Any:
    if content_type == PROTOBUF:
        return protobuf.decode(body)
    if content_type == YAML:
        return yaml.decode(body)
    return json.loads(body) if content_type == "application/json" and body else None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, opener: Any) -> Iterator[Server]:
    loop = asyncio.new_event_loop()
    api = loop.run_until_complete(opener(tmp_path_factory.mktemp("fuzz")))
    loop.run_until_complete(api.tenant("acme"))
    yield Server(loop, api)
    loop.run_until_complete(api.upkeep.aclose())
    loop.run_until_complete(api.store.close())
    loop.close()


def _made(dice: Random, schemas: Schema, schema: Schema, depth: int, name: str = "") -> Any:
    """A value that a schema allows."""
    while "$ref" in schema or "allOf" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema["allOf"][0]
    if "enum" in schema:
        return dice.choice(schema["enum"])
    if "oneOf" in schema or "anyOf" in schema:
        return dice.choice(_EITHER)
    kind = schema.get("type", "")
    if kind == "object":
        return _made_object(dice, schemas, schema, depth)
    if kind == "array":
        count = dice.choice((0, 1, 1, 2)) if depth < _DEPTH else 0
        return [_made(dice, schemas, schema["items"], depth + 1) for _ in range(count)]
    return _scalar(dice, schema, kind, name)


def _made_object(dice: Random, schemas: Schema, schema: Schema, depth: int) -> Schema:
    if depth >= _DEPTH:
        return {}
    properties = schema.get("properties")
    if properties is not None:
        required = set(schema.get("required", ()))
        wanted = [each for each in properties if each in required or not dice.randrange(3 + depth)]
        return {each: _made(dice, schemas, properties[each], depth + 1, each) for each in wanted}
    below = schema.get("additionalProperties")
    if not isinstance(below, dict):
        return dice.choice(({}, {"a": 1}))
    keys = dice.sample(("a", "example.com/b", "cpu", "pods", "x y"), dice.randrange(3))
    return {key: _made(dice, schemas, below, depth + 1) for key in keys}


def _scalar(dice: Random, schema: Schema, kind: str, name: str) -> Any:
    if kind in ("integer", "number"):
        return dice.choice(_NUMBERS)
    if kind == "boolean":
        return dice.random() < 0.5
    if not kind:
        return copy.deepcopy(dice.choice(_ANYTHING))
    if schema.get("format") == "date-time":
        return dice.choice(_STAMPS)
    if schema.get("format") == "byte":
        return dice.choice(("", "YQ==", "!"))
    if name in ("resourceVersion", "uid", "apiVersion", "kind", "generateName"):
        return ""
    return dice.choice(_WORDS)


def _sites(value: Any) -> Iterator[tuple[Any, Any]]:
    holders = [value]
    for holder in holders:
        for key in holder if isinstance(holder, dict) else range(len(holder)):
            yield holder, key
            if isinstance(holder[key], dict | list):
                holders.append(holder[key])


def _broken(dice: Random, body: Any) -> Any:
    """The body with something else in one or two places."""
    body = copy.deepcopy(body)
    for _ in range(dice.randrange(3)):
        sites = list(_sites(body)) if isinstance(body, dict | list) else []
        if not sites:
            return copy.deepcopy(dice.choice(_ANYTHING))
        holder, key = dice.choice(sites)
        if isinstance(holder, dict) and dice.random() < 0.5:
            holder[f"{key}x"] = holder.pop(key)
        else:
            holder[key] = copy.deepcopy(dice.choice(_ANYTHING))
    return body


def _encoded(body: Any, media_type: str) -> bytes:
    if media_type == YAML:
        return yaml_encode.encode(body)
    if media_type == PROTOBUF:
        try:
            return protobuf.encode(body)
        except (protobuf.EncodeError, AttributeError):
            return b"k8s\0" + json.dumps(body).encode()
    return json.dumps(body).encode()


Asked = tuple[str, str, bytes | None, str, str]
"""Method, target, body, its type, and what is asked for."""


def _kind_of(schemas: Schema, schema: Schema) -> Schema:
    """What a body says that it is."""
    while "$ref" in schema or "allOf" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema["allOf"][0]
    for mark in schema.get("x-kubernetes-group-version-kind", ())[:1]:
        group, version = mark["group"], mark["version"]
        return {"apiVersion": f"{group}/{version}" if group else version, "kind": mark["kind"]}
    return {}


def _request(server: Server, methods: tuple[str, ...], dice: Random) -> Asked:
    group_version, path, method, media_type, schema = dice.choice(
        [each for each in server.operations if each[2] in methods]
    )
    name = dice.choice(("a", "b"))
    target = path.replace("{namespace}", "default").replace("{name}", name).replace("{tenant}", "acme")
    body = None
    if media_type:
        schemas = server.documents[group_version]["components"]["schemas"]
        made = _made(dice, schemas, schema, 0)
        if isinstance(made, dict) and dice.randrange(4):
            found = made.get("metadata")
            kept = ("labels", "annotations", "finalizers")
            metadata = {k: v for k, v in found.items() if k in kept} if isinstance(found, dict) else {}
            made["metadata"] = {**metadata, "name": name}
            made |= _kind_of(schemas, schema)
        body = _encoded(made if dice.randrange(3) else _broken(dice, made), media_type)
    query = dice.choice(("", "", "", "?dryRun=All", "?fieldValidation=Strict", "?fieldValidation=Ignore"))
    if "apply" in media_type:
        query += ("&" if query else "?") + "fieldManager=m&force=true"
    return method, target + query, body, media_type, dice.choice(("", "", f"{PROTOBUF},application/json", YAML, TABLE))


def _try(server: Server, request: Asked) -> None:
    method, target, body, media_type, accept = request
    answer = server.call(method, target, body, type=media_type or "application/json", accept=accept)
    if (
        answer is None
        or answer.status not in (200, 201)
        or "dryRun" in target
        or method not in ("POST", "PUT", "PATCH")
    ):
        return
    stored = json.loads(answer.body) if answer.content_type == "application/json" else None
    name = ((stored or {}).get("metadata") or {}).get("name", "")
    path = target.partition("?")[0]
    if method == "POST":
        if not name or "binding" in path or "review" in path or "token" in path:
            return
        path = f"{path}/{name}"
    for form in ("", PROTOBUF, YAML, TABLE, PARTIAL):
        server.call("GET", path, accept=form)
    server.call("GET", path.rpartition("/")[0], accept=TABLE)


def _run(server: Server, examples: int, methods: tuple[str, ...]) -> None:
    # Drawn from one seed: what hypothesis draws one by one takes longer than the server takes to answer.
    @settings(max_examples=examples, **_OPTIONS)
    @given(st.integers(0, 2**32))
    def probe(seed: int) -> None:
        _try(server, _request(server, methods, Random(seed)))

    probe()


_EACH = [("POST",), ("PUT",), ("PATCH",), ("GET", "DELETE")]


@pytest.mark.parametrize("methods", _EACH, ids="-".join)
def test_operations(server: Server, methods: tuple[str, ...]) -> None:
    _run(server, 500, methods)


@pytest.mark.heavy
@pytest.mark.parametrize("methods", _EACH, ids="-".join)
def test_operations_at_length(server: Server, methods: tuple[str, ...]) -> None:
    _run(server, 20_000, methods)
