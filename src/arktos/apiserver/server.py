"""The API server as a whole: what stands behind the socket, put together once, taken down in order."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from arktos.apiserver import (
    admission_certificates,
    admission_pods,
    admission_serviceaccount,
    admission_storage,
    builtin_roles,
    escalation,
    foundation,
    node_rights,
)
from arktos.apiserver.admission import Admission, Attempt, Effects
from arktos.apiserver.admission_actions import ActionTargets
from arktos.apiserver.admission_devices import date_taints
from arktos.apiserver.admission_limits import LimitRanges
from arktos.apiserver.admission_machines import MachineClaims
from arktos.apiserver.admission_podsecurity import PodSecurity
from arktos.apiserver.admission_quotas import QuotaCharges
from arktos.apiserver.admission_runtimeclass import RuntimeClasses
from arktos.apiserver.admission_storage import StorageClasses
from arktos.apiserver.aggregation.aggregator import Aggregator
from arktos.apiserver.aggregation.local import LocalServices
from arktos.apiserver.aggregation.trust import ExtensionTrust
from arktos.apiserver.audit.log import AuditLog
from arktos.apiserver.audit.trail import Auditor
from arktos.apiserver.authn import Authenticator
from arktos.apiserver.authz import Authorizer
from arktos.apiserver.custom import definitions, naming
from arktos.apiserver.custom.catalogue import Catalogues
from arktos.apiserver.custom.conversion import Conversion
from arktos.apiserver.custom.sharing import SharedDefinitions
from arktos.apiserver.custom.upkeep import Upkeep
from arktos.apiserver.dispatch import Dispatcher
from arktos.apiserver.documents import Documents
from arktos.apiserver.dynamic.configurations import (
    MUTATING_BINDINGS,
    MUTATING_POLICIES,
    VALIDATING_BINDINGS,
    VALIDATING_POLICIES,
)
from arktos.apiserver.dynamic.rights import ParameterRights
from arktos.apiserver.dynamic.stage import DynamicAdmission
from arktos.apiserver.fairness import configuration
from arktos.apiserver.fairness.gate import Gate
from arktos.apiserver.health import Health
from arktos.apiserver.identifiers import suffix_of
from arktos.apiserver.inputs import Inputs, Unusable, read
from arktos.apiserver.kubelets import Kubelets
from arktos.apiserver.kubernetes_service import KubernetesService, advertised
from arktos.apiserver.lifecycle import Lifecycle
from arktos.apiserver.metrics import Metrics
from arktos.apiserver.options import Options
from arktos.apiserver.ranges import Ranges
from arktos.apiserver.reader import Reader, VirtualSource
from arktos.apiserver.reads import NotedStore
from arktos.apiserver.resource_metrics import NodeUsage, ResourceMetrics
from arktos.apiserver.routes import Routes
from arktos.apiserver.serviceips import ServiceAllocation, parse_ranges
from arktos.apiserver.servicetokens import Issuer
from arktos.apiserver.subresources.connecting import Connections
from arktos.apiserver.virtual import ComponentStatuses, RootCertificates, SharedClasses
from arktos.apiserver.watching import WatchServer
from arktos.apiserver.webhooks import WebhookClient
from arktos.apiserver.writes import Writer
from arktos.model import registry
from arktos.store.embedded import EmbeddedStore, open_store
from arktos.store.records import StoreUnavailable
from arktos.wire import logs
from arktos.wire.http import Request
from arktos.wire.http_server import Limits, Observer, Server, serve
from arktos.wire.tls import ServerTls, TlsError

log = logs.get_logger(__name__)

_RELOAD_SECONDS = 5.0
"""Between two looks at the certificates' files."""
_YOUNG = 10_000
"""New objects after which the collector looks among them: more than the requests under way have, which die by
themselves; few enough to be looked at in a millisecond."""
RBAC_GROUP = "rbac.authorization.k8s.io"


