"""What is broken before the start: one clear line that says what and what to do, and everything left as it was."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from arktos.bootstrap.components import components

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"


def flip(path: Path, place: bytes) -> None:
    """Changes one bit where `place` first stands."""
    data = bytearray(path.read_bytes())
    at = data.index(place)
    data[at] ^= 1
    path.write_bytes(data)


def newer(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.commit()
    connection.close()


def contents(folder: Path) -> dict[str, str]:
    """Every file's digest; what SQLite and the lock write beside the database while it is looked at is not data."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith((".lock", "-shm")) and path.parent.name not in ("log", "run")
    }


@pytest.fixture(scope="module")
def template(shared_apiserver: Any, api_for: Any) -> Path:
    """The data directory of a server that has stopped in order."""
    api = api_for(shared_apiserver)
    for number in range(20):
        body = {"metadata": {"name": f"a{number}"}, "data": {"k": f"needle{number}-" * 50}}
        assert api("POST", CONFIGMAPS, body).status == 201
    api.close()
    shared_apiserver.stop_server()
    return Path(shared_apiserver.settings.data_dir)


@pytest.fixture
def broken(template: Path, shared_apiserver: Any, tmp_path: Path, port: int) -> Any:
    """A copy of it, to be broken."""
    made = type(shared_apiserver)(
        type(shared_apiserver.settings)(str(tmp_path / "data"), port=port), shared_apiserver.home
    )
    shutil.copytree(template, tmp_path / "data")
    made.settings.save()
    return made


