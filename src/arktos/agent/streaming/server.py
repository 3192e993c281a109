"""The node's HTTPS server: who asks is checked, then the path decides who answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import parse_qsl

from arktos.agent.pods.observed import Container, State
from arktos.agent.pods.table import PodRecord, Pods
from arktos.agent.runtimes import Runtime, Runtimes
from arktos.agent.streaming import commands, forwarding
from arktos.agent.streaming.access import Access
from arktos.agent.streaming.crilog import log_options
from arktos.agent.streaming.inotify import Folders
from arktos.agent.streaming.logs import LogSource, log_stream
from arktos.agent.streaming.paths import Target, target
from arktos.model.kinds import Obj
from arktos.model.status import (
    ApiError,
    BadRequest,
    InternalError,
    MethodNotAllowed,
    NotFound,
    ServiceUnavailable,
)
from arktos.model.workload import workloads
from arktos.rpc import cri
from arktos.rpc.method import RpcError
from arktos.rpc.protos import cri_pb2 as pb
from arktos.wire import json, logs
from arktos.wire.http import Reply, Request, Response
from arktos.wire.http_server import Limits, Server, serve
from arktos.wire.remotecommand import Wanted
from arktos.wire.tls import ServerTls, TlsError

_TEXT = "text/plain; charset=utf-8"
_RUN_SECONDS = 240.0
CERTIFICATES_REREAD = 60.0
"""Seconds between two looks at the certificate's files."""
_RUNTIME_SECONDS = 120.0
_WAITING = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}
_API_ERRORS: dict[str, type[ApiError]] = {
    "NOT_FOUND": NotFound,
    "UNAVAILABLE": ServiceUnavailable,
    "INVALID_ARGUMENT": BadRequest,
    "FAILED_PRECONDITION": BadRequest,
}
_Answered = TypeVar("_Answered")
_log = logs.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StreamingOptions:
    """`port` 0 takes any. `pod_logs_dir` holds a folder for each pod."""

    tls_cert_file: Path
    tls_private_key_file: Path
    client_ca_file: Path | None
    pod_logs_dir: Path
    address: str = "0.0.0.0"
    port: int = 10250


class Statistics(Protocol):
    """What the node, its pods and containers use."""

    async def summary_json(self) -> bytes: ...

    async def resource_metrics(self) -> bytes: ...

    async def usage(self) -> bytes: ...


Metrics = Callable[[str], tuple[bytes, str]]
"""From an Accept header to the agent's own metrics and their content type."""


