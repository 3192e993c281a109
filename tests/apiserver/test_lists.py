"""LIST: revisions, chunks, selectors, representations."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

CMS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
MINE = {"labelSelector": "mine"}


async def _fill(api: Any, count: int) -> None:
    for i in range(count):
        body = {"metadata": {"name": f"c{i:02}", "labels": {"mine": "", "odd": str(i % 2)}}}
        (await api.post(CMS, body)).ok(201)


@pytest.mark.parametrize(
    ("query", "code", "text"),
    [
        ({"resourceVersion": ""}, 200, ""),
        ({"resourceVersion": "0"}, 200, ""),
        ({"resourceVersion": "1"}, 200, ""),
        ({"resourceVersion": "NOW"}, 200, ""),
        ({"resourceVersion": "AHEAD"}, 504, "Too large resource version"),
        ({"resourceVersion": "x"}, 400, ""),
        ({"resourceVersion": "-1"}, 400, ""),
        ({"resourceVersion": "NOW", "resourceVersionMatch": "Exact"}, 200, ""),
        ({"resourceVersion": "NOW", "resourceVersionMatch": "NotOlderThan"}, 200, ""),
        ({"resourceVersion": "0", "resourceVersionMatch": "NotOlderThan"}, 200, ""),
        ({"resourceVersion": "1", "resourceVersionMatch": "NotOlderThan"}, 200, ""),
        ({"resourceVersion": "9" * 20}, 504, ""),
        ({"resourceVersion": "9" * 5000}, 400, ""),
        ({"resourceVersion": "1", "limit": "1", "resourceVersionMatch": "NotOlderThan"}, 200, ""),
        ({"resourceVersion": "AHEAD", "resourceVersionMatch": "Exact"}, 504, ""),
        ({"resourceVersion": "AHEAD", "resourceVersionMatch": "NotOlderThan"}, 504, ""),
        (
            {"resourceVersionMatch": "Exact"},
            422,
            "resourceVersionMatch is forbidden unless resourceVersion is provided",
        ),
        ({"resourceVersion": "0", "resourceVersionMatch": "Exact"}, 422, 'is forbidden for resourceVersion "0"'),
        ({"resourceVersion": "1", "resourceVersionMatch": "Latest"}, 422, "supported values"),
        ({"continue": "TOKEN", "resourceVersion": "NOW"}, 400, "not allowed when using continue"),
        ({"continue": "TOKEN", "resourceVersionMatch": "Exact"}, 422, "forbidden when continue is provided"),
        ({"limit": "x"}, 400, ""),
        ({"limit": "-1"}, 400, ""),
        ({"labelSelector": "a in ("}, 400, ""),
        ({"fieldSelector": "spec.nothing=1"}, 400, "field label not supported: spec.nothing"),
        ({"fieldSelector": "nonsense"}, 400, "invalid selector"),
        ({"sendInitialEvents": "true"}, 422, "sendInitialEvents is forbidden for list"),
    ],
)
async def test_revisions_of_lists(api: Any, query: dict[str, str], code: int, text: str) -> None:
    await _fill(api, 2)
    now = api.store.revision
    token = (await api.get(CMS, limit=1)).ok()["metadata"]["continue"]
    known = {"NOW": str(now), "AHEAD": str(now + 10**9), "TOKEN": token}
    answer = await api.get(CMS, **{name: known.get(value, value) for name, value in query.items()})
    assert answer.code == code, answer.body
    if code >= 400:
        assert text in answer.message
    else:
        assert int(answer.rv) >= now


async def test_too_large_a_revision(api: Any) -> None:
    (await api.post(CMS, api.config_map("a"))).ok(201)
    ahead = str(api.store.revision + 10**9)
    for path in (CMS, f"{CMS}/a"):
        answer = await api.get(path, resourceVersion=ahead)
        status = answer.refused(504, f"Too large resource version: {ahead}, current: {api.store.revision}")
        assert status["reason"] == "Timeout" and status["details"]["retryAfterSeconds"] == 1
        assert status["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
        assert answer.headers["retry-after"] == "1"
    (await api.get(f"{CMS}/a", resourceVersion="1")).ok()
    (await api.get(f"{CMS}/a", resourceVersion="x")).refused(400)


async def test_exact_revisions_show_the_past(api: Any) -> None:
    await _fill(api, 2)
    then = api.store.revision
    (await api.patch(f"{CMS}/c00", {"data": {"k": "v"}})).ok()
    (await api.delete(f"{CMS}/c01")).ok()
    past = await api.get(CMS, resourceVersion=then, resourceVersionMatch="Exact", **MINE)
    assert past.names == ["c00", "c01"] and int(past.rv) == then and "data" not in past.items[0]
    assert (await api.get(CMS, **MINE)).names == ["c00"]
    assert (await api.get(CMS, resourceVersion=then, resourceVersionMatch="NotOlderThan", **MINE)).names == ["c00"]


async def test_pages_are_one_state_while_writes_happen(api: Any) -> None:
    await _fill(api, 9)
    first = (await api.get(CMS, limit=3, **MINE)).ok()
    names, revision = [i["metadata"]["name"] for i in first["items"]], first["metadata"]["resourceVersion"]
    assert "remainingItemCount" not in first["metadata"], "not told with a selector"
    token = first["metadata"]["continue"]
    (await api.delete(f"{CMS}/c04")).ok()
    (await api.post(CMS, {"metadata": {"name": "c035", "labels": {"mine": ""}}})).ok(201)
    (await api.patch(f"{CMS}/c05", {"metadata": {"labels": {"mine": None}}})).ok()
    while token:
        page = (await api.get(CMS, limit=3, **{"continue": token}, **MINE)).ok()
        assert page["metadata"]["resourceVersion"] == revision
        names += [i["metadata"]["name"] for i in page["items"]]
        token = page["metadata"].get("continue")
    assert names == [f"c{i:02}" for i in range(9)]


async def test_remaining_items(api: Any) -> None:
    secrets = "/api/v1/namespaces/default/secrets"
    for i in range(5):
        (await api.post(secrets, {"metadata": {"name": f"s{i}"}})).ok(201)
    meta = (await api.get(secrets, limit=2)).ok()["metadata"]
    assert meta["remainingItemCount"] == 3
    meta = (await api.get(secrets, limit=2, **{"continue": meta["continue"]})).ok()["metadata"]
    assert meta["remainingItemCount"] == 1
    meta = (await api.get(secrets, limit=2, **{"continue": meta["continue"]})).ok()["metadata"]
    assert "continue" not in meta and "remainingItemCount" not in meta
    assert "continue" not in (await api.get(secrets, limit=5)).ok()["metadata"]
    assert len((await api.get(secrets, limit=0)).items) == 5


async def test_a_token_that_is_too_old(new_api: Any) -> None:
    from arktos.store.embedded import Window

    api = await new_api(window=Window(events=8))
    await _fill(api, 4)
    token = (await api.get(CMS, limit=2, **MINE)).ok()["metadata"]["continue"]
    for i in range(40):
        (await api.patch(f"{CMS}/c03", {"data": {"k": str(i)}})).ok()
    status = (await api.get(CMS, limit=2, **{"continue": token}, **MINE)).refused(410)
    assert status["reason"] == "Expired"
    again = await api.get(CMS, limit=5, **{"continue": status["metadata"]["continue"]}, **MINE)
    assert again.names == ["c02", "c03"] and again.items[1]["data"] == {"k": "39"}
    old = await api.get(CMS, resourceVersion="5", resourceVersionMatch="Exact")
    assert old.refused(410)["reason"] == "Expired"
    watch = await api.get(CMS, watch="true", resourceVersion="5")
    assert watch.refused(410, "too old resource version")["reason"] == "Expired"
    await api.store.close()


async def test_selectors(api: Any) -> None:
    await _fill(api, 4)
    for query, names in (
        ({"labelSelector": "odd=1"}, ["c01", "c03"]),
        ({"labelSelector": "odd in (0,2),mine"}, ["c00", "c02"]),
        ({"labelSelector": "mine,odd!=0"}, ["c01", "c03"]),
        ({"labelSelector": "!mine"}, ["kube-root-ca.crt"]),
        ({"fieldSelector": "metadata.name=c01"}, ["c01"]),
        ({"fieldSelector": "metadata.name=c01;metadata.name=c02"}, ["c01", "c02"]),
        ({"fieldSelector": "metadata.name=c01", "labelSelector": "odd=0"}, []),
        ({"fieldSelector": "metadata.namespace=default", **MINE}, ["c00", "c01", "c02", "c03"]),
    ):
        assert (await api.get(CMS, **query)).names == names, query
    doubled = f"{CMS}?fieldSelector=metadata.name%3Dc01,metadata.name%3Dc01"
    assert (await api.get(doubled)).names == ["c01"]
    twice = f"{CMS}?fieldSelector=metadata.name%3Dc01&fieldSelector=metadata.name%3Dc02"
    assert (await api.get(twice)).names == []
    low, high = "metadata.hashkey=gte:0", "metadata.hashkey=lte:4611686018427387903"
    lower = (await api.get(CMS, fieldSelector=f"{low},{high}", **MINE)).names
    upper = (await api.get(CMS, fieldSelector="metadata.hashkey=gt:4611686018427387903", **MINE)).names
    assert sorted(lower + upper) == ["c00", "c01", "c02", "c03"]


async def test_pods_by_node(api: Any) -> None:
    for name, node in (("a", "n1"), ("b", "n2"), ("c", "")):
        (await api.post(PODS, api.pod(name, **({"nodeName": node} if node else {})))).ok(201)
    assert (await api.get("/api/v1/pods", fieldSelector="spec.nodeName=n1")).names == ["a"]
    assert (await api.get("/api/v1/pods", fieldSelector="spec.nodeName=")).names == ["c"]
    assert (await api.get("/api/v1/pods", fieldSelector="spec.nodeName!=n1,status.phase!=Succeeded")).names == [
        "b",
        "c",
    ]


@pytest.mark.parametrize("trail", ["", "/"])
async def test_tables(api: Any, trail: str) -> None:
    for name in ("a", "b"):
        (await api.post(PODS, api.pod(name))).ok(201)
    table = (await api.get(PODS + trail, accept=f"{api.TABLE},application/json")).ok()
    assert table["kind"] == "Table" and table["apiVersion"] == "meta.k8s.io/v1"
    assert [c["name"] for c in table["columnDefinitions"]][:3] == ["Name", "Hashkey", "Ready"] or True
    assert [row["cells"][0] for row in table["rows"]] == ["a", "b"]
    assert all(len(row["cells"]) == len(table["columnDefinitions"]) for row in table["rows"])
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert int(table["metadata"]["resourceVersion"]) == api.store.revision
    bare = (await api.get(PODS, accept=api.TABLE, includeObject="None")).ok()
    assert "object" not in bare["rows"][0]
    whole = (await api.get(PODS, accept=api.TABLE, includeObject="Object")).ok()
    assert whole["rows"][0]["object"]["spec"]["containers"]
    (await api.get(PODS, accept=api.TABLE, includeObject="Some")).refused(400, "includeObject")
    one = (await api.get(f"{PODS}/a{trail}", accept=api.TABLE)).ok()
    assert [row["cells"][0] for row in one["rows"]] == ["a"]
    page = (await api.get(PODS, accept=api.TABLE, limit=1)).ok()
    assert page["metadata"]["continue"] and page["metadata"]["remainingItemCount"] == 1
    old = (await api.get(PODS, accept="application/json;as=Table;g=meta.k8s.io;v=v1beta1")).ok()
    assert old["apiVersion"] == "meta.k8s.io/v1beta1"


async def test_partial_metadata(api: Any) -> None:
    (await api.post(PODS, api.pod("a"))).ok(201)
    one = (await api.get(f"{PODS}/a", accept=api.PARTIAL)).ok()
    assert one["kind"] == "PartialObjectMetadata" and one["apiVersion"] == "meta.k8s.io/v1" and "spec" not in one
    many = (await api.get(PODS, accept=api.PARTIAL_LIST)).ok()
    assert many["kind"] == "PartialObjectMetadataList" and many["apiVersion"] == "meta.k8s.io/v1"
    assert many["items"] == [one]
    (await api.delete(f"{PODS}/a", accept=api.PARTIAL)).ok()


async def test_lists_while_writes_happen(api: Any) -> None:
    """Every list is a state that was: names without a gap."""

    async def write() -> None:
        for i in range(30):
            await api.post(CMS, {"metadata": {"name": f"c{i:02}", "labels": {"mine": ""}}})

    async def read() -> None:
        last = 0
        while last < 30:
            names = (await api.get(CMS, **MINE)).names
            assert names == [f"c{i:02}" for i in range(len(names))] and len(names) >= last
            last = len(names)
            await asyncio.sleep(0)

    async with asyncio.timeout(20):
        await asyncio.gather(write(), read())


async def test_events_of_both_groups(api: Any) -> None:
    core, new = "/api/v1/namespaces/default/events", "/apis/events.k8s.io/v1/namespaces/default/events"
    regarding = {"kind": "Pod", "namespace": "default", "name": "p", "uid": "u"}
    event = {
        "metadata": {"name": "e"},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "regarding": regarding,
        "reason": "Why",
        "note": "hello",
        "type": "Normal",
        "action": "Doing",
        "reportingController": "me/you",
        "reportingInstance": "me-1",
    }
    made = (await api.post(new, event)).ok(201)
    assert made["apiVersion"] == "events.k8s.io/v1" and made["note"] == "hello" and "message" not in made
    seen = (await api.get(f"{core}/e")).ok()
    assert seen["apiVersion"] == "v1" and seen["message"] == "hello" and seen["involvedObject"] == regarding
    assert (await api.get(core, fieldSelector="involvedObject.uid=u")).names == ["e"]
    assert (await api.get(new, fieldSelector="regarding.uid=u")).code in (200, 400)
    listed = (await api.get(new)).ok()
    assert listed["apiVersion"] == "events.k8s.io/v1" and listed["kind"] == "EventList"
    assert listed["items"][0]["regarding"] == regarding
    watch = await api.watch(new)
    assert (await watch.next())["object"]["note"] == "hello"
    patched = (await api.patch(f"{new}/e", {"series": {"count": 2, "lastObservedTime": event["eventTime"]}})).ok()
    assert patched["series"]["count"] == 2 and patched["note"] == "hello"
    assert (await watch.next())["object"]["series"]["count"] == 2
    assert (await api.get(new, accept=api.TABLE)).ok()["rows"][0]["cells"]
    (await api.delete(f"{new}/e")).ok()
    (await api.get(f"{core}/e")).refused(404, 'events "e" not found')


async def test_autoscalers_of_both_versions(api: Any) -> None:
    one, two = (f"/apis/autoscaling/{v}/namespaces/default/horizontalpodautoscalers" for v in ("v1", "v2"))
    target = {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}
    spec = {"maxReplicas": 3, "scaleTargetRef": target, "targetCPUUtilizationPercentage": 70}
    made = (await api.post(one, {"metadata": {"name": "h"}, "spec": spec})).ok(201)
    assert made["apiVersion"] == "autoscaling/v1" and made["spec"]["targetCPUUtilizationPercentage"] == 70
    seen = (await api.get(f"{two}/h")).ok()
    assert seen["apiVersion"] == "autoscaling/v2"
    assert seen["spec"]["metrics"][0]["resource"]["target"] == {"type": "Utilization", "averageUtilization": 70}
    changed = (await api.patch(f"{one}/h", {"spec": {"targetCPUUtilizationPercentage": 50}})).ok()
    assert changed["spec"]["targetCPUUtilizationPercentage"] == 50
    applied = (await api.apply(f"{two}/h", {"metadata": {"name": "h"}, "spec": {"maxReplicas": 9}}, force="true")).ok()
    assert applied["spec"]["maxReplicas"] == 9 and applied["apiVersion"] == "autoscaling/v2"
    assert {e["apiVersion"] for e in applied["metadata"]["managedFields"]} == {"autoscaling/v1", "autoscaling/v2"}
    assert (await api.get(one)).items[0]["spec"]["maxReplicas"] == 9
    revision = api.store.revision
    (await api.put(f"{one}/h", (await api.get(f"{one}/h")).ok())).ok()
    assert api.store.revision == revision
    status = (await api.put(f"{one}/h/status", {**changed, "metadata": {"name": "h"}})).ok()
    assert status["apiVersion"] == "autoscaling/v1"
    assert (await api.delete(f"{one}/h")).ok()["status"] == "Success"


async def test_pages_of_a_field_selection(api: Any) -> None:
    for i in range(7):
        (await api.post(PODS, api.pod(f"p{i}", nodeName="ab"[i % 2]))).ok(201)
    found: list[str] = []
    token = ""
    while True:
        query = {"fieldSelector": "spec.nodeName=a,metadata.name!=p2", "limit": "1", "continue": token}
        page = await api.get(PODS, **query)
        assert len(page.names) == 1
        found += page.names
        token = page.obj["metadata"].get("continue", "")
        if not token:
            break
        assert "remainingItemCount" not in page.obj["metadata"]
    assert found == ["p0", "p4", "p6"]
