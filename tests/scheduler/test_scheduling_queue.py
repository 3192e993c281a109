"""The queue as transcripts: a scenario, and what came out of it."""

from __future__ import annotations

import pytest

from arktos.scheduler.queue import LONGEST_WAIT, Queue

NOTHING = "-"


def play(script: str) -> str:
    """Runs lines `TIME VERB ARGUMENTS`; answers the lines with what each gave behind `=>`."""
    queue = Queue()
    told = []
    for line in script.strip().splitlines():
        said = line.partition("=>")[0].strip()
        time, verb, *rest = said.split()
        now = float(time)
        gave = ""
        match verb:
            case "add":
                queue.add(("t", "ns", rest[0]), int(rest[1]) if rest[1:] else 0, now)
            case "take":
                key = queue.take(now)
                gave = key[2] if key else NOTHING
            case "park":
                queue.park(("t", "ns", rest[0]), frozenset(rest[1:]), now)
            case "retry":
                queue.retry(("t", "ns", rest[0]), 0, now)
            case "remove":
                queue.remove(("t", "ns", rest[0]))
            case "changed":
                queue.changed(("t", "ns", rest[0]), now)
            case "happened":
                gave = str(queue.happened(frozenset(rest), now))
            case "where":
                queue.tick(now)
                gave = queue.place(("t", "ns", rest[0])) or NOTHING
            case "due":
                due = queue.next_due()
                gave = NOTHING if due is None else f"{due:g}"
        told.append(f"{said} => {gave}" if gave else said)
    return "\n".join(told)


TRANSCRIPTS = {
    "priority first, then who waits longest": """
        0 add low 1
        0 add high 5
        0 add other 5
        0 take => high
        0 take => other
        0 take => low
        0 take => -
    """,
    "a known pod stays where it is, a new priority moves it": """
        0 add a 1
        0 add b 2
        0 add a 1
        0 add a 3
        0 take => a
        0 take => b
        0 take => -
    """,
    "unschedulable until something happens that its filters ask for": """
        0 add a
        0 take => a
        0 park a NodeAffinity
        5 happened NodeResourcesFit => 0
        5 where a => unschedulable
        5 happened NodeAffinity NodePorts => 1
        5 take => a
    """,
    "anything may help, and whoever was refused by nobody in particular is always tried": """
        0 add a
        0 add b
        0 take => a
        0 take => b
        0 park a NodeAffinity
        0 park b
        9 happened NodePorts => 1
        9 happened * => 1
        9 take => b
        9 take => a
    """,
    "back-off doubles from one second to ten": """
        0 add a
        0 take => a
        0 retry a
        0 where a => backoff
        0 due => 1
        0.9 take => -
        1 take => a
        1 retry a
        2.9 take => -
        3 take => a
        3 retry a
        7 take => a
        7 retry a
        15 take => a
        15 retry a
        24.9 take => -
        25 take => a
        25 retry a
        35 take => a
    """,
    "an event does not cut the back-off short": """
        0 add a
        0 take => a
        0 park a NodeResourcesFit
        0.25 happened NodeResourcesFit => 1
        0.25 where a => backoff
        1 where a => active
    """,
    "five minutes, then it is tried anyway": """
        0 add a
        0 take => a
        0 park a NodeAffinity
        0 due => 300
        299 take => -
        300 take => a
    """,
    "its own change wakes it": """
        0 add a
        0 take => a
        0 park a SchedulingGates
        9 changed a
        9 take => a
    """,
    "who is removed is gone from everywhere": """
        0 add a
        0 add b
        0 add c
        0 remove a
        0 take => b
        0 take => c
        0 park b NodePorts
        0 retry c
        0 remove b
        0 remove c
        99 happened * => 0
        99 take => -
        99 due => -
    """,
    "parking what was removed meanwhile does nothing": """
        0 add a
        0 take => a
        0 remove a
        0 park a NodePorts
        0 where a => -
    """,
}


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_transcript(name: str) -> None:
    expected = "\n".join(line.strip() for line in TRANSCRIPTS[name].strip().splitlines())
    assert play(expected) == expected


def test_hints_can_be_narrowed_to_some_pods() -> None:
    queue = Queue()
    for name in ("a", "b"):
        queue.add(("t", "ns", name), 0, 0.0)
        queue.take(0.0)
        queue.park(("t", "ns", name), frozenset({"InterPodAffinity"}), 0.0)
    assert queue.happened(frozenset({"InterPodAffinity"}), 5.0, lambda key: key[2] == "b") == 1
    assert queue.take(5.0) == ("t", "ns", "b")
    assert queue.counts() == {"active": 0, "backoff": 0, "unschedulable": 1, "tried": 1}
    assert queue.next_due() == LONGEST_WAIT
