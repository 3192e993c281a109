"""From events to keys, and from steps to attachments and nodes. Keys of volumes have a tenant, keys of nodes none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress

from arktos.client import Cached, Key
from arktos.controllers.actions import Create, Delete, Patch, perform
from arktos.controllers.attachdetach import facts
from arktos.controllers.attachdetach.deciding import Steps, World, decide
from arktos.controllers.attachdetach.known import ATTACHMENT, NODE, Known
from arktos.controllers.context import Context, Sharing, Unit
from arktos.controllers.freshness import OwnWrites
from arktos.controllers.volumeprotection import VOLUME
from arktos.model import dates
from arktos.model.kinds import Obj
from arktos.model.status import AlreadyExists, NotFound

NAME = "attachdetach"


class _Attacher:
    def __init__(self, context: Context) -> None:
        self.context = context
        self.client = context.client
        self.known = Known(context)
        self.recorder = context.recorder("attachdetach-controller")
        self.written = OwnWrites(self.known.attachments)
        self.waited: dict[tuple[Key, str], float] = {}
        self.told: dict[Key, frozenset[str]] = {}
        self.leaving: dict[str, set[Key]] = {}
        """By node: the volumes that are being detached."""
        self.sizes: dict[Key, tuple[int, int]] = {}
        """By volume: on how many nodes it is wanted, and on how many it is."""
        self.in_use: dict[str, int] = {}
        """By node, how many volumes are said to be attached."""
        self.locks: dict[str, asyncio.Lock] = {}
        self.nodes = context.controller(f"{NAME}_nodes", self.node)
        self.volumes = context.controller(NAME, self.volume)
        self.forced = context.metrics.counter(
            "attachdetach_controller_forced_detaches",
            "Number of times the A/D Controller performed a forced detach",
            "reason",
        )
        total = context.metrics.gauge(
            "attachdetach_controller_total_volumes", "Number of volumes in A/D Controller", "plugin_name", "state"
        )
        total.look = self._totals
        volumes_in_use = context.metrics.gauge(
            "storage_count_attachable_volumes_in_use", "Measure number of volumes in use", "node", "volume_plugin"
        )
        volumes_in_use.look = self._in_use

    # volumes

    async def volume(self, key: Key) -> float | None:
        if not self.written.seen(key):
            return None
        volume, attachments = self.known.volume(key), [each.obj() for each in self.known.of_volume(key)]
        if volume is None:
            self._forget(key)
            await self._orphaned(key, attachments)
            return None
        world = self._world(key, volume, attachments)
        steps = decide(world)
        self.told[key] = frozenset(steps.told)
        self.sizes[key] = len(world.users), len(attachments)
        for pod, type, reason, message in steps.events:
            self.recorder.event(pod, type, reason, message)
        await self._leave(key, attachments, steps)
        for host in steps.attach:
            with suppress(AlreadyExists):
                self.written.wrote(key, await perform(self.client, Create(ATTACHMENT, facts.attachment(volume, host))))
        for attachment, forced in steps.detach:
            await self._detach(key, attachment, forced)
        if not world.users and not attachments:
            self._forget(key)
        return steps.again

    def _world(self, key: Key, volume: Obj, attachments: list[Obj]) -> World:
        users = self.known.users(volume)
        hosts = users.keys() | {each["spec"]["nodeName"] for each in attachments}
        nodes = {host: node for host in hosts if (node := self.known.node(host)) is not None}
        now, wall = time.monotonic(), self.context.wall()
        waited = {host: now - since for (of, host), since in self.waited.items() if of == key}
        age = {
            each["metadata"]["uid"]: wall - dates.unix(each["metadata"].get("creationTimestamp"))
            for each in attachments
        }
        attachable = facts.needs_attaching(self.known.driver(key[0], facts.driver(volume)))
        return World(volume, attachable, users, attachments, nodes, waited, age, self.told.get(key, frozenset()))

    async def _orphaned(self, key: Key, attachments: list[Obj]) -> None:
        """What is attached of a volume that has gone: it is detached where nothing of its driver is mounted. That it
        has gone is asked of the server."""
        ours = [each for each in attachments if facts.is_ours(each) and "deletionTimestamp" not in each["metadata"]]
        if not ours:
            return
        with suppress(NotFound):
            await self.client.get(VOLUME, key[2], tenant=key[0])
            return
        for each in ours:
            spec = each["spec"]
            node = self.known.node(spec["nodeName"]) or facts.GONE
            mounted = any(name.startswith(f"{facts.PLUGIN}/{spec['attacher']}^") for name in node.in_use)
            if node.managed and (not mounted or node.out_of_service):
                await self._detach(key, each, "")

    async def _leave(self, key: Key, attachments: list[Obj], steps: Steps) -> None:
        """Agents hear first that a volume goes."""
        for of, host in [each for each in self.waited if each[0] == key and each[1] not in steps.unwanted]:
            del self.waited[of, host]
        for host in steps.unwanted:
            self.waited.setdefault((key, host), time.monotonic())
        going = {each["spec"]["nodeName"] for each, _ in steps.detach}
        for host in {each["spec"]["nodeName"] for each in attachments}:
            leaving = self.leaving.setdefault(host, set())
            if host in going:
                leaving.add(key)
            elif host not in steps.unwanted:
                leaving.discard(key)
            if not leaving:
                del self.leaving[host]
            if host in going:
                await self.node(("", "", host))

    async def _detach(self, key: Key, attachment: Obj, forced: str) -> None:
        meta = attachment["metadata"]
        with suppress(NotFound):
            going = Delete(ATTACHMENT, (key[0], "", meta["name"]), uid=meta["uid"])
            self.written.wrote(key, await perform(self.client, going))
        if forced:
            self.forced.add(forced)

    def _forget(self, key: Key) -> None:
        for known in (self.told, self.sizes):
            known.pop(key, None)
        self.written.forget(key)
        for each in [each for each in self.waited if each[0] == key]:
            del self.waited[each]

    # nodes

    async def node(self, key: Key) -> float | None:
        """`status.volumesAttached` is what is attached, but for what is about to be detached."""
        async with self.locks.setdefault(key[2], asyncio.Lock()):
            await self._report(key)
        return None

    async def _report(self, key: Key) -> None:
        cached = self.known.nodes.get(*key)
        if cached is None:
            self.leaving.pop(key[2], None)
            self.in_use.pop(key[2], None)
            return
        obj = cached.obj()
        if not facts.node(obj).managed:
            return
        listed = (obj.get("status") or {}).get("volumesAttached") or []
        others = [each for each in listed if not each["name"].startswith(f"{facts.PLUGIN}/")]
        ours = [{"name": name, "devicePath": ""} for name in sorted(set(self._attached(key[2])))]
        self.in_use[key[2]] = len(ours)
        if sorted(each["name"] for each in listed) == sorted(each["name"] for each in others + ours):
            return
        body = {"metadata": {"uid": cached.uid}, "status": {"volumesAttached": others + ours}}
        with suppress(NotFound):
            await perform(self.client, Patch(NODE, key, body, subresource="status"))

    def _attached(self, host: str) -> Iterator[str]:
        leaving = self.leaving.get(host, set())
        for cached in self.known.on(host):
            attachment = cached.obj()
            if cached.deleting or not (attachment.get("status") or {}).get("attached"):
                continue
            for key in self.known.by_attachment(cached):
                volume = self.known.volume(key)
                if volume is not None and key not in leaving:
                    yield facts.unique_name(volume)

    # measures

    def _totals(self) -> Iterator[tuple[tuple[str, ...], float]]:
        wanted, there = (float(sum(each[i] for each in self.sizes.values())) for i in (0, 1))
        yield (facts.PLUGIN, "desired_state_of_world"), wanted
        yield (facts.PLUGIN, "actual_state_of_world"), there

    def _in_use(self) -> Iterator[tuple[tuple[str, ...], float]]:
        for host, count in self.in_use.items():
            if count:
                yield (host, facts.PLUGIN), float(count)


def _matters(old: Cached | None, new: Cached | None) -> bool:
    """Whether a node has changed in what counts here."""
    if old is None or new is None:
        return True
    return facts.node(old.obj()) != facts.node(new.obj())


def _is_managed_now(old: Cached | None, new: Cached | None) -> bool:
    if old is None or new is None:
        return False
    return facts.node(new.obj()).managed and not facts.node(old.obj()).managed


def build(context: Context) -> Unit:
    work = _Attacher(context)
    known = work.known
    work.volumes.watches(known.volumes, known.by_volume)
    work.volumes.watches(known.claims, known.by_claim)
    work.volumes.watches(known.pods, known.by_pod)
    work.volumes.watches(known.attachments, known.by_attachment)
    work.volumes.watches(known.nodes, known.by_node, when=_matters)
    work.volumes.watches(known.drivers, known.by_driver)
    work.volumes.watches(known.nodes, known.all_volumes, when=_is_managed_now)
    work.nodes.watches(known.nodes, when=_matters)
    work.nodes.watches(known.attachments, known.to_node)
    work.nodes.needs(known.volumes)

    def refresh() -> None:
        for volume in known.volumes.items():
            for key in known.by_volume(volume):
                work.volumes.enqueue(key)
        for attachment in known.attachments.items():
            for key in known.by_attachment(attachment):
                work.volumes.enqueue(key)
        for node in known.nodes.items():
            work.nodes.enqueue(node.key)

    # Which node gets an exclusive volume is decided by one, lest two do; and queues of two kinds share no ring.
    return Unit([work.volumes, work.nodes], refresh=refresh, sharing=Sharing.WHOLE)