@dataclass(slots=True)
class ApiServer:
    """One API server on one store. `start` returns when it serves, or raises Unusable or StoreFault and leaves nothing
    open; `stop` ends streams, finishes requests, closes."""

    options: Options
    store: EmbeddedStore = field(init=False)
    watches: WatchServer = field(init=False)
    kubelets: Kubelets = field(init=False)
    usage: NodeUsage = field(init=False)
    upkeep: Upkeep = field(init=False)
    server: Server = field(init=False)
    gate: Gate = field(init=False)
    flows: configuration.Configuration = field(init=False)
    dynamic: DynamicAdmission = field(init=False)
    aggregator: Aggregator = field(init=False)
    auditor: Auditor | None = field(init=False, default=None)
    _looking: asyncio.TimerHandle = field(init=False)

    async def start(self) -> None:
        inputs = read(self.options)
        self.store = _opened(self.options.store)
        try:
            await self._serve(inputs)
        except BaseException:
            with suppress(StoreUnavailable):
                await self.store.close()
            raise

    async def _serve(self, inputs: Inputs) -> None:
        options = self.options
        try:
            await foundation.lay(self.store)
            await configuration.seed(self.store)
        except StoreUnavailable as error:
            raise Unusable(f"--store: {options.store}: {error}; is the disk full?") from error
        sources: list[VirtualSource] = [
            builtin_roles.BuiltinRoles(self.store),
            SharedClasses(self.store),
            SharedDefinitions(self.store),
            ComponentStatuses({"store": lambda: self.store.problem}),
            RootCertificates(self.store, inputs.root_ca),
            (local := LocalServices(self.store)),
            *([ExtensionTrust(self.store, inputs.front_proxy_ca)] if inputs.front_proxy_ca else ()),
            KubernetesService(
                self.store,
                parse_ranges(options.service_cluster_ip_range)[0],
                advertised(options.advertise_address or options.bind_address),
                options.secure_port,
            ),
        ]
        reader = Reader(self.store, sources)
        local.catalogues = Catalogues(reader.definitions)
        self.aggregator = Aggregator(reader, local, options.front_proxy)
        self.watches = WatchServer(reader)
        self.kubelets = Kubelets(reader, options.kubelet)
        self.usage = NodeUsage(self.kubelets)
        issuer = Issuer.from_file(options.service_account_key_file, options.service_account_issuer, self.store)
        authenticator = Authenticator(token_file=options.token_auth_file, issuer=issuer, store=self.store)
        authorizer = Authorizer(self.store, options.authorization_mode)
        ranges = tuple(parse_ranges(options.service_cluster_ip_range))
        webhooks = WebhookClient(reader, options.webhooks, ranges)
        self.dynamic = DynamicAdmission(self.store, reader, authorizer, webhooks)
        chain = admission_chain(self.store, authorizer, options)
        writer = Writer(reader, chain, dynamic=self.dynamic, conversion=Conversion(webhooks))
        self.gate = Gate(options.max_requests_inflight + options.max_mutating_requests_inflight)
        self.flows = configuration.Configuration(self.store, self.gate)
        metrics = Metrics(self._gauges, self.gate.waits)
        health = Health(live={}, ready={"store": lambda: self.store.problem})
        dispatcher = Dispatcher(
            reader,
            self.watches,
            Routes(
                writer,
                issuer,
                authenticator,
                authorizer,
                ResourceMetrics(reader, self.usage),
                Connections(reader, self.kubelets),
            ),
            authenticator,
            authorizer,
            Documents(health, metrics, issuer, inputs.root_ca),
            metrics,
            self._audited(inputs),
            self.gate if options.enable_priority_and_fairness else None,
            self.aggregator,
        )
        # What is loaded now stays: keep the collector from walking it again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
        try:
            self.server = await serve(
                dispatcher.handle,
                host=options.bind_address,
                port=options.secure_port,
                ssl_context=inputs.tls.context,
                limits=Limits(body=options.max_request_bytes),
                observe=self._observer(metrics),
            )
        except OSError as error:
            place = f"{options.bind_address}:{options.secure_port}"
            why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
            raise Unusable(
                f"--bind-address, --secure-port: cannot listen on {place}: {why}; stop what holds it or choose another"
            ) from error
        self.upkeep = Upkeep(writer, self.watches)
        self.upkeep.start()
        self.aggregator.start()
        self._look_at(inputs.tls)
        log.info("serving", address=options.bind_address, port=self.server.port, revision=self.store.revision)

    async def stop(self) -> None:
        await self.upkeep.aclose()
        await self.flows.aclose()
        self._looking.cancel()
        self.watches.close()
        await self.server.close(self.options.shutdown_grace)
        await self.aggregator.aclose()
        await self.dynamic.aclose()
        await self.usage.aclose()
        await self.kubelets.aclose()
        await self.store.close()
        if self.auditor is not None:
            self.auditor.close()
        log.info("stopped")

    def _look_at(self, tls: ServerTls) -> None:
        """Takes over certificates that were replaced, for connections to come."""
        try:
            if tls.reload():
                log.info("certificates_read", path=str(tls.certificate))
        except TlsError as error:
            log.warning("certificates_unusable", reason=str(error))
        self._looking = asyncio.get_running_loop().call_later(_RELOAD_SECONDS, self._look_at, tls)

    def _audited(self, inputs: Inputs) -> Auditor | None:
        if inputs.audit is None:
            return None
        try:
            self.auditor = Auditor(inputs.audit, AuditLog(self.options.audit))
        except OSError as error:
            raise Unusable(f"--audit-log-path: {self.options.audit.path}: {error.strerror or error}") from error
        return self.auditor

    def _observer(self, metrics: Metrics) -> Observer:
        auditor = self.auditor
        if auditor is None:
            return metrics.observe

        def observe(request: Request, status: int, seconds: float, sent: int) -> None:
            metrics.observe(request, status, seconds, sent)
            auditor.observe(request, status, seconds, sent)

        return observe

    def _gauges(self) -> Iterator[tuple[str, str, dict[str, str], float]]:
        yield from store_gauges(self.store)
        yield from self.gate.gauges()
        if self.auditor is not None:
            yield from self.auditor.gauges()
        for resource, count in self.watches.under_way().items():
            told = {"verb": "WATCH", **_names(resource)}
            yield "apiserver_longrunning_requests", "Watches under way.", told, float(count)
        for resource, count in self.watches.sent.items():
            yield "apiserver_watch_events_total", "Events sent to watches.", _names(resource), float(count)


