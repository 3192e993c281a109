"""JSON patch: every operation, every way to fail, and that the input is never changed."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arktos.model import patch_json
from arktos.model.status import ApiError, BadRequest, Invalid, RequestEntityTooLarge

DOC: dict[str, Any] = {
    "metadata": {"name": "web", "labels": {"app": "web", "a/b": "slash", "m~n": "tilde"}},
    "spec": {"replicas": 3, "list": [1, 2, 3], "on": True, "nothing": None},
}


def op(name: str, path: str, **rest: Any) -> dict[str, Any]:
    return {"op": name, "path": path, **{("from" if key == "source" else key): value for key, value in rest.items()}}


APPLIES = [
    ([op("add", "/spec/new", value=1)], ("spec", "new"), 1),
    ([op("add", "/spec/replicas", value=5)], ("spec", "replicas"), 5),
    ([op("add", "/spec/list/1", value=9)], ("spec", "list"), [1, 9, 2, 3]),
    ([op("add", "/spec/list/3", value=9)], ("spec", "list"), [1, 2, 3, 9]),
    ([op("add", "/spec/list/-", value=9)], ("spec", "list"), [1, 2, 3, 9]),
    ([op("remove", "/spec/list/0")], ("spec", "list"), [2, 3]),
    ([op("replace", "/spec/list/2", value="x")], ("spec", "list"), [1, 2, "x"]),
    ([op("replace", "/metadata/labels/a~1b", value="x")], ("metadata", "labels", "a/b"), "x"),
    ([op("replace", "/metadata/labels/m~0n", value="x")], ("metadata", "labels", "m~n"), "x"),
    ([op("move", "/spec/moved", source="/metadata/labels/app")], ("spec", "moved"), "web"),
    ([op("move", "/spec/list/2", source="/spec/list/0")], ("spec", "list"), [2, 3, 1]),
    ([op("copy", "/spec/again", source="/spec/list")], ("spec", "again"), [1, 2, 3]),
    ([op("test", "/spec/replicas", value=3), op("add", "/spec/ok", value=1)], ("spec", "ok"), 1),
    ([op("test", "/spec/absent", value=None), op("add", "/spec/ok", value=1)], ("spec", "ok"), 1),
    ([op("test", "/spec/replicas", value=3.0), op("add", "/spec/ok", value=1)], ("spec", "ok"), 1),
]


@pytest.mark.parametrize(("patch", "path", "expected"), APPLIES)
def test_applies(patch: list[Any], path: tuple[str, ...], expected: Any) -> None:
    before = copy.deepcopy(DOC)
    result: Any = patch_json.apply(DOC, patch)
    for token in path:
        result = result[token]
    assert result == expected
    assert before == DOC


FAILS: list[tuple[Any, type[ApiError], str]] = [
    ({"op": "add"}, BadRequest, "array of operations"),
    (["add"], BadRequest, "not an object"),
    ([{"path": "/a"}], BadRequest, "unknown op"),
    ([op("grow", "/a")], BadRequest, "unknown op"),
    ([{"op": "add", "value": 1}], BadRequest, "lacks path"),
    ([{"op": "add", "path": "/spec/x"}], BadRequest, "lacks value"),
    ([{"op": "move", "path": "/spec/x"}], BadRequest, "lacks from"),
    ([{"op": "add", "path": 3, "value": 1}], BadRequest, "not a string"),
    ([op("add", "spec", value=1)], BadRequest, "not a JSON pointer"),
    ([op("add", "/nope/x", value=1)], Invalid, "add operation does not apply: doc is missing path: /nope/x"),
    ([op("add", "/spec/replicas/x", value=1)], Invalid, "missing path"),
    ([op("add", "/spec/list/4", value=1)], Invalid, "not an index"),
    ([op("add", "/spec/list/01", value=1)], Invalid, "not an index"),
    ([op("add", "/spec/list/-1", value=1)], Invalid, "not an index"),
    ([op("remove", "/spec/gone")], Invalid, "doc is missing key: /spec/gone"),
    ([op("remove", "/spec/list/-")], Invalid, "doc is missing key"),
    ([op("replace", "/spec/gone", value=1)], Invalid, "replace operation does not apply: doc is missing key"),
    ([op("copy", "/spec/x", source="/spec/gone")], Invalid, "missing from path: /spec/gone"),
    ([op("move", "/spec/list/0", source="/spec")], Invalid, "inside"),
    ([op("test", "/spec/replicas", value=4)], Invalid, "testing value /spec/replicas failed: test failed"),
    ([op("test", "/spec/on", value=1)], Invalid, "test failed"),
    ([op("test", "/spec/gone", value=1)], Invalid, "test failed"),
    ([op("replace", "", value=[])], Invalid, "does not leave an object"),
    ([op("remove", "")], Invalid, "does not leave an object"),
    ([op("test", "/spec/replicas", value=3)] * 10_001, RequestEntityTooLarge, "10000, got 10001"),
]


@pytest.mark.parametrize(("patch", "error", "message"), FAILS)
def test_fails(patch: Any, error: type[ApiError], message: str) -> None:
    before = copy.deepcopy(DOC)
    with pytest.raises(error, match=message.replace("[", r"\[")):
        patch_json.apply(DOC, patch)
    assert before == DOC


def test_what_is_not_touched_is_shared() -> None:
    result = patch_json.apply(DOC, [op("replace", "/spec/replicas", value=1)])
    assert result["metadata"] is DOC["metadata"]
    assert result["spec"]["list"] is DOC["spec"]["list"]


def test_the_patch_is_not_changed_by_later_operations() -> None:
    patch = [op("add", "/spec/box", value={"a": {}}), op("add", "/spec/box/a/b", value=1)]
    before = copy.deepcopy(patch)
    assert patch_json.apply(DOC, patch)["spec"]["box"] == {"a": {"b": 1}}
    assert patch == before


def test_a_copy_is_apart_from_its_source() -> None:
    patch = [
        op("add", "/spec/x", value={"n": {}}),
        op("add", "/spec/x/n/a", value=1),
        op("copy", "/spec/y", source="/spec/x"),
        op("add", "/spec/y/n/b", value=2),
    ]
    spec = patch_json.apply(DOC, patch)["spec"]
    assert spec["x"] == {"n": {"a": 1}}
    assert spec["y"] == {"n": {"a": 1, "b": 2}}


def test_copies_cannot_grow_a_document_without_end() -> None:
    patch = [op("add", "/spec/x", value=["x" * 1000])] + [op("copy", "/spec/x/-", source="/spec/x")] * 40
    with pytest.raises(RequestEntityTooLarge):
        patch_json.apply(DOC, patch)


def test_ten_thousand_appends_apply() -> None:
    result = patch_json.apply({"l": []}, [op("add", "/l/-", value=n) for n in range(10_000)])
    assert result["l"] == list(range(10_000))


def test_a_patch_nested_too_deeply_is_refused() -> None:
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(BadRequest, match="too deeply"):
        patch_json.apply({"a": deep}, [op("copy", "/b", source="/a")])


values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab~/", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab~/", max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(values, values)
def test_equal_is_equality_of_the_encoded_values(left: Any, right: Any) -> None:
    def shape(value: Any) -> Any:
        if isinstance(value, dict):
            return ("o", tuple(sorted((key, repr(shape(item))) for key, item in value.items())))
        if isinstance(value, list):
            return ("a", [shape(item) for item in value])
        return (type(value).__name__, value)

    assert patch_json.equal(left, right) == (repr(shape(left)) == repr(shape(right)))


@given(st.dictionaries(st.text("ab~/", max_size=2), values, max_size=4), st.text("ab~/", max_size=2), values)
def test_add_then_remove_restores(doc: dict[str, Any], key: str, value: Any) -> None:
    token = "/" + key.replace("~", "~0").replace("/", "~1")
    added = patch_json.apply(doc, [op("add", token, value=value)])
    assert patch_json.equal(added[key], value)
    removed = patch_json.apply(added, [op("remove", token)])
    assert removed == {name: item for name, item in doc.items() if name != key}
