"""WATCH: where it starts, what it shows, how it ends."""

from __future__ import annotations

from typing import Any

import pytest

CMS = "/api/v1/namespaces/default/configmaps"
SECRETS = "/api/v1/namespaces/default/secrets"
PODS = "/api/v1/namespaces/default/pods"


async def _secret(api: Any, name: str, **labels: str) -> Any:
    return (await api.post(SECRETS, {"metadata": {"name": name, "labels": labels}})).ok(201)


@pytest.mark.parametrize("query", [{}, {"resourceVersion": ""}, {"resourceVersion": "0"}])
async def test_without_a_revision_it_starts_with_what_there_is(api: Any, query: dict[str, str]) -> None:
    await _secret(api, "a")
    watch = await api.watch(SECRETS, **query)
    await _secret(api, "b")
    (await api.patch(f"{SECRETS}/a", {"metadata": {"labels": {"x": "y"}}})).ok()
    (await api.delete(f"{SECRETS}/b")).ok()
    assert await watch.take(4) == [("ADDED", "a"), ("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "b")]


async def test_it_resumes_after_a_revision(api: Any) -> None:
    await _secret(api, "a")
    rv = (await api.get(SECRETS)).rv
    await _secret(api, "b")
    (await api.delete(f"{SECRETS}/a")).ok()
    watch = await api.watch(SECRETS, resourceVersion=rv)
    await _secret(api, "c")
    first = await watch.next()
    assert (first["type"], first["object"]["metadata"]["name"]) == ("ADDED", "b")
    gone = await watch.next()
    assert (gone["type"], gone["object"]["metadata"]["name"]) == ("DELETED", "a")
    assert int(gone["object"]["metadata"]["resourceVersion"]) > int(first["object"]["metadata"]["resourceVersion"])
    again = await api.watch(SECRETS, resourceVersion=gone["object"]["metadata"]["resourceVersion"])
    assert await again.take(1) == await watch.take(1) == [("ADDED", "c")]


async def test_objects_of_events_are_those_of_reads(api: Any) -> None:
    watch = await api.watch(SECRETS)
    made = await _secret(api, "a")
    assert (await watch.next())["object"] == made
    changed = (await api.patch(f"{SECRETS}/a", {"metadata": {"labels": {"x": "y"}}})).ok()
    assert (await watch.next())["object"] == changed


async def test_one_object(api: Any) -> None:
    await _secret(api, "a")
    watch = await api.watch(SECRETS, fieldSelector="metadata.name=a")
    old_form = await api.watch("/api/v1/watch/namespaces/default/secrets/a")
    await _secret(api, "b")
    (await api.delete(f"{SECRETS}/a")).ok()
    assert await watch.take(2) == [("ADDED", "a"), ("DELETED", "a")]
    assert await old_form.take(2) == [("ADDED", "a"), ("DELETED", "a")]
    (await api.get(f"{SECRETS}/b", watch="true")).ok()


async def test_objects_enter_and_leave_the_selection(api: Any) -> None:
    await _secret(api, "a", app="x")
    await _secret(api, "b", app="y")
    rv = (await api.get(SECRETS)).rv
    fresh = await api.watch(SECRETS, labelSelector="app=x")
    assert await fresh.take(1) == [("ADDED", "a")]
    for name, app in (("b", "x"), ("a", "y"), ("a", "x")):
        (await api.patch(f"{SECRETS}/{name}", {"metadata": {"labels": {"app": app}}})).ok()
    (await api.patch(f"{SECRETS}/a", {"data": {"k": "eA=="}})).ok()
    (await api.patch(f"{SECRETS}/b", {"metadata": {"labels": {"app": "y"}}})).ok()
    (await api.delete(f"{SECRETS}/b")).ok()
    (await api.delete(f"{SECRETS}/a")).ok()
    expected = [("ADDED", "b"), ("DELETED", "a"), ("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "b"), ("DELETED", "a")]
    assert await fresh.take(6) == expected
    resumed = await api.watch(SECRETS, labelSelector="app=x", resourceVersion=rv)
    assert await resumed.take(6) == expected
    assert not fresh.pending() and not resumed.pending()


async def test_fields_enter_and_leave_the_selection(api: Any) -> None:
    (await api.post(PODS, api.pod("p"))).ok(201)
    unbound = await api.watch(PODS, fieldSelector="spec.nodeName=")
    bound = await api.watch(PODS, fieldSelector="spec.nodeName=n")
    (await api.post(f"{PODS}/p/binding", {"target": {"kind": "Node", "name": "n"}})).ok(201)
    assert await unbound.take(2) == [("ADDED", "p"), ("DELETED", "p")]
    assert await bound.take(1) == [("ADDED", "p")]


async def test_watch_list(api: Any) -> None:
    await _secret(api, "a")
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    for rv in ({}, {"resourceVersion": ""}, {"resourceVersion": "0"}, {"resourceVersion": str(api.store.revision)}):
        watch = await api.watch(SECRETS, **query, **rv)
        assert await watch.take(1) == [("ADDED", "a")]
        mark = await watch.next()
        assert mark["type"] == "BOOKMARK" and mark["object"]["kind"] == "Secret"
        assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert int(mark["object"]["metadata"]["resourceVersion"]) == api.store.revision
    await _secret(api, "b")
    assert await watch.take(1) == [("ADDED", "b")]
    empty = await api.watch("/apis/apps/v1/deployments", **query)
    assert (await empty.next())["type"] == "BOOKMARK"


async def test_watch_list_without_initial_events(api: Any) -> None:
    await _secret(api, "a")
    query = {"sendInitialEvents": "false", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    watch = await api.watch(SECRETS, **query)
    await _secret(api, "b")
    assert await watch.take(1) == [("ADDED", "b")]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"sendInitialEvents": "true"}, 422),
        ({"sendInitialEvents": "true", "allowWatchBookmarks": "true"}, 422),
        ({"sendInitialEvents": "true", "resourceVersionMatch": "Exact", "allowWatchBookmarks": "true"}, 422),
        ({"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}, 422),
        ({"resourceVersionMatch": "NotOlderThan"}, 422),
        ({"sendInitialEvents": "maybe", "resourceVersionMatch": "NotOlderThan"}, 400),
        ({"resourceVersion": "x"}, 400),
        ({"resourceVersion": "9" * 18}, 504),
        ({"timeoutSeconds": "x"}, 400),
        ({"timeoutSeconds": "-5"}, 400),
        ({"labelSelector": "a in ("}, 400),
        ({"fieldSelector": "spec.none=1"}, 400),
        ({"allowWatchBookmarks": "perhaps"}, 400),
        ({"includeObject": "x", "accept": "application/json;as=Table;g=meta.k8s.io;v=v1"}, 400),
        ({"accept": 'application/json;as=Table;g=meta.k8s.io;v="v1\\"}'}, 406),
        ({"accept": "application/json;as=Table;g=meta.k8s.io;v=v2"}, 406),
    ],
)
async def test_refused_watches(api: Any, query: dict[str, str], code: int) -> None:
    (await api.get(SECRETS, watch="true", **query)).refused(code)


async def test_watches_may_be_switched_off(api: Any) -> None:
    assert (await api.get(SECRETS, watch="false")).ok()["kind"] == "SecretList"
    assert (await api.get(SECRETS, watch="0")).ok()["kind"] == "SecretList"
    (await api.get(SECRETS, watch="what")).refused(400)


async def test_tables(api: Any) -> None:
    """Columns are told once for each stream, wherever it joins."""
    (await api.post(PODS, api.pod("a"))).ok(201)
    first = await api.watch(PODS, accept=api.TABLE, includeObject="Metadata")
    one = await first.next()
    assert one["type"] == "ADDED" and one["object"]["kind"] == "Table"
    assert one["object"]["columnDefinitions"] and one["object"]["rows"][0]["cells"][0] == "a"
    second = await api.watch(PODS, accept=api.TABLE, resourceVersion=str(api.store.revision))
    (await api.post(PODS, api.pod("b"))).ok(201)
    (await api.post(PODS, api.pod("c"))).ok(201)
    assert [(await first.next())["object"]["columnDefinitions"] for _ in range(2)] == [[], []]
    events = [await second.next() for _ in range(2)]
    assert events[0]["object"]["columnDefinitions"] and not events[1]["object"]["columnDefinitions"]
    assert [e["object"]["rows"][0]["object"]["metadata"]["name"] for e in events] == ["b", "c"]
    (await api.delete(f"{PODS}/b")).ok()
    gone = await first.next()
    assert gone["type"] == "DELETED" and gone["object"]["rows"][0]["cells"][0] == "b"


async def test_tables_in_a_watch_list(api: Any) -> None:
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    watch = await api.watch(PODS, accept=api.TABLE, **query)
    mark = await watch.next()
    assert mark["type"] == "BOOKMARK" and mark["object"]["kind"] == "Table"
    inner = mark["object"]["rows"][0]["object"]["metadata"]
    assert inner["annotations"] == {"k8s.io/initial-events-end": "true"} and inner["resourceVersion"]
    (await api.post(PODS, api.pod("b"))).ok(201)
    assert (await watch.next())["object"]["columnDefinitions"]


async def test_partial_metadata(api: Any) -> None:
    watch = await api.watch(PODS, accept=api.PARTIAL)
    (await api.post(PODS, api.pod("b"))).ok(201)
    event = await watch.next()
    assert event["object"]["kind"] == "PartialObjectMetadata" and "spec" not in event["object"]
    assert event["object"]["metadata"]["name"] == "b"


async def test_bookmarks(api: Any) -> None:
    await _secret(api, "a")
    asked = await api.watch(SECRETS, allowWatchBookmarks="true")
    unasked = await api.watch(SECRETS)
    assert await asked.take(1) == await unasked.take(1)
    (await api.post(CMS, api.config_map("elsewhere"))).ok(201)
    api.watches.bookmark_all()
    mark = await asked.next()
    assert mark["type"] == "BOOKMARK" and mark["object"]["kind"] == "Secret"
    assert int(mark["object"]["metadata"]["resourceVersion"]) == api.store.revision
    assert "annotations" not in mark["object"]["metadata"]
    assert not unasked.pending()
    pods = await api.watch(PODS, allowWatchBookmarks="true")
    api.watches.bookmark_all()
    assert (await pods.next())["object"]["spec"] == {"containers": []}


async def test_no_event_is_lost_behind_a_bookmark(api: Any) -> None:
    """A bookmark's revision says that all before it has been sent."""
    watch = await api.watch(SECRETS, allowWatchBookmarks="true")
    for i in range(20):
        await _secret(api, f"s{i}")
        api.watches.bookmark_all()
    seen = 0
    for _ in range(40):
        event = await watch.next()
        if event["type"] == "ADDED":
            seen += 1
            revision = int(event["object"]["metadata"]["resourceVersion"])
        else:
            assert int(event["object"]["metadata"]["resourceVersion"]) >= revision
    assert seen == 20


async def test_a_timeout_ends_it_in_good_order(api: Any) -> None:
    await _secret(api, "a")
    watch = await api.watch(SECRETS, timeoutSeconds="1", allowWatchBookmarks="true")
    assert await watch.take(1) == [("ADDED", "a")]
    await watch.ended()
    assert [e["type"] for e in watch.pending()] == ["BOOKMARK"]
    assert api.watches.count == 0


async def test_the_server_ends_all_when_it_stops(api: Any) -> None:
    watch = await api.watch(SECRETS)
    api.watches.close()
    assert watch.finished and api.watches.count == 0


async def test_a_peer_that_goes_is_forgotten(api: Any) -> None:
    watch = await api.watch(SECRETS)
    assert api.watches.count == 1
    watch.close()
    watch.close()
    assert api.watches.count == 0
    await _secret(api, "a")
    assert not watch.pending()


async def test_a_slow_peer_catches_up(api: Any) -> None:
    watch = await api.watch(SECRETS)
    watch.congested = True
    await _secret(api, "s0")
    assert await watch.take(1) == [("ADDED", "s0")]
    for i in range(1, 450):
        await _secret(api, f"s{i}")
    assert not watch.pending()
    watch.drain()
    assert await watch.take(449) == [("ADDED", f"s{i}") for i in range(1, 450)]
    await _secret(api, "last")
    assert await watch.take(1) == [("ADDED", "last")]


async def test_a_peer_slow_from_the_start(api: Any) -> None:
    for i in range(450):
        await _secret(api, f"s{i:03}")
    watch = await api.watch(SECRETS, congested=True)
    await _secret(api, "s999")
    assert not watch.pending()
    watch.drain()
    names = [name for _, name in await watch.take(451)]
    assert names == [f"s{i:03}" for i in range(450)] + ["s999"]


async def test_a_peer_too_slow_is_told_so(new_api: Any) -> None:
    from arktos.store.embedded import Window

    api = await new_api(window=Window(events=20))
    watch = await api.watch(SECRETS)
    watch.congested = True
    for i in range(80):
        await _secret(api, f"s{i}")
    assert await watch.take(1) == [("ADDED", "s0")]
    watch.drain()
    error = await watch.next()
    assert error["type"] == "ERROR" and error["object"]["code"] == 410 and error["object"]["reason"] == "Expired"
    assert watch.finished and api.watches.count == 0
    await api.store.close()


async def test_many_watchers_of_one_query_share_an_encoding(api: Any) -> None:
    watches = [await api.watch(SECRETS) for _ in range(20)]
    assert api.store.stats().subscriptions <= 12
    await _secret(api, "a")
    assert [await w.take(1) for w in watches] == [[("ADDED", "a")]] * 20
    for watch in watches[1:]:
        watch.close()
    await _secret(api, "b")
    assert await watches[0].take(1) == [("ADDED", "b")]


async def test_groups_keep_queries_apart(api: Any) -> None:
    everything = await api.watch(SECRETS)
    labelled = await api.watch(SECRETS, labelSelector="x=1")
    named = await api.watch(SECRETS, fieldSelector="metadata.name=a")
    wide = await api.watch("/api/v1/secrets")
    await _secret(api, "a", x="2")
    await _secret(api, "b", x="1")
    assert await everything.take(2) == await wide.take(2) == [("ADDED", "a"), ("ADDED", "b")]
    assert await labelled.take(1) == [("ADDED", "b")]
    assert await named.take(1) == [("ADDED", "a")]


async def test_virtual_objects_are_there_from_the_start(api: Any) -> None:
    watch = await api.watch(CMS)
    assert await watch.take(1) == [("ADDED", "kube-root-ca.crt")]
    (await api.post(CMS, api.config_map("a"))).ok(201)
    assert await watch.take(1) == [("ADDED", "a")]


async def test_a_head_is_no_stream(api: Any) -> None:
    for target in (f"{SECRETS}?watch=true", "/api/v1/watch/secrets"):
        assert (await api("HEAD", target)).code == 200
    assert api.watches.count == 0


async def test_a_watch_ends_with_its_tenant(api: Any) -> None:
    """One that is made under the same name is another."""
    await api.tenant("acme", "other")
    ends = await api.watch(f"/tenants/acme{CMS}")
    stays = await api.watch(f"/tenants/other{CMS}")
    everywhere = await api.watch("/tenants/all/api/v1/configmaps")
    (await api.post(f"/tenants/acme{CMS}", api.config_map("old"))).ok(201)
    assert await ends.take(2) == [("ADDED", "kube-root-ca.crt"), ("ADDED", "old")]
    (await api.delete(f"/tenants/acme{CMS}/old")).ok()
    (await api.delete("/tenants/acme/api/v1/namespaces/default/serviceaccounts/default")).ok()
    (await api.delete("/api/v1/tenants/acme")).ok()
    (await api.delete("/tenants/acme/api/v1/namespaces/default")).ok()
    finalized = {"metadata": {"name": "default"}, "spec": {}}
    (await api.put("/tenants/acme/api/v1/namespaces/default/finalize", finalized)).ok()
    (await api.put("/api/v1/tenants/acme/finalize", {"metadata": {"name": "acme"}, "spec": {}})).ok()
    await ends.ended()
    assert [event["type"] for event in ends.pending()] == ["DELETED"]
    await api.tenant("acme")
    (await api.post(f"/tenants/acme{CMS}", api.config_map("new"))).ok(201)
    assert not ends.pending() and not stays.finished and not everywhere.finished
    again = await api.watch(f"/tenants/acme{CMS}")
    assert await again.take(2) == [("ADDED", "kube-root-ca.crt"), ("ADDED", "new")]


@pytest.mark.parametrize("late", [False, True])
async def test_classes_of_system_that_a_tenant_has_itself(api: Any, late: bool) -> None:
    """What is hidden is not told of; what is no longer hidden is there again."""
    classes = "/apis/storage.k8s.io/v1/storageclasses"

    def storage_class(name: str, provisioner: str) -> dict[str, Any]:
        return {"metadata": {"name": name}, "provisioner": provisioner}

    await api.tenant("acme")
    start = (await api.get(classes)).rv
    watch = None if late else await api.watch(f"/tenants/acme{classes}", resourceVersion=start)
    (await api.post(f"/tenants/acme{classes}", storage_class("own", "a"))).ok(201)
    (await api.post(classes, storage_class("own", "hidden"))).ok(201)
    (await api.patch(f"{classes}/own", {"metadata": {"labels": {"x": "y"}}})).ok()
    (await api.post(classes, storage_class("shared", "s"))).ok(201)
    watch = watch or await api.watch(f"/tenants/acme{classes}", resourceVersion=start)
    assert await watch.take(2) == [("ADDED", "own"), ("ADDED", "shared")]
    (await api.delete(f"/tenants/acme{classes}/own")).ok()
    gone, back = await watch.next(), await watch.next()
    assert (gone["type"], gone["object"]["provisioner"]) == ("DELETED", "a")
    assert (back["type"], back["object"]["provisioner"]) == ("ADDED", "hidden")
    assert back["object"]["metadata"]["tenant"] == "system"
    assert not watch.pending()


async def test_a_long_past_of_hidden_classes(api: Any) -> None:
    """However many changes nobody may see, those after them come."""
    classes = "/apis/storage.k8s.io/v1/storageclasses"
    await api.tenant("acme")
    for root in (f"/tenants/acme{classes}", classes):
        (await api.post(root, {"metadata": {"name": "own"}, "provisioner": "p"})).ok(201)
    start = (await api.get(classes)).rv
    for number in range(250):
        (await api.patch(f"{classes}/own", {"metadata": {"labels": {"n": str(number)}}})).ok()
    (await api.post(classes, {"metadata": {"name": "last"}, "provisioner": "p"})).ok(201)
    watch = await api.watch(f"/tenants/acme{classes}", resourceVersion=start)
    assert await watch.take(1) == [("ADDED", "last")]
