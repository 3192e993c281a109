"""One request on its way through the server, as the audit log will tell of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterator
from typing import Any

from arktos.apiserver.audit import events
from arktos.apiserver.audit.log import AuditLog
from arktos.apiserver.audit.policy import API_VERSION, Level, Policy, Subject, Verdict
from arktos.apiserver.identity import User
from arktos.apiserver.requestinfo import RequestInfo
from arktos.model.status import ApiError, ServiceUnavailable, Unauthorized
from arktos.wire import json, protobuf, yaml
from arktos.wire.http import Handler, Later, Reply, Request, Response
from arktos.wire.mediatype import content_type

_MAX_ID = 64
_ROOM_SECONDS = 5.0
"""How long a request waits for room in the queue of a log that must lose nothing."""
_EVENT_SIZE = 1024

REVISION = "arktos.io/resource-version"
"""Annotation of a write's event: the revision that it made."""
DECISION, REASON = "authorization.k8s.io/decision", "authorization.k8s.io/reason"


class Trail:
    """What is known of a request so far. On `Request.about`; only requests that the policy logs have one."""

    __slots__ = (
        "_auditor",
        "_body",
        "_ended",
        "_form",
        "_status",
        "_subject",
        "annotations",
        "impersonated",
        "received",
    )

    def __init__(self, auditor: Auditor, subject: Subject, info: RequestInfo, verdict: Verdict) -> None:
        self._auditor = auditor
        self._subject = (subject, info, verdict)
        self._body: Any = None
        self._form = ""
        self._status: ApiError | None = None
        self._ended = False
        self.annotations: dict[str, str] = {}
        self.impersonated: User | None = None
        self.received = time.time()

    def annotate(self, key: str, value: str) -> None:
        """Adds to the annotations of the events that are still to come."""
        self.annotations[key] = value

    def decided(self, allowed: bool, reason: str) -> None:
        """The authorizer's decision; the first one is about the request as it came."""
        if DECISION not in self.annotations:
            self.annotations[DECISION] = "allow" if allowed else "forbid"
            self.annotations[REASON] = reason

    def replied(self, request: Request, reply: Reply) -> None:
        """The handler's answer, before it is sent. What lives longer than a request starts here."""
        if isinstance(reply, Response):
            self._body, self._form = reply.body, reply.content_type
        else:
            self.stage(request, "ResponseStarted", 101 if not hasattr(reply, "status") else reply.status)

    def failed(self, request: Request, error: Exception) -> None:
        if isinstance(error, ApiError):
            self._status = error
        else:
            self.stage(request, "Panic", 500)
            self._ended = True

    def stage(self, request: Request, stage: str, code: int = 0) -> None:
        """Has the event of a stage written, unless the policy omits it."""
        subject, info, verdict = self._subject
        if self._ended or stage in verdict.omit_stages:
            return
        self._auditor.count(verdict.level)
        now = time.time() if stage != "RequestReceived" else self.received
        status, annotations, impersonated = self._status, dict(self.annotations), self.impersonated
        answer, form = self._body if stage == "ResponseComplete" else None, self._form
        held = len(request.body) + _EVENT_SIZE
        if answer is not None:
            held += len(answer) if isinstance(answer, bytes) else sum(map(len, answer))

        def line() -> bytes:
            event = _event(request, subject, info, verdict, stage, self.received, now)
            event.impersonated_user = events.UserInfo.of(impersonated) if impersonated else None
            event.response_status = _status_of(code, status)
            _fill(event, request, subject, verdict, _as_json(answer, form), annotations)
            event.annotations = annotations or None
            return events.encode(event) + b"\n"

        self._auditor.log.put(line, held)


def _event(
    request: Request, subject: Subject, info: RequestInfo, verdict: Verdict, stage: str, received: float, now: float
) -> events.Event:
    reference = None
    if subject.resource:
        reference = events.ObjectRef(
            tenant=subject.tenant,
            resource=info.resource,
            namespace=info.namespace,
            name=info.name,
            api_group=info.group,
            api_version=info.version,
            subresource=info.subresource,
        )
    chain = [part.strip() for part in request.headers.get("x-forwarded-for", "").split(",") if part.strip()]
    return events.Event(
        api_version=API_VERSION,
        level=verdict.level.word,
        audit_id=audit_id(request),
        stage=stage,
        request_uri=request.target,
        verb=subject.verb,
        user=events.UserInfo.of(subject.user) if subject.user is not None else events.UserInfo(),
        source_ips=tuple(dict.fromkeys([*chain, request.peer.address])),
        user_agent=request.headers.get("user-agent", "")[:1024],
        object_ref=reference,
        request_received_timestamp=events.timestamp(received),
        stage_timestamp=events.timestamp(now),
    )


def _fill(
    event: events.Event, request: Request, subject: Subject, verdict: Verdict, answer: Any, annotations: dict[str, str]
) -> None:
    """What bodies tell: the name of what was created, and the bodies themselves where the level says so."""
    body = answer if isinstance(answer, bytes) else None
    if event.object_ref is not None and body is not None and subject.verb in ("create", "update", "patch"):
        found = events.written(body)
        if found is not None and found.kind != "Status":
            reference = event.object_ref
            reference.name = reference.name or found.metadata.name
            reference.uid = found.metadata.uid
            if found.metadata.resource_version:
                annotations[REVISION] = found.metadata.resource_version
    if subject.user is None or not subject.resource:
        return
    if verdict.level >= Level.REQUEST and request.body and event.stage != "RequestReceived":
        event.request_object = _readable(request, verdict.omit_managed_fields)
    if verdict.level >= Level.REQUEST_RESPONSE and answer is not None:
        whole = body if body is not None else b"".join(answer)
        event.response_object = events.raw(whole, verdict.omit_managed_fields)


