"""The unit for systemd: that it says what it must, and that systemd reads it as meant."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from arktos.bootstrap import service
from arktos.cli import main


def read(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(text)
    return parser


def test_workloads_outlive_the_service() -> None:
    found = read(service.unit("/usr/bin/python3", Path("/var/lib/arktos")))["Service"]
    assert found["ExecStart"] == "/usr/bin/python3 -m arktos up --foreground --data-dir=/var/lib/arktos"
    assert (found["KillMode"], found["Delegate"], found["Restart"]) == ("process", "yes", "always")


def test_words_mean_themselves() -> None:
    found = read(service.unit("/usr/bin/python3", Path("/srv/a b/50%/$x")))["Service"]["ExecStart"]
    assert found.endswith(' "--data-dir=/srv/a b/50%%/$$x"')


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing")
def test_systemd_takes_it(tmp_path: Path) -> None:
    path = tmp_path / service.NAME
    path.write_text(service.unit(sys.executable, tmp_path / "a b"))
    done = subprocess.run(["systemd-analyze", "verify", str(path)], capture_output=True, text=True, check=False)
    said = [line for line in (done.stdout + done.stderr).splitlines() if service.NAME in line]
    assert said == [], said


def test_it_is_printed(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["service", "print", f"--data-dir={tmp_path}"])
    assert done.exit_code == 0, done.output
    assert done.output == service.unit(sys.executable, tmp_path)


def test_what_systemd_refuses_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "systemctl"
    program.write_text('#!/bin/sh\necho "$@" >>"$0.said"\n[ "$1" != enable ] || { echo no such luck >&2; exit 1; }\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(service.Failed, match=r"enable .*: no such luck"):
        service.install("text", tmp_path)
    assert (tmp_path / service.NAME).read_text() == "text"
    assert service.remove(tmp_path)
    assert not service.remove(tmp_path)
    said = (tmp_path / "systemctl.said").read_text().splitlines()
    assert said == ["daemon-reload", "enable arktos.service", "disable arktos.service", "daemon-reload"]


@pytest.mark.skipif(service.booted(), reason="systemd is the init here")
def test_without_systemd_nothing_is_installed() -> None:
    done = CliRunner().invoke(main, ["service", "install"])
    assert done.exit_code == 1
    assert "systemd is not this machine's init" in done.output
