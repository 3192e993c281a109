"""Whether extensions answer: the condition `Available` of their APIServices, with kube-aggregator's reasons."""

from __future__ import annotations

import asyncio
import functools
import time
from typing import NamedTuple

import msgspec

from arktos.apiserver.aggregation.connecting import Ways
from arktos.apiserver.aggregation.extensions import Extension, Extensions
from arktos.apiserver.backends import service_port
from arktos.apiserver.durability import put_of
from arktos.apiserver.encoding import decode, stamp
from arktos.apiserver.identity import User
from arktos.apiserver.membership import AUTHENTICATED, MASTERS
from arktos.model import registry
from arktos.model.kinds import SYSTEM_TENANT, Obj
from arktos.model.status import ApiError, NotFound
from arktos.store.records import AtRevision, PreconditionFailed, Store, StoreUnavailable
from arktos.wire import json, logs
from arktos.wire.exchange import ConnectionFailed, RequestTimeout

log = logs.get_logger(__name__)

_AGAIN_SECONDS = 30.0
_WHILE_AWAY_SECONDS = 2.0
"""Between two looks at what does not answer."""
_LOOK_SECONDS = 1.0
_CHECK_SECONDS = 5.0
_AT_ONCE = 16
_MAX_DOCUMENT = 4 << 20

_SELF = User("system:kube-aggregator", SYSTEM_TENANT, (MASTERS, AUTHENTICATED))
"""As whom this server asks extensions for itself."""


class Finding(NamedTuple):
    available: bool
    reason: str
    message: str