class StreamingServer:
    """Serves from `start` to `stop`. `pods` and `runtimes` are shared with the pod workers."""

    def __init__(
        self,
        options: StreamingOptions,
        pods: Pods,
        runtimes: Runtimes,
        access: Access,
        statistics: Statistics | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._options = options
        self._pods = pods
        self._runtimes = runtimes
        self._access = access
        self._statistics = statistics
        self._metrics = metrics
        self._folders: Folders | None = None
        self._server: Server | None = None
        self._tls: ServerTls | None = None
        self._actions: dict[str, Callable[[Request, Target], Awaitable[Reply]]] = {
            "containerLogs": self._container_logs,
            "exec": self._exec,
            "attach": self._attach,
            "run": self._run,
            "portForward": self._port_forward,
        }
        self._documents: dict[str, Callable[[Request], Awaitable[Response]]] = {
            "/healthz": self._healthz,
            "/pods": self._all_pods,
            "/runningpods": self._all_pods,
            "/stats/summary": self._summary,
            "/stats/usage": self._usage,
            "/metrics": self._own_metrics,
            "/metrics/resource": self._resource_metrics,
        }

    @property
    def port(self) -> int:
        return self._server.port if self._server is not None else self._options.port

    async def start(self) -> None:
        """Raises TlsError, OSError."""
        options = self._options
        tls = self._tls = ServerTls(options.tls_cert_file, options.tls_private_key_file, options.client_ca_file)
        try:
            self._folders = Folders()
        except OSError as error:
            _log.warning("logs_followed_by_looking", error=str(error))
        self._server = await serve(
            self.handle, host=options.address, port=options.port, ssl_context=tls.context, limits=Limits()
        )
        _log.info("streaming", address=options.address, port=self.port)

    async def run(self) -> None:
        """Shows new connections the certificate that its file has by then; until cancelled."""
        while self._tls is not None:
            await asyncio.sleep(CERTIFICATES_REREAD)
            try:
                if self._tls.reload():
                    _log.info("certificate_renewed", path=str(self._options.tls_cert_file))
            except TlsError as error:
                _log.warning("certificate_not_renewed", error=str(error))

    async def stop(self, grace: float = 2.0) -> None:
        """Ends streams and connections."""
        if self._server is not None:
            await self._server.close(grace)
        if self._folders is not None:
            self._folders.close()

    async def handle(self, request: Request) -> Reply:
        """Answers, or raises the ApiError that the protocol renders."""
        user = await self._access.check(request)
        wanted = target(request.path)
        if wanted is not None:
            if wanted.action != "containerLogs":
                _log.info(
                    "stream",
                    action=wanted.action,
                    user=user.name,
                    tenant=wanted.tenant,
                    namespace=wanted.namespace,
                    pod=wanted.pod,
                    container=wanted.container,
                )
            return await self._actions[wanted.action](request, wanted)
        document = self._documents.get(request.path.rstrip("/"))
        if document is None:
            raise NotFound("404 page not found")
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        return await document(request)

    # Pods

    def _pod(self, wanted: Target) -> PodRecord:
        record = self._pods.find(wanted.tenant, wanted.namespace, wanted.pod)
        if record is None:
            raise NotFound(f'pod "{wanted.pod}" does not exist')
        return record

    def _runtime(self, record: PodRecord) -> Runtime:
        runtime = self._runtimes.get(record.runtime)
        if runtime is None:
            raise ServiceUnavailable(f'pod "{record.name}" has no runtime yet')
        return runtime

    def _running(self, wanted: Target) -> tuple[Runtime, str]:
        """The runtime and id of a container that runs."""
        record = self._pod(wanted)
        container = record.container_id(wanted.container)
        if not container:
            raise NotFound(f'container not found ("{wanted.container}")')
        return self._runtime(record), container

    # Streams

    async def _exec(self, request: Request, wanted: Target) -> Reply:
        commands.require_upgrade(request)
        streams = commands.wanted(request.query)
        command = [value for name, value in parse_qsl(request.query, keep_blank_values=True) if name == "command"]
        if not command:
            raise BadRequest("you must specify a command")
        runtime, container = self._running(wanted)
        asked = pb.ExecRequest(
            container_id=container,
            cmd=command,
            tty=streams.tty,
            stdin=streams.stdin,
            stdout=streams.stdout,
            stderr=streams.stderr,
        )
        answered = await _asked(runtime.call(cri.EXEC, asked, within=_RUNTIME_SECONDS))
        return await commands.connect(request, answered.url, streams)

    async def _attach(self, request: Request, wanted: Target) -> Reply:
        commands.require_upgrade(request)
        runtime, container = self._running(wanted)
        # Whether there is a terminal was settled when the container was made.
        tty = _has_tty(self._pod(wanted).pod, wanted.container)
        streams = commands.wanted(request.query)
        streams = Wanted(streams.stdin, streams.stdout, streams.stderr and not tty, tty)
        asked = pb.AttachRequest(
            container_id=container,
            tty=tty,
            stdin=streams.stdin,
            stdout=streams.stdout,
            stderr=streams.stderr,
        )
        answered = await _asked(runtime.call(cri.ATTACH, asked, within=_RUNTIME_SECONDS))
        return await commands.connect(request, answered.url, streams)

    async def _port_forward(self, request: Request, wanted: Target) -> Reply:
        commands.require_upgrade(request)
        record = self._pod(wanted)
        if not record.sandbox_id:
            raise NotFound(f'pod "{wanted.pod}" has no sandbox')
        asked = pb.PortForwardRequest(pod_sandbox_id=record.sandbox_id, port=forwarding.ports_of(request.query))
        runtime = self._runtime(record)
        answered = await _asked(runtime.call(cri.PORT_FORWARD, asked, within=_RUNTIME_SECONDS))
        return await forwarding.connect(request, answered.url)

    async def _run(self, request: Request, wanted: Target) -> Reply:
        """What a command says, once it has ended: no stream (kubelet's /run)."""
        if request.method != "POST":
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        asked = parse_qsl(request.query) + parse_qsl(request.body.decode("utf-8", "replace"))
        command = next((value for name, value in asked if name == "cmd"), "").split(" ")
        runtime, container = self._running(wanted)
        question = pb.ExecSyncRequest(container_id=container, cmd=command, timeout=int(_RUN_SECONDS))
        answered = await _asked(runtime.call(cri.EXEC_SYNC, question, within=_RUN_SECONDS + 5))
        if answered.exit_code:
            raise InternalError(
                f"command '{' '.join(command)}' exited with {answered.exit_code}: "
                + answered.stderr.decode("utf-8", "replace")[:4096]
            )
        return Response(200, answered.stdout + answered.stderr, _TEXT)

    async def _container_logs(self, request: Request, wanted: Target) -> Reply:
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        options = log_options(request.query, lambda: datetime.now(UTC))
        record = self._pod(wanted)
        run = logged_run(record, wanted.container, options.previous)
        folder = f"{record.tenant}_{record.namespace}_{record.name}_{record.uid}"
        path = self._options.pod_logs_dir / folder / wanted.container / f"{run.attempt}.log"
        uid = record.uid

        def running() -> bool:
            found = self._pods.get(uid)
            newest = found.container(wanted.container) if found is not None else None
            return newest is not None and newest.id == run.id and newest.state is State.RUNNING

        return log_stream(LogSource(path, running), options, self._folders)

    # Documents

    async def _healthz(self, request: Request) -> Response:
        return Response(200, b"ok", _TEXT)

    async def _all_pods(self, request: Request) -> Response:
        items = [{**record.pod, "status": record.status or record.pod.get("status") or {}} for record in self._pods]
        return Response(200, json.encode({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}))

    def _stats(self) -> Statistics:
        if self._statistics is None:
            raise ServiceUnavailable("this agent takes no statistics")
        return self._statistics

    async def _summary(self, request: Request) -> Response:
        return Response(200, await self._stats().summary_json())

    async def _usage(self, request: Request) -> Response:
        return Response(200, await self._stats().usage())

    async def _resource_metrics(self, request: Request) -> Response:
        return Response(200, await self._stats().resource_metrics(), "text/plain; version=0.0.4; charset=utf-8")

    async def _own_metrics(self, request: Request) -> Response:
        if self._metrics is None:
            raise NotFound("404 page not found")
        body, content_type = self._metrics(request.headers.get("accept", ""))
        return Response(200, body, content_type)


async def _asked(call: Awaitable[_Answered]) -> _Answered:
    """The runtime's answer; its refusal as the error that a client shall see."""
    try:
        return await call
    except RpcError as error:
        raise _API_ERRORS.get(error.code, InternalError)(error.message or error.code) from error


def _has_tty(pod: Obj, name: str) -> bool:
    spec = pod.get("spec") or {}
    if spec.get("virtualMachine") is not None:
        return True
    every: Iterable[Obj] = (
        *workloads(pod),
        *(spec.get("initContainers") or ()),
        *(spec.get("ephemeralContainers") or ()),
    )
    return any(each["name"] == name and each.get("tty") for each in every)


def logged_run(record: PodRecord, name: str, previous: bool) -> Container:
    """Which run of a container a log is asked of: its newest, or the one before. Raises BadRequest, worded as kubelet
    does, where there is none with a log."""
    pod = record.name
    runs = [each for each in record.observed.of_name(name) if each.state in (State.RUNNING, State.EXITED)]
    if previous:
        if len(runs) < 2:
            raise BadRequest(f'previous terminated container "{name}" in pod "{pod}" not found')
        return runs[1]
    if runs:
        return runs[0]
    status = record.status or record.pod.get("status") or {}
    keys = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
    told = (each for key in keys for each in status.get(key) or ())
    found = next((each for each in told if each.get("name") == name), None)
    if found is None:
        raise BadRequest(f'container "{name}" in pod "{pod}" is not available')
    state = found.get("state") or {}
    if state.get("terminated") is not None:
        raise BadRequest(f'container "{name}" in pod "{pod}" is terminated')
    waiting = state.get("waiting")
    if waiting is None:
        raise BadRequest(f'container "{name}" in pod "{pod}" is waiting to start - no logs yet')
    reason = str(waiting.get("reason") or "")
    raise BadRequest(f'container "{name}" in pod "{pod}" is waiting to start: {_WAITING.get(reason, reason)}')
