"""Every test of the network is in a network namespace of its own: no mistake of a test reaches the machine's."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from arktos.hostnet.links import Links
from hostnet.private import private_network
from network.stage import Stage


@pytest.fixture(autouse=True)
def apart() -> Iterator[None]:
    with private_network():
        if os.geteuid() == 0:
            with Links() as links:
                links.up("lo")
        yield


@pytest.fixture
def stage(apart: None) -> Iterator[Stage]:
    made = Stage()
    yield made
    made.close()