def _as_json(answer: Any, form: str) -> Any:
    """An answer's body as JSON, in parts where it was made in parts."""
    if answer is None or content_type(form) != "protobuf":
        return answer
    try:
        return json.encode(protobuf.decode(answer if isinstance(answer, bytes) else b"".join(answer)))
    except protobuf.DecodeError:
        return b""


def _readable(request: Request, omit_managed_fields: bool) -> Any:
    """The request's body as JSON."""
    encoding, body = content_type(request.headers.get("content-type", "")), request.body
    try:
        if encoding == "protobuf":
            body = json.encode(protobuf.decode(body))
        elif encoding in ("yaml", "apply-patch"):
            body = json.encode(yaml.decode(body))
    except (json.DecodeError, protobuf.DecodeError):
        return None
    return events.raw(body, omit_managed_fields)


def _status_of(code: int, error: ApiError | None) -> dict[str, Any] | None:
    if error is not None:
        status = error.status()
        return {
            key: status[key] for key in ("metadata", "status", "message", "reason", "details", "code") if key in status
        }
    return {"metadata": {}, "code": code} if code else None


def audit_id(request: Request) -> str:
    """The id under which a request is known, given by the caller or by this server (`Request.id`)."""
    return request.headers.get("audit-id", "")[:_MAX_ID] or request.id


class Auditor:
    """Follows requests through the server by a policy, into a log."""

    def __init__(self, policy: Policy, log: AuditLog) -> None:
        self._policy = policy
        self.log = log
        self._levels: dict[Level, int] = {}
        self.rejected = 0

    def follow(self, request: Request, answer: Handler) -> Reply | Later | Awaitable[Reply]:
        """`answer`'s answer, noted. A log that must lose nothing and has no room holds the request back."""
        if self.log.blocking and not self.log.has_room:
            return self._when_there_is_room(request, answer)
        try:
            reply = answer(request)
        except Exception as error:
            self._failed(request, error)
            raise
        if isinstance(reply, Awaitable):
            return self._awaited(request, reply)
        if isinstance(reply, Later):
            call = reply.call
            reply.call = lambda request: self.follow(request, call)
            return reply
        self._replied(request, reply)
        return reply

    def received(self, request: Request, subject: Subject, info: RequestInfo) -> None:
        """Who asks for what is known: the first stage."""
        verdict = self._policy.verdict(subject)
        if verdict.level is Level.NONE:
            return
        _ = request.peer.address  # which is known only as long as the connection is
        request.about = trail = Trail(self, subject, info, verdict)
        if subject.user is not None:
            trail.stage(request, "RequestReceived")

    def unauthenticated(self, request: Request, subject: Subject, info: RequestInfo, error: Unauthorized) -> None:
        """Nobody was authenticated, so nothing else will be heard of this request."""
        self.received(request, subject, info)
        trail = request.about
        if isinstance(trail, Trail):
            told = "attempted: bearer" if "authorization" in request.headers else "no credentials provided"
            trail.failed(request, Unauthorized(f"Authentication failed, {told}"))
            trail.stage(request, "ResponseStarted", error.code)
            request.about = None

    def observe(self, request: Request, status: int, seconds: float, sent: int) -> None:
        """The protocol's hook: the answer has been sent, or nobody is there any more to send it to."""
        trail = request.about
        if isinstance(trail, Trail):
            request.about = None
            trail.stage(request, "ResponseComplete", status)

    def count(self, level: Level) -> None:
        self._levels[level] = self._levels.get(level, 0) + 1

    def gauges(self) -> Iterator[tuple[str, str, dict[str, str], float]]:
        log = self.log
        yield "apiserver_audit_event_total", "Audit events made.", {}, float(sum(self._levels.values()))
        for level, count in self._levels.items():
            yield "apiserver_audit_level_total", "Audit events, by level.", {"level": level.word}, float(count)
        errors = float(log.failures + log.dropped)
        yield "apiserver_audit_error_total", "Audit events that were not written.", {"plugin": "log"}, errors
        refused = float(self.rejected)
        yield "apiserver_audit_requests_rejected_total", "Requests refused for lack of an audit log.", {}, refused
        yield "arktos_audit_queue_length", "Audit events that wait to be written.", {}, float(log.waiting)

    def close(self) -> None:
        self.log.close()

    async def _when_there_is_room(self, request: Request, answer: Handler) -> Reply:
        deadline = time.monotonic() + _ROOM_SECONDS
        while not self.log.has_room:
            if time.monotonic() > deadline:
                self.rejected += 1
                raise ServiceUnavailable("the audit log cannot be written, and no request goes unlogged", retry_after=1)
            await asyncio.sleep(0.02)
        reply = self.follow(request, answer)
        while isinstance(reply, Later):
            turn: asyncio.Future[Handler] = asyncio.get_running_loop().create_future()
            reply.deliver = turn.set_result
            reply = (await turn)(request)
        return await reply if isinstance(reply, Awaitable) else reply

    async def _awaited(self, request: Request, awaitable: Awaitable[Reply]) -> Reply:
        try:
            reply = await awaitable
        except Exception as error:
            self._failed(request, error)
            raise
        self._replied(request, reply)
        return reply

    @staticmethod
    def _failed(request: Request, error: Exception) -> None:
        if isinstance(request.about, Trail):
            request.about.failed(request, error)

    @staticmethod
    def _replied(request: Request, reply: Reply) -> None:
        if isinstance(request.about, Trail):
            request.about.replied(request, reply)
