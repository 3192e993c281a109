"""The assets themselves: they are what their users take them for."""

from __future__ import annotations

import json
import subprocess
import tarfile
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from arktos.bootstrap import pause_image as pause
from arktos.bootstrap.oci_image import digest
from assets.http_files import FileServer, sha256
from assets.registry import Registry


def test_pause_program_sleeps_and_ignores_its_children(tmp_path: Path) -> None:
    program = tmp_path / "pause"
    program.write_bytes(pause.pause_program())
    program.chmod(0o755)
    process = subprocess.Popen([program])
    try:
        status = Path(f"/proc/{process.pid}/status")
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.2)
        ignored = next(line for line in status.read_text().splitlines() if line.startswith("SigIgn:"))
        assert int(ignored.split()[1], 16) & 1 << 16
    finally:
        process.kill()
        assert process.wait() == -9


def test_pause_image_is_an_oci_layout(tmp_path: Path) -> None:
    path = tmp_path / "pause.tar"
    pause.write(path, "arktos/pause:1")
    pause.write(path, "arktos/pause:1")
    assert [left.name for left in tmp_path.iterdir()] == ["pause.tar"]
    with tarfile.open(path) as layout:
        blobs = {name: layout.extractfile(name).read() for name in layout.getnames()}  # type: ignore[union-attr]
    index = json.loads(blobs["index.json"])
    (described,) = index["manifests"]
    assert described["annotations"]["io.containerd.image.name"] == "arktos/pause:1"
    for name, blob in blobs.items():
        if name.startswith("blobs/"):
            assert f"sha256:{Path(name).name}" == digest(blob)


def test_registry_serves_what_was_pushed(container_registry: Registry, busybox_image: str) -> None:
    name, tag = busybox_image.removeprefix(container_registry.authority + "/").split(":")
    url = f"http://{container_registry.authority}/v2/{name}/manifests/{tag}"
    request = urllib.request.Request(url, headers={"Accept": "application/vnd.oci.image.manifest.v1+json"})
    with urllib.request.urlopen(request) as answer:
        assert json.load(answer)["schemaVersion"] == 2


def test_vm_image_is_a_bootable_disk(vm_image: Path) -> None:
    shown = subprocess.run(["qemu-img", "info", "--output=json", vm_image], capture_output=True, check=True).stdout
    assert json.loads(shown)["format"] == "qcow2"
    assert vm_image.stat().st_size < 25 << 20


def test_file_server_fails_as_told(file_server: FileServer) -> None:
    content = bytes(range(256)) * 1024
    url = file_server.serve("/assets/good", content)
    with urllib.request.urlopen(url) as answer:
        assert sha256(answer.read()) == sha256(content)
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Range": "bytes=1000-"})) as answer:
        assert (answer.status, answer.read()) == (206, content[1000:])
    assert file_server.requests["/assets/good"] == 2
    short = file_server.serve("/assets/short", content, truncate_at=100)
    with pytest.raises(Exception, match="IncompleteRead"), urllib.request.urlopen(short) as answer:
        answer.read()
    once = file_server.serve("/assets/once", b"x", failures=1)
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(once)
    with urllib.request.urlopen(once) as answer:
        assert answer.read() == b"x"
