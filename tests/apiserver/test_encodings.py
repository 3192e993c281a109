"""Protobuf and YAML, both ways: what is asked for, what is sent, and that it says the same as JSON."""

from __future__ import annotations

import asyncio
import copy
import json
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arktos.apiserver import binary, encodings
from arktos.model import registry, schema, structure
from arktos.model.kinds import Kind, Obj
from arktos.wire import protobuf, yaml
from arktos.wire.protobuf_table import META

PROTOBUF = "application/vnd.kubernetes.protobuf"
YAML = "application/yaml"
PODS = "/api/v1/namespaces/default/pods"
CMS = "/api/v1/namespaces/default/configmaps"
SECRETS = "/api/v1/namespaces/default/secrets"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
OURS = ("tenant", "hashKey")


def secret(name: str, **data: str) -> Obj:
    found = {key: b64encode(value.encode()).decode() for key, value in data.items()}
    return {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": name}, "type": "Opaque", "data": found}


def without_ours(obj: Any) -> Any:
    """An object as one that has been through protobuf."""
    if isinstance(obj, dict):
        return {key: without_ours(value) for key, value in obj.items() if key not in OURS}
    return [without_ours(item) for item in obj] if isinstance(obj, list) else obj


def binary_of(answer: Any, code: int = 200) -> Obj:
    assert answer.code == code, answer.body
    assert answer.content_type == PROTOBUF
    return protobuf.decode(answer.body)


async def test_an_object_a_list_and_a_status(api: Any) -> None:
    made = await api.post(SECRETS, secret("a", key="v"), accept=PROTOBUF)
    assert binary_of(made, 201) == without_ours((await api.get(f"{SECRETS}/a")).ok())
    await api.post(SECRETS, secret("b", key="w"))
    found, wanted = binary_of(await api.get(SECRETS, accept=PROTOBUF)), (await api.get(SECRETS)).ok()
    assert found["kind"] == "SecretList" and found["metadata"] == wanted["metadata"]
    bare = [{k: v for k, v in item.items() if k not in ("kind", "apiVersion")} for item in wanted["items"]]
    assert found["items"] == without_ours(bare)
    page = binary_of(await api.get(SECRETS, accept=PROTOBUF, limit=1))
    assert page["metadata"]["continue"] and page["metadata"]["remainingItemCount"] == len(bare) - 1
    missing = binary_of(await api.get(f"{SECRETS}/z", accept=f"{PROTOBUF},application/json"), 404)
    assert (missing["kind"], missing["reason"], missing["code"]) == ("Status", "NotFound", 404)
    gone = binary_of(await api.delete(f"{SECRETS}/a", accept=PROTOBUF))
    assert gone["kind"] == "Status" and gone["status"] == "Success"
    rest = binary_of(await api.delete(SECRETS, accept=PROTOBUF))
    assert rest["kind"] == "SecretList"


async def test_who_may_have_what(api: Any) -> None:
    """Our own kinds have no protobuf, Tables neither; the next choice counts, and without one it is refused."""
    both = f"{PROTOBUF},application/json"
    assert (await api.get("/api/v1/tenants/system", accept=both)).content_type == api.JSON
    assert (await api.get("/api/v1/tenants/system", accept=PROTOBUF)).code == 406
    assert (await api.get("/api/v1/tenants", accept=f"{PROTOBUF},{YAML}")).content_type == YAML
    table = "as=Table;v=v1;g=meta.k8s.io"
    assert (await api.get(SECRETS, accept=f"{PROTOBUF};{table}")).code == 406
    rows = await api.get(SECRETS, accept=f"{PROTOBUF};{table},application/json;{table}")
    assert rows.content_type == api.JSON and rows.ok()["kind"] == "Table"
    shown = await api.get(SECRETS, accept=f"{YAML};{table}")
    assert shown.content_type == YAML and yaml.decode(shown.body)["kind"] == "Table"
    assert (await api.get(SECRETS, accept=YAML, watch="true")).code == 406
    assert (await api.get(SECRETS, accept="*/*")).content_type == api.JSON
    assert (await api.get(SECRETS, accept=f"application/json,{PROTOBUF}")).content_type == api.JSON


async def test_metadata_alone(api: Any) -> None:
    await api.post(SECRETS, secret("a", key="v"))
    partial = "as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
    one = binary_of(await api.get(f"{SECRETS}/a", accept=f"{PROTOBUF};{partial}"))
    assert one["kind"] == "PartialObjectMetadata" and one["metadata"]["name"] == "a" and "data" not in one
    lists = "as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
    many = binary_of(await api.get(SECRETS, accept=f"{PROTOBUF};{lists}"))
    assert many["kind"] == "PartialObjectMetadataList" and [m["metadata"]["name"] for m in many["items"]] == ["a"]


async def test_watches_speak_protobuf(api: Any) -> None:
    await api.post(SECRETS, secret("a"))
    query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    reply = await api.reply("GET", f"{SECRETS}?watch=true&{query}", accept=f"{PROTOBUF};stream=watch")
    assert reply.content_type == f"{PROTOBUF};stream=watch"
    stream = _Recorded()
    reply.open(stream)
    await api.post(SECRETS, secret("b", key="v"))
    (await api.delete(f"{SECRETS}/b")).ok()
    for _ in range(20):
        await asyncio.sleep(0)
    events = stream.events()
    reply.on_close()
    told = [(kind, (obj["metadata"]).get("name")) for kind, obj in events]
    assert told == [("ADDED", "a"), ("BOOKMARK", None), ("ADDED", "b"), ("DELETED", "b")]
    assert events[1][1]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert events[2][1]["data"] == {"key": "dg=="} and events[2][1]["kind"] == "Secret"


class _Recorded:
    """A channel that keeps what is written."""

    congested = False

    def __init__(self) -> None:
        self.written = b""

    def write(self, framed: bytes) -> None:
        self.written += framed

    def finish(self) -> None: ...

    def abort(self) -> None: ...

    def events(self) -> list[tuple[str, Obj]]:
        data, plain = self.written, b""
        while data:
            size, _, rest = data.partition(b"\r\n")
            length = int(size, 16)
            plain, data = plain + rest[:length], rest[length + 2 :]
        found = []
        for element in protobuf.Frames().feed(plain):
            event = protobuf.decode_message(META + "WatchEvent", element)
            found.append((event["type"], event["object"]))
        return found


async def test_a_watch_that_is_too_old_says_so(new_api: Any) -> None:
    from arktos.store.records import RevisionCompacted

    api = await new_api()
    try:
        reply = await api.reply("GET", f"{SECRETS}?watch=true", accept=PROTOBUF)
        stream = _Recorded()
        reply.open(stream)

        def compacted(*_args: object, **_more: object) -> None:
            raise RevisionCompacted(99)

        api.watches.reader.changes = compacted
        api.watches.bookmark_all()
        ((kind, status),) = stream.events()
        assert (kind, status["kind"], status["code"], status["reason"]) == ("ERROR", "Status", 410, "Expired")
    finally:
        await api.store.close()


async def test_a_watch_goes_on_after_what_does_not_fit(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    reply = await api.reply("GET", f"{SECRETS}?watch=true", accept=PROTOBUF)
    stream = _Recorded()
    reply.open(stream)
    encode = protobuf.encode_bare

    def picky(obj: Obj) -> bytes:
        if "data" in obj and obj["metadata"]["name"] == "odd":
            raise protobuf.EncodeError("data: it does not fit")
        return encode(obj)

    monkeypatch.setattr(protobuf, "encode_bare", picky)
    for name in ("odd", "plain"):
        (await api.post(SECRETS, secret(name, key="v"))).ok(201)
    for _ in range(20):
        await asyncio.sleep(0)
    (_, odd), (_, plain) = stream.events()
    assert odd["metadata"]["name"] == "odd" and "data" not in odd and plain["data"] == {"key": "dg=="}
    refused = await api.get(f"{SECRETS}/odd", accept=PROTOBUF)
    assert refused.code == 406 and protobuf.decode(refused.body)["reason"] == "NotAcceptable"


async def test_typed_writes(api: Any) -> None:
    """What Go's typed clients send: bodies of every kind of request in protobuf, answers too."""

    async def send(method: str, target: str, body: Obj, code: int = 201, **more: Any) -> Obj:
        return binary_of(await api(method, target, protobuf.encode(body), type=PROTOBUF, accept=PROTOBUF, **more), code)

    made = await send("POST", DEPLOYMENTS, api.deployment("web", 2))
    assert made["spec"]["replicas"] == 2 and made["metadata"]["uid"]
    made["spec"]["replicas"] = 3
    assert (await send("PUT", f"{DEPLOYMENTS}/web", made, 200))["spec"]["replicas"] == 3
    scale = binary_of(await api.get(f"{DEPLOYMENTS}/web/scale", accept=PROTOBUF))
    assert scale["kind"] == "Scale" and scale["spec"]["replicas"] == 3
    scale["spec"]["replicas"] = 0
    assert (await send("PUT", f"{DEPLOYMENTS}/web/scale", scale, 200))["spec"].get("replicas", 0) == 0
    patched = await api.patch(f"{DEPLOYMENTS}/web", {"spec": {"replicas": 1}}, accept=PROTOBUF)
    assert binary_of(patched)["spec"]["replicas"] == 1

    await send("POST", PODS, api.pod("p"))
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "p"},
        "target": {"kind": "Node", "name": "n"},
    }
    assert (await send("POST", f"{PODS}/p/binding", binding))["status"] == "Success"
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
    assert (await send("POST", f"{PODS}/p/eviction", eviction))["status"] == "Success"
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
    assert (await send("DELETE", f"{PODS}/p", options, 200))["metadata"]["name"] == "p"

    token = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"audiences": [], "expirationSeconds": 600},
    }
    answered = await send("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", token)
    assert answered["status"]["token"]
    review = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}}}
    for kind, plural in (
        ("SelfSubjectAccessReview", "selfsubjectaccessreviews"),
        ("SelfSubjectRulesReview", "selfsubjectrulesreviews"),
    ):
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, **review}
        if kind == "SelfSubjectRulesReview":
            body["spec"] = {"namespace": "default"}
        answered = await send("POST", f"/apis/authorization.k8s.io/v1/{plural}", body)
        assert answered["kind"] == kind and answered["status"]
    me = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    answered = await send("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", me)
    assert answered["status"]["userInfo"]["username"]


