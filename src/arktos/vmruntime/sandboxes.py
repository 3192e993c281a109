"""The pod sandboxes: for each a network namespace whose CNI address a guest is to have, and the DHCP that gives it.

A sandbox is recorded before anything is made for it and complete once it stands, so that whatever a killed runtime left
half made is found and taken down.

Namespaces end with the host's run, machines do not: a sandbox that stood then is lost, and has its network made anew,
with the address that it had if that is to be had, when a machine of it is started.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from arktos.client.ratelimit import Backoff
from arktos.hostnet import netns, tap
from arktos.hostnet.cni import Cni, CniError, CniResult
from arktos.hostnet.dhcp import Lease
from arktos.hostnet.dhcp_server import DhcpResponder
from arktos.rpc.protos import cri_pb2 as pb
from arktos.vmruntime import plugins
from arktos.vmruntime.errors import AlreadyExists, Failed, Invalid, NotFound, WrongState
from arktos.vmruntime.messages import as_json, sandbox_config
from arktos.vmruntime.records import NicSpec, Records, SandboxRecord
from arktos.wire import logs

_INTERFACE, _TAP = "eth0", "tap0"
_log = logs.get_logger(__name__)


class Sandboxes:
    def __init__(self, records: Records[SandboxRecord], cni: Cni) -> None:
        self._records = records
        self._cni = cni
        self._by_id: dict[str, SandboxRecord] = {}
        self._responders: dict[str, DhcpResponder] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._discarding: set[asyncio.Task[None]] = set()

    def __iter__(self) -> Iterator[SandboxRecord]:
        return iter([record for record in self._by_id.values() if record.complete])

    def get(self, id: str) -> SandboxRecord:
        """Raises NotFound."""
        record = self._by_id.get(id)
        if record is None or not record.complete:
            raise NotFound("pod sandbox", id)
        return record

    def ready(self, id: str) -> SandboxRecord:
        """Raises NotFound, WrongState for one that was stopped."""
        record = self.get(id)
        if not record.ready:
            raise WrongState(f"pod sandbox {id!r} is not ready")
        return record

    async def standing(self, id: str) -> SandboxRecord:
        """As `ready`, with a network made anew where it was lost. Raises Failed where there is none to be had now."""
        record = self.get(id)
        async with self._lock(id):
            if record.ready and record.netns and not await asyncio.to_thread(netns.exists, record.netns):
                record.ready, record.lost = False, True
            if record.lost:
                await self._rebuild(record)
        return self.ready(id)

    async def _rebuild(self, record: SandboxRecord) -> None:
        config, before = sandbox_config(record), record.address
        self._silence(record)
        try:
            await self._leave(record, config)
            await self._connect(record, config)
            # One that was retired meanwhile is not ready.
            record.ready, record.lost = record.lost, False
            await self._save(record)
        except (OSError, CniError) as error:
            raise Failed(f"failed to set up the network of sandbox {record.id!r} anew: {error}") from error
        _log.info("sandbox_rebuilt", id=record.id, before=before, address=record.address)

    def _lock(self, id: str) -> asyncio.Lock:
        return self._locks.setdefault(id, asyncio.Lock())

    def network_problem(self) -> str:
        """Why no sandbox can have a network now, "" if it can."""
        return self._cni.ready()

    async def run(self, config: pb.PodSandboxConfig, runtime_handler: str) -> str:
        """A new sandbox on the network. Raises Invalid, AlreadyExists, Failed; then nothing of it is left."""
        if config.linux.security_context.namespace_options.network == pb.NODE:
            raise Invalid("config.linux.security_context", "a virtual machine cannot use the node's network")
        name = _name(config)
        if any(_name(sandbox_config(other)) == name for other in self._by_id.values()):
            raise AlreadyExists(f"there is a pod sandbox {'_'.join(map(str, name))!r} already")
        id = self._records.new_id()
        record = SandboxRecord(
            id=id, config=as_json(config), runtime_handler=runtime_handler, created_at=time.time_ns()
        )
        self._by_id[id] = record
        try:
            await self._save(record)
            await self._connect(record, config)
            record.complete = record.ready = True
            await self._save(record)
        except BaseException as error:
            record.complete = record.ready = False
            await asyncio.shield(self._discard(record))
            if isinstance(error, (OSError, CniError)):
                raise Failed(f"failed to setup network for sandbox {id!r}: {error}") from error
            raise
        return id

    async def _connect(self, record: SandboxRecord, config: pb.PodSandboxConfig) -> None:
        path = await asyncio.to_thread(netns.create, f"arktos-vm-{record.id}")
        record.netns = str(path)
        await self._save(record)
        result = await self._join(record, config, path)
        joined = await asyncio.to_thread(tap.join, path, _INTERFACE, _TAP)
        record.address, record.gateway = result.address, result.gateway
        record.nic = NicSpec(tap=joined.tap, mac=joined.mac, mtu=joined.mtu)
        await self._answer_dhcp(record)

    async def _join(self, record: SandboxRecord, config: pb.PodSandboxConfig, path: Path) -> CniResult:
        """Onto the network, with the address and the MAC that it had, if it had any and they are free: kept memory
        goes on with them."""
        arguments, capabilities = _arguments(record.id, config), _capabilities(config)
        if record.nic is not None:
            kept = {**arguments, "IP": record.address.partition("/")[0], "MAC": record.nic.mac}
            try:
                return await self._cni.add(record.id, path, _INTERFACE, kept, capabilities)
            except CniError as error:
                _log.warning("address_not_kept", id=record.id, address=record.address, error=str(error))
        return await self._cni.add(record.id, path, _INTERFACE, arguments, capabilities)

    async def _answer_dhcp(self, record: SandboxRecord) -> None:
        assert record.nic is not None
        found = lease(record, sandbox_config(record))
        self._responders[record.id] = await DhcpResponder.open(record.netns, record.nic.tap, found)

    async def retire(self, id: str) -> None:
        """From now on no machine is started in it. Idempotent. Raises NotFound."""
        record = self.get(id)
        if record.ready or record.lost:
            record.ready = record.lost = False
            await self._save_if_possible(record)

    async def stop(self, id: str) -> None:
        """Its network goes, its address is free. Idempotent. Raises NotFound; Failed where CNI refuses: try again."""
        record = self.get(id)
        async with self._lock(id):
            await self.retire(id)
            await self._disconnect(record)

    async def _disconnect(self, record: SandboxRecord) -> None:
        self._silence(record)
        if not record.netns:
            return
        try:
            await self._leave(record, sandbox_config(record))
        except CniError as error:
            raise Failed(f"failed to destroy network for sandbox {record.id!r}: {error}") from error
        record.netns, record.nic = "", None
        await self._save_if_possible(record)

    async def _leave(self, record: SandboxRecord, config: pb.PodSandboxConfig) -> None:
        arguments = _arguments(record.id, config)
        if not await asyncio.to_thread(netns.exists, record.netns):
            # A file that nothing was bound to yet is no namespace that has gone, for plugins.
            await asyncio.to_thread(netns.remove, record.netns)
        await self._cni.delete(record.id, record.netns, _INTERFACE, arguments, _capabilities(config))
        await asyncio.to_thread(netns.remove, record.netns)

    def _silence(self, record: SandboxRecord) -> None:
        responder = self._responders.pop(record.id, None)
        if responder is not None:
            responder.close()

    async def remove(self, id: str) -> None:
        """Stops it and forgets it. Idempotent: one that is not there is gone."""
        if id not in self._by_id:
            return
        await self.stop(id)
        await asyncio.to_thread(self._records.remove, id)
        self._by_id.pop(id, None)
        self._locks.pop(id, None)

    async def _discard(self, record: SandboxRecord) -> None:
        """Takes down what there is of a sandbox that nobody was told of. What resists is tried again by and by."""
        if not await self._discarded(record):
            task = asyncio.create_task(self._discard_later(record), name=f"discard {record.id}")
            self._discarding.add(task)
            task.add_done_callback(self._discarding.discard)
        self._by_id.pop(record.id, None)

    async def _discarded(self, record: SandboxRecord) -> bool:
        try:
            await self._disconnect(record)
        except (Failed, OSError) as error:
            _log.warning("sandbox_left", id=record.id, error=str(error))
            return False
        await asyncio.to_thread(self._records.remove, record.id)
        return True

    async def _discard_later(self, record: SandboxRecord) -> None:
        backoff = Backoff(1.0, 60.0)
        while True:
            await asyncio.sleep(backoff.next())
            if await self._discarded(record):
                return

    async def adopt(self) -> None:
        """All sandboxes of a former runtime: DHCP answers again; half-made ones go; one whose namespace has gone, as
        after a restart of the host, is lost."""
        records, broken = await asyncio.to_thread(self._records.load)
        for id in broken:
            await asyncio.to_thread(self._records.remove, id)
        unfinished = {record.id for record in records if not record.complete}
        if not await asyncio.to_thread(plugins.end, unfinished):
            _log.warning("plugins_left", sandboxes=sorted(unfinished))
        for record in records:
            self._by_id[record.id] = record
            if not record.complete:
                # The namespace's name is known even if the record was not saved after it was made.
                record.netns = record.netns or str(netns.FOLDER / f"arktos-vm-{record.id}")
                await self._discard(record)
            elif record.ready:
                await self._adopt(record)

    async def _adopt(self, record: SandboxRecord) -> None:
        try:
            await self._answer_dhcp(record)
        except OSError as error:
            _log.warning("sandbox_lost", id=record.id, error=str(error))
            record.ready, record.lost = False, True
            await self._save(record)

    async def lose_all(self) -> None:
        """Takes all networks down, as a restart of the host would, but in good order. Not while a runtime works in
        this folder. Raises Failed, OSError; then try again."""
        records, _ = await asyncio.to_thread(self._records.load)
        for record in records:
            if not record.netns:
                continue
            if not (record.ready or record.lost):
                await self._disconnect(record)
                continue
            try:
                await self._leave(record, sandbox_config(record))
            except CniError as error:
                raise Failed(f"failed to destroy network for sandbox {record.id!r}: {error}") from error
            record.ready, record.lost = False, True
            await self._save(record)

    def close(self) -> None:
        """Stops answering; the sandboxes stay."""
        for task in self._discarding:
            task.cancel()
        for responder in self._responders.values():
            responder.close()
        self._responders.clear()

    async def _save_if_possible(self, record: SandboxRecord) -> None:
        """A full disk must not keep a sandbox from being taken down; what stays on disk is put right at the next
        start, when the namespace is not found."""
        try:
            await self._save(record)
        except OSError as error:
            _log.warning("record_not_saved", id=record.id, error=str(error))

    async def _save(self, record: SandboxRecord) -> None:
        await asyncio.to_thread(self._records.save, record)


def _name(config: pb.PodSandboxConfig) -> tuple[str, str, str, int]:
    metadata = config.metadata
    return metadata.name, metadata.namespace, metadata.uid, metadata.attempt


def lease(record: SandboxRecord, config: pb.PodSandboxConfig) -> Lease:
    """What DHCP tells the guest."""
    assert record.nic is not None
    servers = (ipaddress.ip_address(server) for server in config.dns_config.servers)
    return Lease(
        record.nic.mac,
        ipaddress.IPv4Interface(record.address),
        ipaddress.IPv4Address(record.gateway) if record.gateway else None,
        tuple(server for server in servers if isinstance(server, ipaddress.IPv4Address)),
        tuple(config.dns_config.searches),
        record.nic.mtu,
        config.hostname,
    )


def _arguments(id: str, config: pb.PodSandboxConfig) -> Mapping[str, str]:
    return {
        "IgnoreUnknown": "1",
        "K8S_POD_NAMESPACE": config.metadata.namespace,
        "K8S_POD_NAME": config.metadata.name,
        "K8S_POD_INFRA_CONTAINER_ID": id,
        "K8S_POD_UID": config.metadata.uid,
    }


def _capabilities(config: pb.PodSandboxConfig) -> Mapping[str, Any]:
    ports = [
        {
            "hostPort": mapping.host_port,
            "containerPort": mapping.container_port,
            "protocol": pb.Protocol.Name(mapping.protocol).lower(),
            "hostIP": mapping.host_ip,
        }
        for mapping in config.port_mappings
        if mapping.host_port > 0
    ]
    return {"portMappings": ports} if ports else {}
