"""The provider that needs nothing but the kernel: attaches and detaches, and restores after a restart.

The order is always the same: the record on disk, then what is made; what was made is removed, then the record. An
address is given back last. So a kill at any instant leaves a record for what there is.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import msgspec

from arktos.hostnet.links import LinkError
from arktos.hostnet.netns import NoNamespace
from arktos.network.embedded import shaping
from arktos.network.embedded.nft import Nft
from arktos.network.embedded.plumbing import Plumbing, port_name
from arktos.network.embedded.pool import Exhausted, Pool
from arktos.network.embedded.records import Record, Records
from arktos.network.embedded.rules import Fixed, State, bridge_name
from arktos.network.provider import Attached, NetworkFailure, Wish
from arktos.wire import logs

_log = logs.get_logger(__name__)
Key = tuple[str, str]


class EmbeddedNetwork:
    """A `Provider`. `pod_network` is this node's, in CIDR form; files are under `folder`. `state` is shared with what
    knows other nodes. Call `start` before anything else. Raises ValueError for a network too small."""

    def __init__(
        self,
        fixed: Fixed,
        folder: Path,
        *,
        mtu: int,
        state: State | None = None,
        observe: Callable[[float], None] | None = None,
    ) -> None:
        self.state = state or State()
        self.nft = Nft(fixed, self.state, observe)
        self._network = IPv4Network(fixed.pod_network)
        self.pool = Pool(self._network)
        self._folder = folder
        self._mtu = mtu
        self._locks: defaultdict[Key, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._bridges: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._writing = asyncio.Lock()
        self._tenants: dict[str, str] = {}
        self._records: Records
        self.plumbing: Plumbing
        self._unready = "the network is being restored"

    async def start(self) -> None:
        """Takes up what is there: keeps what is whole, removes what was begun only or has lost its sandbox.

        `state` must know the other pods by now, or connections to them break for a while. Raises NetworkFailure,
        OSError.
        """
        self._records = await asyncio.to_thread(Records, self._folder)
        self.plumbing = await asyncio.to_thread(Plumbing, self._network, self._mtu)
        found = await asyncio.to_thread(lambda: list(self._records.read()))
        alive = await asyncio.to_thread(
            lambda: [record for record in found if record.complete and self.plumbing.alive(record)]
        )
        self.state.records.update((record.key, record) for record in alive)
        self._tenants = {record.address: record.pod.tenant for record in alive}
        note = await asyncio.to_thread(self._records.read_pool)
        self.pool = Pool.restored(self._network, note, (IPv4Address(record.address) for record in found))
        try:
            await asyncio.to_thread(self.plumbing.restore, alive)
        except LinkError as error:
            raise NetworkFailure(f"what pods had cannot be restored: {error.strerror}", again=True) from error
        await self.nft.renew()
        for record in found:
            if record.key not in self.state.records:
                _log.info("interface_stale", pod=str(record.pod), address=record.address, complete=record.complete)
                await self._forget(record)
        self._unready = ""
        _log.info("network_restored", network=str(self._network), interfaces=len(alive), stale=len(found) - len(alive))

    def close(self) -> None:
        """Lets go of the kernel; pods keep what they have."""
        self.plumbing.close()

    def unready(self) -> str:
        return self._unready

    def tenant_of(self, address: str) -> str | None:
        """Whose pod of this node has the address. Pods cannot send with another's."""
        return self._tenants.get(address)

    async def attach(self, wish: Wish) -> Attached:
        key = (wish.container_id, wish.ifname)
        async with self._lock(key):
            known = self.state.records.get(key)
            if known is not None:
                if known.netns == wish.netns and not await asyncio.to_thread(self.plumbing.flaws, known):
                    return self._attached(known)
                await self._remove(known)
            record = self._record(wish)
            try:
                await self._make(record)
            except BaseException as error:
                await asyncio.shield(self._remove(record))
                if isinstance(error, (LinkError, NoNamespace)):
                    raise NetworkFailure(f"cannot attach {record.pod}: {error.strerror}") from error
                raise
            return self._attached(self.state.records[key])

    async def detach(self, container_id: str, ifname: str) -> None:
        key = (container_id, ifname)
        async with self._lock(key):
            record = self.state.records.get(key)
            if record is not None:
                await self._remove(record)

    async def check(self, container_id: str, ifname: str, netns: str) -> None:
        record = self.state.records.get((container_id, ifname))
        if record is None:
            raise NetworkFailure(f"there is no interface {ifname} of container {container_id}")
        if record.netns != netns:
            raise NetworkFailure(f"the interface is in {record.netns}, not in {netns}")
        flaws = await asyncio.to_thread(self.plumbing.flaws, record)
        if flaws:
            raise NetworkFailure("; ".join(flaws))

    async def keep_only(self, wanted: frozenset[Key]) -> None:
        for record in list(self.state.records.values()):
            if record.key not in wanted:
                await self.detach(*record.key)

    async def collect(self) -> int:
        """Removes interfaces whose sandbox went without a word; how many."""
        records = list(self.state.records.values())
        dead = await asyncio.to_thread(
            lambda: [record for record in records if record.complete and not self.plumbing.alive(record)]
        )
        for record in dead:
            _log.warning("interface_lost", pod=str(record.pod), address=record.address)
            async with self._lock(record.key):
                if self.state.records.get(record.key) is record:
                    await self._remove(record)
        return len(dead)

    def _record(self, wish: Wish) -> Record:
        """Claims an address and ports. No await: two calls cannot claim the same."""
        tenant = wish.pod.tenant
        others = self.state.records.values()
        bridge = bridge_name(tenant)
        for other in self.state.tenants() - {tenant}:
            if bridge_name(other) == bridge:
                raise NetworkFailure(f"tenants {tenant} and {other} would share a bridge; they need different nodes")
        claimed = {(p.host_ip, p.protocol, p.host_port): record for record in others for p in record.ports}
        for port in wish.ports:
            holder = claimed.get((port.host_ip, port.protocol, port.host_port))
            if holder is not None:
                taken = f"{port.host_port}/{port.protocol}"
                raise NetworkFailure(f"host port {taken} is in use by {holder.pod}", again=True)
        shaping.limits(wish.annotations or {})
        try:
            address = self.pool.take(wish.address)
        except Exhausted as error:
            raise NetworkFailure(str(error), again=True) from error
        record = Record(
            container_id=wish.container_id,
            ifname=wish.ifname,
            netns=wish.netns,
            pod=wish.pod,
            address=str(address),
            mac=wish.mac or "02:" + secrets.token_bytes(5).hex(":"),
            host_ifname=port_name(wish.container_id, wish.ifname),
            ports=tuple(wish.ports),
            annotations={name: text for name, text in (wish.annotations or {}).items() if name.endswith("-bandwidth")},
        )
        self.state.records[record.key] = record
        self._tenants[record.address] = tenant
        return record

    async def _make(self, record: Record) -> None:
        await self._write(record)
        # Rules name links as text, so neither has to wait for the other. Both are waited for, whatever becomes of one.
        for outcome in await asyncio.gather(self._plumb(record), self.nft.apply(), return_exceptions=True):
            if outcome is not None:
                raise outcome
        complete = msgspec.structs.replace(record, complete=True)
        await asyncio.to_thread(self._records.write, complete)
        self.state.records[record.key] = complete

    async def _plumb(self, record: Record) -> None:
        async with self._bridges[bridge_name(record.pod.tenant)]:
            await asyncio.to_thread(self.plumbing.attach, record)
        ingress, egress = shaping.limits(record.annotations)
        if ingress or egress:
            await asyncio.to_thread(self.plumbing.shape, record, ingress, egress)

    async def _remove(self, record: Record) -> None:
        try:
            await asyncio.to_thread(self.plumbing.detach, record)
        except LinkError as error:
            raise NetworkFailure(f"cannot detach {record.pod}: {error.strerror}", again=True) from error
        self.state.records.pop(record.key, None)
        self._tenants.pop(record.address, None)
        await self.nft.apply()
        name = bridge_name(record.pod.tenant)
        async with self._bridges[name]:
            if not any(bridge_name(tenant) == name for tenant in self.state.tenants()):
                await asyncio.to_thread(self.plumbing.remove_bridge, name)
                self._bridges.pop(name, None)
        await self._forget(record)

    async def _forget(self, record: Record) -> None:
        with suppress(LinkError):
            await asyncio.to_thread(self.plumbing.detach, record)
        self.pool.give_back(IPv4Address(record.address))
        async with self._writing:
            await asyncio.to_thread(self._records.remove, record.key, self.pool.state())

    async def _write(self, record: Record) -> None:
        async with self._writing:
            await asyncio.to_thread(self._records.write, record, self.pool.state())

    def _attached(self, record: Record) -> Attached:
        return Attached(
            record.ifname,
            record.netns,
            record.mac,
            self._mtu,
            f"{record.address}/{self._network.prefixlen}",
            str(self.pool.gateway),
            record.host_ifname,
        )

    def _lock(self, key: Key) -> asyncio.Lock:
        for other in [other for other, lock in self._locks.items() if not lock.locked() and other != key][:2]:
            if other not in self.state.records:
                del self._locks[other]
        return self._locks[key]
