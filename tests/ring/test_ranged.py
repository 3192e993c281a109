"""Informers of a part of the ring on a real server, moved to and fro while objects come and go."""

from __future__ import annotations

import asyncio
import contextlib
import random
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from arktos.client import Cached, Client
from arktos.client.ranged import Membership, RangedInformer
from arktos.model import registry
from arktos.model.hashkey import LARGEST, hash_key
from arktos.model.hashranges import FULL, Range
from arktos.model.status import AlreadyExists, NotFound

MAPS = registry.by_resource("configmaps")
HALF = LARGEST // 2
LOW, HIGH = Range(0, HALF), Range(HALF + 1, LARGEST)


@pytest.fixture
async def client(shared_apiserver: Any) -> AsyncIterator[Client]:
    async with Client.from_kubeconfig(shared_apiserver.settings.layout.admin_kubeconfig) as client:
        yield client


@asynccontextmanager
async def running(informer: RangedInformer) -> AsyncIterator[RangedInformer]:
    task = asyncio.create_task(informer.run())
    try:
        yield informer
    finally:
        task.cancel()
        await asyncio.wait([task])


def config_map(name: str, owner: str = "", **labels: str) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": name, "namespace": "default", "labels": labels}
    if owner:
        reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": owner, "controller": True}
        meta["ownerReferences"] = [reference]
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}


async def names(client: Client, within: Callable[[Cached], bool]) -> dict[str, str]:
    """What the server has, by name: the revisions."""
    listing = await client.list_raw(MAPS, tenant="all")
    found = [Cached.from_raw(MAPS, raw) for raw in listing.items]
    return {f"{c.tenant}/{c.namespace}/{c.name}": c.resource_version for c in found if within(c)}


async def shows(informer: RangedInformer, wanted: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while {"/".join(c.key): c.resource_version for c in informer.items()} != await wanted():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_a_move_lists_the_gained_part_only(client: Client) -> None:
    for n in range(40):
        await client.create(MAPS, config_map(f"move-{n}"))
    told: list[tuple[str | None, str | None]] = []
    informer = RangedInformer(client, MAPS, Membership())
    informer.add_handler(lambda old, new: told.append((old and old.name, new and new.name)))
    async with running(informer):
        await informer.cover(LOW)
        low = await names(client, lambda c: LOW.holds(hash_key(c.uid)))
        assert {"/".join(c.key): c.resource_version for c in informer.items()} == low
        before = len(told)
        await informer.cover(FULL)
        every = await names(client, lambda c: True)
        assert informer.transferred == len(every) - len(low) == len(told) - before
        await informer.cover(HIGH)
        assert informer.transferred == len(every) - len(low)
        high = await names(client, lambda c: HIGH.holds(hash_key(c.uid)))
        assert {"/".join(c.key): c.resource_version for c in informer.items()} == high
        await informer.cover(None)
        assert not informer.items() and informer.place is None
        await client.create(MAPS, config_map("while-nothing"))
        await informer.cover(LOW)
        await shows(informer, lambda: names(client, lambda c: LOW.holds(hash_key(c.uid))))


async def test_the_owned_and_the_orphans_whoever_they_may_come_to(client: Client) -> None:
    uids = [str(uuid.uuid4()) for _ in range(20)]
    for n, uid in enumerate(uids):
        await client.create(MAPS, config_map(f"owned-{n}", uid))
    await client.create(MAPS, config_map("orphan"))
    member = Membership("ReplicaSet")
    informer = RangedInformer(client, MAPS, member)

    def wanted(c: Cached) -> bool:
        return member.within(c, LOW) or member.orphan(c)

    async with running(informer):
        await informer.cover(LOW)
        assert {"/".join(c.key): c.resource_version for c in informer.items()} == await names(client, wanted)
        assert any(c.name == "orphan" for c in informer.items())
        # Adopted by an owner elsewhere it goes, by one of ours it comes.
        elsewhere = next(uid for uid in uids if HIGH.holds(hash_key(uid)))
        ours = next(uid for uid in uids if LOW.holds(hash_key(uid)))
        for uid in (elsewhere, ours):
            await client.update(MAPS, config_map("orphan", uid))
            await shows(informer, lambda: names(client, wanted))
            assert any(c.name == "orphan" for c in informer.items()) == (uid == ours)


@pytest.mark.parametrize("seed", range(3))
async def test_moves_among_changes(client: Client, seed: int) -> None:
    """Whatever is written while the range moves, the mirror ends up as the server is, and tells a gapless story."""
    chance = random.Random(seed)
    uids = [str(uuid.UUID(int=chance.getrandbits(128))) for _ in range(30)]
    member = Membership("ReplicaSet")
    informer = RangedInformer(client, MAPS, member)
    known: dict[str, Cached] = {}

    def follow(old: Cached | None, new: Cached | None) -> None:
        cached = new or old
        assert cached is not None
        key = "/".join(cached.key)
        assert known.get(key) is old, key
        if new is None:
            del known[key]
        else:
            assert old is None or int(old.resource_version) < int(new.resource_version)
            known[key] = new

    async def write() -> None:
        for n in range(250):
            name = f"w{seed}-{chance.randrange(30)}"
            body = config_map(name, chance.choice([*uids, ""]), round=str(n))
            with contextlib.suppress(NotFound):
                if chance.random() < 0.3:
                    await client.delete(MAPS, name, namespace="default")
                elif chance.random() < 0.6:
                    await client.update(MAPS, body)
                else:
                    with contextlib.suppress(AlreadyExists):
                        await client.create(MAPS, body)

    informer.add_handler(follow)
    async with running(informer):
        writing = asyncio.create_task(write())
        place = FULL
        while not writing.done():
            bounds = sorted(chance.randrange(LARGEST) for _ in range(2))
            place = Range(bounds[0], bounds[1])
            if chance.random() < 0.5:
                await informer.cover(place)
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(chance.random() * 0.02):
                        await informer.cover(place)
        await writing
        await informer.cover(place)
        await shows(informer, lambda: names(client, lambda c: member.within(c, place) or member.orphan(c)))
        assert {"/".join(c.key) for c in informer.items()} == set(known)