async def test_discovery_speaks_protobuf_to_who_asks(api: Any) -> None:
    resources = binary_of(await api.get("/api/v1", accept=PROTOBUF))
    assert resources["kind"] == "APIResourceList"
    assert {"pods", "pods/log"} <= {row["name"] for row in resources["resources"]}
    assert binary_of(await api.get("/apis", accept=PROTOBUF))["groups"]
    assert binary_of(await api.get("/api", accept=PROTOBUF))["versions"] == ["v1"]
    assert (await api.get("/version", accept=f"{PROTOBUF},application/json")).content_type == api.JSON


async def test_yaml_answers_and_requests(api: Any) -> None:
    document = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  text: |\n    one\n    two\n"
    made = await api.post(CMS, document, type=YAML, accept=YAML)
    assert made.code == 201 and made.content_type == YAML
    assert made.body.startswith(b"apiVersion: v1\ndata:\n  text: |\n    one\n    two\nkind: ConfigMap\n")
    assert yaml.decode((await api.get(f"{CMS}/a", accept=YAML)).body) == (await api.get(f"{CMS}/a")).ok()
    changed = await api.put(f"{CMS}/a", document.replace(b"two", b"three"), type=YAML, accept=YAML)
    assert changed.code == 200 and b"three" in changed.body
    listed = await api.get(CMS, accept=YAML)
    assert yaml.decode(listed.body) == (await api.get(CMS)).ok() and b"\nitems:\n- apiVersion: v1\n" in listed.body
    missing = await api.get(f"{CMS}/z", accept=YAML)
    assert missing.code == 404 and yaml.decode(missing.body)["reason"] == "NotFound"
    options = b"kind: DeleteOptions\napiVersion: v1\npropagationPolicy: Background\n"
    gone = await api.delete(f"{CMS}/a", options, type=YAML, accept=YAML)
    assert gone.code == 200 and yaml.decode(gone.body)["status"] == "Success"
    assert yaml.decode((await api.get("/api/v1", accept=YAML)).body)["kind"] == "APIResourceList"
    await api.post(DEPLOYMENTS, api.deployment("web", 2))
    scale = b"apiVersion: autoscaling/v1\nkind: Scale\nmetadata: {name: web}\nspec: {replicas: 4}\n"
    scaled = await api.put(f"{DEPLOYMENTS}/web/scale", scale, type=YAML, accept=YAML)
    assert yaml.decode(scaled.body)["spec"] == {"replicas": 4}


