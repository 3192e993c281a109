"""The index against a plain dict, for every kind of question."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from arktos.store.index import Index, in_scope
from arktos.store.records import Header, Key, Owner, Query, Record

TENANTS, SPACES, NAMES = ["a", "a-b", "b"], ["", "x", "y"], ["n1", "n2", "n3", "n4"]
KEYS = st.builds(Key, st.sampled_from(["pods", "other"]), *map(st.sampled_from, (TENANTS, SPACES, NAMES)))
OWNERS = st.builds(Owner, st.sampled_from(["ReplicaSet", "Job"]), st.sampled_from(["o1", "o2"]), st.integers(0, 9))
HEADERS = st.builds(
    Header,
    uid=st.just("u"),
    hash_key=st.integers(0, 9),
    labels=st.just({}),
    fields=st.fixed_dictionaries({}, optional={"spec.nodeName": st.sampled_from(["", "m1", "m2"])}),
    owners=st.lists(OWNERS, max_size=2).map(tuple),
)
STEPS = st.lists(st.tuples(KEYS, st.none() | HEADERS), max_size=40)
FIELDS = st.sampled_from(
    [
        "",
        "spec.nodeName=m1",
        "spec.nodeName=",
        "metadata.name=n2",
        "metadata.namespace=x",
        "metadata.namespace=x,metadata.name=n3",
        "metadata.hashkey=gt:2,metadata.hashkey=lte:6",
        "metadata.hashkey=gt:6,metadata.hashkey=lte:2",
        "metadata.ownerReferences.hashkey.ReplicaSet=gte:4",
        "metadata.ownerReferences.hashkey.Job=lt:3,spec.nodeName=m2",
    ]
)


def build(steps: list[tuple[Key, Header | None]], *, load: bool) -> tuple[Index, dict[Key, Record]]:
    index, truth = Index({"pods": ["spec.nodeName"]}), dict[Key, Record]()
    if load:
        for revision, (key, header) in enumerate(steps):
            if header is not None:
                truth[key] = Record(key, revision, header, b"")
        index.load(truth.values())
        return index, truth
    for revision, (key, header) in enumerate(steps):
        if revision == len(steps) // 2:
            # Half of the way the hash indexes come to be, and are kept up from there.
            list(index.walk(Query("pods", None, None, SELECT("metadata.hashkey=gt:0")), None))
            list(index.walk(Query("pods", None, None, SELECT("metadata.ownerReferences.hashkey.Job=gt:0")), None))
        new = None if header is None else Record(key, revision, header, b"")
        index.replace(key, truth.get(key), new)
        if new is None:
            truth.pop(key, None)
        else:
            truth[key] = new
    return index, truth


def SELECT(fields: str) -> Any:
    from arktos.model import registry
    from arktos.model.selectors import parse

    return parse("", fields, registry.by_resource("pods"))


@given(
    STEPS,
    st.booleans(),
    st.sampled_from([None, *TENANTS, "zz"]),
    st.sampled_from([None, *SPACES, "zz"]),
    FIELDS,
    st.none() | KEYS,
    st.integers(0, 5),
)
def test_every_question_gets_the_truth(
    steps: list[tuple[Key, Header | None]],
    load: bool,
    tenant: str | None,
    namespace: str | None,
    fields: str,
    after: Key | None,
    limit: int,
) -> None:
    index, truth = build(steps, load=load)
    after = None if after is None else after._replace(resource="pods")
    query = Query("pods", tenant, namespace, SELECT(fields))
    in_truth = sorted(
        (r for k, r in truth.items() if k.resource == "pods" and in_scope(k, tenant, namespace)), key=lambda r: r.key
    )
    in_truth = [record for record in in_truth if after is None or record.key > after]

    page, left = index.page(query, after, limit)
    assert page == (in_truth[:limit] if limit else in_truth)
    assert left == len(in_truth) - len(page)

    walked = list(index.walk(query, after))
    assert [r.key for r in walked] == sorted({r.key for r in walked})

    def matches(record: Record) -> bool:
        return query.selector is None or query.selector.matches(*record.key[1:], record.header)

    assert set(walked_keys(walked)) <= set(walked_keys(in_truth))
    assert [r for r in walked if matches(r)] == [r for r in in_truth if matches(r)]

    for key in truth:
        assert index.get(key) is truth[key]
    for uid in ("o1", "o2"):
        expected = {key for key, record in truth.items() if any(owner.uid == uid for owner in record.header.owners)}
        assert {record.key for record in index.by_owner(uid)} == expected
    assert sum(index.counts().values()) == len(truth)


def walked_keys(records: list[Record]) -> list[Key]:
    return [record.key for record in records]


def test_an_exact_field_visits_only_its_own() -> None:
    index = Index({"pods": ["spec.nodeName"]})
    for number in range(500):
        key = Key("pods", "t", "ns", f"p{number}")
        index.replace(key, None, Record(key, 1, Header("u", fields={"spec.nodeName": f"m{number % 100}"}), b""))
    assert len(list(index.walk(Query("pods", None, None, SELECT("spec.nodeName=m7")), None))) == 5


def test_a_hash_range_visits_only_its_own() -> None:
    index = Index({})
    for number in range(500):
        key = Key("pods", "t", "ns", f"p{number}")
        index.replace(key, None, Record(key, 1, Header("u", hash_key=number), b""))
    selector = SELECT("metadata.hashkey=gt:9,metadata.hashkey=lte:19")
    assert len(list(index.walk(Query("pods", None, None, selector), None))) == 10


def test_an_emptied_index_holds_nothing() -> None:
    index = Index({"pods": ["spec.nodeName"]})
    key = Key("pods", "t", "ns", "p")
    record = Record(key, 1, Header("u", owners=(Owner("Job", "o", 1),)), b"")
    index.replace(key, None, record)
    index.replace(key, record, None)
    assert index.counts() == {}
    assert index.by_owner("o") == []
    assert list(index.walk(Query("pods", None), None)) == []
