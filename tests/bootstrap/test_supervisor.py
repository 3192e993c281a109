"""The supervisor with small processes in the place of servers: restarts, adoption, back-off, a full disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from arktos.bootstrap.components import Component, Settings
from arktos.bootstrap.process import Process, record, recorded, running, spawn
from arktos.processes import born

SUPERVISE = """
import asyncio, json, sys
from arktos.bootstrap import supervisor
from arktos.bootstrap.components import Component, Settings
from arktos.bootstrap.supervisor import Supervisor
from arktos.wire import logs

supervisor.STOP_SECONDS, supervisor.RECORD_AGAIN = 1.0, 0.1
logs.configure("supervisor")
python = (sys.executable, "-c")
parts = [Component(name, tuple(arguments), program=python) for name, arguments in json.loads(sys.argv[2])]
asyncio.run(Supervisor(Settings(sys.argv[1]), kept=False, parts=parts).run())
"""
SLEEPS = "import signal; signal.pause()"
FAILS = "import sys; print('no way'); sys.exit(1)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: signal.pause()"


class Supervised:
    """A supervisor of its own for each test."""

    def __init__(self, folder: Path) -> None:
        self.layout = Settings(str(folder)).layout
        self.parts: list[tuple[str, list[str]]] = []
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-c", SUPERVISE, str(self.layout.root), json.dumps(self.parts)]
        self.layout.log("supervisor").parent.mkdir(parents=True, exist_ok=True)
        with self.layout.log("supervisor").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(30)

    def pid(self, name: str) -> int:
        process = recorded(self.layout.process(name))
        return process.pid if process else 0

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = self.layout.log("supervisor").read_text().splitlines()
        return [found for line in lines if (found := json.loads(line))["event"] == name]


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    made = Supervised(tmp_path)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.end(signal.SIGTERM)
    for name, arguments in made.parts:
        left = recorded(made.layout.process(name)) or running([sys.executable, "-c", *arguments])
        if left is not None:
            left.send(signal.SIGKILL)


def wait(look: Callable[[], Any], seconds: float = 20.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "did not come true"
        time.sleep(0.01)
    return found


def unique(program: str, folder: Path, name: str) -> list[str]:
    """Arguments that no other test's process has."""
    return [program, f"{folder}/{name}"]


def test_what_dies_is_started_again_and_the_rest_left_alone(supervised: Supervised, tmp_path: Path) -> None:
    supervised.parts = [(name, unique(SLEEPS, tmp_path, name)) for name in ("a", "b")]
    supervised.start()
    a, b = wait(lambda: supervised.pid("a")), wait(lambda: supervised.pid("b"))
    os.kill(a, signal.SIGKILL)
    wait(lambda: supervised.pid("a") not in (0, a))
    assert supervised.pid("b") == b
    assert supervised.end(signal.SIGTERM) == 0
    assert not born(b)
    assert not supervised.layout.process("a").exists()
    assert not supervised.layout.process("supervisor").exists()


def test_a_killed_supervisors_processes_are_adopted(supervised: Supervised, tmp_path: Path) -> None:
    supervised.parts = [(name, unique(SLEEPS, tmp_path, name)) for name in ("a", "b")]
    supervised.start()
    before = {name: wait(lambda name=name: supervised.pid(name)) for name in ("a", "b")}
    supervised.end(signal.SIGKILL)
    # One of the two as if the supervisor had been killed before it could record it.
    supervised.layout.process("b").unlink()
    supervised.start()
    wait(lambda: len(supervised.events("adopted")) == 2)
    assert {name: wait(lambda name=name: supervised.pid(name)) for name in ("a", "b")} == before
    # An adopted process is no child, and its end is seen all the same.
    os.kill(before["a"], signal.SIGKILL)
    wait(lambda: supervised.pid("a") not in (0, before["a"]))
    assert supervised.end(signal.SIGTERM) == 0
    assert not born(before["b"])


