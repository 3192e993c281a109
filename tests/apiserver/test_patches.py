"""PATCH in its four forms, field validation, bodies in their encodings."""

from __future__ import annotations

import json
from typing import Any

import pytest

CMS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


async def _deployment(api: Any) -> Any:
    return (await api.post(DEPLOYMENTS, api.deployment("d"))).ok(201)


def _containers(obj: Any) -> list[str]:
    return [c["name"] for c in obj["spec"]["template"]["spec"]["containers"]]


async def test_merge_patch(api: Any) -> None:
    (await api.post(CMS, api.config_map("a", k="1", l="2"))).ok(201)
    after = (await api.patch(f"{CMS}/a", {"data": {"k": None, "m": "3"}})).ok()
    assert after["data"] == {"l": "2", "m": "3"}
    assert "data" not in (await api.patch(f"{CMS}/a", {"data": None})).ok()


async def test_strategic_merge_patch(api: Any) -> None:
    await _deployment(api)
    added = {"spec": {"template": {"spec": {"containers": [{"name": "d", "image": "x"}]}}}}
    after = (await api.patch(f"{DEPLOYMENTS}/d", added, api.STRATEGIC)).ok()
    assert _containers(after) == ["d", "c"]
    ordered = {
        "containers": [{"name": "c", "image": "y"}],
        "$setElementOrder/containers": [{"name": "c"}, {"name": "d"}],
    }
    after = (await api.patch(f"{DEPLOYMENTS}/d", {"spec": {"template": {"spec": ordered}}}, api.STRATEGIC)).ok()
    assert _containers(after) == ["c", "d"]
    removed = {"spec": {"template": {"spec": {"containers": [{"name": "d", "$patch": "delete"}]}}}}
    after = (await api.patch(f"{DEPLOYMENTS}/d", removed, api.STRATEGIC)).ok()
    assert _containers(after) == ["c"]


async def test_json_patch(api: Any) -> None:
    (await api.post(CMS, api.config_map("a", k="1"))).ok(201)
    operations = [{"op": "test", "path": "/data/k", "value": "1"}, {"op": "add", "path": "/data/l", "value": "2"}]
    assert (await api.patch(f"{CMS}/a", operations, api.JSON_PATCH)).ok()["data"] == {"k": "1", "l": "2"}
    operations[0]["value"] = "no"
    (await api.patch(f"{CMS}/a", operations, api.JSON_PATCH)).refused(422)
    (await api.patch(f"{CMS}/a", [{"op": "remove", "path": "/data/none"}], api.JSON_PATCH)).refused(422)


@pytest.mark.parametrize("form", ["MERGE", "STRATEGIC", "JSON_PATCH", "APPLY"])
@pytest.mark.parametrize("body", [b"", b"{", b"null", b'"x"', b"5", b"\xff", b'{"metadata":5}', b"[1]"])
async def test_bodies_that_are_no_patch(api: Any, form: str, body: bytes) -> None:
    (await api.post(CMS, api.config_map("a"))).ok(201)
    answer = await api.patch(f"{CMS}/a", body, getattr(api, form), fieldManager="m")
    assert 400 <= answer.code < 500, answer.body
    (await api.get(f"{CMS}/a")).ok()


@pytest.mark.parametrize(
    ("patch", "code"),
    [
        ({"kind": "Secret"}, 400),
        ({"apiVersion": "v2"}, 400),
        ({"kind": 5}, 400),
        ({"metadata": {"name": "b"}}, 400),
        ({"metadata": {"namespace": "b"}}, 400),
        ({"metadata": {"tenant": "b"}}, 400),
        ({"metadata": {"uid": "b"}}, 409),
        ({"metadata": {"resourceVersion": "5"}}, 409),
        ({"metadata": {"resourceVersion": 5}}, 400),
        ({"metadata": []}, 400),
        ({"metadata": "x"}, 400),
        ({"metadata": {"labels": []}}, 400),
        ({"metadata": {"labels": {"a": 5}}}, 400),
        ({"metadata": {"labels": {"a b": "x"}}}, 422),
        ({"metadata": {"deletionTimestamp": "2020-01-01T00:00:00Z"}}, 422),
        ({"data": {"k": 5}}, 400),
        ({"data": []}, 400),
    ],
)
async def test_patches_that_go_too_far(api: Any, patch: Any, code: int) -> None:
    made = (await api.post(CMS, api.config_map("a"))).ok(201)
    (await api.patch(f"{CMS}/a", patch)).refused(code)
    (await api.patch(f"{CMS}/a", patch, api.STRATEGIC)).refused(code)
    assert (await api.get(f"{CMS}/a")).ok() == made


