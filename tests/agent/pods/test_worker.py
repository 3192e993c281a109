"""The worker of one pod, over a Workload that does what a test says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from arktos.agent.pods.observed import Container, Observed, Sandbox, State
from arktos.agent.pods.table import PodRecord
from arktos.agent.pods.worker import Hands, Stage, Worker
from arktos.agent.pods.workload import Ended, Outcome
from arktos.model import dates
from arktos.rpc.method import RpcError


class Telling:
    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def normal(self, pod: Any, reason: str, message: str, container: str = "") -> None:
        self.said.append((reason, message))

    warning = normal


class Admission:
    def __init__(self) -> None:
        self.refusal: Ended | None = None

    def refuse(self, pod: Any) -> Ended | None:
        return self.refusal


class FakeWorkload:
    """Runs at once, ends when killed; `calls` is what was asked of it."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.outcome = Outcome()
        self.errors: list[Exception] = []
        self.takes: asyncio.Event | None = None
        self.state = State.RUNNING
        self.began = dates.rfc3339(dates.from_unix(time.time()))

    async def observe(self, record: PodRecord) -> None:
        sandbox = Sandbox("s0", 0, self.state is State.RUNNING, 0.0, ("10.0.0.1",))
        record.observed = Observed((sandbox,), (Container("c0", "main", 0, "s0", self.state),))

    def status(self, record: PodRecord, ended: Ended | None) -> Any:
        phase = "Running" if self.state is State.RUNNING else "Succeeded"
        return {"phase": phase, "startTime": self.began}

    async def sync(self, record: PodRecord) -> Outcome:
        self.calls.append("sync")
        if self.errors:
            raise self.errors.pop(0)
        return self.outcome

    async def kill(self, record: PodRecord, grace: float) -> None:
        self.calls.append(("kill", round(grace)))
        if self.takes is not None and grace > 5:
            await self.takes.wait()
        self.state = State.EXITED

    async def remove(self, record: PodRecord) -> None:
        self.calls.append("remove")

    def forget(self, uid: str) -> None:
        self.calls.append("forget")


def pod(**spec: Any) -> Any:
    return {
        "metadata": {"name": "p", "namespace": "n", "tenant": "t", "uid": "u1"},
        "spec": {"containers": [{"name": "main"}], **spec},
        "status": {},
    }


class Bench:
    def __init__(self, **spec: Any) -> None:
        self.record = PodRecord(pod(**spec))
        self.workload = FakeWorkload()
        self.telling = Telling()
        self.admission = Admission()
        self.did: list[str] = []
        hands = Hands(
            self.admission,  # type: ignore[arg-type]
            self.telling,  # type: ignore[arg-type]
            lambda record: self.did.append(f"publish {record.status['phase']}"),
            lambda uid: True,
            self._close,
            self._remove,
            self._delete,
        )
        self.worker = Worker(self.record, self.workload, hands)

    async def _close(self, record: PodRecord) -> None:
        self.did.append("close")

    async def _remove(self, record: PodRecord) -> None:
        self.did.append("remove")

    async def _delete(self, record: PodRecord) -> None:
        self.did.append("delete")

    def delete(self, grace: int) -> None:
        ends = dates.rfc3339(dates.from_unix(time.time() + grace))
        meta = {**self.record.pod["metadata"], "deletionTimestamp": ends, "deletionGracePeriodSeconds": grace}
        self.record.pod = {**self.record.pod, "metadata": meta}
        self.worker.wake()

    async def until(self, look: Any, seconds: float = 5.0) -> None:
        async with asyncio.timeout(seconds):
            while not look():  # noqa: ASYNC110 - what is waited for has no bell
                await asyncio.sleep(0.005)


@asynccontextmanager
async def bench(**spec: Any) -> AsyncIterator[Bench]:
    made = Bench(**spec)
    task = asyncio.create_task(made.worker.run())
    try:
        yield made
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_syncs_once_and_then_when_woken() -> None:
    async with bench() as made:
        await made.until(lambda: made.workload.calls == ["sync"])
        made.worker.wake()
        await made.until(lambda: made.workload.calls == ["sync", "sync"])
        assert made.did == ["publish Running"]


