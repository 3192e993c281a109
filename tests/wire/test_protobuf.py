"""The protobuf codec, on objects made here and, where they are present, on Kubernetes' own fixtures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arktos.wire import protobuf
from arktos.wire.protobuf import DecodeError, EncodeError, Frames, decode, encode, frame
from arktos.wire.protobuf_table import message, messages, varint
from arktos.wire.protobuf_values import format_duration, parse_duration

Obj = dict[str, Any]
_FIXTURES = next(
    (p / "shared/wire/fixtures" for p in Path(__file__).parents if (p / "shared/wire/fixtures").is_dir()),
    Path("absent"),
)
CORE = "k8s.io.api.core.v1."
META = "k8s.io.apimachinery.pkg.apis.meta.v1."


def sized(number: int, body: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(body)) + body


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def envelope(api_version: str, kind: str, raw: bytes, content_type: bytes = b"") -> bytes:
    meta = sized(1, api_version.encode()) + sized(2, kind.encode())
    return b"k8s\0" + sized(1, meta) + sized(2, raw) + sized(3, b"") + sized(4, content_type)


DEPLOYMENT: Obj = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "labels": {"app": "web", "tier": ""}, "creationTimestamp": "2026-01-02T03:04:05Z"},
    "spec": {
        "replicas": 0,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {
                "containers": [
                    {
                        "name": "web",
                        "image": "web:1",
                        "ports": [{"containerPort": 80}],
                        "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}},
                        "livenessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 5},
                        "readinessProbe": {"tcpSocket": {"port": 80}},
                        "securityContext": {"runAsUser": 0, "privileged": False},
                    }
                ],
                "automountServiceAccountToken": False,
                "volumes": [
                    {"name": "scratch", "emptyDir": {}},
                    {"name": "c", "configMap": {"name": "c", "optional": False}},
                ],
                "terminationGracePeriodSeconds": 0,
            },
        },
        "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}},
    },
    "status": {},
}
OBJECTS: list[Obj] = [
    DEPLOYMENT,
    {"apiVersion": "v1", "kind": "Secret", "metadata": {}, "data": {"a": "AAEC/w==", "empty": ""}, "type": "Opaque"},
    {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0, "preconditions": {"uid": "u"}},
    {"apiVersion": "policy/v1", "kind": "DeleteOptions", "propagationPolicy": "Background"},
    {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "p"}, "spec": {"storageClassName": ""}},
    {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "l"},
        "spec": {"holderIdentity": "me", "renewTime": "1969-12-31T23:59:59.250000Z", "leaseDurationSeconds": -1},
    },
    {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "metadata": {},
        "spec": {"extra": {"scopes": ["a", "b"], "none": []}, "nonResourceAttributes": {"path": "/"}},
        "status": {"allowed": True},
    },
    {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {"managedFields": [{"manager": "m", "fieldsV1": {"f:spec": {".": {}}}}]},
        "data": {"spec": {"x": [1, 2.5, None]}},
        "revision": 9007199254740993,
    },
    {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com",
            "names": {"plural": "things", "kind": "Thing"},
            "scope": "Namespaced",
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": False,
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "properties": {
                                "n": {"type": "number", "minimum": 0, "maximum": 2.5, "default": 1, "enum": [1, "x"]},
                                "l": {"items": {"type": "string"}, "maxItems": 0},
                                "m": {"additionalProperties": {"x-kubernetes-int-or-string": True}},
                                "o": {"additionalProperties": False, "x-kubernetes-preserve-unknown-fields": True},
                            },
                        }
                    },
                    "subresources": {"status": {}},
                }
            ],
        },
    },
    {
        "apiVersion": "metrics.k8s.io/v1beta1",
        "kind": "NodeMetrics",
        "metadata": {},
        "window": "1m30.5s",
        "usage": {"cpu": "0"},
    },
    {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": [{"kind": "X", "spec": {}}]},
    {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "all"},
        "spec": {"podSelector": {}, "ingress": [{}]},
    },
]


@pytest.mark.parametrize("obj", OBJECTS, ids=lambda obj: obj["kind"])
def test_objects_survive(obj: Obj) -> None:
    assert decode(encode(obj)) == obj


def test_go_zeros_are_dropped_where_json_omits_them_and_kept_behind_pointers() -> None:
    container = sized(1, b"c") + sized(2, b"") + sized(5, b"") + number(16, 0) + number(17, 0) + sized(14, b"")
    security = number(2, 0) + number(3, 0)
    spec = (
        sized(2, container)
        + sized(3, b"")
        + number(4, 0)
        + sized(10, b"")
        + number(11, 0)
        + sized(14, security)
        + number(21, 0)
    )
    pod = envelope(
        "v1", "Pod", sized(1, sized(1, b"p") + sized(2, b"") + number(7, 0) + sized(8, b"")) + sized(2, spec)
    )
    assert decode(pod) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {
            "containers": [{"name": "c"}],
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsUser": 0, "runAsNonRoot": False},
            "automountServiceAccountToken": False,
        },
    }


def test_fields_of_ours_and_nulls_are_not_written() -> None:
    obj = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"tenant": "acme", "name": "p", "labels": None},
        "spec": {"vpc": "v"},
    }
    assert decode(encode(obj)) == {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {}}


def test_json_inside_and_nested_envelopes() -> None:
    assert decode(envelope("v1", "X", b'{"a":1}', b"application/json")) == {"apiVersion": "v1", "kind": "X", "a": 1}
    inner = encode({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}})
    outer = envelope("v1", "List", sized(2, sized(1, inner)))
    assert decode(outer)["items"] == [{"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}}]


def test_unnamed_messages_and_bare_ones() -> None:
    event = {"type": "ADDED", "object": {"kind": "Pod"}}
    raw = protobuf.encode_message(META + "WatchEvent", event)
    assert protobuf.decode_message(META + "WatchEvent", raw) == event
    assert decode(envelope("", "", raw), META + "WatchEvent") == event
    with pytest.raises(DecodeError, match="no kind"):
        decode(envelope("", "", raw))


def test_packed_and_unknown_fields() -> None:
    context = protobuf.decode_message(CORE + "PodSecurityContext", sized(4, b"\x01\x02") + number(4, 3) + number(99, 7))
    assert context == {"supplementalGroups": [1, 2, 3]}
    groups = varint(50 << 3 | 3) + number(1, 1) + varint(51 << 3 | 3) + varint(51 << 3 | 4) + varint(50 << 3 | 4)
    assert protobuf.decode_message(CORE + "Secret", groups + sized(3, b"t")) == {"type": "t"}


def _nested(depth: int) -> bytes:
    schema = b""
    for _ in range(depth):
        schema = sized(28, schema)
    return schema


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"k8s",
        b"{}",
        b"k8s\0",
        b"k8s\0\x0a\xff",
        envelope("v1", "Nonsense", b""),
        envelope("example.com/v1", "Thing", b""),
        envelope("v1", "Pod", b"\x0a\x05ab"),
        envelope("v1", "Pod", number(1, 1)),
        envelope("v1", "Pod", b"\x0a"),
        envelope("v1", "Pod", sized(1, sized(1, b"\xff"))),
        envelope("v1", "Pod", sized(1, b"\x38" + b"\xff" * 11)),
        envelope("v1", "Pod", varint(50 << 3 | 3) * 50_000),
        envelope("v1", "Pod", varint(50 << 3 | 4)),
        envelope("v1", "Pod", sized(1, sized(8, number(1, 1 << 62)))),
        envelope("v1", "ConfigMap", sized(2, sized(1, b"k") + number(2, 1))),
        envelope("v1", "X", b"{", b"application/json"),
        envelope("v1", "List", sized(2, sized(1, b"{"))),
        envelope(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            sized(2, sized(7, sized(4, sized(1, _nested(3000))))),
        ),
    ],
)
def test_broken_bodies(data: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(data)
    assert str(caught.value)


def test_envelopes_in_envelopes_end() -> None:
    data = encode({"apiVersion": "v1", "kind": "ConfigMap"})
    for _ in range(300):
        data = envelope("v1", "List", sized(2, sized(1, data)))
    with pytest.raises(DecodeError, match="depth"):
        decode(data)


@given(st.binary(max_size=200))
def test_random_bytes(data: bytes) -> None:
    for body in (data, envelope("v1", "Pod", data), envelope("v1", "Event", sized(1, data))):
        try:
            assert isinstance(decode(body), dict)
        except DecodeError:
            continue


@given(
    st.sampled_from(OBJECTS), st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4)
)
def test_damaged_bodies(obj: Obj, damage: list[tuple[int, int]]) -> None:
    data = bytearray(encode(obj))
    for position, byte in damage:
        data[position % len(data)] = byte
    try:
        json.dumps(decode(bytes(data)), allow_nan=False)
    except DecodeError as error:
        assert str(error)


@pytest.mark.parametrize(
    "change",
    [
        {"metadata": []},
        {"metadata": {"name": 1}},
        {"metadata": {"labels": {"a": 1}}},
        {"metadata": {"labels": []}},
        {"metadata": {"generation": 1 << 64}},
        {"metadata": {"generation": "1"}},
        {"metadata": {"generation": 1.5}},
        {"metadata": {"finalizers": "x"}},
        {"metadata": {"creationTimestamp": "yesterday"}},
        {"metadata": {"creationTimestamp": 5}},
        {"spec": {"paused": 1}},
        {"apiVersion": "example.com/v1"},
        {"kind": None},
    ],
)
def test_objects_that_do_not_fit(change: Obj) -> None:
    with pytest.raises(EncodeError) as caught:
        encode({**DEPLOYMENT, **change})
    assert str(caught.value)


def test_encodable() -> None:
    assert protobuf.encodable("v1", "Pod") and protobuf.encodable("rbac.authorization.k8s.io/v1", "Role")
    assert not protobuf.encodable("example.com/v1", "Pod") and not protobuf.encodable("v1", "Tenant")


def test_every_message_of_the_table_compiles() -> None:
    for name in messages():
        for field in message(name).fields:
            assert field.name or field.label == 3
            assert not field.type_name or field.type_name in messages()


@pytest.mark.parametrize(
    ("nanos", "text"),
    [(0, "0s"), (1, "1ns"), (1500, "1.5µs"), (250_000_000, "250ms"), (90 * 10**9, "1m30s"), (3600 * 10**9, "1h0m0s")],
)
def test_durations(nanos: int, text: str) -> None:
    assert format_duration(nanos) == text and parse_duration(text) == nanos


@given(st.integers(-(2**63), 2**63 - 1))
def test_durations_are_read_back(nanos: int) -> None:
    assert parse_duration(format_duration(nanos)) == nanos


@given(st.lists(st.binary(max_size=20), max_size=5), st.integers(1, 7))
def test_frames(elements: list[bytes], step: int) -> None:
    stream = b"".join(map(frame, elements))
    frames = Frames()
    cut = [stream[i : i + step] for i in range(0, len(stream), step)]
    assert [element for piece in cut for element in frames.feed(piece)] == elements
    with pytest.raises(DecodeError):
        frames.feed(b"\xff\xff\xff\xff")


@pytest.mark.skipif(not _FIXTURES.is_dir(), reason="Kubernetes' fixtures are not present")
@pytest.mark.parametrize("path", sorted(_FIXTURES.glob("*.pb")), ids=lambda path: path.stem)
def test_fixtures(path: Path) -> None:
    expected, data = json.loads(path.with_suffix(".json").read_bytes()), path.read_bytes()
    if "kind" not in expected:
        assert decode(data, META + "WatchEvent") == expected
        assert (
            protobuf.decode_message(META + "WatchEvent", protobuf.encode_message(META + "WatchEvent", expected))
            == expected
        )
        return
    assert decode(data) == expected
    assert encode(expected) == data
