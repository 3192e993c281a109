"""A whole installation whose processes are killed: each comes back, nothing else is touched, nothing is left behind."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

from arktos.bootstrap.components import Settings

SERVERS = ("apiserver", "controllers", "scheduler")
EVERYTHING = ("supervisor", "keeper", *SERVERS)
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"


def pids(system: Any) -> dict[str, int]:
    return {name: system.pid(name) for name in EVERYTHING}


def all_ready(system: Any) -> bool:
    return all(pids(system).values()) and bool(system.ready())


def of(data_dir: str) -> list[str]:
    """The command lines of processes that have to do with a data directory."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode() if entry.name.isdecimal() else ""
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0] if command else ""
        except OSError:
            continue
        if data_dir in command and state not in ("Z", ""):
            found.append(command)
    return found


def locked(path: Path) -> bool:
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def leaves_nothing(system: Any) -> None:
    layout = system.settings.layout
    assert of(f"{layout.root}/") == []
    assert of(f"--data-dir={layout.root}") == []
    assert not locked(layout.lock)
    assert not locked(layout.store.with_name(layout.store.name + ".lock"))
    assert [path.name for path in layout.run.glob("*.json")] == ["settings.json"]


def kill_and_see(system: Any, name: str, load: Any, until: Any) -> None:
    """Kills one process while there is load; it alone is replaced."""
    acknowledged = load.acknowledged
    until(lambda: load.acknowledged > acknowledged + 30, 30, "the load")
    before = pids(system)
    killed = system.kill(name)
    until(lambda: system.pid(name) not in (0, killed), 10, f"another {name}")
    until(lambda: all_ready(system), 20, "the system's readiness")
    assert {**before, name: 0} == {**pids(system), name: 0}, f"{name} took others down"


def test_each_process_comes_back_under_load(
    cluster: Any, api_for: Any, load_on: Any, watcher_of: Any, until: Any
) -> None:
    api = api_for(cluster)
    load, watcher = load_on(api, writers=3), watcher_of(api, CONFIGMAPS)
    with watcher.running():
        with load.running():
            for name in EVERYTHING:
                kill_and_see(cluster, name, load, until)
        load.check(api)
        until(lambda: watcher.agrees(api), 10, "what the watcher saw")
    assert watcher.problems == []
    assert "not running" not in cluster.arktos("status").stdout
    assert cluster.arktos("down").stdout == "Arktos is down.\n"
    leaves_nothing(cluster)


def test_down_while_written_to_loses_nothing(cluster: Any, api_for: Any, load_on: Any, until: Any) -> None:
    api = api_for(cluster)
    load = load_on(api)
    with load.running():
        until(lambda: load.acknowledged > 200, 30, "the load")
        cluster.arktos("down")
        leaves_nothing(cluster)
        assert cluster.arktos("down").stdout == "Arktos was not running.\n"
        stopped = load.acknowledged
        cluster.arktos("up", "--no-node", f"--port={cluster.settings.port}")
        until(lambda: load.acknowledged > stopped + 100, 30, "the load")
    load.check(api)


def test_up_twice(cluster: Any) -> None:
    before = pids(cluster)
    command = [sys.executable, "-m", "arktos", "up", "--no-node", f"--port={cluster.settings.port}"]
    command.append(f"--data-dir={cluster.settings.data_dir}")
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for each in both:
        assert each.communicate(timeout=60)[0].startswith("Arktos is up already.\n")
        assert each.returncode == 0
    assert pids(cluster) == before
    other = cluster.arktos("up", "--no-node", f"--port={cluster.settings.port + 10}", check=False)
    assert other.returncode == 1
    assert "a system with other settings runs in" in other.stderr
    assert pids(cluster) == before


