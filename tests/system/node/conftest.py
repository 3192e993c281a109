"""Whole nodes: an installation in a network namespace of its own, with images served beside it.

Each has a wire to the outside, a namespace that stands for the rest of the world. Everything that a test leaves behind
(containers, guests, mounts, namespaces) is ended with it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from arktos.bootstrap.components import Settings
from arktos.bootstrap.nodes import obstacle

ASSETS = Path(__file__).parents[2]
PORT = 6443
DEBIAN = "https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-genericcloud-amd64.qcow2"
"""The image of the examples' virtual machines."""


def ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


@dataclass(frozen=True)
class Place:
    """A network namespace that stands for a machine. `within` runs a command in it."""

    name: str
    address: str

    @property
    def within(self) -> tuple[str, ...]:
        return ("nsenter", f"--net=/run/netns/{self.name}")

    def run(self, *command: str, check: bool = True) -> str:
        done = subprocess.run([*self.within, *command], capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@contextmanager
def lan(count: int) -> Iterator[list[Place]]:
    """So many machines on one wire; the last is the outside, through which the others reach the world."""
    mark = uuid.uuid4().hex[:6]
    switch = f"arkl-{mark}"
    names = [f"arktest-{mark}-{number}" for number in range(count)]
    try:
        ip("netns", "add", switch)
        ip("-n", switch, "link", "add", "br0", "type", "bridge")
        ip("-n", switch, "link", "set", "br0", "up")
        places = [Place(name, f"198.18.0.{number + 1}") for number, name in enumerate(names)]
        for number, place in enumerate(places):
            ip("netns", "add", place.name)
            ip("-n", place.name, "link", "set", "lo", "up")
            ip("link", "add", "eth0", "netns", place.name, "type", "veth", "peer", f"p{number}", "netns", switch)
            ip("-n", switch, "link", "set", f"p{number}", "master", "br0", "up")
            ip("-n", place.name, "addr", "add", f"{place.address}/24", "dev", "eth0")
            ip("-n", place.name, "link", "set", "eth0", "up")
        for place in places[:-1]:
            ip("-n", place.name, "route", "add", "default", "via", places[-1].address)
        yield places
    finally:
        for name in [*names, switch]:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


@contextmanager
def served(place: Place) -> Iterator[dict[str, str]]:
    """What `assets.serving` serves, in a place."""
    command = [*place.within, sys.executable, "-m", "assets.serving"]
    env = {**os.environ, "PYTHONPATH": str(ASSETS)}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
    assert process.stdin is not None and process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(10)


def options(images: dict[str, str], *, local_images: bool = True) -> list[str]:
    """How a node is told where images are: those that the examples name come from the registry beside it. Without
    `local_images` it takes none of VMs from this machine but by the mirror."""
    machine = images["machine"].rpartition("/")[0]
    return [
        f"--registry-mirror=docker.io=http://{images['registry']}",
        f"--image-mirror=https://images.example.com={machine}",
        f"--image-mirror={DEBIAN}={images['machine']}",
        *(("--allow-local-images",) if local_images else ()),
    ]


def end(system: Any) -> None:
    """Ends an installation with everything that it runs."""
    done = system.arktos("down", "--workloads", check=False)
    if done.returncode != 0:
        print(done.stdout, done.stderr)
    layout = system.settings.layout
    for line in reversed(Path("/proc/mounts").read_text().splitlines()):
        point = line.split()[1]
        if point.startswith(str(layout.root)):
            subprocess.run(["umount", "-l", point], check=False, capture_output=True)


@contextmanager
def node(make: Callable[..., Any], folder: Path, *more: str, local_images: bool = True, disk: int = 0) -> Iterator[Any]:
    """A machine with everything on it: `arktos up`, as a newcomer does, with `more` options. With `disk`, all that
    belongs to its pods is on a disk of so many MiB."""
    folder.mkdir(parents=True, exist_ok=True)
    home = folder / "home"
    home.mkdir()
    with lan(2) as (here, outside), served(here) as images:
        system = make(Settings(str(folder / "data"), port=PORT), home, within=here.within)
        system.here, system.outside, system.images = here, outside, images
        if disk:
            place = system.settings.layout.node
            place.mkdir(parents=True)
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={disk}M,mode=755", "arktos-test", place], check=True)
        try:
            chosen = options(images, local_images=local_images)
            system.arktos("up", "--node", "--node-name=n1", f"--port={PORT}", *chosen, *more)
            system.settings = Settings.load(system.settings.layout)
            yield system
        finally:
            with suppress(Exception):
                end(system)
            shutil.rmtree(folder / "data", ignore_errors=True)


@pytest.fixture(scope="session")
def node_parts() -> Any:
    """What nodes are made of, for tests that put them together in ways of their own."""
    return SimpleNamespace(lan=lan, served=served, options=options, end=end, node=node)


@pytest.fixture(scope="session")
def may_be_a_node() -> None:
    hindrance = obstacle()
    if hindrance:
        pytest.skip(hindrance)
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is missing")


@pytest.fixture(scope="module")
def shared_node(may_be_a_node: None, system_type: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A node shared by a module's tests."""
    with node(system_type, tmp_path_factory.mktemp("node")) as system:
        yield system


@pytest.fixture(scope="module")
def strict_node(may_be_a_node: None, system_type: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """As `shared_node`, but VM images may not come from the node's own addresses."""
    with node(system_type, tmp_path_factory.mktemp("strict"), local_images=False) as system:
        yield system


@pytest.fixture
def own_node(may_be_a_node: None, system_type: Any, tmp_path: Path) -> Iterator[Any]:
    """A node of the test's own."""
    with node(system_type, tmp_path) as system:
        yield system
