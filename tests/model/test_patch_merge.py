"""JSON merge patch: the table of RFC 7386, and that a computed difference leads to its target."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arktos.model import patch_merge
from arktos.model.patch_json import equal
from arktos.model.status import BadRequest

RFC: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ({"a": "text"}, {"a": {"b": 1}}, {"a": {"b": 1}}),
    ({"a": "text"}, {"a": {}}, {"a": {}}),
]


@pytest.mark.parametrize(("doc", "patch", "expected"), RFC)
def test_rfc_table(doc: Any, patch: Any, expected: Any) -> None:
    before = copy.deepcopy(doc)
    assert patch_merge.apply(doc, patch) == expected
    assert doc == before


@pytest.mark.parametrize("patch", [[], "x", None, 3])
def test_a_patch_must_be_an_object(patch: Any) -> None:
    with pytest.raises(BadRequest):
        patch_merge.apply({"a": 1}, patch)


def test_what_is_not_touched_is_shared() -> None:
    doc = {"metadata": {"labels": {}}, "spec": {"a": {"x": 1}, "b": [1]}}
    result = patch_merge.apply(doc, {"spec": {"a": {"x": 2}}})
    assert result["metadata"] is doc["metadata"]
    assert result["spec"]["b"] is doc["spec"]["b"]


def test_no_change_returns_the_document_itself() -> None:
    doc = {"spec": {"a": {"x": 1}}}
    assert patch_merge.apply(doc, {"spec": {"a": {}, "gone": None}}) is doc


def test_a_patch_nested_too_deeply_is_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"a": deep}
    with pytest.raises(BadRequest, match="too deeply"):
        patch_merge.apply({}, deep)


leaves = st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=1), inner, max_size=3),
    max_leaves=10,
)
objects = st.dictionaries(st.text("abc", max_size=1), values, max_size=4)


@given(objects, objects)
def test_the_difference_leads_to_the_target(before: dict[str, Any], after: dict[str, Any]) -> None:
    original = copy.deepcopy(before)
    patch = patch_merge.diff(before, after)
    assert equal(patch_merge.apply(before, patch), after)
    assert equal(before, original)
    assert bool(patch) == (not equal(before, after))


@given(objects, objects)
def test_a_merge_patch_is_idempotent(doc: dict[str, Any], patch: dict[str, Any]) -> None:
    once = patch_merge.apply(doc, patch)
    assert equal(patch_merge.apply(once, patch), once)
