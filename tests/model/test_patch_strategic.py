"""Strategic merge patch: hand-written tables of (live, patch, expected) for every rule and directive."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arktos.model import patch_strategic
from arktos.model.schema import Schema
from arktos.model.status import ApiError, BadRequest, Invalid

STRING = Schema(type="string")
INTEGER = Schema(type="integer")
MERGE = frozenset({"merge"})


def obj(**properties: Schema) -> Schema:
    return Schema(type="object", properties=properties)


def keyed(items: Schema, key: str, strategies: frozenset[str] = MERGE) -> Schema:
    return Schema(type="array", items=items, patch_merge_key=key, patch_strategies=strategies)


CONTAINER = obj(
    name=STRING,
    image=STRING,
    args=Schema(type="array", items=STRING),
    env=keyed(obj(name=STRING, value=STRING), "name"),
    ports=keyed(obj(containerPort=INTEGER, protocol=STRING, name=STRING), "containerPort"),
    resources=obj(limits=Schema(type="map", items=STRING)),
)
VOLUME = obj(name=STRING, emptyDir=obj(medium=STRING), hostPath=obj(path=STRING))
TOLERATION = obj(key=STRING, value=STRING)
SPEC = obj(
    nodeName=STRING,
    replicas=INTEGER,
    paused=Schema(type="boolean"),
    containers=keyed(CONTAINER, "name"),
    volumes=keyed(VOLUME, "name", frozenset({"merge", "retainKeys"})),
    nics=keyed(
        obj(name=STRING, portId=STRING, ipAddress=STRING, subnetName=STRING),
        "name",
        frozenset({"merge", "retainKeys"}),
    ),
    tolerations=Schema(type="array", items=TOLERATION),
    selector=Schema(type="map", items=STRING),
    strategy=Schema(
        type="object",
        properties={"type": STRING, "rollingUpdate": obj(maxSurge=INTEGER, maxUnavailable=INTEGER)},
        patch_strategies=frozenset({"retainKeys"}),
    ),
    source=Schema(type="object", properties={"a": STRING, "b": STRING}, patch_strategies=frozenset({"replace"})),
    raw=Schema(type="any"),
)
ROOT = obj(
    metadata=obj(
        name=STRING,
        labels=Schema(type="map", items=STRING),
        finalizers=Schema(type="array", items=STRING, patch_strategies=MERGE),
    ),
    spec=SPEC,
)


def spec(**fields: Any) -> dict[str, Any]:
    return {"spec": fields}


def named(*names: str, **extra: Any) -> list[dict[str, Any]]:
    return [{"name": name, **extra} for name in names]


TABLE: list[tuple[str, Any, Any, Any]] = [
    ("scalar set", spec(replicas=1), spec(replicas=2), spec(replicas=2)),
    ("scalar added", spec(), spec(replicas=2), spec(replicas=2)),
    ("null removes", spec(replicas=1, nodeName="n"), spec(nodeName=None), spec(replicas=1)),
    ("null of nothing", spec(replicas=1), spec(nodeName=None), spec(replicas=1)),
    ("boolean false", spec(paused=True), spec(paused=False), spec(paused=False)),
    ("type change replaces", spec(selector={"a": "1"}), spec(selector="x"), spec(selector="x")),
    ("map merges", spec(selector={"a": "1"}), spec(selector={"b": "2"}), spec(selector={"a": "1", "b": "2"})),
    ("map key removed", spec(selector={"a": "1", "b": "2"}), spec(selector={"a": None}), spec(selector={"b": "2"})),
    ("nulls in new objects vanish", spec(), spec(strategy={"type": None, "rollingUpdate": {"maxSurge": None}}),
     spec(strategy={"rollingUpdate": {}})),
    ("keyed list merges", spec(containers=[{"name": "a", "image": "x", "args": ["1"]}]),
     spec(containers=[{"name": "a", "image": "y"}]), spec(containers=[{"name": "a", "image": "y", "args": ["1"]}])),
    ("keyed list appends before server-only ones", spec(containers=named("a", "b")), spec(containers=named("c")),
     spec(containers=named("c", "a", "b"))),
    ("patched element stays in place", spec(containers=named("a", "b", "c")),
     spec(containers=[{"name": "b", "image": "x"}]),
     spec(containers=[{"name": "a"}, {"name": "b", "image": "x"}, {"name": "c"}])),
    ("atomic list replaced", spec(tolerations=[{"key": "a"}]), spec(tolerations=[{"key": "b"}]),
     spec(tolerations=[{"key": "b"}])),
    ("scalar list replaced", spec(containers=[{"name": "a", "args": ["1", "2"]}]),
     spec(containers=[{"name": "a", "args": ["3"]}]), spec(containers=[{"name": "a", "args": ["3"]}])),
    ("nested keyed list", spec(containers=[{"name": "a", "env": [{"name": "X", "value": "1"}]}]),
     spec(containers=[{"name": "a", "env": [{"name": "X", "value": "2"}, {"name": "Y", "value": "3"}]}]),
     spec(containers=[{"name": "a", "env": [{"name": "X", "value": "2"}, {"name": "Y", "value": "3"}]}])),
    ("ports by containerPort", spec(containers=[{"name": "a", "ports": [{"containerPort": 80, "protocol": "TCP"}]}]),
     spec(containers=[{"name": "a", "ports": [{"containerPort": 80, "name": "http"}]}]),
     spec(containers=[{"name": "a", "ports": [{"containerPort": 80, "protocol": "TCP", "name": "http"}]}])),
    ("delete an element", spec(containers=named("a", "b")), spec(containers=[{"$patch": "delete", "name": "a"}]),
     spec(containers=named("b"))),
    ("delete what is not there", spec(containers=named("a")), spec(containers=[{"$patch": "delete", "name": "z"}]),
     spec(containers=named("a"))),
    ("delete in a list that is not there", spec(), spec(containers=[{"$patch": "delete", "name": "z"}]),
     spec(containers=[])),
    ("replace a list", spec(containers=named("a", "b")), spec(containers=[{"$patch": "replace"}, *named("c")]),
     spec(containers=named("c"))),
    ("replace a list by nothing", spec(containers=named("a")), spec(containers=[{"$patch": "replace"}]),
     spec(containers=[])),
    ("replace drops delete", spec(containers=named("a")),
     spec(containers=[{"$patch": "delete", "name": "a"}, *named("c"), {"$patch": "replace"}]),
     spec(containers=named("c"))),
    ("replace an object", spec(strategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}),
     spec(strategy={"$patch": "replace", "type": "Recreate"}), spec(strategy={"type": "Recreate"})),
    ("replace by the same", spec(strategy={"type": "x"}), spec(strategy={"$patch": "replace", "type": "x"}),
     spec(strategy={"type": "x"})),
    ("delete an object's fields", spec(strategy={"type": "x"}), spec(strategy={"$patch": "delete"}),
     spec(strategy={})),
    ("merge is the default", spec(strategy={"type": "x"}), spec(strategy={"$patch": "merge", "rollingUpdate": {}}),
     spec(strategy={"type": "x", "rollingUpdate": {}})),
    ("replace strategy", spec(source={"a": "1"}), spec(source={"b": "2"}), spec(source={"b": "2"})),
    ("retainKeys", spec(strategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}),
     spec(strategy={"$retainKeys": ["type"], "type": "Recreate"}), spec(strategy={"type": "Recreate"})),
    ("retainKeys in a list", spec(volumes=[{"name": "v", "emptyDir": {"medium": "Memory"}}]),
     spec(volumes=[{"$retainKeys": ["name", "hostPath"], "name": "v", "hostPath": {"path": "/"}}]),
     spec(volumes=[{"name": "v", "hostPath": {"path": "/"}}])),
    ("retainKeys with nothing to drop", spec(strategy={"type": "x"}),
     spec(strategy={"$retainKeys": ["type"], "rollingUpdate": None}), spec(strategy={"type": "x"})),
    ("nics merge by name and retain keys", spec(nics=[{"name": "eth0", "portId": "p", "ipAddress": "1.2.3.4"}]),
     spec(nics=[{"$retainKeys": ["name", "subnetName"], "name": "eth0", "subnetName": "s"}, {"name": "eth1"}]),
     spec(nics=[{"name": "eth0", "subnetName": "s"}, {"name": "eth1"}])),
    ("new element loses its directives", spec(), spec(volumes=[{"$retainKeys": ["name"], "name": "v"}]),
     spec(volumes=[{"name": "v"}])),
    ("set merges", {"metadata": {"finalizers": ["a", "b"]}}, {"metadata": {"finalizers": ["c", "a"]}},
     {"metadata": {"finalizers": ["c", "a", "b"]}}),
    ("scalars deleted", {"metadata": {"finalizers": ["a", "b"]}},
     {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a", "z"]}}, {"metadata": {"finalizers": ["b"]}}),
    ("scalars deleted of nothing", {"metadata": {}}, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}},
     {"metadata": {}}),
    ("scalars deleted and added", {"metadata": {"finalizers": ["a"]}},
     {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["b"]}},
     {"metadata": {"finalizers": ["b"]}}),
    ("order of scalars", {"metadata": {"finalizers": ["a", "b", "c"]}},
     {"metadata": {"$setElementOrder/finalizers": ["c", "a"]}}, {"metadata": {"finalizers": ["b", "c", "a"]}}),
    ("order alone", spec(containers=named("a", "b", "c")),
     {"spec": {"$setElementOrder/containers": named("c", "b", "a")}}, spec(containers=named("c", "b", "a"))),
    ("order with a change", spec(containers=named("a", "b")),
     {"spec": {"$setElementOrder/containers": named("b", "a"), "containers": [{"name": "a", "image": "x"}]}},
     spec(containers=[{"name": "b"}, {"name": "a", "image": "x"}])),
    ("order with an addition", spec(containers=named("a", "b")),
     {"spec": {"$setElementOrder/containers": named("c", "a"), "containers": named("c")}},
     spec(containers=named("c", "a", "b"))),
    ("order keeps the server's own in place", spec(containers=named("a", "s", "b")),
     {"spec": {"$setElementOrder/containers": named("a", "b"), "containers": [{"name": "b", "image": "x"}]}},
     spec(containers=[{"name": "a"}, {"name": "s"}, {"name": "b", "image": "x"}])),
    ("order with a deletion", spec(containers=named("a", "b")),
     {"spec": {"$setElementOrder/containers": named("b"), "containers": [{"$patch": "delete", "name": "a"}]}},
     spec(containers=named("b"))),
    ("order of a list that is not there", spec(), {"spec": {"$setElementOrder/containers": named("b")}}, spec()),
    ("untyped merges as JSON", spec(raw={"a": {"b": 1}, "l": [1]}), spec(raw={"a": {"c": 2}, "l": [2]}),
     spec(raw={"a": {"b": 1, "c": 2}, "l": [2]})),
    ("unknown fields are kept for the check that follows", spec(), spec(foo=1), spec(foo=1)),
]  # fmt: skip


@pytest.mark.parametrize(("live", "patch", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_table(live: Any, patch: Any, expected: Any) -> None:
    before, given_patch = copy.deepcopy(live), copy.deepcopy(patch)
    result = patch_strategic.apply(ROOT, live, patch)
    assert result == expected
    assert (live, patch) == (before, given_patch)


ERRORS: list[tuple[Any, Any, type[ApiError], str]] = [
    ({}, [], BadRequest, "is an object"),
    (spec(), spec(containers=[{"image": "x"}]), Invalid,
     "map: map[image:x] does not contain declared merge key: name"),
    (spec(containers=named("a")), spec(containers=[{"$patch": "delete"}]), Invalid, "declared merge key: name"),
    (spec(containers=named("a")), spec(containers=["a"]), Invalid, "list element types are not identical"),
    (spec(), spec(containers=[["a"]]), Invalid, "lists of lists are not supported"),
    (spec(), spec(containers=[{"name": {"a": 1}}]), Invalid, "merge key must be a scalar"),
    (spec(strategy={}), spec(strategy={"$patch": "melt", "type": "x"}), BadRequest,
     "unknown patch type: melt in map: map[type:x]"),
    (spec(), spec(containers=[{"$patch": "melt"}]), BadRequest, "unknown patch type: melt"),
    (spec(), spec(strategy={"$retainKeys": "type"}), BadRequest, "invalid patch format of retainKeys"),
    (spec(), spec(strategy={"$retainKeys": [{}]}), BadRequest, "invalid patch format of retainKeys"),
    (spec(), spec(strategy={"$retainKeys": ["type"], "rollingUpdate": {}}), BadRequest, "doesn't match retainKeys"),
    (spec(), {"spec": {"$deleteFromPrimitiveList/x": "a"}}, BadRequest, "invalid patch format of primitive list"),
    (spec(), {"spec": {"$setElementOrder/x": "a"}}, BadRequest, "invalid patch format of setElementOrder list"),
    (spec(containers=named("a")), {"spec": {"$setElementOrder/containers": ["a"]}}, BadRequest, "setElementOrder"),
    (spec(), {"spec": {"$setElementOrder/containers": named("a"), "containers": named("b")}}, BadRequest,
     "doesn't match $setElementOrder list"),
    (spec(), {"spec": {"$setElementOrder/containers": named("a", "b"), "containers": named("b", "a")}}, BadRequest,
     "doesn't match $setElementOrder list"),
]  # fmt: skip


@pytest.mark.parametrize(("live", "patch", "error", "message"), ERRORS)
def test_errors(live: Any, patch: Any, error: type[ApiError], message: str) -> None:
    with pytest.raises(error) as caught:
        patch_strategic.apply(ROOT, live, patch)
    assert message in caught.value.message


def test_a_merge_list_of_objects_without_a_key_is_refused() -> None:
    schema = obj(things=Schema(type="array", items=obj(a=STRING), patch_strategies=MERGE))
    with pytest.raises(Invalid, match="without merge key"):
        patch_strategic.apply(schema, {}, {"things": [{"a": "1"}]})


def test_what_is_not_touched_is_shared() -> None:
    live = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "env": []}, {"name": "b"}]}}
    result = patch_strategic.apply(ROOT, live, spec(containers=[{"name": "a", "image": "x"}]))
    assert result["metadata"] is live["metadata"]
    assert result["spec"]["containers"][1] is live["spec"]["containers"][1]  # type: ignore[index]


def test_no_change_returns_the_document_itself() -> None:
    live = spec(containers=[{"name": "a", "image": "x"}, {"name": "b"}], strategy={"type": "x"}, replicas=1)
    patch = {
        "spec": {
            "$setElementOrder/containers": named("a", "b"),
            "containers": [{"name": "a", "image": "x"}],
            "strategy": {"$retainKeys": ["type"], "rollingUpdate": None},
            "replicas": 1,
        }
    }
    assert patch_strategic.apply(ROOT, live, patch) is live


def test_a_patch_nested_too_deeply_is_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"a": deep}
    with pytest.raises(BadRequest, match="too deeply"):
        patch_strategic.apply(ROOT, {}, {"spec": {"raw": deep}})


names = st.lists(st.sampled_from("abcdef"), unique=True)


@given(names, names)
def test_merging_a_list_keeps_both_orders_and_loses_nothing(live: list[str], patch: list[str]) -> None:
    result = patch_strategic.apply(ROOT, spec(containers=named(*live)), spec(containers=named(*patch)))
    merged = [item["name"] for item in result["spec"]["containers"]]
    assert sorted(merged) == sorted({*live, *patch})
    assert [name for name in merged if name in patch] == patch
    assert [name for name in merged if name not in patch] == [name for name in live if name not in patch]


@given(names, names)
def test_the_patch_of_client_side_apply_leads_to_its_target(live: list[str], target: list[str]) -> None:
    patch = {
        "spec": {
            "$setElementOrder/containers": named(*target),
            "containers": [
                *[{"name": name, "image": "x"} for name in target],
                *[{"$patch": "delete", "name": name} for name in live if name not in target],
            ],
        }
    }
    result = patch_strategic.apply(ROOT, spec(containers=named(*live)), patch)
    assert result["spec"]["containers"] == [{"name": name, "image": "x"} for name in target]
