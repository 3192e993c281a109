"""How `arktos up` learns from logs that a system will not come up."""

from __future__ import annotations

import json
from pathlib import Path

from arktos.bootstrap.components import Settings
from arktos.bootstrap.startup import CANNOT_START, StartWatch


def say(path: Path, **event: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as log:
        log.write(json.dumps(event) + "\n")


def test_a_reason_in_a_components_log(tmp_path: Path) -> None:
    layout = Settings(str(tmp_path)).layout
    say(layout.log("apiserver"), event=CANNOT_START, reason="of another day")
    watch = StartWatch(Settings(str(tmp_path)))
    assert watch.failure() is None
    say(layout.log("apiserver"), event="serving")
    assert watch.failure() is None
    with layout.log("apiserver").open("a") as log:
        log.write('{"event":"cannot_start","rea')
        log.flush()
        assert watch.failure() is None
        log.write('son":"no room"}\n')
    assert watch.failure() == "the apiserver cannot start: no room"


def test_a_process_that_dies_again_and_again(tmp_path: Path) -> None:
    layout = Settings(str(tmp_path)).layout
    watch = StartWatch(Settings(str(tmp_path)))
    layout.log("scheduler").parent.mkdir(parents=True)
    layout.log("scheduler").write_text("Traceback (most recent call last):\n  ...\nValueError: what\n\n")
    for _ in range(2):
        say(layout.log("supervisor"), event="died", of="scheduler")
        assert watch.failure() is None
    say(layout.log("supervisor"), event="died", of="apiserver")
    assert watch.failure() is None
    say(layout.log("supervisor"), event="died", of="scheduler")
    assert watch.failure() == "the scheduler does not stay alive: ValueError: what"


def test_lines_that_are_no_events(tmp_path: Path) -> None:
    layout = Settings(str(tmp_path)).layout
    watch = StartWatch(Settings(str(tmp_path)))
    layout.log("apiserver").parent.mkdir(parents=True)
    layout.log("apiserver").write_bytes(b"{broken\n[1]\n{}\n\xff\xfe\n")
    assert watch.failure() is None