async def test_an_object_is_encoded_once(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(5):
        await api.post(SECRETS, secret(f"c{i}"))
    calls: list[Obj] = []
    encode = protobuf.encode_bare
    monkeypatch.setattr(protobuf, "encode_bare", lambda obj: calls.append(obj) or encode(obj))
    monkeypatch.setattr(binary, "_messages", binary._Messages())
    first = await api.get(SECRETS, accept=PROTOBUF)
    assert len(calls) == 5
    assert (await api.get(SECRETS, accept=PROTOBUF)).body == first.body and len(calls) == 5
    await api.get(f"{SECRETS}/c1", accept=PROTOBUF)
    assert len(calls) == 5
    (await api.patch(f"{SECRETS}/c1", {"data": {"a": "YQ=="}})).ok()
    assert len(binary_of(await api.get(SECRETS, accept=PROTOBUF))["items"]) == 5 and len(calls) == 6


async def test_a_long_list_is_made_in_turns(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(40):
        await api.post(SECRETS, secret(f"c{i:02}"))
    monkeypatch.setattr(binary, "_TURN", 0.0)
    monkeypatch.setattr(encodings, "_TURN", 0.0)
    monkeypatch.setattr(binary, "_messages", binary._Messages())
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    found = binary_of(await api.get(SECRETS, accept=PROTOBUF))
    assert [item["metadata"]["name"] for item in found["items"]] == [f"c{i:02}" for i in range(40)] and turns > 2
    turns = 0
    assert len(yaml.decode((await api.get(SECRETS, accept=YAML)).body)["items"]) == 40 and turns > 2
    beside.cancel()


async def test_the_cache_is_bounded(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binary, "GENERATION", 4000)
    messages = binary._Messages()
    monkeypatch.setattr(binary, "_messages", messages)
    for i in range(30):
        await api.post(SECRETS, secret(f"c{i:02}", text="x" * 500))
        await api.get(f"{SECRETS}/c{i:02}", accept=PROTOBUF)
    assert messages._size <= 5000 and len(messages._young) + len(messages._old) < 20


async def test_another_version_than_the_stored_one(api: Any) -> None:
    """autoscaling/v1 is stored as v2: each version has its own protobuf, and a write in one is seen in the other."""
    path = "/apis/autoscaling/{}/namespaces/default/horizontalpodautoscalers"
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    body = {
        "apiVersion": "autoscaling/v1",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h"},
        "spec": {"scaleTargetRef": target, "maxReplicas": 3, "targetCPUUtilizationPercentage": 70},
    }
    made = await api.post(path.format("v1"), protobuf.encode(body), type=PROTOBUF, accept=PROTOBUF)
    assert binary_of(made, 201)["spec"]["targetCPUUtilizationPercentage"] == 70
    newer = binary_of(await api.get(f"{path.format('v2')}/h", accept=PROTOBUF))
    assert newer["apiVersion"] == "autoscaling/v2"
    assert newer["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 70
    newer["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] = 50
    put = await api.put(f"{path.format('v2')}/h", protobuf.encode(newer), type=PROTOBUF, accept=PROTOBUF)
    assert binary_of(put)["apiVersion"] == "autoscaling/v2"
    (older,) = binary_of(await api.get(path.format("v1"), accept=PROTOBUF))["items"]
    assert older["spec"]["targetCPUUtilizationPercentage"] == 50


async def test_what_is_ours_stays_when_protobuf_writes(api: Any) -> None:
    made = (await api.post(PODS, api.vm_pod("m"))).ok(201)
    typed = binary_of(await api.get(f"{PODS}/m", accept=PROTOBUF))
    assert "virtualMachine" not in typed["spec"] and "tenant" not in typed["metadata"]
    typed["metadata"]["labels"] = {"seen": "true"}
    put = await api.put(f"{PODS}/m", protobuf.encode(typed), type=PROTOBUF, accept=PROTOBUF)
    assert binary_of(put)["metadata"]["labels"] == {"seen": "true"}
    stored = (await api.get(f"{PODS}/m")).ok()
    assert stored["spec"] == made["spec"] and stored["metadata"]["hashKey"] == made["metadata"]["hashKey"]
    assert stored["metadata"]["tenant"] == "system"


async def test_a_machine_is_seen_as_its_console(api: Any) -> None:
    await api.post(PODS, api.vm_pod("m"))
    assert not binary_of(await api.get(f"{PODS}/m", accept=PROTOBUF))["spec"].get("containers")
    seen = await api.get(f"{PODS}/m", accept=PROTOBUF, headers={"kubectl-command": "kubectl logs"})
    assert [c["name"] for c in binary_of(seen)["spec"]["containers"]] == ["vm"]


# --- protobuf and JSON say the same, of every kind -------------------------------------------------------------------

_KINDS = [kind for kind in registry.all_kinds() if binary.encodable(kind)]
_TIMES = ("2026-01-01T00:00:00Z", "1999-12-31T23:59:59Z")
_MICRO_TIMES = ("2026-01-01T00:00:00.000001Z", "1999-12-31T23:59:59.999999Z")


def _scalars(node: schema.Schema) -> st.SearchStrategy[Any]:
    match node.type:
        case "integer":
            bits = 31 if node.format == "int32" else 63
            return st.integers(-(2**bits), 2**bits - 1)
        case "number":
            return st.floats(allow_nan=False, allow_infinity=False)
        case "boolean":
            return st.booleans()
        case "int-or-string":
            return st.integers(-(2**31), 2**31 - 1) | st.sampled_from(["25%", "http", ""])
        case "quantity":
            return st.sampled_from(["0", "1", "100m", "1Gi", "-5", "1e3", "12345678901"])
        case "any":
            return st.sampled_from([{"a": [1, {"b": None}]}, {"x": "y"}])
    if node.format == "date-time":
        return st.sampled_from(_MICRO_TIMES if node.name.endswith("MicroTime") else _TIMES)
    if node.format == "byte":
        return st.sampled_from(["", "YQ==", "AAECAw=="])
    if node.format == "duration" or node.name.endswith("Duration"):
        return st.sampled_from(["1s", "1h30m0s", "0s"])
    return st.text(max_size=4) | st.sampled_from(["x", "ü", "a/b"])


def _values(draw: st.DrawFn, node: schema.Schema, depth: int) -> Any:
    if node.type == "object" and node.properties:
        # What an object inside of another says of its type is told by the field that holds it.
        inner = {"apiVersion", "kind"} if depth and "metadata" in node.properties else set()
        chosen = [n for n in node.properties if n not in {*OURS, *inner} and draw(st.integers(0, 3 + depth)) == 0]
        return {name: _values(draw, node.properties[name], depth + 1) for name in chosen if depth < 8}
    if node.type in ("map", "array") and node.items is not None:
        count = draw(st.integers(0, 2)) if depth < 8 else 0
        items = [_values(draw, node.items, depth + 1) for _ in range(count)]
        return items if node.type == "array" else dict(zip(("k1", "example.com/k2"), items, strict=False))
    return draw(_scalars(node))


@st.composite
def _objects(draw: st.DrawFn) -> tuple[Kind, Obj]:
    kind = draw(st.sampled_from(_KINDS))
    obj = _values(draw, schema.named(kind.schema), 0)
    return kind, {**obj, "apiVersion": kind.api_version, "kind": kind.kind}


def _plain(value: Any) -> Any:
    """A value without what protobuf's JSON form leaves out: empty fields, and what is ours alone."""
    if isinstance(value, dict):
        kept = {key: _plain(item) for key, item in value.items() if key not in OURS}
        return {key: item for key, item in kept.items() if item not in ("", 0, False, None, [], {})}
    return [_plain(item) for item in value] if isinstance(value, list) else value


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(_objects())
def test_protobuf_and_json_agree(case: tuple[Kind, Obj]) -> None:
    """What is stored can be encoded, whatever it is, and says the same again; a second time in equal bytes."""
    kind, obj = case
    assert structure.check(kind, copy.deepcopy(obj)).type_errors == []
    data = protobuf.encode(obj)
    again = protobuf.decode(data)
    assert _without_foreign(kind, _plain(obj)) == _plain(again)
    assert protobuf.encode(again) == protobuf.encode(protobuf.decode(protobuf.encode(again)))
    json.dumps(again, allow_nan=False)


_FOREIGN = {"virtualMachine", "vpc", "nics", "virtualMachineStatus", "nicStatuses", "subnetID", "workloadInfo"}


def _without_foreign(kind: Kind, value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: _without_foreign(kind, item) for key, item in value.items() if key not in _FOREIGN}
        return {key: item for key, item in kept.items() if item not in ([], {})}
    return [_without_foreign(kind, item) for item in value] if isinstance(value, list) else value


def test_every_kind_of_kubernetes_has_a_message() -> None:
    without = {kind.kind for kind in registry.all_kinds() if not protobuf.encodable(kind.api_version, kind.kind)}
    assert without == {"Tenant", "Action", "ControllerInstance"}
