"""The queue's rules by hand and by chance; its shell in virtual time."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arktos.client.workqueue import QueueCore, WorkQueue, run


def test_a_key_is_there_once() -> None:
    core: QueueCore[str] = QueueCore()
    for key in ("a", "b", "a"):
        core.add(key, 1.0)
    assert len(core) == 2
    assert core.take(3.0) == ("a", 2.0)
    assert core.take(3.0) == ("b", 2.0)
    assert core.take(3.0) is None


def test_added_while_in_work_it_comes_back_once_done() -> None:
    core: QueueCore[str] = QueueCore()
    core.add("a", 0.0)
    core.take(0.0)
    core.add("a", 1.0)
    core.add("a", 1.0)
    assert core.take(1.0) is None
    assert core.done("a", 5.0) == 5.0
    assert core.take(6.0) == ("a", 1.0)
    core.done("a", 7.0)
    assert core.take(7.0) is None


def test_delays_the_earlier_wins_and_adding_wins_over_both() -> None:
    core: QueueCore[str] = QueueCore()
    core.add_after("a", 10.0, 0.0)
    core.add_after("a", 5.0, 0.0)
    core.add_after("a", 20.0, 0.0)
    assert core.next_due() == 5.0
    core.tick(4.9)
    assert core.take(4.9) is None
    core.tick(5.0)
    assert core.take(5.0) == ("a", 0.0)
    core.done("a", 5.0)
    core.tick(100.0)
    assert core.take(100.0) is None and core.next_due() is None
    core.add_after("a", 10.0, 100.0)
    core.add("a", 101.0)
    core.take(101.0)
    core.done("a", 101.0)
    core.tick(200.0)
    assert core.take(200.0) is None


def test_back_off_doubles_to_its_ceiling_and_is_forgotten() -> None:
    core: QueueCore[str] = QueueCore(0.005, 1.0)
    assert [core.back_off("a") for _ in range(9)] == [0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0]
    assert core.failures("a") == 9
    core.forget("a")
    assert core.back_off("a") == 0.005
    for _ in range(5000):
        core.back_off("a")
    assert core.back_off("a") == 1.0


Steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 3), st.just(0.0)),
        st.tuples(st.just("after"), st.integers(0, 3), st.floats(0.0, 9.0)),
        st.tuples(st.just("take"), st.just(0), st.just(0.0)),
        st.tuples(st.just("done"), st.integers(0, 3), st.just(0.0)),
        st.tuples(st.just("pass"), st.just(0), st.floats(0.0, 9.0)),
    ),
    max_size=60,
)


@given(Steps)
def test_never_twice_in_work_and_never_lost(steps: list[tuple[str, int, float]]) -> None:
    core: QueueCore[int] = QueueCore()
    now, working, owed = 0.0, set[int](), dict[int, float]()
    for what, key, number in steps:
        if what == "add":
            core.add(key, now)
            owed[key] = now
        elif what == "after":
            core.add_after(key, number, now)
            owed[key] = min(owed.get(key, 1e9), now + number)
        elif what == "pass":
            now += number
            core.tick(now)
        elif what == "take":
            taken = core.take(now)
            due = {k for k, at in owed.items() if at <= now and k not in working}
            if taken is None:
                core.tick(now)
                assert len(core) > 0 or not due
                continue
            assert taken[0] in due
            working.add(taken[0])
            del owed[taken[0]]
        elif what == "done" and key in working:
            core.done(key, now)
            working.discard(key)
    now += 1000.0
    for key in working:
        core.done(key, now)
    core.tick(now)
    left = set()
    while taken := core.take(now):
        left.add(taken[0])
    assert left == set(owed)
    assert core.working == len(left)


class Counting:
    """Metrics that count."""

    def __init__(self) -> None:
        self.depths: list[int] = []
        self.adds = 0
        self.retries = 0
        self.wait: list[float] = []
        self.work: list[float] = []

    def depth(self, keys: int) -> None:
        self.depths.append(keys)

    def added(self) -> None:
        self.adds += 1

    def waited(self, seconds: float) -> None:
        self.wait.append(seconds)

    def worked(self, seconds: float) -> None:
        self.work.append(seconds)

    def retried(self) -> None:
        self.retries += 1


@pytest.mark.looptime
async def test_workers_share_the_work_and_each_key_has_one() -> None:
    metrics = Counting()
    queue: WorkQueue[str] = WorkQueue(metrics=metrics)
    busy: set[str] = set()
    most = 0
    done: list[str] = []
    finished = asyncio.Event()

    async def handle(key: str) -> None:
        nonlocal most
        assert key not in busy
        busy.add(key)
        most = max(most, len(busy))
        if done.count("a") < 1 and key == "a":
            queue.add("a")
        await asyncio.sleep(1)
        busy.discard(key)
        done.append(key)
        if len(done) == 4:
            finished.set()

    for key in ("a", "b", "c", "a"):
        queue.add(key)
    working = asyncio.create_task(run(queue, 2, handle))
    await finished.wait()
    await asyncio.sleep(10)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert most == 2
    assert sorted(done) == ["a", "a", "b", "c"]
    assert (metrics.adds, max(metrics.depths), metrics.retries) == (4, 3, 0)
    assert metrics.wait == [0.0, 0.0, 1.0, 0.0] and metrics.work == [1.0] * 4


@pytest.mark.looptime
async def test_delayed_keys_come_in_time_and_all_sleepers_wake() -> None:
    loop = asyncio.get_running_loop()
    queue: WorkQueue[str] = WorkQueue()
    got: list[tuple[str, float]] = []

    async def take() -> None:
        key = await queue.get()
        got.append((key, loop.time() - start))

    start = loop.time()
    takers = [asyncio.create_task(take()) for _ in range(4)]
    queue.add_after("late", 10.0)
    queue.add_after("soon", 2.0)
    queue.add_after("also", 2.0)
    assert queue.add_rate_limited("failed", at_least=5.0) == 5.0
    await asyncio.gather(*takers)
    assert got == [("soon", 2.0), ("also", 2.0), ("failed", 5.0), ("late", 10.0)]


async def test_a_cancelled_taker_passes_its_key_on() -> None:
    queue: WorkQueue[str] = WorkQueue()
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    assert await second == "a"
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_what_a_handler_raises_ends_the_run_and_frees_the_key() -> None:
    queue: WorkQueue[str] = WorkQueue()

    async def handle(key: str) -> None:
        raise LookupError(key)

    queue.add("a")
    with pytest.raises(ExceptionGroup) as group:
        await run(queue, 3, handle)
    assert isinstance(group.value.exceptions[0], LookupError)
    queue.add("a")
    assert await queue.get() == "a"
