"""The agent's process on a node: what `arktos agent` runs.

    tables and facts -> runtimes -> sources, volumes, cgroups, images, probes -> pods, node, streaming

Each part is made once, in `Agent`, and run in one task group: what breaks ends the process, and its supervisor starts
another. Pods run on meanwhile, and are taken up again.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from arktos.agent import host_facts
from arktos.agent.actions.service import Actions
from arktos.agent.cgroups.groups import Cgroups
from arktos.agent.images.ledger import Ledger
from arktos.agent.images.pulling import Images
from arktos.agent.metrics import Metrics
from arktos.agent.node.agent import NodeAgent
from arktos.agent.node.options import NodeOptions
from arktos.agent.node.relief import Relief
from arktos.agent.pods.admission import Admission
from arktos.agent.pods.containers import Containers
from arktos.agent.pods.parts import Parts
from arktos.agent.pods.service import PodService
from arktos.agent.pods.table import Pods
from arktos.agent.pods.telling import Telling
from arktos.agent.probes.running import Probes
from arktos.agent.runtimes import Runtimes, RuntimeSpec
from arktos.agent.sources import Sources
from arktos.agent.spec.facts import NodeFacts
from arktos.agent.streaming.access import Access, ApiReviews
from arktos.agent.streaming.server import StreamingOptions, StreamingServer
from arktos.agent.vm.workload import Machines
from arktos.agent.volumes import VolumeError, Volumes
from arktos.client import Client, Recorder
from arktos.client.serving import HealthServer
from arktos.model import quantity
from arktos.model.kinds import Obj

NAME = "arktos-agent"
COMPONENT = "kubelet"
"""Who events are from, as clients know it."""
_EVENTS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `arktos agent` is told. `node` is what concerns the node object and what it has to give."""

    kubeconfig: Path
    node: NodeOptions
    runtimes: tuple[RuntimeSpec, ...]
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    cgroup_root: str = "/arktos"
    resolv_conf: Path = Path("/etc/resolv.conf")
    address: str = "0.0.0.0"
    tls_cert_file: Path | None = None
    tls_private_key_file: Path | None = None
    client_ca_file: Path | None = None
    health_address: str = "127.0.0.1"
    health_port: int = 0


async def run(options: Options, stop: asyncio.Event | None = None) -> None:
    """Until `stop` is set, SIGTERM or SIGINT. API server and runtimes may come later, and come and go.

    Raises ConfigError for a kubeconfig that cannot be used, TlsError for certificates, OSError for an address or a file
    that cannot be had.
    """
    stopped = stop or asyncio.Event()
    if stop is None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)
    async with (
        Client.from_kubeconfig(options.kubeconfig, user_agent=NAME) as client,
        Recorder(client, COMPONENT, options.node.node_name, limit=_EVENTS) as recorder,
    ):
        agent = await Agent.make(options, client, recorder)
        health = HealthServer(
            options.health_address, options.health_port, ready={"agent": agent.unready}, metrics=agent.metrics.render
        )
        async with health:
            working = asyncio.create_task(agent.run(), name="agent")
            stopping = asyncio.create_task(stopped.wait(), name="stop")
            try:
                await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
            finally:
                working.cancel()
                stopping.cancel()
                await asyncio.wait((working, stopping))
                await agent.aclose()
            if not working.cancelled():
                working.result()