def refused(system: Any, *options: str) -> str:
    """Why the API server ends at once; in one line, with exit code 1, with nothing changed."""
    before = contents(system.settings.layout.root)
    command = [*components(system.settings)[0].command, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1, done
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    said = json.loads(line)
    assert (said["event"], said["level"]) == ("cannot_start", "error")
    assert "Traceback" not in line
    assert contents(system.settings.layout.root) == before
    return str(said["reason"])


STORES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a flipped bit": (lambda path: flip(path, b"needle7-needle7"), "restore it from a backup"),
    "truncated": (lambda path: os.truncate(path, path.stat().st_size // 2), "restore it from a backup"),
    "no database": (lambda path: path.write_bytes(b"not a database " * 1000), "restore it from a backup"),
    "newer": (newer, "has format 99, this program reads format"),
}


@pytest.mark.parametrize("case", STORES)
def test_a_store_that_is_damaged(broken: Any, case: str) -> None:
    spoil, words = STORES[case]
    path = broken.settings.layout.store
    spoil(path)
    reason = refused(broken)
    assert str(path) in reason
    assert words in reason
    doctor = broken.arktos("doctor", check=False)
    assert doctor.returncode == 1
    assert f"[bad ] store: {path}" in doctor.stdout
    if case == "newer":
        assert words in doctor.stdout


def without(path: Path) -> None:
    path.unlink()


def garbled(path: Path) -> None:
    path.write_bytes(b"-----BEGIN NOTHING-----\n" + bytes(range(200)))


def half(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 2 // 3)


@pytest.mark.parametrize("spoil", [without, garbled, half])
@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("server_certificate", "--tls-cert-file"),
        ("server_key", "--tls-private-key-file"),
        ("ca", "--client-ca-file"),
        ("token_key", "--service-account-key-file"),
    ],
)
def test_credentials_that_cannot_be_used(broken: Any, name: str, option: str, spoil: Callable[[Path], None]) -> None:
    path = getattr(broken.settings.layout, name)
    spoil(path)
    reason = refused(broken)
    assert reason.startswith(f"{option}: {path}: ")


def test_a_key_of_another_certificate(broken: Any) -> None:
    layout = broken.settings.layout
    shutil.copy(layout.ca_key, layout.server_key)
    assert "must belong together" in refused(broken)


@pytest.mark.parametrize("text", ["one-column\n", "t,u,1,g,UPPER\n", 't,u,"1\n', "t,a,1\nt,b,2\n", "\0\xff"])
def test_a_token_file_that_cannot_be_used(broken: Any, tmp_path: Path, text: str) -> None:
    path = tmp_path / "tokens.csv"
    path.write_bytes(text.encode("latin-1"))
    assert refused(broken, f"--token-auth-file={path}").startswith(f"--token-auth-file: {path}: ")
    assert (
        refused(broken, f"--token-auth-file={path}.none")
        == f"--token-auth-file: {path}.none: No such file or directory"
    )


@pytest.mark.parametrize("text", ["10.0.0.0/33", "ten", "10.0.0.1/12", "10.0.0.0/16,10.1.0.0/16", ""])
def test_a_service_range_that_is_none(broken: Any, text: str) -> None:
    assert refused(broken, f"--service-cluster-ip-range={text}").startswith(f"--service-cluster-ip-range: {text}")


def test_an_authorization_mode_that_is_none(broken: Any) -> None:
    assert "is none of RBAC" in refused(broken, "--authorization-mode=Open")


def test_a_port_that_is_taken(broken: Any, tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", broken.settings.port))
        holder.listen()
        # The store is opened and closed again, which leaves its content as it was; its file's bookkeeping may differ.
        command = components(broken.settings)[0].command
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert f"cannot listen on 127.0.0.1:{broken.settings.port}: Address already in use; stop what" in line
        up = broken.arktos("up", "--no-node", f"--port={broken.settings.port}", check=False)
        assert up.returncode == 1
        assert up.stderr.startswith(
            f"Error: 127.0.0.1:{broken.settings.port}, which the apiserver needs, cannot be had: "
        )
        doctor = broken.arktos("doctor", check=False)
        assert f"[bad ] port: {broken.settings.port} (apiserver): Address already in use" in doctor.stdout
    assert broken.arktos("doctor", check=False).returncode == 0


def test_a_store_in_use(broken: Any, api_for: Any) -> None:
    broken.start_server()
    try:
        reason = refused(broken, "--secure-port=0")
        assert f"is in use by process {broken.server.pid}" in reason
        api = api_for(broken)
        api.port = broken.settings.port  # its kubeconfig is of the server that the copy was taken from
        assert api("GET", f"{CONFIGMAPS}/a1").status == 200
    finally:
        broken.stop_server()


def test_a_place_that_cannot_be_written(broken: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert refused(broken, f"--store={tmp_path}/file/store.db").startswith(f"--store: {tmp_path}/file/store.db: ")
    up = subprocess.run(
        [*components(broken.settings)[0].program, "up", "--no-node", f"--data-dir={tmp_path}/file/data"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert up.returncode == 1
    assert up.stderr == f"Error: cannot write to {tmp_path}/file/data: Not a directory\n"


@pytest.fixture
def started(broken: Any) -> Iterator[Any]:
    yield broken
    broken.arktos("down")


def test_up_says_why_and_leaves_nothing(started: Any) -> None:
    flip(started.settings.layout.store, b"needle7-needle7")
    before = contents(started.settings.layout.root)
    done = started.arktos("up", "--no-node", f"--port={started.settings.port}", check=False)
    assert done.returncode == 1
    first, *rest = done.stderr.splitlines()
    assert first.startswith(f"Error: the apiserver cannot start: {started.settings.layout.store}: ")
    assert "restore it from a backup" in first
    assert rest[0].startswith("Nothing was left running.")
    assert started.arktos("down").stdout == "Arktos was not running.\n"
    after = contents(started.settings.layout.root)
    assert {name: digest for name, digest in before.items() if name.startswith("store/")} == {
        name: digest for name, digest in after.items() if name.startswith("store/")
    }


def test_up_makes_anew_what_nobody_relies_on(started: Any, api_for: Any) -> None:
    layout = started.settings.layout
    garbled(layout.server_certificate)
    without(layout.server_key)
    garbled(layout.admin_kubeconfig)
    without(layout.component_kubeconfig("scheduler"))
    started.arktos("up", "--no-node", f"--port={started.settings.port}")
    assert api_for(started)("GET", f"{CONFIGMAPS}/a1").status == 200


@pytest.mark.parametrize("name", ["ca", "ca_key", "token_key"])
def test_up_refuses_to_replace_what_others_rely_on(broken: Any, name: str) -> None:
    path = getattr(broken.settings.layout, name)
    garbled(path)
    before = contents(broken.settings.layout.root)
    done = broken.arktos("up", "--no-node", f"--port={broken.settings.port}", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert str(path) in done.stderr
    assert "restore it from a copy of the data directory" in done.stderr
    assert contents(broken.settings.layout.root) == before
    assert str(path) in broken.arktos("doctor", check=False).stdout


@pytest.mark.parametrize("command", ["controllers", "scheduler"])
@pytest.mark.parametrize("content", [None, "", "{", "clusters: 5\n", "kind: Config\n"])
def test_a_kubeconfig_that_cannot_be_used(broken: Any, tmp_path: Path, command: str, content: str | None) -> None:
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_text(content)
    program = components(broken.settings)[0].program
    arguments = [*program, command, f"--kubeconfig={path}", "--health-port=0"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert json.loads(line)["reason"].startswith(str(path))