def test_other_settings_replace_what_runs(supervised: Supervised, tmp_path: Path) -> None:
    supervised.parts = [("a", unique(SLEEPS, tmp_path, "old"))]
    supervised.start()
    old = wait(lambda: supervised.pid("a"))
    supervised.end(signal.SIGKILL)
    supervised.parts = [("a", unique(SLEEPS, tmp_path, "new"))]
    supervised.start()
    wait(lambda: supervised.pid("a") not in (0, old))
    new = supervised.pid("a")
    assert not born(old)
    assert supervised.end(signal.SIGTERM) == 0
    assert not born(new)


def test_what_fails_at_once_is_tried_less_and_less(supervised: Supervised, tmp_path: Path) -> None:
    supervised.parts = [("bad", unique(FAILS, tmp_path, "bad")), ("good", unique(SLEEPS, tmp_path, "good"))]
    supervised.start()
    wait(lambda: len(supervised.events("died")) >= 4)
    delays = [event["restart_in"] for event in supervised.events("died")[:4]]
    assert delays == [0.1, 0.2, 0.4, 0.8]
    assert supervised.pid("good")
    assert supervised.layout.log("bad").read_text().startswith("no way\n")
    assert supervised.end(signal.SIGTERM) == 0


def test_who_does_not_listen_is_killed(supervised: Supervised, tmp_path: Path) -> None:
    supervised.parts = [("deaf", unique(STUBBORN, tmp_path, "deaf"))]
    supervised.start()
    deaf = wait(lambda: supervised.pid("deaf"))
    status = Path(f"/proc/{deaf}/status")
    wait(
        lambda: int(next(line for line in status.read_text().splitlines() if "SigIgn" in line).split()[1], 16) >> 14 & 1
    )
    assert supervised.end(signal.SIGTERM) == 0
    assert not born(deaf)
    assert len(supervised.events("killed")) == 1


def test_two_supervisors_of_one_directory(supervised: Supervised, tmp_path: Path) -> None:
    supervised.parts = [("a", unique(SLEEPS, tmp_path, "a"))]
    supervised.start()
    pid = wait(lambda: supervised.pid("a"))
    command = [sys.executable, "-c", SUPERVISE, str(tmp_path), "[]"]
    second = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert second.returncode == 1
    assert "another supervisor runs in" in second.stderr
    assert supervised.pid("a") == pid


def test_a_record_that_cannot_be_written_stops_nothing(supervised: Supervised, tmp_path: Path) -> None:
    supervised.parts = [("a", unique(SLEEPS, tmp_path, "a"))]
    # A directory where the record should be makes every attempt to write it fail, for root too.
    supervised.layout.process("a").mkdir(parents=True)
    supervised.start()
    wait(lambda: supervised.events("not_recorded"))
    supervised.layout.process("a").rmdir()
    assert wait(lambda: supervised.pid("a")) == supervised.events("started")[0]["pid"]


def test_a_process_is_found_by_its_command_line(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SLEEPS, str(tmp_path)]
    assert running(command) is None
    process = spawn(command, tmp_path / "log")
    assert wait(lambda: running(command)) == process
    assert running([*command, "more"]) is None
    process.send(signal.SIGKILL)
    assert process.wait_gone(10)
    assert running(command) is None


def test_a_later_process_with_the_same_number_is_left_alone(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", SLEEPS])
    impostor = Process(child.pid, born(child.pid) - 1)
    impostor.send(signal.SIGKILL)
    assert child.poll() is None
    assert not impostor.alive()
    child.kill()
    child.wait()


def test_a_record_from_before_the_machines_start_is_none(tmp_path: Path) -> None:
    """Number and start time may be equal: those of the first processes are, from start to start."""
    path, command = tmp_path / "a.json", ["a"]
    me = Process(os.getpid(), born(os.getpid()))
    record(path, me, command)
    assert recorded(path, command) == me
    found = json.loads(path.read_text())
    path.write_text(json.dumps({**found, "boot": "0" * 32}))
    assert recorded(path, command) is None
    del found["boot"]
    path.write_text(json.dumps(found))
    assert recorded(path, command) == me


def test_a_process_that_ended_before_anybody_looked_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert not Process(child.pid, 0).alive()


def test_a_components_command() -> None:
    assert Component("x", ("serve", "--port=1")).command == [sys.executable, "-m", "arktos", "serve", "--port=1"]
