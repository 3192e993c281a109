"""A disk that fills up while the API server is written to, and is freed again: writes fail, and nothing else does."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from arktos.bootstrap.components import components

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs to mount a small file system")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("file systems cannot be mounted here")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(ballast: Path) -> None:
    """Takes all the space there is."""
    with ballast.open("ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    file.write(b"0" * size)
            except OSError:
                continue


def test_a_full_disk(
    small_disk: Path, apiserver_at: Any, api_for: Any, load_on: Any, watcher_of: Any, until: Any
) -> None:
    system = apiserver_at(small_disk)
    api = api_for(system)
    load, watcher = load_on(api), watcher_of(api, CONFIGMAPS)
    ballast = small_disk / "ballast"
    with watcher.running():
        with load.running():
            until(lambda: load.acknowledged > 200, 30, "the load")
            fill(ballast)
            until(lambda: load.refused.get(503, 0) > 20, 30, "refused writes")
            refused = api("POST", CONFIGMAPS, {"metadata": {"name": "refused"}, "data": {"k": "x" * 20_000}})
            assert (refused.status, refused.body["reason"]) == (503, "ServiceUnavailable"), refused
            assert int(refused.headers["retry-after"]) >= 1
            assert refused.body["details"]["retryAfterSeconds"] >= 1
            # Reads go on, and say the same as the watch.
            assert api("GET", f"{CONFIGMAPS}/refused").status == 404
            assert api("GET", CONFIGMAPS).status == 200
            until(lambda: watcher.agrees(api), 10, "what the watcher saw")
            ready = api("GET", "/readyz?verbose")
            assert ready.status == 500
            assert "[-]store failed: the last write failed: " in ready.body["text"]
            assert api("GET", "/livez").status == 200
            ballast.unlink()
            before = load.acknowledged
            until(lambda: load.acknowledged > before + 200, 30, "writes after space was freed")
        until(lambda: api("GET", "/readyz").status == 200, 10, "readiness")
        load.check(api)
        until(lambda: watcher.agrees(api), 10, "what the watcher saw")
        assert watcher.problems == []
    assert system.server is not None
    assert system.server.poll() is None, "it was restarted or died"
    system.kill_server()
    system.start_server()
    load.check(api_for(system))


def test_readiness_comes_back_without_writes(small_disk: Path, apiserver_at: Any, api_for: Any, until: Any) -> None:
    system = apiserver_at(small_disk)
    api = api_for(system)
    ballast = small_disk / "ballast"
    fill(ballast)
    number = iter(range(10_000))

    def refused() -> bool:
        body = {"metadata": {"name": f"a{next(number)}"}, "data": {"k": "x" * 100_000}}
        return bool(api("POST", CONFIGMAPS, body).status == 503)

    until(refused, 20, "a refused write")
    assert api("GET", "/readyz/store").status == 500
    ballast.unlink()
    until(lambda: api("GET", "/readyz/store").status == 200, 10, "readiness")


def test_a_start_on_a_full_disk(small_disk: Path, apiserver_at: Any, api_for: Any) -> None:
    """It serves reads, or says why not and ends; either way nothing is lost."""
    system = apiserver_at(small_disk)
    layout = system.settings.layout
    assert api_for(system)("POST", CONFIGMAPS, {"metadata": {"name": "a"}}).status == 201
    system.kill_server()
    fill(small_disk / "ballast")
    process = subprocess.Popen(components(system.settings)[0].command, stderr=subprocess.PIPE, text=True)
    try:
        _, said = process.communicate(timeout=5)
    except subprocess.TimeoutExpired:
        assert api_for(system)("GET", f"{CONFIGMAPS}/a").status == 200
        process.terminate()
        process.wait(15)
    else:
        assert process.returncode == 1
        assert f"--store: {layout.store}" in said
        assert len(said.splitlines()) == 1
    (small_disk / "ballast").unlink()
    system.start_server()
    assert api_for(system)("GET", f"{CONFIGMAPS}/a").status == 200
