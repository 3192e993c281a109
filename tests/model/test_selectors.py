"""Selectors: the three grammars, their canonical forms, what they match, and that no index hint loses a match."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arktos.model import registry, selectors
from arktos.model.hashkey import fnv1a64, hash_key
from arktos.model.selectors import NOTHING, Selector, from_label_selector, from_labels, parse, parse_labels
from arktos.model.status import BadRequest

POD = registry.by_resource("pods")
EVENTS = registry.lookup("events.k8s.io", "v1", "events")
assert EVENTS is not None


class OwnerStub(NamedTuple):
    kind: str
    uid: str
    hash_key: int


class HeaderStub(NamedTuple):
    uid: str = "u"
    hash_key: int = 0
    labels: Mapping[str, str] = {}
    fields: Mapping[str, str] = {}
    owners: tuple[OwnerStub, ...] = ()


def selects(selector: Selector | None, name: str = "n", **header: Any) -> bool:
    return selector is None or selector.matches("acme", "default", name, HeaderStub(**header))


# --- labels


@pytest.mark.parametrize(
    ("text", "matching", "other"),
    [
        ("app=web", {"app": "web"}, {"app": "db"}),
        ("app==web", {"app": "web"}, {}),
        ("app!=web", {}, {"app": "web"}),
        ("app in (web, db)", {"app": "db"}, {"app": "x"}),
        ("app notin (web,db)", {"other": "x"}, {"app": "web"}),
        ("app", {"app": ""}, {}),
        ("!app", {}, {"app": ""}),
        ("app=", {"app": ""}, {}),
        ("app in (,web)", {"app": ""}, {"app": "x"}),
        ("n>5", {"n": "6"}, {"n": "5"}),
        ("n<5", {"n": "-4"}, {"n": "x"}),
        ("a=1,b=2,!c", {"a": "1", "b": "2"}, {"a": "1", "b": "2", "c": ""}),
        ("example.com/in=in", {"example.com/in": "in"}, {}),
        ("in in (in)", {"in": "in"}, {"in": "notin"}),
        (" app = web , tier ", {"app": "web", "tier": "x"}, {"app": "web"}),
    ],
)
def test_label_grammar(text: str, matching: dict[str, str], other: dict[str, str]) -> None:
    selector = parse(text, "", POD)
    assert selects(selector, labels=matching)
    assert not selects(selector, labels=other)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("app=web=x", "found '=', expected: ',' or 'end of string'"),
        ("app web", "unable to parse requirement: found 'web', expected: in, notin, =, ==, !=, gt, lt"),
        ("=web", "found '=', expected: !, identifier, or 'end of string'"),
        ("app,", "found '', expected: identifier after ','"),
        ("app in web", "unable to parse requirement: found 'web' expected: '('"),
        ("app in (web", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("!app=web", "found '=', expected: ',' or 'end of string'"),
        ("a$=b", 'unable to parse requirement: <nil>: Invalid value: "a$"'),
        ("a=b$", 'unable to parse requirement: values[0][a]: Invalid value: "b$"'),
        (f"{'a' * 64}=b", "unable to parse requirement: <nil>: Invalid value:"),
        ("n>x", "unable to parse requirement: values[0][n]: Invalid value: \"x\": for 'Gt', 'Lt' operators"),
    ],
)
def test_label_errors(text: str, message: str) -> None:
    with pytest.raises(BadRequest) as raised:
        parse(text, "", POD)
    assert raised.value.message.startswith(message)


def test_nothing_asked_is_no_selector() -> None:
    assert parse("", "", POD) is None
    assert parse("", ",", POD) is None


def test_label_selector_objects() -> None:
    selector = from_label_selector(
        {
            "matchLabels": {"app": "web"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["a", "b"]},
                {"key": "old", "operator": "DoesNotExist"},
                {"key": "env", "operator": "NotIn", "values": ["prod"]},
                {"key": "team", "operator": "Exists"},
            ],
        }
    )
    good = {"app": "web", "tier": "a", "team": "x"}
    assert selector.matches_labels(good)
    for wrong in ({"tier": "c"}, {"old": ""}, {"env": "prod"}, {"app": "db"}):
        assert not selector.matches_labels({**good, **wrong})
    assert from_label_selector({}).matches_labels({})
    assert not from_label_selector(None).matches_labels({})
    with pytest.raises(BadRequest, match='"Near" is not a valid label selector operator'):
        from_label_selector({"matchExpressions": [{"key": "a", "operator": "Near"}]})


def test_label_sets() -> None:
    assert from_labels({"a": "b"}).matches_labels({"a": "b", "c": "d"})
    assert not from_labels({"a": "b"}).matches_labels({})
    assert from_labels({}) == from_labels(None) == NOTHING
    assert not selects(NOTHING)


# --- fields


@pytest.mark.parametrize(
    ("text", "matching", "other"),
    [
        ("metadata.name=n", {}, {"name": "m"}),
        ("metadata.name!=m", {}, {"name": "m"}),
        ("metadata.namespace=default,metadata.tenant=acme", {}, None),
        ("metadata.uid=u", {}, {"uid": "v"}),
        ("spec.nodeName=a", {"fields": {"spec.nodeName": "a"}}, {"fields": {"spec.nodeName": "b"}}),
        ("spec.nodeName=", {"fields": {}}, {"fields": {"spec.nodeName": "b"}}),
        ("status.phase!=Failed,status.phase!=Succeeded", {"fields": {}}, {"fields": {"status.phase": "Failed"}}),
        ("metadata.hashkey=5", {"hash_key": 5}, {"hash_key": 6}),
        ("metadata.hashKey=gt:4,metadata.hashkey=lte:9", {"hash_key": 9}, {"hash_key": 4}),
        ("metadata.hashkey=gte:-3,metadata.hashkey=lt:9", {"hash_key": 0}, {"hash_key": 9}),
        ("metadata.name=a;metadata.name=n", {}, {"name": "b"}),
        ("metadata.name=gt:m", {}, {"name": "l"}),
        ("metadata.name==gt:m", {"name": "gt:m"}, {}),
        (r"metadata.name=a\,b\;c\=d\\e", {"name": r"a,b;c=d\e"}, {}),
        ("spec.nodeName=lt:10", {"fields": {"spec.nodeName": "9"}}, {"fields": {"spec.nodeName": "11"}}),
    ],
)
def test_field_grammar(text: str, matching: dict[str, Any], other: dict[str, Any] | None) -> None:
    selector = parse("", text, POD)
    assert selects(selector, **matching)
    assert other is None or not selects(selector, **other)


def test_owner_hash_keys() -> None:
    label = "metadata.ownerReferences.hashkey.ReplicaSet"
    mine, foreign = OwnerStub("ReplicaSet", "u", 7), OwnerStub("Job", "v", 3)
    selector = parse("", f"{label}=gt:5,{label}=lte:9", POD)
    assert selects(selector, owners=(foreign, mine))
    assert not selects(selector, owners=(foreign,))
    assert not selects(selector, owners=(OwnerStub("ReplicaSet", "a", 4), OwnerStub("ReplicaSet", "b", 10)))
    assert selects(parse("", f"{label}=", POD), owners=(foreign,))
    assert not selects(parse("", f"{label}!=7", POD), owners=(mine,))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("spec.color=red", "field label not supported: spec.color"),
        ("metadata.ownerReferences.hashkey.=1", "field label not supported: metadata.ownerReferences.hashkey."),
        ("metadata.name", "invalid selector: 'metadata.name'; can't understand 'metadata.name'"),
        ("metadata.name=a;", "invalid selector: 'metadata.name=a;'; can't understand ''"),
        ("metadata.name=a=b", "invalid selector: 'metadata.name=a=b'; can't understand 'metadata.name=a=b'"),
        (r"metadata.name=a\b", r"invalid field selector: invalid escape sequence: \b"),
    ],
)
def test_field_errors(text: str, message: str) -> None:
    with pytest.raises(BadRequest) as raised:
        parse("", text, POD)
    assert raised.value.message == message


def test_labels_of_another_version_are_those_of_the_stored_one() -> None:
    assert EVENTS is not None
    selector = parse("", "regarding.name=x", EVENTS)
    assert selector is not None and selector.exact("involvedObject.name") == "x"
    with pytest.raises(BadRequest):
        parse("", "involvedObject.name=x", EVENTS)


# --- shards


def test_shards_by_uid() -> None:
    text = "shardRange(object.metadata.uid, '0x0000000000000000', '0x8000000000000000')"
    selector = parse("", "", POD, text)
    assert selector is not None
    for number in range(200):
        uid = f"uid-{number}"
        assert selects(selector, uid=uid, hash_key=hash_key(uid)) == (fnv1a64(uid) < 2**63)


def test_shards_by_namespace() -> None:
    at = fnv1a64("default")
    inside = f"shardRange(object.metadata.namespace, '{at:#x}', '{at + 1:#x}')"
    assert selects(parse("", "", POD, inside))
    outside = f"shardRange(object.metadata.namespace, '{at + 1:#x}', '{at + 2:#x}')"
    assert not selects(parse("", "", POD, outside))


@pytest.mark.parametrize(
    "text",
    [
        "shardRange(object.metadata.name, '0x0', '0x1')",
        "shardRange(object.metadata.uid, '0x2', '0x1')",
        "shardRange(object.metadata.uid, '0x0', '0x10000000000000001')",
        "shardRange(object.metadata.uid, '0x0', '0x1') || shardRange(object.metadata.namespace, '0x0', '0x1')",
        "shardRange(object.metadata.uid, '0X0', '0x1')",
        "everything()",
        "shardRange(object.metadata.uid, '0x0', '0x1') ||",
    ],
)
def test_shard_errors(text: str) -> None:
    with pytest.raises(BadRequest, match="invalid shard selector"):
        parse("", "", POD, text)


# --- properties

HASHES = st.integers(0, 40)
KEYS = st.sampled_from(["app", "tier", "example.com/zone", "in", "notin"])
VALUES = st.sampled_from(["", "a", "b", "in", "notin", "1", "2"])
LABELS = st.dictionaries(KEYS, VALUES, max_size=3)
LABEL_TERMS = st.one_of(
    st.tuples(KEYS, st.sampled_from(["=", "==", "!="]), VALUES).map("".join),
    st.tuples(KEYS, st.sampled_from([" in ", " notin "]), st.lists(VALUES, min_size=1, max_size=3)).map(
        lambda term: f"{term[0]}{term[1]}({','.join(term[2])})"
    ),
    KEYS,
    KEYS.map("!{}".format),
    st.tuples(KEYS, st.sampled_from([">", "<"]), st.integers(0, 3).map(str)).map("".join),
)
OWNER_LABEL = "metadata.ownerReferences.hashkey.ReplicaSet"
ESCAPED = {"\\": r"\\", ",": r"\,", ";": r"\;", "=": r"\="}
TEXTS = st.text(alphabet="ab,;=\\:gt", max_size=5)
OPERATORS = st.sampled_from(["=", "==", "!=", "=gt:", "=gte:", "=lt:", "=lte:"])
FIELD_TERMS = st.one_of(
    st.tuples(
        st.sampled_from(["metadata.name", "spec.nodeName", "status.phase"]),
        OPERATORS,
        TEXTS.map(lambda text: "".join(ESCAPED.get(letter, letter) for letter in text)),
    ).map("".join),
    st.tuples(st.sampled_from(["metadata.hashkey", OWNER_LABEL]), OPERATORS, HASHES.map(str)).map("".join),
)
FIELD_TEXTS = st.lists(st.lists(FIELD_TERMS, min_size=1, max_size=3).map(",".join), min_size=1, max_size=3).map(
    ";".join
)
BOUNDS = st.integers(0, 2**64)
SHARD_TEXTS = st.lists(st.tuples(BOUNDS, BOUNDS).filter(lambda b: b[0] != b[1]), min_size=1, max_size=3).map(
    lambda ranges: " || ".join(
        f"shardRange(object.metadata.uid, '{min(pair):#x}', '{max(pair):#x}')" for pair in ranges
    )
)
OWNERS = st.lists(st.builds(OwnerStub, st.sampled_from(["ReplicaSet", "Job"]), st.just("o"), HASHES), max_size=3).map(
    tuple
)
HEADERS = st.builds(
    HeaderStub,
    st.sampled_from(["u", "v"]),
    HASHES,
    LABELS,
    st.fixed_dictionaries({"spec.nodeName": TEXTS, "status.phase": TEXTS}),
    OWNERS,
)


@given(st.lists(LABEL_TERMS, min_size=1, max_size=4).map(",".join), LABELS)
def test_canonical_labels_parse_to_the_same_selector(text: str, labels: dict[str, str]) -> None:
    first = parse_labels(text)
    again = parse_labels(first.labels)
    assert again == first and again.labels == first.labels
    assert again.matches_labels(labels) == first.matches_labels(labels)


@given(FIELD_TEXTS, HEADERS, TEXTS)
def test_canonical_fields_parse_to_the_same_selector(text: str, header: HeaderStub, name: str) -> None:
    first = parse("", text, POD)
    assert first is not None
    again = parse("", first.fields, POD)
    assert again == first and again is not None
    assert again.matches("t", "s", name, header) == first.matches("t", "s", name, header)


@given(SHARD_TEXTS)
def test_canonical_shards_parse_to_the_same_selector(text: str) -> None:
    first = parse("", "", POD, text)
    assert first is not None
    assert parse("", "", POD, first.shards) == first


@given(FIELD_TEXTS, HEADERS, TEXTS)
def test_no_hint_loses_a_match(text: str, header: HeaderStub, name: str) -> None:
    selector = parse("", text, POD)
    assert selector is not None
    if not selector.matches("t", "s", name, header):
        return
    for label, value in (("metadata.name", name), *header.fields.items()):
        wanted = selector.exact(label)
        assert wanted is None or wanted == value
    ranges = selector.ranges("metadata.hashkey")
    assert ranges is None or any(low <= header.hash_key <= high for low, high in ranges)
    owned = selector.ranges(OWNER_LABEL)
    hashes = [owner.hash_key for owner in header.owners if owner.kind == "ReplicaSet"]
    assert owned is None or any(low <= key <= high for low, high in owned for key in hashes)


@given(SHARD_TEXTS, st.uuids().map(str))
def test_a_shard_hint_never_loses_a_match(text: str, uid: str) -> None:
    selector = parse("", "", POD, text)
    assert selector is not None
    key = hash_key(uid)
    if selects(selector, uid=uid, hash_key=key):
        ranges = selector.ranges("metadata.hashkey")
        assert ranges is not None and any(low <= key <= high for low, high in ranges)


@given(SHARD_TEXTS, st.uuids().map(str))
def test_the_hash_key_shortcut_of_shards_is_exact(text: str, uid: str) -> None:
    selector = parse("", "", POD, text)
    assert selects(selector, uid=uid, hash_key=hash_key(uid)) == selects(selector, uid=uid, hash_key=0)


@given(st.text(max_size=12), st.text(max_size=12), st.text(max_size=12))
def test_garbage_is_a_bad_request_or_a_selector(labels: str, fields: str, shards: str) -> None:
    for texts in ((labels, "", ""), ("", fields, ""), ("", "", shards)):
        try:
            selectors.parse(texts[0], texts[1], POD, texts[2])
        except BadRequest:
            continue


def test_ranges_of_or_and_contradiction() -> None:
    selector = parse("", "metadata.hashkey=lte:3;metadata.hashkey=gt:2,metadata.hashkey=lt:9", POD)
    assert selector is not None
    assert selector.ranges("metadata.hashkey") == [(-(2**63), 8)]
    assert parse("", "metadata.hashkey=gt:5,metadata.hashkey=lt:3", POD).ranges("metadata.hashkey") == []  # type: ignore[union-attr]
    assert parse("", "metadata.hashkey=gt:5;metadata.name=a", POD).ranges("metadata.hashkey") is None  # type: ignore[union-attr]
    assert parse("", "metadata.name=a;metadata.name=b", POD).exact("metadata.name") is None  # type: ignore[union-attr]
