"""Volumes that are made on this node for claims."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from arktos.agent.volumes import VolumeError
from arktos.agent.volumes.provisioned import Provisioned
from arktos.model.status import NotFound, ServiceUnavailable


class Server:
    """Knows which volumes there are."""

    def __init__(self, *names: str) -> None:
        self.names = set(names)
        self.failure: Exception | None = None

    async def __call__(self, tenant: str, name: str) -> object:
        if self.failure is not None:
            raise self.failure
        if name not in self.names:
            raise NotFound(name)
        return {}


async def test_a_directory_comes_with_its_volume_and_goes_with_it(tmp_path: Path) -> None:
    server = Server("pvc-1")
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
    made = Provisioned(tmp_path / "provisioned.json", Server())
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
    made = Provisioned(tmp_path / "provisioned.json", Server())
    with pytest.raises(VolumeError):
        await made.make("acme", "pvc-1", path)
    assert not (tmp_path / "provisioned.json").exists()
