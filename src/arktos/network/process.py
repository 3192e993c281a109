"""The network's process on a node: what `arktos network` runs.

    reach the API server -> the node's podCIDR is known -> restore what there is -> answer CNI -> say that it is ready

The network namespace is the one that the process is started in. Pods keep what they have when the process ends, and
it takes them up again when it comes back.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from arktos.client import Cached, Client
from arktos.client import kubeconfig as kubeconfigs
from arktos.client.ratelimit import Backoff
from arktos.client.serving import HealthServer
from arktos.network.cni import install
from arktos.network.cni.daemon import POD_WAIT, CniDaemon
from arktos.network.dns.askers import NodeAskers
from arktos.network.dns.server import DnsServer
from arktos.network.dns.server import zone as dns_zone
from arktos.network.embedded import host, plumbing
from arktos.network.embedded.network import EmbeddedNetwork
from arktos.network.embedded.peers import Peers, node_network
from arktos.network.embedded.rules import Fixed
from arktos.network.localpods import LocalPods
from arktos.network.metrics import Metrics
from arktos.network.provider import NetworkFailure
from arktos.network.services import rules as service_rules
from arktos.network.services.routing import ServiceRouting
from arktos.network.watches import Watches
from arktos.wire import logs

NAME = "arktos-network"
_log = logs.get_logger(__name__)
_LOOK_AGAIN = 60.0
"""Seconds between two looks for sandboxes that are gone and chains that are in the way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `arktos network` is told. Networks are in CIDR form."""

    kubeconfig: Path
    node_name: str
    node_ip: str
    data_dir: Path
    socket: Path
    cni_conf_dir: Path
    cni_bin_dir: Path
    cluster_cidr: str = "10.244.0.0/16"
    service_cidr: str = "10.96.0.0/12"
    cluster_dns: str = "10.96.0.10"
    cluster_domain: str = "cluster.local"
    resolv_conf: Path = Path("/etc/resolv.conf")
    health_address: str = "127.0.0.1"
    health_port: int = 0


async def run(options: Options, stop: asyncio.Event | None = None) -> None:
    """Until `stop` is set, SIGTERM or SIGINT. The API server may come later, and come and go.

    Raises ConfigError for a kubeconfig that cannot be used, OSError for an address or a path that cannot be had,
    ValueError for networks that are none.
    """
    stopped = stop or asyncio.Event()
    if stop is None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)
    for network in (options.cluster_cidr, options.service_cidr):
        IPv4Network(network)
    config = kubeconfigs.load(options.kubeconfig).with_user_agent(NAME)
    async with Client(config) as client:
        node = NodeNetwork(options, client, config.server)
        async with HealthServer(
            options.health_address,
            options.health_port,
            ready={"network": node.unready},
            metrics=node.metrics.render,
        ):
            working = asyncio.create_task(node.run(), name="network")
            stopping = asyncio.create_task(stopped.wait(), name="stop")
            try:
                await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
            finally:
                working.cancel()
                stopping.cancel()
                await asyncio.wait((working, stopping))
            if not working.cancelled():
                working.result()


class NodeNetwork:
    """Everything of one node's network."""

    def __init__(self, options: Options, client: Client, server: str) -> None:
        self.watches = Watches(client, options.node_name)
        self.network: EmbeddedNetwork | None = None
        self.peers: Peers | None = None
        self.services: ServiceRouting | None = None
        self.dns: DnsServer | None = None
        self.metrics = Metrics(
            lambda: len(self.network.state.records) if self.network else 0,
            lambda: self.network.pool.capacity - len(self.network.pool) if self.network else 0,
            lambda: len(self.peers.unreachable) if self.peers else 0,
        )
        self._options = options
        self._server = server
        self._pods = LocalPods(self.watches, POD_WAIT)
        self._waiting = "the API server has not been reached"
        self._missing: list[str] = []
        self._obstacles: list[str] = []

    def unready(self) -> str | None:
        """Why pods have no network yet, or not a whole one."""
        if self._waiting:
            return self._waiting
        problems = [*self._missing, *self._obstacles]
        problems += [part.unready() for part in (self.services, self.dns) if part is not None]
        return "; ".join(filter(None, problems)) or None

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.watches.run(), name="watches")
            network = await self._network_of(await self._pod_network())
            peers = self.peers = Peers(
                network, self.watches, self._server, self._options.node_ip, self._options.cluster_cidr
            )
            await peers.prepare()
            # Not before all is known: what the kernel has is still true, and must not be cut down to what we know.
            self._waiting = "the pods of this node's tenants are not known yet"
            await self.watches.synced()
            self._waiting = "the network is being restored"
            await _until(network.start, lambda problem: setattr(self, "_waiting", problem))
            try:
                group.create_task(peers.run(), name="peers")
                self.services, self.dns = self._routing(), self._dns(network)
                group.create_task(self.services.run(), name="services")
                group.create_task(self.dns.run(), name="dns")
                await self._serve(network)
            finally:
                network.close()

    def _routing(self) -> ServiceRouting:
        options, watches = self._options, self.watches
        fixed = service_rules.Fixed(options.cluster_cidr, options.service_cidr, options.cluster_dns)
        return ServiceRouting(watches, options.node_name, fixed, watches.services_known)

    def _dns(self, network: EmbeddedNetwork) -> DnsServer:
        options = self._options
        zone = dns_zone(options.cluster_domain, options.cluster_dns, options.cluster_cidr, options.service_cidr)
        services, slices = self.watches.services, self.watches.slices

        def known(tenant: str) -> bool:
            return services.synced(tenant) and slices.synced(tenant)

        own = (options.node_ip, options.cluster_dns)
        askers = NodeAskers(network.tenant_of, own, self.watches.local_pods)
        return DnsServer(self.watches, askers, zone, options.resolv_conf, known=known)

    async def _serve(self, network: EmbeddedNetwork) -> None:
        options = self._options
        async with CniDaemon(network, self._pods, options.socket, self.metrics.call):
            await asyncio.to_thread(install.install_program, options.cni_bin_dir)
            await asyncio.to_thread(install.install_configuration, options.cni_conf_dir, options.socket)
            self._waiting = ""
            _log.info("network_ready", node=options.node_name, network=str(network.pool.network))
            while True:
                await self._look(network)
                await asyncio.sleep(_LOOK_AGAIN)

    async def _pod_network(self) -> str:
        """The node's podCIDR, once somebody has given it one."""
        known: asyncio.Queue[str] = asyncio.Queue()

        def on_change(old: Cached | None, new: Cached | None) -> None:
            if new is not None and new.name == self._options.node_name and (network := node_network(new)[0]):
                known.put_nowait(network)

        self.watches.nodes.add_handler(on_change)
        waiting = asyncio.create_task(self._say_synced(), name="synced")
        try:
            return await known.get()
        finally:
            waiting.cancel()

    async def _say_synced(self) -> None:
        await self.watches.nodes.synced.wait()
        self._waiting = f"node {self._options.node_name} has no podCIDR yet"

    async def _network_of(self, pod_network: str) -> EmbeddedNetwork:
        options = self._options
        self._missing = await asyncio.to_thread(host.prepare)
        gateway = str(IPv4Network(pod_network).network_address + 1)
        fixed = Fixed(pod_network, options.cluster_cidr, options.service_cidr, options.cluster_dns, gateway)
        mtu = await asyncio.to_thread(plumbing.uplink_mtu, options.node_ip)
        network = self.network = EmbeddedNetwork(fixed, options.data_dir, mtu=mtu, observe=self.metrics.rules)
        return network

    async def _look(self, network: EmbeddedNetwork) -> None:
        found = await host.obstacles()
        if found != self._obstacles:
            for obstacle in found:
                _log.error("host_in_the_way", reason=obstacle)
        self._obstacles = found
        try:
            await network.collect()
            await network.nft.renew()
        except NetworkFailure as error:
            _log.error("network_not_renewed", error=str(error))


async def _until(start: Callable[[], Awaitable[None]], say: Callable[[str], None]) -> None:
    backoff = Backoff(0.2, 30.0)
    while True:
        try:
            await start()
        except NetworkFailure as error:
            wait = backoff.next()
            say(str(error))
            _log.error("network_not_started", error=str(error), again_in=wait)
            await asyncio.sleep(wait)
        else:
            return
