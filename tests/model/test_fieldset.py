"""Field sets: the algebra against plain sets of paths, and the wire form."""

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arktos.model import fieldset
from arktos.model.fieldset import FieldSet

Path = tuple[str, ...]

element = st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}', 'v:"y"', "i:1"])
path_sets = st.sets(st.lists(element, min_size=1, max_size=4).map(tuple), max_size=8)


def trie(paths: set[Path]) -> FieldSet:
    return fieldset.of(*paths)


def members(fields: FieldSet) -> set[Path]:
    return set(fieldset.paths(fields))


def assert_settled(fields: FieldSet) -> None:
    """Canonical: no empty-handed subtree, no `.` alone, no `.` at the root."""
    assert "." not in fields
    stack = [fields]
    while stack:
        node = stack.pop()
        assert list(node) != ["."]
        stack.extend(node.values())


@given(path_sets)
def test_a_set_holds_its_paths(paths: set[Path]) -> None:
    fields = trie(paths)
    assert members(fields) == paths
    assert all(fieldset.has(fields, path) for path in paths)
    assert not fieldset.has(fields, ())
    assert_settled(fields)


@given(path_sets, path_sets)
def test_algebra(left: set[Path], right: set[Path]) -> None:
    a, b = trie(left), trie(right)
    copies = copy.deepcopy((a, b))
    for result, expected in (
        (fieldset.union(a, b), left | right),
        (fieldset.intersection(a, b), left & right),
        (fieldset.difference(a, b), left - right),
        (
            fieldset.recursive_difference(a, b),
            {path for path in left if not any(path[: n + 1] in right for n in range(len(path)))},
        ),
    ):
        assert members(result) == expected
        assert_settled(result)
    assert (a, b) == copies


@given(path_sets, path_sets)
def test_a_difference_that_takes_nothing_is_the_set_itself(left: set[Path], right: set[Path]) -> None:
    a = trie(left)
    assert (fieldset.difference(a, trie(right)) is a) == (not left & right)


@given(path_sets)
def test_wire_round_trip(paths: set[Path]) -> None:
    fields = fieldset.canonical(trie(paths))
    sent = msgspec.json.decode(msgspec.json.encode(fields))
    decoded = fieldset.decode(sent)
    assert decoded == fields
    assert members(decoded) == paths
    assert fieldset.canonical(fields) is fields


def test_canonical_order() -> None:
    keys = ['k:{"port":9}', "f:b", 'k:{"port":80}', "f:a", ".", "i:10", "i:9", "v:2", 'v:"a"', "v:true"]
    assert list(fieldset.canonical({"f:x": {key: {} for key in keys}})["f:x"]) == [
        ".",
        "f:a",
        "f:b",
        'k:{"port":9}',
        'k:{"port":80}',
        "v:2",
        'v:"a"',
        "v:true",
        "i:9",
        "i:10",
    ]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("f:spec", "f:replicas"), ".spec.replicas"),
        (("f:spec", 'k:{"name":"web"}', "f:image"), '.spec[name="web"].image'),
        (("f:ports", 'k:{"port":80,"protocol":"TCP"}'), '.ports[port=80,protocol="TCP"]'),
        (("f:finalizers", 'v:"x"'), '.finalizers[="x"]'),
        (("f:list", "i:3"), ".list[3]"),
    ],
)
def test_path_text(path: Path, text: str) -> None:
    assert fieldset.path_text(path) == text


def test_elements_are_encoded_as_kubernetes_does() -> None:
    assert fieldset.key_element([("containerPort", 80), ("protocol", "TCP")]) == (
        'k:{"containerPort":80,"protocol":"TCP"}'
    )
    assert fieldset.value_element("<é&>") == 'v:"\\u003cé\\u0026\\u003e"'


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (None, {}),
        ({}, {}),
        ({".": {}, "f:a": {}}, {"f:a": {}}),
        ({"f:a": {".": {}}}, {"f:a": {}}),
        ({"f:a": {}, "z:future": {"f:b": {}}}, {"f:a": {}}),
        ({'k:{"b": 1, "a": 2}': {}}, {'k:{"a":2,"b":1}': {}}),
    ],
)
def test_decode(sent: Any, expected: FieldSet) -> None:
    assert fieldset.decode(sent) == expected


@pytest.mark.parametrize(
    "sent", [[], "x", {"f:a": 1}, {"a": {}}, {"f": {}}, {"k:x": {}}, {"k:{}": {}}, {"v:": {}}, {"i:x": {}}]
)
def test_decode_refuses_what_is_no_set(sent: Any) -> None:
    with pytest.raises(ValueError, match=r"fieldsV1|invalid literal"):
        fieldset.decode(sent)


def test_of_names() -> None:
    assert fieldset.of_names("status", "metadata.labels") == {"f:status": {}, "f:metadata": {"f:labels": {}}}
