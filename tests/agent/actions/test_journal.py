"""What is remembered of Actions over the end of a process, and by what an operation sees that it was done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from arktos.agent.actions.journal import Begun, Journal
from arktos.agent.actions.operations import EVENTS, OPERATE, Deed, Refused, reboot, restore, snapshot
from arktos.agent.actions.service import _delay
from arktos.agent.vm.machine import Machine, Power
from arktos.model import dates
from arktos.model.actions import OPERATIONS, operation_of
from arktos.rpc import vm
from arktos.rpc.method import RpcError
from arktos.rpc.protos import vm_pb2


class FakeRuntime:
    """A runtime that answers what it is told to and notes what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, Any]] = []

    async def call(self, method: Any, question: Any, *, within: float = 0) -> Any:
        self.asked.append((method.name, question))
        answer = self.answers.pop(0) if self.answers else method.answer()
        if isinstance(answer, Exception):
            raise answer
        return answer


def deed(runtime: FakeRuntime, power: Power = Power.RUNNING, begun: Begun | None = None, **more: Any) -> Deed:
    pod = {"metadata": {}, "spec": {"terminationGracePeriodSeconds": 7, "virtualMachine": {"name": "vm"}}}
    machine = Machine("m", power, reboots=more.pop("reboots", 0))
    return Deed(runtime, machine, pod, more, begun)  # type: ignore[arg-type]


def test_every_operation_is_known_here() -> None:
    names = {each.name for each in OPERATIONS}
    assert set(OPERATE) == set(EVENTS) == names
    for each in OPERATIONS:
        assert operation_of({"spec": {each.action: {}}}) is each
    assert operation_of({"spec": {}}) is None


def test_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "actions")
    journal.keep_only(set())
    assert journal.read("a") is None
    journal.write("a", Begun(reboots=3))
    journal.write("b", Begun(ended=True, error="no", result={"x": True}))
    assert Journal(tmp_path / "actions").read("a") == Begun(reboots=3)
    journal.keep_only({"b"})
    assert journal.read("a") is None and journal.read("b") == Begun(ended=True, error="no", result={"x": True})
    (tmp_path / "actions" / "b.json").write_text("{half")
    assert journal.read("b") is None
    journal.remove("b")
    journal.remove("b")


async def test_a_reboot_that_was_done_is_not_repeated() -> None:
    runtime = FakeRuntime()
    assert await reboot(deed(runtime, begun=Begun(reboots=1), reboots=2)) == {"rebootSuccessful": True}
    assert runtime.asked == []
    await reboot(deed(runtime, begun=Begun(reboots=1), reboots=1))
    assert [name for name, _ in runtime.asked] == [vm.REBOOT.name]
    with pytest.raises(Refused, match="not running, but paused"):
        await reboot(deed(runtime, Power.PAUSED))


async def test_a_snapshot_that_was_taken_is_not_repeated() -> None:
    there = vm_pb2.ListSnapshotsResponse(snapshots=[vm_pb2.Snapshot(name="s", created_at=10**9)])
    runtime = FakeRuntime(there)
    assert await snapshot(deed(runtime, begun=Begun(), snapshotName="s")) == {"snapshotID": "s"}
    assert [name for name, _ in runtime.asked] == [vm.LIST_SNAPSHOTS.name]
    taken = FakeRuntime(RpcError("ALREADY_EXISTS", "there is a snapshot s already"))
    with pytest.raises(RpcError, match="already"):
        await snapshot(deed(taken, snapshotName="s"))
    assert await restore(deed(FakeRuntime(), snapshotID="s")) == {"restoreSuccessful": True}


@pytest.mark.parametrize(("stated", "grace"), [({}, 7), ({"gracePeriodSeconds": 0}, 0), ({"gracePeriodSeconds": 3}, 3)])
async def test_a_stop_gives_the_guest_time(stated: Any, grace: int) -> None:
    runtime = FakeRuntime()
    assert await OPERATE["stop"](deed(runtime, **stated)) == {"powerState": "shutdown"}
    ((_, question),) = runtime.asked
    assert (question.power, question.grace_seconds) == (vm_pb2.STOPPED, grace)


def test_delays_count_from_the_creation() -> None:
    created = "2026-01-01T00:00:00Z"
    action: Any = {"metadata": {"creationTimestamp": created}, "spec": {"rebootAction": {"delayInSeconds": 30}}}
    assert _delay(action, dates.unix(created) + 10) == 20
    assert _delay(action, dates.unix(created) + 40) == 0
    assert _delay({**action, "spec": {"stopAction": {}}}, 0) == 0
