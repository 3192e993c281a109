"""`arktos ring`: what it shows of instances."""

from __future__ import annotations

from arktos.cli.ring import COLUMNS, table
from arktos.cli.ring_calls import as_json, by_process, row, shown
from arktos.model.hashkey import LARGEST

OWNER = {
    "metadata": {"name": "ci-1", "annotations": {"arktos.io/holder": "host_7"}},
    "controllerType": "ReplicaSet",
    "rangeStart": 0,
    "controllerKey": LARGEST // 4,
    "workloadNum": 12,
    "epoch": 3,
}
WAITING = {"metadata": {"name": "ci-2"}, "controllerType": "podgc", "controllerKey": 0, "isLocked": True}


def test_the_table_lines_up() -> None:
    text = table([COLUMNS, row(shown(OWNER)), row(shown(WAITING))])
    assert text.splitlines() == [
        "TYPE        SHARE  START             END               LOAD  EPOCH  PROCESS  INSTANCE",
        "ReplicaSet  25.0%  0000000000000000  1fffffffffffffff  12    3      host_7   ci-1",
        "podgc       -      -                 -                 0     0               ci-2",
    ]
    assert table([COLUMNS]) == "No controller runs."


def test_each_process_has_a_line() -> None:
    holder = {"annotations": {"arktos.io/holder": "host_7"}}
    waiting = {**WAITING, "metadata": {"name": "ci-3", **holder}, "workloadNum": 5}
    other = {**OWNER, "metadata": {"name": "ci-4", "annotations": {"arktos.io/holder": "host_9"}}, "workloadNum": 2}
    found = [shown(each) for each in (other, OWNER, waiting)]
    assert by_process(found) == [("host_7", "1", "1", "17"), ("host_9", "1", "0", "2")]


def test_json_has_the_numbers_themselves() -> None:
    text = as_json([shown(OWNER)])
    assert f'"end": {LARGEST // 4}' in text and '"share": 0.25' in text and '"process": "host_7"' in text
