"""Volumes that are made on this node for claims."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest

from arktos.agent.volumes import VolumeError
from arktos.agent.volumes.ownership import give_to_group
from arktos.agent.volumes.provisioned import Provisioned
from arktos.model.kinds import Obj
from arktos.model.status import NotFound, ServiceUnavailable


class Server:
    """Knows which volumes there are, and where below `root`."""

    def __init__(self, root: Path, *names: str, policy: str = "Delete") -> None:
        self.root = root
        self.names = set(names)
        self.policy = policy
        self.failure: Exception | None = None

    async def __call__(self, tenant: str, name: str) -> Obj:
        if self.failure is not None:
            raise self.failure
        if name not in self.names:
            raise NotFound(name)
        path = str(self.root / tenant / name)
        return {"spec": {"hostPath": {"path": path}, "persistentVolumeReclaimPolicy": self.policy}}


async def test_a_directory_comes_with_its_volume_and_goes_with_it(tmp_path: Path) -> None:
    server = Server(tmp_path / "volumes", "pvc-1")
    made = Provisioned(tmp_path / "provisioned.json", server)
    path = tmp_path / "volumes" / "acme" / "pvc-1"
    await made.make("acme", "pvc-1", str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o777
    (path / "file").write_text("x")
    await made.make("acme", "pvc-1", str(path))
    await made.sweep()
    assert (path / "file").read_text() == "x"
    server.names.clear()
    server.failure = ServiceUnavailable("later")
    await made.sweep()
    assert path.exists()
    server.failure = None
    # A restart forgets none.
    await Provisioned(tmp_path / "provisioned.json", server).sweep()
    assert not path.exists() and path.parent.exists()
    await Provisioned(tmp_path / "provisioned.json", server).sweep()


async def test_a_link_in_a_volume_leads_nowhere(tmp_path: Path) -> None:
    made = Provisioned(tmp_path / "provisioned.json", Server(tmp_path))
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    path = tmp_path / "volumes" / "acme" / "pvc-1"
    await made.make("acme", "pvc-1", str(path))
    (path / "link").symlink_to(precious)
    await made.sweep()
    assert not path.exists() and (precious / "file").read_text() == "x"


@pytest.mark.parametrize(
    "path", ["/etc", "/", "volumes/acme/pvc-1", "/x/../acme/pvc-1", "/x/globex/pvc-1", "/acme/pvc-1"]
)
async def test_only_a_volumes_own_directory_is_made(tmp_path: Path, path: str) -> None:
    made = Provisioned(tmp_path / "provisioned.json", Server(tmp_path))
    with pytest.raises(VolumeError):
        await made.make("acme", "pvc-1", path)
    assert not (tmp_path / "provisioned.json").exists()


@pytest.mark.parametrize(("tenant", "stays"), [("system", True), ("acme", False)])
async def test_the_operators_data_is_retained(tmp_path: Path, tenant: str, stays: bool) -> None:
    server = Server(tmp_path / "volumes", "pvc-1", policy="Retain")
    path = tmp_path / "volumes" / tenant / "pvc-1"
    made = Provisioned(tmp_path / "provisioned.json", server)
    await made.make(tenant, "pvc-1", str(path))
    (path / "file").write_text("x")
    await made.sweep()
    server.names.clear()
    # What the volume said is known after a restart, too.
    again = Provisioned(tmp_path / "provisioned.json", server)
    await again.sweep()
    assert path.exists() is stays
    # It is not looked at any more.
    assert (tmp_path / "provisioned.json").read_text() == "{}"


async def test_another_volume_of_the_name_keeps_no_directory(tmp_path: Path) -> None:
    server = Server(tmp_path / "volumes", "pvc-1")
    made = Provisioned(tmp_path / "provisioned.json", server)
    path = tmp_path / "volumes" / "acme" / "pvc-1"
    await made.make("acme", "pvc-1", str(path))
    server.root = tmp_path / "elsewhere"
    await made.sweep()
    assert not path.exists()


async def test_what_no_disk_can_hold_is_refused(tmp_path: Path) -> None:
    made = Provisioned(tmp_path / "provisioned.json", Server(tmp_path))
    path = tmp_path / "volumes" / "acme" / "pvc-1"
    with pytest.raises(VolumeError, match="not enough room for the volume"):
        await made.make("acme", "pvc-1", str(path), 1 << 62)
    assert not path.exists()
    await made.make("acme", "pvc-1", str(path), 1 << 20)
    # What is there is not asked again, and keeps the rights that its user gave it.
    path.chmod(0o700)
    await made.make("acme", "pvc-1", str(path), 1 << 62)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


async def test_many_at_once_are_all_remembered(tmp_path: Path) -> None:
    names = [f"pvc-{number}" for number in range(30)]
    made = Provisioned(tmp_path / "provisioned.json", Server(tmp_path, *names))
    await asyncio.gather(*(made.make("acme", name, str(tmp_path / "v" / "acme" / name)) for name in names))
    await Provisioned(tmp_path / "provisioned.json", Server(tmp_path)).sweep()
    assert not list((tmp_path / "v" / "acme").iterdir())


async def test_nesting_costs_us_neither_stack_nor_descriptors(tmp_path: Path) -> None:
    made = Provisioned(tmp_path / "provisioned.json", Server(tmp_path))
    path = tmp_path / "v" / "acme" / "pvc-1"
    await made.make("acme", "pvc-1", str(path))
    at = os.open(path, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    with pytest.raises(OSError, match="nested"):
        give_to_group(path, os.getgid(), read_only=False)
    await made.sweep()
    assert not path.exists()