async def test_null_metadata_keeps_what_the_server_owns(api: Any) -> None:
    made = (await api.post(CMS, api.config_map("a"))).ok(201)
    after = (await api.patch(f"{CMS}/a", {"metadata": None})).ok()
    assert after["metadata"]["uid"] == made["metadata"]["uid"] and after["metadata"]["name"] == "a"


async def test_unknown_forms(api: Any) -> None:
    (await api.post(CMS, api.config_map("a"))).ok(201)
    for form in ("application/json", "text/plain", ""):
        (await api.patch(f"{CMS}/a", {}, form)).refused(415)


async def test_a_patch_may_name_the_revision(api: Any) -> None:
    made = (await api.post(CMS, api.config_map("a"))).ok(201)
    named = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}, "data": {"k": "1"}}
    (await api.patch(f"{CMS}/a", named)).ok()
    (await api.patch(f"{CMS}/a", {**named, "data": {"k": "2"}})).refused(409, "modified")


# --- server-side apply --------------------------------------------------------------------------------------------


async def test_apply_from_first_to_last(api: Any) -> None:
    target = f"{CMS}/a"
    made = (await api.apply(target, api.config_map("a", k="1", l="2"), "one")).ok(201)
    assert made["metadata"]["managedFields"][0]["operation"] == "Apply"
    revision = api.store.revision
    assert (await api.apply(target, api.config_map("a", k="1", l="2"), "one")).ok() == made
    assert api.store.revision == revision
    status = (await api.apply(target, api.config_map("a", k="9"), "two")).refused(409, 'conflict with "one"')
    assert status["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".data.k"}
    ]
    (await api.apply(target, api.config_map("a", k="1"), "two")).ok()
    forced = (await api.apply(target, api.config_map("a", k="9"), "two", force="true")).ok()
    assert forced["data"] == {"k": "9", "l": "2"}
    less = (await api.apply(target, api.config_map("a"), "one", force="true")).ok()
    assert less["data"] == {"k": "9"}, "l was one's alone, k is two's now"
    assert (await api.apply(target, api.config_map("a"), "two")).ok().get("data") in (None, {})


async def test_apply_and_other_writers(api: Any) -> None:
    (await api.apply(f"{CMS}/a", api.config_map("a", k="1"), "one")).ok(201)
    (await api.patch(f"{CMS}/a", {"data": {"k": "2"}}, fieldManager="editor")).ok()
    (await api.apply(f"{CMS}/a", api.config_map("a", k="1"), "one")).refused(409, 'conflict with "editor"')


async def test_apply_in_yaml(api: Any) -> None:
    text = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: in-yaml\ndata:\n  k: 'v'\n"
    assert (await api.apply(f"{CMS}/in-yaml", text)).ok(201)["data"] == {"k": "v"}


@pytest.mark.parametrize(
    ("body", "query", "code"),
    [
        ({"metadata": {"name": "a"}}, {"fieldManager": ""}, 422),
        ({"metadata": {"name": "a"}}, {"force": "x"}, 400),
        ({"metadata": {"name": "b"}}, {}, 400),
        ({"metadata": {"name": "a", "managedFields": [{"manager": "x"}]}}, {}, 400),
        ({"metadata": {"name": "a", "uid": "x"}}, {}, 409),
        ({"metadata": {"name": "a", "resourceVersion": "5"}}, {}, 409),
        ({"metadata": {"name": "a"}, "nonsense": 1}, {"fieldValidation": "Strict"}, 400),
        ({"metadata": {"name": "a"}, "data": []}, {}, 400),
        ({"kind": "Secret", "metadata": {"name": "a"}}, {}, 400),
        ({}, {"fieldManager": "x" * 200}, 422),
    ],
)
async def test_bad_applies(api: Any, body: Any, query: dict[str, str], code: int) -> None:
    query = {"fieldManager": "m", **query}
    (await api("PATCH", f"{CMS}/a", body, type=api.APPLY, **query)).refused(code)
    (await api.get(f"{CMS}/a")).refused(404)


async def test_apply_of_lists_by_key(api: Any) -> None:
    await _deployment(api)
    body = api.deployment("d")
    body["spec"]["template"]["spec"]["containers"] = [{"name": "side", "image": "x"}]
    after = (await api.apply(f"{DEPLOYMENTS}/d", body, "one", force="true")).ok()
    assert sorted(_containers(after)) == ["c", "side"]


