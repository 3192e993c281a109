"""The `arktos` command against a system that runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from arktos.bootstrap import components as parts


def test_status_and_doctor(shared_cluster: Any) -> None:
    layout = shared_cluster.settings.layout
    lines = shared_cluster.arktos("status").stdout.splitlines()
    assert lines[0].split() == ["PROCESS", "PID", "MEMORY", "STATE"]
    shown = {line.split()[0]: line.split() for line in lines[1:6]}
    for name in ("supervisor", "keeper", "apiserver", "controllers", "scheduler"):
        assert int(shown[name][1]) == shared_cluster.pid(name)
        assert shown[name][3] == "MiB"
        assert shown[name][4] == ("running" if name in ("supervisor", "keeper") else "ready")
    assert lines[-1] == f"API: {shared_cluster.url}   data: {layout.root}"
    doctor = shared_cluster.arktos("doctor").stdout
    assert "[bad ]" not in doctor
    for name in ("apiserver", "controllers", "scheduler"):
        assert f"[ ok ] {name}: ready" in doctor


def test_the_life_of_a_tenant(shared_cluster: Any, tmp_path: Path) -> None:
    target = tmp_path / "acme.kubeconfig"
    created = shared_cluster.arktos("tenant", "create", "acme", f"--kubeconfig={target}").stdout.splitlines()
    assert re.fullmatch(r"Tenant acme is ready \(in \d\.\d\d s\)\.", created[0])
    assert created[1] == f"  kubectl --kubeconfig {target} get namespaces"
    assert target.stat().st_mode & 0o777 == 0o600
    written = yaml.safe_load(target.read_text())
    assert written["clusters"][0]["cluster"]["server"] == f"{shared_cluster.url}/tenants/acme"
    again = shared_cluster.arktos("tenant", "create", "acme").stdout
    assert again.startswith("Tenant acme was there already.\n")
    listed = [line.split() for line in shared_cluster.arktos("tenant", "list").stdout.splitlines()]
    assert listed[0] == ["NAME", "STATUS", "READY"]
    assert ["acme", "Active", "yes"] in listed
    assert ["system", "Active", "yes"] in listed
    printed = yaml.safe_load(shared_cluster.arktos("kubeconfig", "--tenant=acme").stdout)
    assert printed["clusters"] == written["clusters"]
    operator = shared_cluster.arktos("kubeconfig").stdout
    assert operator == shared_cluster.settings.layout.admin_kubeconfig.read_text()
    assert shared_cluster.arktos("tenant", "delete", "acme").stdout == "Tenant acme is gone.\n"
    assert "acme" not in shared_cluster.arktos("tenant", "list").stdout
    assert not shared_cluster.settings.layout.tenant_kubeconfig("acme").exists()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("tenant", "create", "UPPER"), "Invalid value"),
        (("tenant", "create", "all"), "all"),
        (("tenant", "create", "../../x"), "Invalid value"),
        (("tenant", "delete", "nobody"), "not found"),
        (("tenant", "delete", "system"), "system"),
    ],
)
def test_tenants_that_cannot_be(shared_cluster: Any, arguments: tuple[str, ...], why: str) -> None:
    done = shared_cluster.arktos(*arguments, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert why in line


def test_where_the_api_server_is_away(cluster: Any) -> None:
    cluster.arktos("down")
    for arguments in (("tenant", "list"), ("tenant", "create", "acme")):
        done = cluster.arktos(*arguments, check=False)
        assert done.returncode == 1
        assert done.stderr.startswith("Error: the API server does not answer (")
        assert "Traceback" not in done.stderr
    cluster.settings.layout.admin_kubeconfig.write_text("{")
    done = cluster.arktos("tenant", "list", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: {cluster.settings.layout.admin_kubeconfig}: ")
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="runs as an ordinary user already: all other tests show it")
def test_an_ordinary_user(port: int) -> None:
    """Everything under the home directory, nothing as root."""
    user = 65534
    home = Path("/tmp") / f"arktos-{os.getpid()}-{port}"
    home.mkdir(mode=0o700)
    os.chown(home, user, user)
    env = {"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    data = home / ".local" / "share" / "arktos"
    # It may read everything, for the interpreter may be where only root looks; it may write what an ordinary user may.
    ordinary = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    ordinary += [
        "--inh-caps=-all,+dac_read_search",
        "--ambient-caps=-all,+dac_read_search",
        "--bounding-set=-all,+dac_read_search",
    ]

    def arktos(*arguments: str) -> str:
        command = [*ordinary, *parts.Component("cli", arguments).command]
        done = subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, timeout=90)
        assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    try:
        said = arktos("up", "--no-node", f"--port={port}")
        assert f"export KUBECONFIG={data}/admin.kubeconfig" in said
        assert "--data-dir" not in said
        assert arktos("tenant", "create", "acme").startswith("Tenant acme is ready")
        assert {path.stat().st_uid for path in data.rglob("*")} == {user}
        assert all(path.stat().st_mode & 0o077 == 0 for path in (data / "pki").iterdir())
        assert "not running" not in arktos("status")
        assert arktos("down") == "Arktos is down.\n"
    finally:
        arktos("down")
        subprocess.run(["rm", "-rf", str(home)], check=True)


def test_in_the_foreground(tmp_path: Path, port: int, until: Any) -> None:
    """For init systems: ends with all its processes at SIGTERM, and needs no keeper."""
    data = tmp_path / "data"
    command = [
        sys.executable,
        "-m",
        "arktos",
        "up",
        "--no-node",
        "--foreground",
        f"--port={port}",
        f"--data-dir={data}",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    status = [sys.executable, "-m", "arktos", "status", f"--data-dir={data}"]

    def well() -> bool:
        assert process.poll() is None
        return subprocess.run(status, capture_output=True, timeout=30).returncode == 0

    until(well, 30, "its readiness")
    assert "keeper" not in subprocess.run(status, capture_output=True, text=True, timeout=30).stdout
    began = time.monotonic()
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert time.monotonic() - began < 20
    assert subprocess.run(status, capture_output=True, timeout=30).returncode == 1
