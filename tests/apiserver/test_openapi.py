"""OpenAPI: documents are whole, say what clients look for, and are the same in every form."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from arktos.apiserver import descriptions, discovery, openapi, openapi_v2, openapi_v2_protobuf
from arktos.apiserver.openapi_paths import root
from arktos.model import additions, registry
from arktos.model.status import NotFound

Obj = dict[str, Any]
PODS = "/api/v1/namespaces/{namespace}/pods/{name}"
NAMES = [root(group, v) for group, versions in discovery.groups().items() for v in versions]


def v3(name: str) -> Any:
    return json.loads(openapi.document(name).body)


@pytest.fixture(scope="module")
def core() -> Obj:
    found: Obj = v3("api/v1")
    return found


@pytest.fixture(scope="module")
def whole() -> Obj:
    found: Obj = json.loads(openapi_v2.json_document().body)
    return found


def references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for found in value.values():
            yield from references(found)
    elif isinstance(value, list):
        for found in value:
            yield from references(found)


def test_the_index_names_every_document() -> None:
    index = json.loads(bytes(openapi.answer("/openapi/v3").body))["paths"]
    assert set(index) == set(NAMES)
    for name, entry in index.items():
        assert entry["serverRelativeURL"] == f"/openapi/v3/{name}?hash={openapi.fingerprint(name)}"


def test_a_document_by_its_hash_is_kept_for_ever() -> None:
    name = "apis/policy/v1"
    exact = openapi.answer(f"/openapi/v3/{name}", f"hash={openapi.fingerprint(name)}&timeout=32s")
    assert "immutable" in dict(exact.headers)["Cache-Control"]
    assert "Cache-Control" not in dict(openapi.answer(f"/openapi/v3/{name}", "hash=OLD").headers)
    assert openapi.answer(f"/openapi/v3/{name}", "", dict(exact.headers)["ETag"]).status == 304
    with pytest.raises(NotFound):
        openapi.answer("/openapi/v3/apis/nope/v1")


def test_clients_that_take_it_get_it_compressed() -> None:
    packed = openapi.answer("/openapi/v3/api/v1", encodings="gzip")
    assert dict(packed.headers)["Content-Encoding"] == "gzip"
    assert gzip.decompress(bytes(packed.body)) == openapi.answer("/openapi/v3/api/v1").body


@pytest.mark.parametrize("name", NAMES)
def test_documents_refer_to_nothing_that_they_lack(name: str) -> None:
    document = v3(name)
    schemas = document["components"]["schemas"]
    for reference in references(document):
        assert reference.removeprefix("#/components/schemas/") in schemas
    assert not re.search(r'"type": (\[|"null")', json.dumps(schemas))


@pytest.mark.parametrize("name", NAMES)
def test_operations_are_told_apart(name: str) -> None:
    identities = [
        item[method]["operationId"]
        for item in v3(name)["paths"].values()
        for method in ("get", "put", "post", "delete", "patch")
        if method in item
    ]
    assert identities and len(set(identities)) == len(identities)


def test_patches_say_what_kubectl_looks_for(core: Obj) -> None:
    patch = core["paths"][PODS]["patch"]
    assert patch["x-kubernetes-action"] == "patch"
    assert patch["x-kubernetes-group-version-kind"] == {"group": "", "version": "v1", "kind": "Pod"}
    assert "fieldValidation" in {p["name"] for p in patch["parameters"]}
    assert "application/strategic-merge-patch+json" in patch["requestBody"]["content"]
    assert patch["operationId"] == "patchCoreV1NamespacedPod"


def test_paths_of_all_scopes(core: Obj) -> None:
    paths = core["paths"]
    assert set(paths["/api/v1/pods"]) == {"get", "parameters"}
    assert set(paths["/api/v1/namespaces/{namespace}/pods"]) == {"get", "post", "delete", "parameters"}
    assert {p["name"] for p in paths[PODS]["parameters"]} == {"name", "namespace", "pretty"}
    assert set(paths["/api/v1/tenants/{name}/finalize"]) == {"put", "parameters"}
    assert paths["/api/v1/nodes/{name}"]["get"]["operationId"] == "readCoreV1Node"
    evicted = paths[f"{PODS}/eviction"]["post"]
    assert evicted["x-kubernetes-group-version-kind"]["group"] == "policy"
    assert "requestBody" in evicted
    scaled = v3("apis/apps/v1")["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"]["get"]
    assert scaled["x-kubernetes-group-version-kind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}


def test_all_that_is_served_is_described() -> None:
    for kind in registry.all_kinds():
        document = v3(root(kind.group, kind.version))
        assert kind.schema in document["components"]["schemas"]
        for entry in kind.subresources:
            assert any(path.endswith(f"/{kind.plural}/{{name}}/{entry}") for path in document["paths"])


def test_pods_of_both_sorts(core: Obj) -> None:
    schemas = core["components"]["schemas"]
    spec = schemas["io.k8s.api.core.v1.PodSpec"]
    assert "containers" not in spec.get("required", ())
    containers = spec["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert containers["x-kubernetes-list-map-keys"] == ["name"]
    machine = spec["properties"]["virtualMachine"]
    assert machine["allOf"] == [{"$ref": "#/components/schemas/io.arktos.api.core.v1.VirtualMachine"}]
    nics = spec["properties"]["nics"]
    assert nics["x-kubernetes-patch-strategy"] == "merge,retainKeys"
    power = schemas["io.k8s.api.core.v1.Container"]["properties"]["imagePullPolicy"]
    assert power["enum"] == ["Always", "IfNotPresent", "Never"]
    assert schemas["io.k8s.api.core.v1.Pod"]["x-kubernetes-group-version-kind"][0]["kind"] == "Pod"
    assert "enum" not in schemas["io.k8s.api.core.v1.Pod"]["properties"]["kind"]


def test_numbers_that_may_be_words(core: Obj) -> None:
    schemas = core["components"]["schemas"]
    assert schemas["io.k8s.apimachinery.pkg.util.intstr.IntOrString"]["format"] == "int-or-string"
    assert {t["type"] for t in schemas["io.k8s.apimachinery.pkg.api.resource.Quantity"]["oneOf"]} == {
        "string",
        "number",
    }


def test_everything_of_ours_is_described() -> None:
    for name, facts in additions.types().items():
        assert descriptions.of(name)
        assert all(descriptions.of(name, field) for field in facts["p"])
    for name in additions.FIELDS:
        assert all(descriptions.of(name, field) for field in additions.fields(name))


def test_the_hash_follows_what_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    before = openapi.fingerprint.__wrapped__("api/v1")
    openapi.source.cache_clear()
    monkeypatch.setitem(descriptions._TYPES, "Nic", ("Another text.", {}))
    after = openapi.fingerprint.__wrapped__("api/v1")
    openapi.source.cache_clear()
    assert before != after
    monkeypatch.undo()
    assert openapi.fingerprint.__wrapped__("api/v1") == before


def test_v2_refers_to_nothing_that_it_lacks(whole: Obj) -> None:
    assert whole["swagger"] == "2.0"
    for reference in references(whole):
        assert reference.removeprefix("#/definitions/") in whole["definitions"]
    assert "fieldValidation" in {p["name"] for p in whole["paths"][PODS]["patch"]["parameters"]}
    quantity = whole["definitions"]["io.k8s.apimachinery.pkg.api.resource.Quantity"]
    assert quantity["type"] == "string"


def test_v2_has_what_v3_has(whole: Obj) -> None:
    for name in NAMES:
        document = v3(name)
        assert set(document["paths"]) <= set(whole["paths"])
        assert set(document["components"]["schemas"]) <= set(whole["definitions"])


@pytest.mark.parametrize(
    ("accept", "protobuf"),
    [
        ("application/com.github.proto-openapi.spec.v2@v1.0+protobuf", True),
        ("application/com.github.proto-openapi.spec.v2.v1.0+protobuf", True),
        ("application/json", False),
        ("*/*", False),
        ("", False),
    ],
)
def test_v2_is_negotiated(accept: str, protobuf: bool) -> None:
    answer = openapi_v2.answer(accept)
    assert (answer.content_type == openapi_v2.PROTOBUF) is protobuf
    assert bytes(answer.body).startswith(b"\x0a\x032.0" if protobuf else b'{"swagger":"2.0"')


def fields(data: bytes) -> list[tuple[int, Any]]:
    """The fields of a protobuf message: numbers and raw values."""
    found: list[tuple[int, Any]] = []
    at = 0

    def varint() -> int:
        nonlocal at
        number = shift = 0
        while True:
            byte = data[at]
            at += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number

    while at < len(data):
        tag = varint()
        if tag & 7 == 0:
            found.append((tag >> 3, varint()))
        else:
            assert tag & 7 == 2
            size = varint()
            found.append((tag >> 3, data[at : at + size]))
            at += size
    return found


def named(data: bytes) -> tuple[str, bytes]:
    pair = dict(fields(data))
    return pair[1].decode(), pair[2]


def test_protobuf_has_the_paths_and_types_of_json(whole: Obj) -> None:
    document = fields(openapi_v2.protobuf_document().body)
    paths = dict(named(v) for n, message in document if n == 8 for _, v in fields(message))
    types = dict(named(v) for n, message in document if n == 9 for _, v in fields(message))
    assert set(paths) == set(whole["paths"])
    assert set(types) == set(whole["definitions"])
    pod = dict(fields(types["io.k8s.api.core.v1.Pod"]))
    assert pod[4].decode() == whole["definitions"]["io.k8s.api.core.v1.Pod"]["description"]
    name, value = named(pod[31])
    assert (name, json.loads(dict(fields(value))[2])[0]["kind"]) == ("x-kubernetes-group-version-kind", "Pod")
    properties = dict(named(v) for _, v in fields(pod[25]))
    assert dict(fields(properties["spec"]))[1] == b"#/definitions/io.k8s.api.core.v1.PodSpec"


def test_protobuf_of_small_messages() -> None:
    encode = openapi_v2_protobuf.encode
    assert encode("Info", {"title": "a", "version": "b"}) == b"\x0a\x01a\x12\x01b"
    assert encode("Schema", {"type": "object"}) == b"\xb2\x01\x08\x0a\x06object"
    assert encode("Schema", {"additionalProperties": True}) == b"\xaa\x01\x02\x10\x01"
    with pytest.raises(KeyError):
        encode("Info", {"licence": "x"})


def test_no_description_is_ours_where_upstream_has_one(core: Obj) -> None:
    described = core["components"]["schemas"]["io.k8s.api.core.v1.Pod"]["description"]
    assert re.match(r"Pod is a collection of containers", described)