async def test_apply_of_status_owns_status_only(api: Any) -> None:
    await _deployment(api)
    body = {"metadata": {"name": "d"}, "spec": {"replicas": 9}, "status": {"replicas": 4}}
    after = (await api.apply(f"{DEPLOYMENTS}/d/status", body, "one")).ok()
    assert after["status"]["replicas"] == 4 and after["spec"]["replicas"] == 1
    entry = next(e for e in after["metadata"]["managedFields"] if e["manager"] == "one")
    assert entry["subresource"] == "status" and "f:spec" not in entry["fieldsV1"]
    (await api.apply(f"{DEPLOYMENTS}/none/status", {"metadata": {"name": "none"}}, "one")).refused(404)


# --- field validation ---------------------------------------------------------------------------------------------


def _pod(api: Any) -> Any:
    body = api.pod("p")
    body["spec"]["foo"] = 1
    body["spec"]["containers"][0]["imagee"] = "x"
    return body


async def test_strict(api: Any) -> None:
    status = (await api.post(PODS, _pod(api), fieldValidation="Strict")).refused(400, "strict decoding error")
    assert 'unknown field "spec.containers[0].imagee"' in status["message"]
    assert 'unknown field "spec.foo"' in status["message"]
    double = b'{"metadata":{"name":"a","name":"b"},"data":{"k":"1","k":"2"}}'
    status = (await api.post(CMS, double, fieldValidation="Strict")).refused(400, 'duplicate field "metadata.name"')
    assert 'duplicate field "data.k"' in status["message"]
    double = b"metadata: {name: b}\ndata:\n  k: '1'\n  k: '2'\n"
    (await api.post(CMS, double, type="application/yaml", fieldValidation="Strict")).refused(400, 'field "data.k"')


@pytest.mark.parametrize("query", [{}, {"fieldValidation": "Warn"}])
async def test_warn(api: Any, query: dict[str, str]) -> None:
    answer = await api.post(PODS, _pod(api), **query)
    assert "foo" not in answer.ok(201)["spec"]
    assert '299 - "unknown field \\"spec.foo\\""' in answer.headers["warning"]
    assert '299 - "unknown field \\"spec.containers[0].imagee\\""' in answer.headers["warning"]
    double = b'{"metadata":{"name":"b"},"data":{"k":"1","k":"2"}}'
    answer = await api.post(CMS, double, **query)
    assert answer.ok(201)["data"] == {"k": "2"}
    assert '299 - "duplicate field \\"data.k\\""' in answer.headers["warning"]
    double = b"metadata: {name: c}\ndata:\n  k: '1'\n  k: '2'\n"
    answer = await api.post(CMS, double, type="application/yaml", **query)
    assert '299 - "duplicate field \\"data.k\\""' in answer.headers["warning"]
    answer = await api.patch(f"{CMS}/c", {"nonsense": 1}, **query)
    assert '299 - "unknown field \\"nonsense\\""' in answer.headers["warning"]


async def test_ignore(api: Any) -> None:
    answer = await api.post(PODS, _pod(api), fieldValidation="Ignore")
    assert "foo" not in answer.ok(201)["spec"] and "warning" not in answer.headers
    (await api.post(CMS, api.config_map("a"), fieldValidation="Sometimes")).refused(400, "fieldValidation")


async def test_strict_patches(api: Any) -> None:
    (await api.post(CMS, api.config_map("a"))).ok(201)
    for patch, form in (
        ({"foo": 1}, api.MERGE),
        ({"foo": 1}, api.STRATEGIC),
        ([{"op": "add", "path": "/foo", "value": 1}], api.JSON_PATCH),
    ):
        (await api.patch(f"{CMS}/a", patch, form, fieldValidation="Strict")).refused(400, 'unknown field "foo"')
    double = b'{"data":{"k":"1","k":"2"}}'
    (await api.patch(f"{CMS}/a", double, fieldValidation="Strict")).refused(400, 'duplicate field "data.k"')
    (await api.apply(f"{CMS}/a", double, fieldValidation="Strict")).refused(400, 'duplicate field "data.k"')


