"""Ownership under random sequences of writes by several managers: managedFields never lie and never lose a field."""

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from arktos.model import apply, fieldset, managed
from arktos.model.fieldset import FieldSet
from arktos.model.managed import owned_part, strip
from arktos.model.schema import Schema
from arktos.model.shape import all_fields, applied_fields, shape
from arktos.model.status import Conflict

Obj = dict[str, Any]

STRING, INTEGER = Schema(type="string"), Schema(type="integer")
ITEM = Schema(type="object", properties={"name": STRING, "x": INTEGER, "y": INTEGER})
SPEC = Schema(
    type="object",
    properties={
        "a": INTEGER,
        "b": INTEGER,
        "labels": Schema(type="map", items=STRING),
        "items": Schema(type="array", items=ITEM, list_type="map", list_map_keys=("name",)),
        "set": Schema(type="array", items=STRING, list_type="set"),
        "args": Schema(type="array", items=STRING, list_type="atomic"),
        "selector": Schema(type="object", properties={"p": STRING, "q": STRING}, map_type="atomic"),
        "inner": Schema(type="object", properties={"a": INTEGER, "b": INTEGER}),
    },
)
ROOT = Schema(
    type="object",
    properties={
        "apiVersion": STRING,
        "kind": STRING,
        "metadata": Schema(type="object", properties={"name": STRING, "labels": Schema(type="map", items=STRING)}),
        "spec": SPEC,
    },
)
SHAPE = shape(ROOT)

small = st.integers(0, 2)
word = st.sampled_from("pq")
labels = st.dictionaries(word, word, min_size=1)
item = st.fixed_dictionaries({"name": st.sampled_from("uvw")}, optional={"x": small, "y": small})
specs = st.fixed_dictionaries(
    {},
    optional={
        "a": small,
        "b": small,
        "labels": labels,
        "items": st.lists(item, min_size=1, max_size=3, unique_by=lambda one: one["name"]),
        "set": st.lists(word, min_size=1, unique=True),
        "args": st.lists(word, max_size=2),
        "selector": st.dictionaries(word, word),
        "inner": st.fixed_dictionaries({"a": small}, optional={"b": small}),
    },
)


def wrapped(spec: Obj, some: Obj | None) -> Obj:
    obj: Obj = {"apiVersion": "v1", "kind": "T", "metadata": {"name": "t"}}
    if some:
        obj["metadata"]["labels"] = some
    if spec:
        obj["spec"] = spec
    return obj


configs = st.builds(wrapped, specs, st.none() | labels)
managers = st.sampled_from(["ann", "bob", "cem"])
steps = st.lists(
    st.tuples(st.sampled_from(["apply", "force", "update", "delete"]), managers, configs, st.integers(0, 20)),
    min_size=1,
    max_size=10,
)


def entries(obj: Obj) -> list[Obj]:
    return obj["metadata"].get("managedFields", [])


def owned(obj: Obj) -> FieldSet:
    result: FieldSet = {}
    for entry in entries(obj):
        result = fieldset.union(result, entry["fieldsV1"])
    return result


def update(old: Obj | None, new: Obj, who: str, when: int) -> Obj:
    new = copy.deepcopy(new)
    found = managed.update(ROOT, old, new, manager=who, api_version="v1", now=time(when))
    new["metadata"].pop("managedFields", None)
    if found:
        new["metadata"]["managedFields"] = found
    return new


def time(when: int) -> str:
    return f"2026-01-01T00:00:{when:02}Z"


def without_one(obj: Obj, number: int) -> Obj:
    """The object without one of its spec fields."""
    new = copy.deepcopy(obj)
    spec = new.get("spec", {})
    if spec:
        del spec[sorted(spec)[number % len(spec)]]
    if not spec:
        new.pop("spec", None)
    return new


def step(live: Obj | None, kind: str, who: str, config: Obj, number: int, when: int) -> Obj | None:
    if kind == "update":
        metadata = {**config["metadata"], "managedFields": entries(live)} if live else config["metadata"]
        return update(live, {**config, "metadata": metadata}, who, when)
    if kind == "delete":
        return update(live, without_one(live, number), who, when) if live else None
    try:
        return apply.apply(ROOT, live, config, manager=who, api_version="v1", force=kind == "force", now=time(when)).obj
    except Conflict:
        return live