async def test_deleted_pod_is_ended_and_its_object_deleted() -> None:
    async with bench() as made:
        await made.until(lambda: made.workload.calls == ["sync"])
        made.delete(3)
        await made.until(lambda: "delete" in made.did)
        assert made.workload.calls == ["sync", ("kill", 3), "remove"]
        assert made.did == ["publish Running", "publish Succeeded", "close", "remove", "delete"]
        made.worker.remove()
        await made.until(lambda: made.worker.stage is Stage.GONE)


async def test_less_grace_overtakes_a_kill() -> None:
    async with bench() as made:
        await made.until(lambda: made.workload.calls == ["sync"])
        made.workload.takes = asyncio.Event()
        made.delete(600)
        await made.until(lambda: ("kill", 600) in made.workload.calls)
        made.delete(1)
        await made.until(lambda: "delete" in made.did)
        assert made.workload.calls[-2][0] == "kill"
        assert made.workload.calls[-2][1] <= 1


async def test_removal_without_a_word_ends_it_all_the_same() -> None:
    async with bench(terminationGracePeriodSeconds=1) as made:
        await made.until(lambda: made.workload.calls == ["sync"])
        made.worker.remove()
        await made.until(lambda: made.worker.stage is Stage.GONE)
        assert "delete" not in made.did
        assert made.workload.calls == ["sync", ("kill", 1), "remove"]


async def test_refused_pod_fails_and_runs_nothing() -> None:
    made = Bench()
    made.admission.refusal = Ended("Failed", "OutOfcpu", "Pod was rejected: no")

    async def nothing(record: PodRecord) -> None:
        record.observed = Observed()

    made.workload.observe = nothing  # type: ignore[method-assign]
    task = asyncio.create_task(made.worker.run())
    await made.until(lambda: made.worker.stage is Stage.CLOSED)
    assert made.record.status["reason"] == "OutOfcpu"
    assert "sync" not in made.workload.calls
    assert made.did == ["publish Failed", "close"]
    assert not made.record.admitted
    task.cancel()


async def test_failures_are_retried_later_and_events_do_not_hurry_them(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench() as made:
        made.workload.errors = [RpcError("UNAVAILABLE", "gone")]
        await made.until(lambda: made.workload.calls == ["sync"])
        for _ in range(5):
            made.worker.wake()
            await asyncio.sleep(0.01)
        assert made.workload.calls == ["sync"]
        await made.until(lambda: made.workload.calls == ["sync", "sync"])


async def test_a_runtime_that_is_back_ends_the_wait() -> None:
    async with bench() as made:
        made.workload.errors = [RpcError("UNAVAILABLE", "gone")] * 4
        await made.until(lambda: made.workload.calls == ["sync"])
        for number in range(2, 6):
            await asyncio.sleep(0.02)
            made.worker.hurry()
            await made.until(lambda number=number: len(made.workload.calls) == number, 0.4)


async def test_deadline() -> None:
    async with bench(activeDeadlineSeconds=1) as made:
        await made.until(lambda: made.worker.stage is Stage.CLOSED, 6)
        assert made.telling.said == [
            ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
        ]


async def test_run_to_end_keeps_what_ended() -> None:
    async with bench() as made:
        made.workload.outcome = Outcome(finished=True)
        made.worker.wake()
        await made.until(lambda: made.worker.stage is Stage.CLOSED)
        assert made.record.finished
        assert "remove" not in made.workload.calls
        made.delete(30)
        await made.until(lambda: "delete" in made.did)


async def test_eviction_names_its_reason_and_has_its_grace() -> None:
    async with bench(terminationGracePeriodSeconds=300) as made:
        await made.until(lambda: made.workload.calls == ["sync"])
        made.worker.end(Ended("Failed", "Evicted", "why", "TerminationByKubelet"), 1.0)
        await made.until(lambda: made.worker.stage is Stage.CLOSED)
        assert made.workload.calls == ["sync", ("kill", 1)]
        assert made.record.finished