async def test_warnings_are_sane_headers(api: Any) -> None:
    answer = await api.post(CMS, {"metadata": {"name": "a"}, 'x"\r\nX-Evil: 1\u2028é\\': 1, "y" * 5000: 1})
    assert answer.code == 201
    assert "\r" not in answer.headers["warning"] and "\n" not in answer.headers["warning"]
    answer.headers["warning"].encode("latin-1")
    many = await api.post(CMS, {"metadata": {"name": "b"}, **{f"field{i}": 1 for i in range(3000)}})
    assert many.code == 201 and len(many.headers["warning"]) < 8000


# --- encodings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("type", ["", "application/json", "application/json; charset=utf-8", "text/json"])
async def test_json(api: Any, type: str) -> None:
    (await api.post(CMS, api.config_map("a"), type=type)).ok(201)


async def test_yaml(api: Any) -> None:
    assert (await api.post(CMS, b"metadata: {name: a}\ndata: {k: 'v'}\n", type="application/yaml")).ok(201)["data"]
    (await api.post(CMS, b"metadata: [", type="application/yaml")).refused(400)
    (await api.post(CMS, b"- 1\n", type="application/yaml")).refused(400)


async def test_protobuf(api: Any) -> None:
    from arktos.wire import protobuf

    kind = "application/vnd.kubernetes.protobuf"
    made = (await api.post(DEPLOYMENTS, protobuf.encode(api.deployment("d")), type=kind)).ok(201)
    assert made["spec"]["selector"] == {"matchLabels": {"app": "d"}}
    (await api.post("/api/v1/namespaces", protobuf.encode(_namespace()), type=kind)).ok(201)
    (await api.post(CMS, b"k8s\0\xff\xff", type=kind)).refused(400)
    (await api.post(CMS, b"", type=kind)).refused(400)
    (await api.post(CMS, protobuf.encode(_namespace()), type=kind)).refused(400, "kind")


def _namespace() -> Any:
    return {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "n"}}


async def test_unknown_encodings(api: Any) -> None:
    (await api.post(CMS, b"x", type="text/plain")).refused(415, "application/json")
    (await api.post(CMS, b"{}", type="application/merge-patch+json")).refused(415)
    (await api.post(CMS, None)).refused(400)


@pytest.mark.parametrize(
    "body",
    [
        {"metadata": []},
        {"metadata": "x"},
        {"metadata": 5},
        {"metadata": {"name": 5}},
        {"metadata": {"name": ["x"]}},
        {"metadata": {"name": "x", "labels": {"a": None, "b": 5}}},
        {"kind": 5, "metadata": {"name": "x"}},
        {"kind": [], "apiVersion": {}, "metadata": {"name": "x"}},
        {"metadata": {"name": "x", "finalizers": "x"}},
        {"metadata": {"name": "x", "ownerReferences": {}}},
        {"metadata": {"name": "x", "tenant": 5}},
        b"[]",
        b"null",
        b"5",
        b'{"metadata":{"name":"x"},"data":{"k":NaN,"l":[}}',
        b'{"metadata":{"name":"\\ud800"}}',
        b'{"metadata":{"name":"\xff\xfe"}}',
        b'{"metadata":{"name":"x"},"data":{"k":' + b"[" * 100000 + b"]" * 100000 + b"}}",
        b'{"metadata":{"name":"x","labels":' + b'{"a":' * 5000 + b"1" + b"}" * 5001 + b"}",
        b'{"a":1' * 50,
    ],
)
async def test_bodies_that_are_no_object(api: Any, body: Any) -> None:
    (await api.post(CMS, body)).refused(400)
    (await api.put(f"{CMS}/x", body)).refused(400)
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    assert (await api.apply(f"{CMS}/x", text)).code in (400, 422)


@pytest.mark.parametrize("body", [{}, {"metadata": None}, {"metadata": {}}, {"kind": "", "apiVersion": ""}])
async def test_bodies_without_a_name(api: Any, body: Any) -> None:
    (await api.post(CMS, body)).refused(422, "name or generateName is required")


@pytest.mark.parametrize("number", [2**31, -(2**31) - 1, 2**63, 10**40, 1.5, "1", True, 1e300])
async def test_numbers_that_do_not_fit(api: Any, number: Any) -> None:
    body = api.deployment("d")
    body["spec"]["replicas"] = number
    (await api.post(DEPLOYMENTS, body)).refused(400, "spec.replicas")


async def test_nan_is_no_json(api: Any) -> None:
    (await api.post(CMS, b'{"metadata":{"name":"x"},"data":{"k":NaN}}')).refused(400)