def test_up_after_everything_was_killed(cluster: Any, api_for: Any, until: Any) -> None:
    made = api_for(cluster)("POST", CONFIGMAPS, {"metadata": {"name": "a"}})
    assert made.status == 201
    before = pids(cluster)
    # The keeper first and the supervisor next, so that nobody is there to start anything again.
    for name in ("keeper", "supervisor"):
        os.kill(before[name], signal.SIGSTOP)
    for name in EVERYTHING:
        os.kill(before[name], signal.SIGKILL)
    until(lambda: not any(pids(cluster).values()), 10, "the end of all")
    status = cluster.arktos("status", check=False)
    assert status.returncode == 1
    assert status.stdout.count("not running") == len(EVERYTHING)
    assert cluster.arktos("up", "--no-node", f"--port={cluster.settings.port}").stdout.startswith("Arktos is up (in ")
    assert not set(before.values()) & set(pids(cluster).values())
    assert api_for(cluster)("GET", f"{CONFIGMAPS}/a").body == made.body


def test_up_finds_what_a_killed_supervisor_left(cluster: Any, until: Any) -> None:
    before = pids(cluster)
    os.kill(before["keeper"], signal.SIGSTOP)
    for name in ("supervisor", "keeper"):
        os.kill(before[name], signal.SIGKILL)
    until(lambda: not cluster.pid("supervisor") and not cluster.pid("keeper"), 10, "their end")
    cluster.arktos("up", "--no-node", f"--port={cluster.settings.port}")
    after = pids(cluster)
    assert {name: after[name] for name in SERVERS} == {name: before[name] for name in SERVERS}
    assert after["keeper"] not in (0, before["keeper"])


def test_down_finds_what_a_killed_supervisor_left(cluster: Any, until: Any) -> None:
    # A keeper that is about to start another supervisor must not win against `down`.
    cluster.kill("supervisor")
    cluster.arktos("down")
    leaves_nothing(cluster)


def test_two_installations_side_by_side(cluster: Any, tmp_path: Path, api_for: Any) -> None:
    second = type(cluster)(Settings(str(tmp_path / "second"), port=cluster.settings.port + 3), tmp_path / "home")
    second.arktos("up", "--no-node", f"--port={second.settings.port}")
    try:
        assert api_for(cluster)("POST", CONFIGMAPS, {"metadata": {"name": "a"}}).status == 201
        assert api_for(second)("GET", f"{CONFIGMAPS}/a").status == 404
        assert not set(pids(cluster).values()) & set(pids(second).values())
        crossed = api_for(second)
        crossed.context.check_hostname, crossed.context.verify_mode = False, ssl.CERT_NONE
        crossed.port = cluster.settings.port
        try:
            answer = crossed("GET", "/api/v1/namespaces")
        except OSError:
            pass  # refused in the TLS handshake
        else:
            assert answer.status == 401, "one installation's credentials open the other's door"
    finally:
        second.arktos("down")
    leaves_nothing(second)
    assert all_ready(cluster)


def test_memory_of_an_idle_system(cluster: Any) -> None:
    table = {}
    for name, pid in pids(cluster).items():
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
        table[name] = int(next(line for line in status if line.startswith("VmRSS:")).split()[1]) / 1024
    print(json.dumps({name: round(size, 1) for name, size in table.items()}), f"sum {sum(table.values()):.1f} MiB")
    assert sum(table.values()) * 1.048576 <= 250


def test_a_killed_scheduler_is_followed_at_once(cluster: Any, until: Any) -> None:
    """By one that sees that it has ended, long before its lease does."""

    def holder() -> str:
        lease = cluster.admin.json("get", "lease", "arktos-scheduler", "-n", "kube-system")
        return str(lease["spec"]["holderIdentity"])

    until(lambda: all_ready(cluster), 20, "the system's readiness")
    killed = cluster.kill("scheduler")
    assert holder().split("_")[-2] == str(killed)
    until(lambda: holder().split("_")[-2] != str(killed), 10, "another scheduler")
    assert holder().split("_")[-2] == str(cluster.pid("scheduler"))
