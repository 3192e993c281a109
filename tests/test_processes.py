"""Names of processes, which others can check."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from arktos import processes
from arktos.processes import born, has_ended, own_name

NAMES_ITSELF = "import sys; from arktos.processes import own_name; print(own_name(), flush=True); sys.stdin.read()"


@pytest.fixture
def other() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", NAMES_ITSELF]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def test_one_that_runs_has_not_ended(other: subprocess.Popen[str]) -> None:
    assert other.stdout is not None
    name = other.stdout.readline().strip()
    assert not has_ended(name)
    assert not has_ended(own_name())
    other.kill()
    other.wait()
    assert has_ended(name)


def test_a_later_one_with_the_same_number_is_another() -> None:
    head, _, started = own_name().rpartition("_")
    assert started == str(born(os.getpid()))
    assert has_ended(f"{head}_{int(started) - 1}")


def test_nothing_is_said_of_what_cannot_be_seen_from_here(monkeypatch: pytest.MonkeyPatch) -> None:
    name = own_name()
    gone = name.rpartition("_")[0] + "_1"
    assert has_ended(gone)
    for stranger in ("", "host_1234", f"{gone}x", gone.replace(processes.boot(), "0" * 32)):
        assert not has_ended(stranger)
    monkeypatch.setattr(processes, "_where", lambda: f"{processes.boot()}-1")
    assert not has_ended(gone)


def test_one_that_hides_has_not_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    head = own_name().rpartition("_")[0]
    monkeypatch.setattr(processes, "born", lambda pid: 0)
    assert not has_ended(f"{head}_1")


def test_host_names_may_hold_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes.socket, "gethostname", lambda: "a_b-1_2")
    assert has_ended(own_name().rpartition("_")[0] + "_1")
