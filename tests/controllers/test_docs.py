"""What docs/controllers.md says is so: its table is complete, and its controller works, shared by two processes."""

from __future__ import annotations

import asyncio
import importlib
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from arktos.client import Client, ClientConfig
from arktos.controllers.catalogue import CONTROLLERS
from arktos.controllers.context import Context, Sharing
from arktos.model import registry

PAGE = Path(__file__).parents[2] / "docs" / "controllers.md"
Until = Callable[..., Awaitable[None]]
POD, EVENT = registry.by_resource("pods"), registry.by_resource("events")
INSTANCE = registry.by_resource("controllerinstances")


def example() -> str:
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def test_the_table_has_every_controller_and_how_it_shares() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .+ \| (ranges|keys|whole) \|$", PAGE.read_text(), re.MULTILINE)
    context = Context(Client(ClientConfig(server="http://127.0.0.1:1")))
    built = {name: importlib.import_module(module).build(context).sharing for name, module in CONTROLLERS.items()}
    assert [(name, Sharing[said.upper()]) for name, said in rows] == list(built.items())


def test_the_example_is_short() -> None:
    assert len([line for line in example().splitlines() if line.strip()]) <= 50


@pytest.fixture
async def admin(running: Path) -> AsyncIterator[Client]:
    async with Client.from_kubeconfig(running / "admin.kubeconfig") as client:
        yield client


@contextmanager
def started(program: Path, server: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as said:
        process = subprocess.Popen([sys.executable, program, server / "admin.kubeconfig"], stdout=said, stderr=said)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        finally:
            process.kill()


async def test_the_example_works_shared_by_two(running: Path, admin: Client, tmp_path: Path, until: Until) -> None:
    program = tmp_path / "lifetime.py"
    program.write_text(example())

    async def account() -> bool:
        return bool((await admin.list(registry.by_resource("serviceaccounts"), namespace="default")).items)

    async def members() -> bool:
        found = [each for each in (await admin.list(INSTANCE)).items if each["controllerType"] == "Lifetime"]
        return len(found) == 2 and all(each.get("workloadNum") is not None for each in found)

    async def left() -> set[str]:
        return {each["metadata"]["name"] for each in (await admin.list(POD, namespace="default")).items}

    async def make(name: str, **labels: str) -> None:
        meta: dict[str, Any] = {"name": name, "namespace": "default", "labels": labels}
        spec = {"containers": [{"name": "c", "image": "a"}]}
        await admin.create(POD, {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})

    async def only_those_that_stay() -> bool:
        return await left() == {"stays", "later"}

    async def all_told() -> bool:
        events = (await admin.list(EVENT, namespace="default", field_selector="reason=LifetimeOver")).items
        return {each["involvedObject"]["name"] for each in events} == {f"goes-{number}" for number in range(8)}

    await until(account)
    with ExitStack() as stack:
        both = [stack.enter_context(started(program, running, tmp_path / f"{number}.log")) for number in range(2)]
        await until(members)
        await asyncio.gather(make("stays"), make("later", lifetime="3600"))
        await asyncio.gather(*(make(f"goes-{number}", lifetime="1") for number in range(8)))
        await until(only_those_that_stay)
        await until(all_told)
    assert [process.returncode for process in both] == [0, 0]
    assert not any("reconcile_bug" in (tmp_path / f"{number}.log").read_text() for number in range(2))