def _opened(path: Path) -> EmbeddedStore:
    """The store. StoreFault for a file that cannot be read, Unusable for a place that cannot be written."""
    indexed = {kind.resource: kind.indexed for kind in registry.all_kinds() if not kind.storage}
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return open_store(path, indexed)
    except OSError as error:
        advice = "it must be a file in a directory that this user may write, on a disk that is not full"
        raise Unusable(f"--store: {path}: {error.strerror or error}; {advice}") from error


def _names(resource: str) -> dict[str, str]:
    plural, _, group = resource.partition(".")
    return {"group": group, "resource": plural}


def store_gauges(store: EmbeddedStore) -> Iterable[tuple[str, str, dict[str, str], float]]:
    stats = store.stats()
    for resource, count in stats.objects.items():
        yield "apiserver_storage_objects", "Objects stored, by resource.", {"resource": resource}, float(count)


def admission_chain(store: EmbeddedStore, authorizer: Authorizer, options: Options) -> Admission:
    """The steps that a write goes through, by resource."""
    lifecycle = Lifecycle(store)
    ranges = Ranges(store)
    noted = NotedStore(store)
    priorities, security = admission_pods.Priorities(noted), PodSecurity(noted)
    machines = MachineClaims(security.floor)
    classes = StorageClasses(store)
    services = ServiceAllocation(store, parse_ranges(options.service_cluster_ip_range))
    limits, quotas = LimitRanges(noted), QuotaCharges(store)
    parameters = ParameterRights(store, authorizer)

    def accounts(attempt: Attempt, effects: Effects) -> None:
        if attempt.operation == "create":
            call, meta = attempt.call, attempt.obj["metadata"]
            suffix = suffix_of(meta.get("generateName") or meta.get("name") or "")
            admission_serviceaccount.admit(attempt.obj, call.tenant, call.info.namespace, noted, suffix)

    def rights(attempt: Attempt, effects: Effects) -> None:
        if attempt.operation != "delete":
            call = attempt.call
            escalation.check(attempt.kind, attempt.obj, attempt.old, call.user, call.tenant, authorizer)

    roles = ("roles", "rolebindings", "clusterroles", "clusterrolebindings")
    return Admission(
        store,
        {
            "*": [ranges.fence, lifecycle.parents, naming.bound],
            "tenants": [lifecycle.tenants],
            "namespaces": [lifecycle.namespaces],
            "pods": [
                limits.default_pod,
                accounts,
                admission_pods.tolerate,
                priorities.step,
                RuntimeClasses(noted).step,
                limits.check_pod,
                security.step,
                machines.pod_addresses,
            ],
            "limitranges": [limits.note],
            "resourcequotas": [quotas.step],
            definitions.RESOURCE: [naming.Naming(store).step],
            "actions": [ActionTargets(store).step],
            "nodes": [node_rights.own_name, admission_pods.taint],
            "controllerinstances": [ranges.instances],
            "resourceslices.resource.k8s.io": [date_taints],
            "services": [machines.services, services.step],
            "persistentvolumes": [machines.volumes, admission_storage.protect_volume, admission_storage.date_phase],
            "persistentvolumeclaims": [
                classes.choose,
                classes.grow,
                admission_storage.protect_claim,
                limits.check_claim,
            ],
            "volumeattributesclasses.storage.k8s.io": [admission_storage.protect_attributes],
            "volumeattachments.storage.k8s.io": [machines.attachments],
            VALIDATING_POLICIES: [parameters.policy],
            MUTATING_POLICIES: [parameters.policy],
            VALIDATING_BINDINGS: [parameters.binding],
            MUTATING_BINDINGS: [parameters.binding],
            admission_certificates.RESOURCE: [admission_certificates.step(authorizer)],
            **{f"{plural}.{RBAC_GROUP}": [rights] for plural in roles},
        },
        {"services": services.release, "controllerinstances": ranges.release},
        quotas.charge,
        noted,
    )


async def run(options: Options) -> None:
    """Serves until SIGTERM or SIGINT. Unusable, StoreFault when it cannot start."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    server = ApiServer(options)
    await server.start()
    await stopping.wait()
    await server.stop()