def check_truth(obj: Obj) -> None:
    everything = all_fields(SHAPE, owned_part(obj))
    lies = fieldset.difference(owned(obj), everything)
    assert lies == {}, f"owned, but not there: {list(fieldset.paths(lies))}"
    leaves = strip(applied_fields(SHAPE, owned_part(obj)) or {})
    lost = fieldset.difference(leaves, owned(obj))
    assert lost == {}, f"there, but not owned: {list(fieldset.paths(lost))}"


def check_form(obj: Obj) -> None:
    for entry in entries(obj):
        assert entry["fieldsV1"]
        assert fieldset.canonical(entry["fieldsV1"]) == fieldset.decode(entry["fieldsV1"])
        assert list(fieldset.paths(fieldset.canonical(entry["fieldsV1"])))
    keys = [(entry["operation"], entry["time"], entry["manager"]) for entry in entries(obj)]
    assert keys == sorted(keys)


@settings(max_examples=300, deadline=None)
@given(steps)
def test_managed_fields_never_lie(sequence: list[tuple[str, str, Obj, int]]) -> None:
    live: Obj | None = None
    for when, (kind, who, config, number) in enumerate(sequence):
        before = copy.deepcopy(live)
        after = step(live, kind, who, copy.deepcopy(config), number, when)
        assert live == before
        live = after
        if live is not None and entries(live):
            check_truth(live)
            check_form(live)
        elif live is not None:
            live = None  # nobody owns anything: such an object is not tracked, begin anew


@settings(max_examples=200, deadline=None)
@given(steps, managers, configs)
def test_applying_twice_is_applying_once(sequence: list[tuple[str, str, Obj, int]], who: str, config: Obj) -> None:
    live: Obj | None = None
    for when, (kind, other, some, number) in enumerate(sequence):
        live = step(live, kind, other, some, number, when)
    once = step(live, "force", who, config, 0, 30)
    assert once is not None
    twice = apply.apply(ROOT, once, config, manager=who, api_version="v1", force=False, now=time(40))
    assert twice.obj == once
    if entries(once):
        assert not twice.changed


@settings(max_examples=200, deadline=None)
@given(steps, managers, configs)
def test_what_is_applied_is_there(sequence: list[tuple[str, str, Obj, int]], who: str, config: Obj) -> None:
    live: Obj | None = None
    for when, (kind, other, some, number) in enumerate(sequence):
        live = step(live, kind, other, some, number, when)
    obj = step(live, "force", who, config, 0, 30)
    assert obj is not None
    assert apply.merge(SHAPE, obj, config) == obj
    mine = [entry for entry in entries(obj) if (entry["manager"], entry["operation"]) == (who, "Apply")]
    wanted = strip(applied_fields(SHAPE, owned_part(config)) or {})
    assert [entry["fieldsV1"] for entry in mine] == ([wanted] if wanted else [])


@settings(max_examples=200, deadline=None)
@given(configs, configs, configs)
def test_giving_up_removes_what_nobody_else_holds(first: Obj, second: Obj, other: Obj) -> None:
    live = step(None, "apply", "ann", first, 0, 1)
    live = step(live, "force", "bob", other, 0, 2)
    live = step(live, "force", "ann", second, 0, 3)
    assert live is not None
    expected = strip(
        fieldset.union(
            applied_fields(SHAPE, owned_part(second)) or {},
            next((e["fieldsV1"] for e in entries(live) if e["manager"] == "bob"), {}),
        )
    )
    assert strip(applied_fields(SHAPE, owned_part(live)) or {}) == expected


@settings(max_examples=200, deadline=None)
@given(configs, configs)
def test_a_conflict_names_what_force_would_take(first: Obj, second: Obj) -> None:
    live = step(None, "apply", "ann", first, 0, 1)
    assert live is not None
    try:
        apply.apply(ROOT, live, second, manager="bob", api_version="v1", force=False, now=time(2))
        fields: set[str] = set()
    except Conflict as conflict:
        fields = {cause.field for cause in conflict.causes}
    forced = apply.apply(ROOT, live, second, manager="bob", api_version="v1", force=True, now=time(2)).obj
    before = {fieldset.path_text(path) for path in fieldset.paths(owned(live))}
    kept = next((e["fieldsV1"] for e in entries(forced) if e["manager"] == "ann"), {})
    assert fields == before - {fieldset.path_text(path) for path in fieldset.paths(kept)}
