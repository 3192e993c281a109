"""Which function answers a write, and which a subresource: two tables."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl

from arktos.apiserver.authn import Authenticator
from arktos.apiserver.authz import Authorizer
from arktos.apiserver.call import Call
from arktos.apiserver.custom.conversion import Conversion
from arktos.apiserver.resource_metrics import ResourceMetrics
from arktos.apiserver.servicetokens import Issuer
from arktos.apiserver.subresources.action import act
from arktos.apiserver.subresources.binding import bind
from arktos.apiserver.subresources.connecting import Connections
from arktos.apiserver.subresources.eviction import evict
from arktos.apiserver.subresources.review import review
from arktos.apiserver.subresources.scale import get_scale, patch_scale, update_scale
from arktos.apiserver.subresources.token import request_token
from arktos.apiserver.verbs.create import create
from arktos.apiserver.verbs.delete import delete, delete_collection
from arktos.apiserver.verbs.get import get
from arktos.apiserver.verbs.patch import patch
from arktos.apiserver.verbs.update import update
from arktos.apiserver.writes import Writer
from arktos.model.kinds import Kind, Obj, Scope, Subresource
from arktos.model.status import MethodNotAllowed, NotFound, ServiceUnavailable
from arktos.wire.http import Reply

Answer = Callable[[Call, Writer], Awaitable[Reply]]

_WRITES: dict[str, Answer] = {
    "create": create,
    "update": update,
    "patch": patch,
    "delete": delete,
    "deletecollection": delete_collection,
}

_SUBRESOURCES: dict[tuple[str, str], Answer] = {
    ("scale", "get"): get_scale,
    ("scale", "update"): update_scale,
    ("scale", "patch"): patch_scale,
    ("binding", "create"): bind,
    ("eviction", "create"): evict,
    ("action", "create"): act,
    ("*", "update"): update,
    ("*", "patch"): patch,
}
"""By (subresource, verb); `*` is the plain view of an object of which the strategy takes a part."""


def connection_options(call: Call, kind: str) -> Obj:
    """The query of a connection as the object that it is in Kubernetes (PodExecOptions)."""
    found: Obj = {"kind": kind, "apiVersion": "v1"}
    for name, value in parse_qsl(call.request.query):
        if name == "command":
            found.setdefault(name, []).append(value)
        elif name in ("stdin", "stdout", "stderr", "tty"):
            found[name] = value in ("true", "1")
        elif name in ("container", "path"):
            found[name] = value
        elif name == "ports":
            found.setdefault(name, []).extend(int(port) for port in value.split(",") if port.isdecimal())
    return found


class Routes:
    """Looks a call's function up. `issuer` signs service-account tokens; `metrics` asks nodes what they use, and
    `connections` leads to what runs there (None: a server without nodes)."""

    def __init__(
        self,
        writer: Writer,
        issuer: Issuer,
        authenticator: Authenticator,
        authorizer: Authorizer,
        metrics: ResourceMetrics | None = None,
        connections: Connections | None = None,
    ) -> None:
        self._writer = writer
        self._issuer = issuer
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._metrics = metrics
        self._connections = connections

    @property
    def conversion(self) -> Conversion:
        """What converts custom resources between versions."""
        return self._writer.conversion

    def measured(self, call: Call, verb: str) -> Awaitable[Reply]:
        """A read of what is measured and not stored."""
        if self._metrics is None:
            raise ServiceUnavailable("this server has no connection to nodes")
        return self._metrics.answer(call, verb)

    def write(self, call: Call, verb: str) -> Awaitable[Reply]:
        if call.kind.resource == "bindings":
            return bind(call, self._writer)
        if call.kind.group in {"authentication.k8s.io", "authorization.k8s.io"}:
            return review(call, self._authenticator, self._authorizer)
        return _WRITES[verb](call, self._writer)

    async def _admitted(self, call: Call, declared: Subresource, connections: Connections) -> Reply:
        """A connection, after those were asked who are configured."""
        body = Kind("", "v1", declared.kind, "", Scope.NAMESPACE, "")
        await self._writer.admit_body(call, call.kind, body, connection_options(call, declared.kind), "connect")
        return await connections.answer(call)

    def subresource(self, call: Call, verb: str) -> Reply | Awaitable[Reply]:
        name = call.info.subresource
        declared = call.kind.subresources.get(name)
        if declared is None:
            raise NotFound("the server could not find the requested resource")
        if verb not in declared.verbs:
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        if declared.connects:
            if self._connections is None:
                raise ServiceUnavailable("this server has no connection to nodes")
            if name != "log" and self._writer.is_configured(call.tenant):
                return self._admitted(call, declared, self._connections)
            return self._connections.answer(call)
        if name == "token":
            return request_token(call, self._writer.reader, self._issuer)
        answer = _SUBRESOURCES.get((name, verb))
        if answer is not None:
            return answer(call, self._writer)
        if verb == "get":
            return get(call, self._writer.reader)
        return _SUBRESOURCES["*", verb](call, self._writer)
