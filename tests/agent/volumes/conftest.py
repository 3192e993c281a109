"""No test may leave a mount behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from arktos.agent.volumes import mounting

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")


def mounts_below(folder: Path) -> list[str]:
    top = os.path.realpath(folder)
    return [point.path for point in mounting.mount_points() if point.path.startswith(top)]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Path]:
    """A directory below which a test may mount; what it left mounted is taken away, and told."""
    yield tmp_path
    left = mounts_below(tmp_path)
    if left:
        mounting.unmount_below(tmp_path)
    assert left == [], "still mounted"
