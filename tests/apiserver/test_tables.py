"""Tables: spliced rows say the same as decoded ones, and no more is made than must be."""

from __future__ import annotations

import json
from typing import Any

import pytest

from arktos.apiserver import tables
from arktos.apiserver.encoding import encode, header_of
from arktos.model import columns, registry
from arktos.model.kinds import Kind
from arktos.model.status import BadRequest
from arktos.store.records import Key, Record

Obj = dict[str, Any]
PODS = registry.by_resource("pods")
NOW = 1_767_225_900.0


@pytest.fixture(autouse=True)
def no_rows_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_rows", tables._Rows())


def record(name: str, revision: int, kind: Kind = PODS, tenant: str = "acme", **fields: Any) -> Record:
    meta = {"name": name, "namespace": "ns", "uid": f"u-{name}", "creationTimestamp": "2026-01-01T00:00:00Z"}
    obj = {"metadata": meta, **fields}
    body = encode(kind, obj).replace(b'"resourceVersion":""', b'"resourceVersion":"%d"' % revision, 1)
    return Record(Key(kind.resource, tenant, "ns", name), revision, header_of(kind, obj), body)


def shown(*records: Record, kind: Kind = PODS, now: float = NOW, **options: Any) -> Obj:
    made: Obj = json.loads(tables.table(kind, records, 9, now=now, **options))
    return made


def test_rows_have_the_cells_of_the_columns() -> None:
    pod = record("a", 3, status={"phase": "Running"})
    table = shown(pod)
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert table["metadata"] == {"resourceVersion": "9"}
    assert [c["name"] for c in table["columnDefinitions"]] == [c.name for c in columns.columns_for(PODS)]
    assert table["rows"][0]["cells"] == columns.cells(PODS, json.loads(pod.body), NOW)


def test_the_objects_beside_the_cells() -> None:
    pod = record("a", 3, spec={"nodeName": "n"})
    whole = json.loads(pod.body)
    partial = shown(pod)["rows"][0]["object"]
    assert partial == {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": whole["metadata"]}
    assert shown(pod, include_object="Object")["rows"][0]["object"] == whole
    assert "object" not in shown(pod, include_object="None")["rows"][0]
    with pytest.raises(BadRequest):
        shown(pod, include_object="Some")


def test_age_goes_on_while_the_row_is_kept() -> None:
    pod = record("a", 3)
    ages = [shown(pod, now=NOW + more)["rows"][0]["cells"][4] for more in (0, 60)]
    assert ages == ["5m", "6m"]


def test_a_new_version_of_the_object_is_a_new_row() -> None:
    states = [
        shown(record("a", revision, status={"phase": phase}))["rows"][0]["cells"][2]
        for revision, phase in ((3, "Pending"), (4, "Running"))
    ]
    assert states == ["Pending", "Running"]


def test_a_row_is_made_once_per_version(monkeypatch: pytest.MonkeyPatch) -> None:
    pod = record("made-once", 3)
    shown(pod)
    monkeypatch.setattr(tables.versions, "decoded", lambda *_: pytest.fail("decoded again"))
    shown(pod)


def test_kept_rows_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "GENERATION", 4)
    rows = tables._Rows()
    for number in range(50):
        rows.get(PODS, record(f"p{number}", 3))
    assert len(rows._young) + len(rows._old) <= 8


def test_what_is_used_outlives_a_generation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "GENERATION", 4)
    rows = tables._Rows()
    kept = record("kept", 3)
    first = rows.get(PODS, kept)
    for number in range(20):
        rows.get(PODS, record(f"p{number}", 3))
        assert rows.get(PODS, kept) is first


def test_chunks_and_tenants() -> None:
    table = shown(record("a", 3, tenant="t1"), with_tenant=True, continue_token="next", remaining=5)
    assert table["metadata"] == {"resourceVersion": "9", "continue": "next", "remainingItemCount": 5}
    assert table["columnDefinitions"][0]["name"] == "Tenant"
    assert table["rows"][0]["cells"][:2] == ["t1", "a"]
    assert "remainingItemCount" not in shown(continue_token="next")["metadata"]
    nodes = registry.by_resource("nodes")
    assert shown(kind=nodes, with_tenant=True)["columnDefinitions"][0]["name"] == "Name"


def test_later_events_of_a_watch_leave_the_columns_out() -> None:
    assert shown(record("a", 3), columns_header=False)["columnDefinitions"] == []


def test_older_clients_get_the_older_version() -> None:
    table = shown(record("a", 3), version="v1beta1")
    assert table["apiVersion"] == "meta.k8s.io/v1beta1"
    assert table["rows"][0]["object"]["apiVersion"] == "meta.k8s.io/v1beta1"


def test_finished_pods_are_marked() -> None:
    row = shown(record("a", 3, status={"phase": "Failed"}))["rows"][0]
    assert [(c["type"], c["reason"]) for c in row["conditions"]] == [("Completed", "Failed")]
    assert "conditions" not in shown(record("b", 3, status={"phase": "Running"}))["rows"][0]


def test_names_that_need_escaping() -> None:
    pod = record("a", 3, status={"phase": 'a"\\é'})
    assert shown(pod)["rows"][0]["cells"][2] == 'a"\\é'


@pytest.mark.parametrize(
    "kind",
    [kind for kind in registry.all_kinds() if "list" in kind.verbs],
    ids=lambda kind: f"{kind.api_version}/{kind.kind}",
)
def test_every_kind_has_a_table(kind: Kind) -> None:
    table = shown(record("a", 3, registry.stored_as(kind)), kind=kind)
    assert len(table["rows"][0]["cells"]) == len(table["columnDefinitions"])
    assert all(set(c) == {"name", "type", "format", "description", "priority"} for c in table["columnDefinitions"])
    assert all(c["description"] for c in table["columnDefinitions"])
