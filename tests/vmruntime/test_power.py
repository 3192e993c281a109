"""The table of a machine's power, as transcripts: what happens, and what is seen."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arktos.vmruntime.power import ACTIVE, IDLE, TABLE, Condition, Event, Finding, NotAllowed, Power, after, finding

TRANSCRIPTS = {
    "a guest that shuts itself down": ("started guest-shutdown", "RUNNING:Started STOPPED:GuestShutdown"),
    "a guest that is asked to": (
        "started stop-requested guest-shutdown",
        "RUNNING:Started RUNNING:Started STOPPED:Requested",
    ),
    "a guest that does not obey": (
        "started stop-requested killed started",
        "RUNNING:Started RUNNING:Started STOPPED:Requested RUNNING:Started",
    ),
    "kill -9 from outside": ("started process-gone started", "RUNNING:Started CRASHED:Killed RUNNING:Started"),
    "kill -9 of a machine that should end": (
        "started stop-requested process-gone",
        "RUNNING:Started RUNNING:Started STOPPED:Requested",
    ),
    "a stop that a restart of the runtime forgot": (
        "started stop-requested stop-withdrawn process-gone",
        "RUNNING:Started RUNNING:Started RUNNING:Started CRASHED:Killed",
    ),
    "pause": (
        "started paused continued paused guest-shutdown",
        "RUNNING:Started PAUSED:Requested RUNNING:Requested PAUSED:Requested STOPPED:GuestShutdown",
    ),
    "a full disk": (
        "started disk-full continued",
        "RUNNING:Started PAUSED:DiskFull RUNNING:Requested",
    ),
    "suspension": (
        "started suspended start-failed resumed reset",
        "RUNNING:Started SUSPENDED:Requested SUSPENDED:ResumeFailed RUNNING:Resumed RUNNING:Resumed",
    ),
    "a suspended machine that is stopped": (
        "started paused suspended discarded started",
        "RUNNING:Started PAUSED:Requested SUSPENDED:Requested STOPPED:Requested RUNNING:Started",
    ),
    "a start that fails": ("start-failed restored", "CRASHED:StartFailed RUNNING:Restored"),
}


@pytest.mark.parametrize("story", TRANSCRIPTS)
def test_transcript(story: str) -> None:
    events, expected = TRANSCRIPTS[story]
    condition, seen = Condition(), []
    for moment, event in enumerate(events.split(), 1):
        condition = after(condition, Event(event), moment)
        seen.append(f"{condition.power}:{condition.reason}")
    assert seen == expected.split()


def test_what_is_not_in_the_table_cannot_happen() -> None:
    for power, event in itertools.product(Power, Event):
        if (power, event) in TABLE:
            assert after(Condition(power=power), event, 1)
        else:
            with pytest.raises(NotAllowed, match=event.value):
                after(Condition(power=power), event, 1)


def test_times_counts_and_codes() -> None:
    started = after(Condition(), Event.STARTED, 10)
    assert (started.starts, started.started_at, started.changed_at, started.finished_at) == (1, 10, 10, 0)
    reset = after(started, Event.RESET, 20)
    assert (reset.reboots, reset.changed_at) == (1, 10)
    gone = after(reset, Event.PROCESS_GONE, 30, message="why", reason="OOMKilled")
    assert (gone.exit_code, gone.finished_at, gone.reason, gone.message) == (137, 30, "OOMKilled", "why")
    again = after(gone, Event.STARTED, 40)
    assert (again.starts, again.finished_at, again.exit_code, again.message) == (2, 0, 0, "")
    assert after(again, Event.GUEST_SHUTDOWN, 50).exit_code == 0
    assert after(again, Event.KILLED, 50).exit_code == 137
    resumed = after(after(again, Event.SUSPENDED, 50), Event.RESUMED, 60)
    assert (resumed.starts, resumed.started_at, resumed.finished_at) == (2, 40, 0)


@given(st.lists(st.sampled_from(sorted(TABLE)), max_size=40))
def test_any_history_keeps_its_sense(steps: list[tuple[Power, Event]]) -> None:
    condition = Condition()
    for moment, (_, event) in enumerate(steps, 1):
        try:
            condition = after(condition, event, moment)
        except NotAllowed:
            continue
        assert condition.changed_at <= moment
        assert not condition.stop_requested or condition.power in ACTIVE
        assert condition.power is Power.CREATED or condition.starts or condition.reason == "StartFailed"
        assert condition.power not in ACTIVE or condition.finished_at == 0
    assert (condition.power in ACTIVE) + (condition.power in IDLE) + (condition.power is Power.SUSPENDED) == 1


STATUSES = [None, "running", "paused", "inmigrate", "postmigrate", "io-error", "shutdown", "prelaunch"]


@pytest.mark.parametrize("power", Power)
@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("memory", [False, True])
def test_after_a_restart_a_machine_is_never_lost(power: Power, status: str | None, memory: bool) -> None:
    found = finding(power, status, memory)
    if status is None:
        if power in ACTIVE:
            assert found is (Finding.SUSPENDED if memory else Finding.GONE)
        else:
            assert found is Finding.NOTHING
    elif power not in ACTIVE:
        assert found is Finding.END
    elif status == "shutdown":
        assert found is Finding.GUEST_SHUTDOWN
    elif power is Power.RUNNING and status != "running":
        assert found is Finding.CONTINUE
    else:
        assert found is Finding.ADOPT