class Availability:
    """Looks at every extension when it changes and from time to time, and writes down what it finds. `look_soon` has it
    looked at now; `aclose` ends it."""

    def __init__(self, store: Store, ways: Ways) -> None:
        self._store = store
        self._ways = ways
        self._soon = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._due: dict[tuple[str, str], float] = {}
        self._looking: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._limit = asyncio.Semaphore(_AT_ONCE)
        self.extensions: Extensions

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def look_soon(self, extension: Extension | None) -> None:
        if extension is not None:
            self._due.pop((extension.tenant, extension.name), None)
            self._soon.set()

    async def aclose(self) -> None:
        tasks = [*self._looking.values(), *([self._task] if self._task is not None else ())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            found = self.extensions.all()
            known = {(each.tenant, each.name) for each in found}
            self._due = {key: when for key, when in self._due.items() if key in known}
            now, loop = time.monotonic(), asyncio.get_running_loop()
            for extension in found:
                key = (extension.tenant, extension.name)
                if key not in self._looking and self._due.get(key, 0.0) <= now:
                    # Each by itself: what hangs keeps nobody else from being looked at.
                    self._looking[key] = task = loop.create_task(self._look(extension))
                    task.add_done_callback(functools.partial(self._looked, key))
            self._soon.clear()
            try:
                async with asyncio.timeout(_LOOK_SECONDS if found else None):
                    await self._soon.wait()
            except TimeoutError:
                continue

    def _looked(self, key: tuple[str, str], task: asyncio.Task[None]) -> None:
        self._looking.pop(key, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("extension_look_failed", tenant=key[0], name=key[1], reason=repr(error))
            self._due[key] = time.monotonic() + _AGAIN_SECONDS

    async def _look(self, extension: Extension) -> None:
        async with self._limit:
            finding = await self._check(extension)
        if self.extensions.of(extension.tenant).get((extension.group, extension.version)) is not extension:
            self._soon.set()  # another one has taken its place meanwhile
            return
        wait = _AGAIN_SECONDS if finding.available else _WHILE_AWAY_SECONDS
        self._due[extension.tenant, extension.name] = time.monotonic() + wait
        if extension.available != finding.available:
            log.info("extension", tenant=extension.tenant, name=extension.name, **finding._asdict())
            extension.available = finding.available
            self.extensions.note()
        await self._write(extension, finding)

    async def _check(self, extension: Extension) -> Finding:
        where = f'service/{extension.service} in "{extension.namespace}"'
        backends = self._ways.backends
        try:
            service = backends.get("services", extension.tenant, extension.namespace, extension.service)
        except NotFound:
            return Finding(False, "ServiceNotFound", f"{where} is not present")
        try:
            port = service_port(service, str(extension.port))
        except ApiError:
            return Finding(False, "ServicePortError", f"{where} is not listening on port {extension.port}")
        if not backends.slices(extension.tenant, extension.namespace, extension.service):
            return Finding(False, "EndpointsNotFound", f"cannot find endpointslices for {where}")
        name = str(port.get("name") or "")
        if not backends.ready(extension.tenant, extension.namespace, extension.service, name):
            message = f'endpointslices for {where} have no addresses with port name "{name}"'
            return Finding(False, "MissingEndpoints", message)
        try:
            await self._discover(extension)
        except (ApiError, ConnectionFailed, RequestTimeout, ValueError) as error:
            message = f"failing or missing response from {extension.url}: {error}"
            return Finding(False, "FailedDiscoveryCheck", message[:1024])
        return Finding(True, "Passed", "all checks passed")

    async def _discover(self, extension: Extension) -> None:
        """Asks for what the extension serves."""
        path = f"/apis/{extension.group}/{extension.version}"
        status, found = await self._get(extension, path)
        if not 200 <= status < 300:
            raise ValueError(f"bad status from {extension.url}: {status}")
        if not isinstance(found, dict) or not isinstance(found.get("resources"), list):
            raise ValueError("the answer is not an APIResourceList")
        status, index = await self._get(extension, "/openapi/v3")
        paths = index.get("paths") if isinstance(index, dict) and status == 200 else None
        entry = paths.get(path[1:]) if isinstance(paths, dict) else None
        served = entry.get("serverRelativeURL") if isinstance(entry, dict) else ""
        openapi = served if isinstance(served, str) and served.startswith("/openapi/v3/") else ""
        if found != extension.resources or openapi != extension.openapi:
            extension.resources, extension.openapi = found, openapi
            self.extensions.note()

    async def _get(self, extension: Extension, path: str) -> tuple[int, Obj | None]:
        """Status and JSON of an answer; None for what is no JSON."""
        async with asyncio.timeout(_CHECK_SECONDS):
            exchange = await self._ways.ask(extension, path, _CHECK_SECONDS, _SELF)
            try:
                body = await exchange.read(_MAX_DOCUMENT)
            finally:
                exchange.abort()
        try:
            return exchange.status, json.decode_object(body)
        except json.DecodeError:
            return exchange.status, None

    async def _write(self, extension: Extension, finding: Finding) -> None:
        record = self._store.get(extension.record.key)
        if record is None or record.header.uid != extension.record.header.uid:
            return
        obj = decode(record)
        status = "True" if finding.available else "False"
        conditions = (obj.get("status") or {}).get("conditions") or []
        before: Obj = next((each for each in conditions if each.get("type") == "Available"), {})
        told = (before.get("status"), before.get("reason"), before.get("message"))
        if told == (status, finding.reason, finding.message):
            return
        since = before.get("lastTransitionTime") if before.get("status") == status else None
        condition = {
            "type": "Available",
            "status": status,
            "lastTransitionTime": since or stamp(time.time()),
            "reason": finding.reason,
            "message": finding.message,
        }
        others = [each for each in conditions if each.get("type") != "Available"]
        obj["status"] = {**(obj.get("status") or {}), "conditions": [*others, condition]}
        try:
            put = put_of(registry.by_resource(record.key.resource), record.key, obj)
            await self._store.commit([AtRevision(record.key, record.revision)], [put])
        except (PreconditionFailed, StoreUnavailable, msgspec.MsgspecError) as error:
            # The next look tells it again.
            log.info("extension_status_unwritten", name=extension.name, reason=str(error))
            self._due.pop((extension.tenant, extension.name), None)
