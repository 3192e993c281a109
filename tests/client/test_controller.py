"""The controller runtime, in virtual time: what queues a key, and what each way of failing leads to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from arktos.client.cached import Cached
from arktos.client.controller import Controller, Key, MapFn, Retry, Terminal, controller_key, own_key
from arktos.client.errors import ConnectionFailed
from arktos.model import registry
from arktos.model.status import Conflict, InternalError, TooManyRequests

PODS = registry.by_resource("pods")
pytestmark = pytest.mark.looptime


class FakeInformer:
    """Says what it is told to say."""

    def __init__(self) -> None:
        self.synced = asyncio.Event()
        self.handlers: list[Callable[[Cached | None, Cached | None], None]] = []

    def add_handler(self, handler: Callable[[Cached | None, Cached | None], None]) -> None:
        self.handlers.append(handler)

    def tell(self, old: Cached | None, new: Cached | None) -> None:
        for handler in self.handlers:
            handler(old, new)


def pod(name: str, owner: str = "", kind: str = "ReplicaSet") -> Cached:
    meta: dict[str, Any] = {"tenant": "acme", "namespace": "ns", "name": name}
    if owner:
        meta["ownerReferences"] = [{"uid": "u", "kind": kind, "name": owner, "controller": True}]
    return Cached.from_raw(PODS, msgspec.json.encode({"metadata": meta}))


@asynccontextmanager
async def running(controller: Controller) -> AsyncIterator[None]:
    task = asyncio.create_task(controller.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled(), task.exception()


class Reconciler:
    """Plays outcomes in turn, then succeeds; notes when it was called for what."""

    def __init__(self, *outcomes: float | Exception | None) -> None:
        self.outcomes = list(outcomes)
        self.calls: list[tuple[str, float]] = []

    async def __call__(self, key: Key) -> float | None:
        self.calls.append((key[2], round(asyncio.get_running_loop().time(), 3)))
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


async def test_nothing_is_reconciled_before_all_informers_are_synced() -> None:
    watched, read = FakeInformer(), FakeInformer()
    reconcile = Reconciler()
    controller = Controller("test", reconcile).watches(watched).needs(read)  # type: ignore[arg-type]
    watched.tell(None, pod("a"))
    async with running(controller):
        await asyncio.sleep(5)
        watched.synced.set()
        await asyncio.sleep(5)
        assert reconcile.calls == []
        read.synced.set()
        await asyncio.sleep(5)
    assert reconcile.calls == [("a", 10.0)]


@pytest.mark.parametrize(
    ("map_fn", "keys"),
    [(own_key, ["p"]), (controller_key("ReplicaSet"), ["new", "old"]), (controller_key("Job"), [])],
)
async def test_both_sides_of_a_change_are_mapped(map_fn: MapFn, keys: list[str]) -> None:
    informer, reconcile = FakeInformer(), Reconciler()
    informer.synced.set()
    async with running(Controller("test", reconcile).watches(informer, map_fn)):  # type: ignore[arg-type]
        informer.tell(pod("p", "old"), pod("p", "new"))
        await asyncio.sleep(1)
    assert sorted(name for name, _ in reconcile.calls) == keys


async def test_changes_can_be_filtered() -> None:
    informer, reconcile = FakeInformer(), Reconciler()
    informer.synced.set()
    controller = Controller("test", reconcile)
    controller.watches(informer, when=lambda old, new: new is None)  # type: ignore[arg-type]
    async with running(controller):
        informer.tell(None, pod("came"))
        informer.tell(pod("went"), None)
        controller.enqueue(("acme", "ns", "by hand"), 3.0)
        await asyncio.sleep(5)
    assert [name for name, _ in reconcile.calls] == ["went", "by hand"]


CASES: list[tuple[float | Exception | None, float | None, str | None]] = [
    (None, None, None),
    (7.0, 7.0, None),
    (Retry(3.0, "not yet"), 3.0, "debug"),
    (Terminal("no such image"), None, "warning"),
    (Conflict("changed"), 0.005, "debug"),
    (InternalError("oops"), 0.005, "warning"),
    (TooManyRequests("slow down", retry_after=2), 2.0, "warning"),
    (ConnectionFailed("gone"), 0.005, "warning"),
    (LookupError("a bug"), 0.005, "error"),
]


@pytest.mark.parametrize(("outcome", "again", "level"), CASES)
async def test_outcomes(
    outcome: float | Exception | None, again: float | None, level: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "arktos")
    reconcile = Reconciler(outcome)
    controller = Controller("test", reconcile)
    async with running(controller):
        controller.enqueue(("acme", "ns", "a"))
        await asyncio.sleep(100)
    assert [at for _, at in reconcile.calls] == ([0.0] if again is None else [0.0, again])
    spoken = [entry.levelname.lower() for entry in caplog.records if entry.message != "controller_started"]
    assert spoken == ([level] if level else [])


async def test_back_off_grows_until_success() -> None:
    failure = InternalError("oops")
    reconcile = Reconciler(failure, failure, failure, None, failure)
    controller = Controller("test", reconcile, backoff=(1.0, 100.0))
    async with running(controller):
        controller.enqueue(("", "", "a"))
        await asyncio.sleep(50)
        controller.enqueue(("", "", "a"))
        await asyncio.sleep(50)
    assert [at for _, at in reconcile.calls] == [0.0, 1.0, 3.0, 7.0, 50.0, 51.0]


async def test_one_poisoned_key_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    async def reconcile(key: Key) -> None:
        if key[2] == "poison":
            raise ZeroDivisionError
        good.append(key[2])

    good: list[str] = []
    controller = Controller("test", reconcile, workers=1)
    caplog.set_level("INFO", "arktos")
    async with running(controller):
        for name in ("poison", "a", "b"):
            controller.enqueue(("", "", name))
        await asyncio.sleep(1)
    assert good == ["a", "b"]
    assert {entry.message for entry in caplog.records} == {"controller_started", "reconcile_bug"}