class Agent:
    """All parts of one node's agent."""

    @classmethod
    async def make(cls, options: Options, client: Client, recorder: Recorder) -> Agent:
        """Reads what is to be known of the machine, and listens. Raises OSError, TlsError."""
        if not options.node.port:
            options = replace(options, node=replace(options.node, port=_free_port(options.address)))
        cgroups = await asyncio.to_thread(Cgroups, options.cgroup_root, process_limit=options.node.pod_processes)
        facts = await asyncio.to_thread(
            host_facts.read,
            options.node.node_name,
            (options.node.node_ip,),
            cluster_dns=options.cluster_dns,
            cluster_domain=options.cluster_domain,
            resolv_conf=options.resolv_conf,
            seccomp_root=options.node.data_dir / "seccomp",
            cgroup_v2=cgroups.v2,
        )
        made = cls(options, client, recorder, cgroups, facts)
        await made.ledger.load()
        if made.streaming is not None:
            await made.streaming.start()
        return made

    def __init__(
        self, options: Options, client: Client, recorder: Recorder, cgroups: Cgroups, facts: NodeFacts
    ) -> None:
        self.options = options
        self.client = client
        self.recorder = recorder
        self._facts = facts
        self._allocatable_of = ""
        self.pods = Pods()
        self.metrics = Metrics(self.pods)
        self.runtimes = Runtimes(options.runtimes, self.metrics.runtime_call)
        self.cgroups = cgroups
        self.sources = Sources(client)
        self.ledger = Ledger(options.node.data_dir / "images")
        self.images = Images(self.sources.pull_secrets, ledger=self.ledger)
        pods_dir = options.node.data_dir / "pods"
        self.telling = Telling(recorder)
        self.volumes = Volumes(pods_dir, client, self.sources, self.facts, complain=self._volume_failed)
        self.parts = Parts(
            self.runtimes,
            self.images,
            self.volumes,
            cgroups,
            self.sources,
            self.telling,
            Admission(self.pods, self.node_object, self.facts, lambda: self.node.pressures),
            self.facts,
            pods_dir,
            options.node.pod_logs_dir,
        )
        self.service = PodService(client, options.node.node_name, self.pods, self.parts)
        self.probes = Probes(self.service.wake, self._probe_failed)
        self.service.attach("container", Containers(self.parts, self.probes, self.service.wake))
        self.machines = Machines(self.parts, self.service.wake)
        self.service.attach("vm", self.machines)
        actions_dir = options.node.data_dir / "actions"
        self.actions = Actions(client, options.node.node_name, self.pods, self.machines, self.telling, actions_dir)
        self.node = NodeAgent(
            options.node,
            client,
            self.runtimes,
            self.pods,
            recorder,
            self.service.evict,
            lambda: self.service.synced,
            lambda milli_cpu, memory: cgroups.set_up(milli_cpu=milli_cpu, memory=memory),
            self.ledger,
            Relief(options.node.data_dir / "put-by", self.pods, cgroups.occupied, self.volumes.empty),
        )
        self.streaming = self._streaming()

    def _streaming(self) -> StreamingServer | None:
        """The server for logs and commands; None without a certificate for it."""
        options = self.options
        if options.tls_cert_file is None or options.tls_private_key_file is None:
            return None
        return StreamingServer(
            StreamingOptions(
                options.tls_cert_file,
                options.tls_private_key_file,
                options.client_ca_file,
                options.node.pod_logs_dir,
                options.address,
                options.node.port,
            ),
            self.pods,
            self.runtimes,
            Access(ApiReviews(self.client, options.node.node_name)),
            self.node.stats,
            self.metrics.render,
        )

    def facts(self) -> NodeFacts:
        """What pods must know of this node, as of now."""
        node = self.node.node
        if node is not None and node.resource_version != self._allocatable_of:
            stated = (node.obj().get("status") or {}).get("allocatable") or {}
            amounts = {name: quantity.parse(str(amount)) for name, amount in stated.items()}
            self._facts = replace(self._facts, allocatable=amounts)
            self._allocatable_of = node.resource_version
        return self._facts

    def node_object(self) -> Obj | None:
        """This node's own API object, None while it is not known."""
        node = self.node.node
        return node.obj() if node is not None else None

    def unready(self) -> str | None:
        """Why pods cannot be run yet, None if they can."""
        if not self.service.synced:
            return "the pods of this node are not known yet"
        return self.node.unready()

    async def run(self) -> None:
        """Until cancelled."""
        self.parts.pods_dir.mkdir(parents=True, exist_ok=True, mode=0o750)
        self.parts.logs_dir.mkdir(parents=True, exist_ok=True, mode=0o755)
        parts: list[Coroutine[Any, Any, None]] = [
            self.sources.run(),
            self.volumes.run(),
            self.volumes.provisioned.run(),
            self.service.run(),
            self.actions.run(),
            self.node.run(),
            *((self.streaming.run(),) if self.streaming is not None else ()),
        ]
        async with asyncio.TaskGroup() as group:
            for part in parts:
                group.create_task(part)

    async def aclose(self) -> None:
        """Lets go of everything; pods run on."""
        if self.streaming is not None:
            await self.streaming.stop()
        await self.probes.aclose()
        await self.images.aclose()
        await self.runtimes.aclose()

    def _volume_failed(self, pod: Obj, error: VolumeError) -> None:
        self.telling.warning(pod, error.reason, error.message)

    def _probe_failed(self, uid: str, container: Obj, reason: str, message: str) -> None:
        record = self.pods.get(uid)
        if record is not None:
            self.telling.warning(record.pod, reason, message, container["name"])


def _free_port(address: str) -> int:
    """A port that can be had: the node object says which, so it must be known before anything listens."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
