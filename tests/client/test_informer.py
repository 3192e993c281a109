"""Informers over a real connection: start, fall back, cut, expiry, sharing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from arktos.client.cache import by_namespace
from arktos.client.cached import Cached
from arktos.client.client import Client
from arktos.client.informer import Informer, Informers
from arktos.client.ratelimit import Backoff
from arktos.model import registry

PODS = registry.by_resource("pods")
NODES = registry.by_resource("nodes")
PATH = "/api/v1/tenants/all/pods"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arktos.client.informer.Backoff", lambda base, ceiling: Backoff(0.001, 0.01))


class Told:
    """A handler that remembers, and waits for what it wants to hear."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.log: list[tuple[str | None, str | None]] = []
        self._news = asyncio.Event()

    def __call__(self, old: Cached | None, new: Cached | None) -> None:
        self.log.append((old and old.name, new and new.name))
        if new is not None:
            self.names[new.name] = new.resource_version
        elif old is not None:
            del self.names[old.name]
        self._news.set()

    async def until(self, true: Callable[[dict[str, str]], bool]) -> None:
        async with asyncio.timeout(5):
            while not true(self.names):
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def running(*informers: Informer | Informers) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(informer.run()) for informer in informers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for task in tasks:
            assert task.cancelled(), task.exception()


async def synced(informer: Informer) -> None:
    async with asyncio.timeout(5):
        await informer.synced.wait()


@pytest.mark.parametrize("refuse", [False, True])
async def test_the_life_of_a_mirror(api: Any, client: Client, refuse: bool) -> None:
    api.refuse_watchlist = refuse
    for n in range(3):
        await api.put(PATH, f"p{n}", metadata={"namespace": "ns", "tenant": "acme"})
    informer = Informer(client, PODS, indexes={"ns": by_namespace})
    told = Told()
    informer.add_handler(told)
    async with running(informer):
        await synced(informer)
        assert sorted(told.names) == ["p0", "p1", "p2"] == sorted(c.name for c in informer.items())
        assert len(informer) == 3 and len(informer.by_index("ns", "acme/ns")) == 3
        found = informer.get("acme", "ns", "p1")
        assert found is not None and found.obj()["kind"] == "Pod"
        await api.put(PATH, "p3", metadata={"namespace": "ns", "tenant": "acme"})
        await api.remove(PATH, "p0")
        await told.until(lambda names: "p3" in names and "p0" not in names)
        assert informer.get("acme", "ns", "p0") is None
        late = Told()
        informer.add_handler(late)
        assert late.names == told.names
    first = api.calls[0]
    assert (first.query.get("sendInitialEvents"), first.path) == ("true", PATH)
    assert [c.query.get("watch") for c in api.calls] == (["true", None, "true"] if refuse else ["true"])


async def test_a_cut_watch_resumes_where_it_was(api: Any, client: Client) -> None:
    await api.put(PATH, "p0")
    informer, told = Informer(client, PODS), Told()
    informer.add_handler(told)
    async with running(informer):
        await synced(informer)
        api.cut_watches()
        await api.put(PATH, "p1")
        await told.until(lambda names: "p1" in names)
        api.cut_watches()
        await api.remove(PATH, "p0")
        await told.until(lambda names: "p0" not in names)
    assert told.log == [(None, "p0"), (None, "p1"), ("p0", None)]
    assert [c.query.get("sendInitialEvents") for c in api.calls] == ["true"] + [None] * (len(api.calls) - 1)


@pytest.mark.parametrize("refuse", [False, True])
async def test_after_expiry_the_difference_is_told(api: Any, client: Client, refuse: bool) -> None:
    api.refuse_watchlist = refuse
    for name in ("stays", "goes", "changes"):
        await api.put(PATH, name)
    informer, told = Informer(client, PODS), Told()
    informer.add_handler(told)
    async with running(informer):
        await synced(informer)
        del told.log[:]
        await api.remove(PATH, "goes")
        await api.put(PATH, "changes", spec={"x": 1})
        await api.put(PATH, "comes")
        await told.until(lambda names: "comes" in names)
        del told.log[:]
        api.cut_watches()
        api.objects.pop((PATH, "stays"))
        await api.put(PATH, "last")
        api.revision += 1
        api.forget_history()
        await told.until(lambda names: "last" in names and "stays" not in names)
    assert set(told.log) == {("stays", None), (None, "last")}


async def test_a_server_that_refuses_for_a_while(api: Any, client: Client) -> None:
    refusal = {"kind": "Status", "status": "Failure", "code": 403, "reason": "Forbidden", "message": "not yet"}
    for _ in range(3):
        api.say(refusal, 403)
    await api.put(PATH, "p0")
    informer = Informer(client, PODS)
    async with running(informer):
        await synced(informer)
        assert len(informer) == 1


async def test_cluster_scoped_kinds_have_no_tenant(api: Any, client: Client) -> None:
    await api.put("/api/v1/nodes", "n0", metadata={"tenant": "system"})
    informer = Informer(client, NODES)
    async with running(informer):
        await synced(informer)
        found = informer.get("whatever", "", "n0")
        assert found is not None and found.key == ("", "", "n0")


async def test_what_a_handler_raises_ends_the_run(api: Any, client: Client) -> None:
    await api.put(PATH, "p0")
    informer = Informer(client, PODS)

    def broken(old: Cached | None, new: Cached | None) -> None:
        raise LookupError("a bug")

    informer.add_handler(broken)
    with pytest.raises(LookupError):
        await asyncio.wait_for(informer.run(), 5)


async def test_informers_are_shared_and_started_whenever_asked_for(api: Any, client: Client) -> None:
    await api.put(PATH, "p0")
    await api.put("/api/v1/nodes", "n0")
    informers = Informers(client)
    pods = informers.get(PODS)
    assert informers.get(PODS, indexes={"ns": by_namespace}) is pods
    assert informers.get(PODS, label_selector="a=b") is not pods
    async with running(informers):
        async with asyncio.timeout(5):
            await informers.wait_synced()
            nodes = informers.get(NODES)
            await informers.wait_synced()
        assert (len(pods), len(nodes)) == (1, 1)
        assert len(pods.by_index("ns", "/")) == 1
        await informers.stop(nodes)
        assert informers.get(NODES) is not nodes


async def test_a_large_state_in_slices(api: Any, client: Client) -> None:
    for n in range(1203):
        api.objects[PATH, f"p{n}"] = {"metadata": {"name": f"p{n}", "uid": str(n), "resourceVersion": str(n)}}
    api.revision = 2000
    streamed, told = Informer(client, PODS), Told()
    streamed.add_handler(told)
    async with running(streamed):
        await synced(streamed)
        assert len(streamed) == len(told.names) == 1203
    api.refuse_watchlist = True
    listed = Informer(client, PODS)
    async with running(listed):
        await synced(listed)
        assert len(listed) == 1203
        assert listed.resource_version == "2000"
