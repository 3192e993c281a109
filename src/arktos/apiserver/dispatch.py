"""From a request to a reply: who asks, what for, may they, and the verb that answers.

Reads run to their end right here, on the loop, without a task. Everything that must wait is a coroutine of its verb.
"""

from __future__ import annotations

import functools
import itertools
import uuid
from collections.abc import Awaitable

from arktos.apiserver import encodings, ranges
from arktos.apiserver.aggregation.aggregator import Aggregator
from arktos.apiserver.audit.policy import Subject
from arktos.apiserver.audit.trail import Auditor, Trail, audit_id
from arktos.apiserver.authn import Authenticator
from arktos.apiserver.authz import Attributes, Authorizer, is_cluster_scoped, refusal
from arktos.apiserver.call import Call, Params
from arktos.apiserver.custom.catalogue import Catalogues
from arktos.apiserver.custom.serving import CustomResources
from arktos.apiserver.documents import OPENAPI_V2, Documents
from arktos.apiserver.fairness.gate import Flow, Gate, seats
from arktos.apiserver.fairness.schemas import Asked
from arktos.apiserver.identity import ANONYMOUS, User
from arktos.apiserver.impersonation import impersonated, is_asked
from arktos.apiserver.metrics import Metrics, scope_of
from arktos.apiserver.reader import Reader
from arktos.apiserver.represent import FORMS, META_VERSIONS
from arktos.apiserver.requestinfo import RequestInfo, parse, tenant_of
from arktos.apiserver.routes import Routes
from arktos.apiserver.verbs.get import get
from arktos.apiserver.verbs.list import list_objects
from arktos.apiserver.verbs.watch import watch
from arktos.apiserver.watching import WatchServer
from arktos.model import registry, selectors
from arktos.model.kinds import ALL_TENANTS, Kind, Scope
from arktos.model.status import ApiError, BadRequest, MethodNotAllowed, NotFound, Unauthorized
from arktos.wire.http import Later, Reply, Request, Response, Stream, Upgrade
from arktos.wire.mediatype import negotiate

PUBLIC = frozenset({"/cacerts", "/healthz", "/livez", "/readyz", "/version"})
"""Paths that need no credential (`system:public-info-viewer` upstream)."""

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "GET": "get", "HEAD": "get"}

_HEAD = b"Audit-Id: %b\r\nCache-Control: no-cache, private\r\n"

_OF_KINDS = ("/api", "/openapi/")
"""Documents that tell which kinds a tenant has."""

_NAMED_OR_NOT = frozenset({"create", "update", "patch"})
"""Verbs of methods that go to a collection or to an object, never to either."""

_MANY = frozenset({"list", "watch", "deletecollection"})
CONNECTING = frozenset({"exec", "attach", "portforward", "proxy", "log"})
"""Subresources whose answer lasts as long as their client likes, and so holds no seat."""

_CREATING = frozenset({"update", "patch"})
"""Verbs that create what does not exist, for who may create."""


def is_public(path: str) -> bool:
    """Whether anybody may read `path`: health (each check of it too) and version."""
    return "/" + path.split("/", 2)[1] in PUBLIC


class Dispatcher:
    """The server's handler. All collaborators are shared with nobody but the process that made them."""

    def __init__(
        self,
        reader: Reader,
        watches: WatchServer,
        routes: Routes,
        authenticator: Authenticator,
        authorizer: Authorizer,
        documents: Documents,
        metrics: Metrics,
        auditor: Auditor | None = None,
        gate: Gate | None = None,
        aggregator: Aggregator | None = None,
    ) -> None:
        self._reader = reader
        self._watches = watches
        self._routes = routes
        self._catalogues = Catalogues(reader.definitions)
        self._custom = CustomResources(reader, watches, routes)
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._documents = documents
        self._metrics = metrics
        self._auditor = auditor
        self._gate = gate
        self._aggregator = aggregator
        self._serial = itertools.count(1)
        self._ids = str(uuid.uuid4())[:24]

    def handle(self, request: Request) -> Reply | Later | Awaitable[Reply]:
        """Answers, or raises the ApiError that the protocol renders."""
        request.id = f"{self._ids}{next(self._serial):012x}"
        if "audit-id" in request.headers:
            request.extra = _answer_head(audit_id(request))
        else:
            request.extra = _HEAD % request.id.encode()
        answer = self._answer if self._auditor is None else self._audited
        if encodings.is_json(request.headers.get("accept", "")):
            return answer(request)
        return encodings.answer(answer, request)

    def _audited(self, request: Request) -> Reply | Later | Awaitable[Reply]:
        assert self._auditor is not None
        return self._auditor.follow(request, self._answer)

    def _answer(self, request: Request) -> Reply | Later | Awaitable[Reply]:
        info = parse(request.path)
        user = self._who(request, info)
        tenant = tenant_of(info, user) if user is not ANONYMOUS else ""
        if not info.resource:
            return self._fairly(request, info, user, tenant, None, _document_verb(request))
        params = Params.parse(request.query)
        return self._fairly(request, info, user, tenant, params, self._verb(request.method, info, params))

    def _fairly(
        self, request: Request, info: RequestInfo, user: User, tenant: str, params: Params | None, verb: str
    ) -> Reply | Later | Awaitable[Reply]:
        """Answers when it is the turn of the request's flow; at once, where nobody has to wait."""
        gate = self._gate
        if gate is None:
            return self._perform(request, info, user, tenant, params, verb)
        key = (user, verb, info.group, info.resource, info.subresource, info.namespace or info.path * (params is None))
        flow = gate.flows.get(key)
        if flow is None:
            asked = Asked(user, verb, info.group, info.resource, info.subresource, info.namespace, info.path)
            flow = gate.classify(key, asked)
        request.extra += flow.head
        if flow.level.exempt:
            return self._perform(request, info, user, tenant, params, verb)
        wanted = self._seats(info, tenant, params) if verb in _MANY and params is not None else 0
        if not gate.enter(flow, wanted):
            return gate.wait(flow, lambda r: self._seated(gate, flow, r, info, user, tenant, params, verb))
        return self._seated(gate, flow, request, info, user, tenant, params, verb)

    def _seated(
        self,
        gate: Gate,
        flow: Flow,
        request: Request,
        info: RequestInfo,
        user: User,
        tenant: str,
        params: Params | None,
        verb: str,
    ) -> Reply | Awaitable[Reply]:
        reply = self._perform(request, info, user, tenant, params, verb)
        if isinstance(reply, (Response, Stream, Upgrade)) or info.subresource in CONNECTING:
            return reply
        gate.book()
        return gate.hold(flow, reply)

    def _seats(self, info: RequestInfo, tenant: str, params: Params) -> int:
        """What a LIST, or the first state of a WATCH, is believed to take."""
        resource = f"{info.resource}.{info.group}" if info.group else info.resource
        whose = None if tenant == ALL_TENANTS or is_cluster_scoped(info.group, info.resource) else tenant
        count = self._reader.count(resource, whose, info.namespace or None)
        limit = params.get("limit", "")
        most = int(limit[:9]) if limit.isdecimal() else 0
        return seats(min(count, most) if most else count)

    def _perform(
        self, request: Request, info: RequestInfo, user: User, tenant: str, params: Params | None, verb: str
    ) -> Reply | Awaitable[Reply]:
        if params is None:
            return self._document(request, info, user, tenant)
        return self._resource(request, info, user, tenant, params, verb)

    def _who(self, request: Request, info: RequestInfo) -> User:
        auditor = self._auditor
        try:
            user = self._authenticator.authenticate(request)
        except Unauthorized as error:
            if is_public(info.path):
                return ANONYMOUS
            if auditor is not None:
                auditor.unauthenticated(request, self._subject(request, info, None), info, error)
            raise
        if auditor is not None:
            auditor.received(request, self._subject(request, info, user), info)
        if is_asked(request.headers):
            user = impersonated(request, user, self._authorizer)
            if isinstance(request.about, Trail):
                request.about.impersonated = user
        return user

    def _subject(self, request: Request, info: RequestInfo, user: User | None) -> Subject:
        """The request as audit rules see it."""
        tenant = info.tenant or (user.tenant if user is not None else "")
        if not info.resource:
            return Subject(user, tenant, _document_verb(request), path=info.path)
        try:
            verb = self._verb(request.method, info, Params.parse(request.query))
        except ApiError:
            verb = request.method.lower()
        return Subject(
            user, tenant, verb, info.group, info.resource, info.subresource, info.namespace, info.name, info.path
        )

    def _document(self, request: Request, info: RequestInfo, user: User, tenant: str) -> Reply | Awaitable[Reply]:
        if not is_public(info.path):
            self._authorize(request, Attributes(user, _document_verb(request), tenant, path=info.path))
        if info.path == OPENAPI_V2:
            return self._documents.whole(request, self._catalogues.of(tenant))
        if info.path.startswith(_OF_KINDS):
            if self._aggregator is not None:
                served = self._catalogues.of(tenant)
                own = functools.partial(self._documents.answer, request, info, served)
                return self._aggregator.document(request, info, user, tenant, own)
            return self._documents.answer(request, info, self._catalogues.of(tenant))
        return self._documents.answer(request, info)

    def _resource(
        self, request: Request, info: RequestInfo, user: User, tenant: str, params: Params, verb: str
    ) -> Reply | Awaitable[Reply]:
        kind = self._kind(request, info, tenant, verb)
        name = info.name
        if not name and kind is not None and "metadata.name" in params.get("fieldSelector", ""):
            # Whoever may list one object by name may do so with a selector, as upstream.
            name = selectors.named_by(params["fieldSelector"], kind)
        asked = Attributes(user, verb, tenant, info.group, info.resource, info.subresource, info.namespace, name)
        only_own = self._authorize(request, asked)
        if kind is None:
            return self._elsewhere(request, info, user, tenant)
        _check_place(kind, info, verb, tenant)
        connects = info.subresource in kind.subresources and kind.subresources[info.subresource].connects
        # What is connected to answers in forms of its own.
        wanted = "" if connects else request.headers.get("accept", "")
        allowed = encodings.PLAIN if encodings.is_json(wanted) else encodings.allowed(kind, verb)
        accept = negotiate(wanted, allowed, FORMS)
        if accept is None or (accept.as_ and accept.version not in META_VERSIONS):
            raise encodings.none_of(encodings.allowed(kind, verb))
        call = Call(request, info, kind, user, tenant, params, accept, tenant if only_own else "")
        if verb in _CREATING or connects:
            call.require = lambda more: self._authorize(request, asked._replace(verb=more))
        if kind.custom is not None:
            return self._custom.answer(call, verb)
        if info.subresource:
            return self._routes.subresource(call, verb)
        if verb not in kind.verbs:
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        if kind.measured:
            return self._routes.measured(call, verb)
        if verb == "get":
            return get(call, self._reader)
        if verb == "list":
            return list_objects(call, self._reader)
        if verb == "watch":
            return watch(call, self._watches)
        return self._routes.write(call, verb)

    def _elsewhere(self, request: Request, info: RequestInfo, user: User, tenant: str) -> Awaitable[Reply]:
        """What no kind of this server's answers: an extension of the tenant's, or nobody."""
        aggregator = self._aggregator
        extension = aggregator.find(tenant, info.group, info.version) if aggregator is not None else None
        if aggregator is None or extension is None:
            raise NotFound("the server could not find the requested resource")
        ranges.standing(request, user, self._reader.store)
        return aggregator.forward(extension, request, user)

    def _kind(self, request: Request, info: RequestInfo, tenant: str, verb: str) -> Kind | None:
        """What is served at a path in a tenant."""
        kind = registry.lookup(info.group, info.version, info.resource)
        if kind is None:
            return self._reader.definitions.lookup(tenant, info.group, info.version, info.resource)
        if not info.subresource or info.subresource in kind.subresources:
            # Labels of metrics: only what everybody has, or anybody could make any number of them.
            applies = verb == "patch" and "apply-patch" in request.headers.get("content-type", "")
            scope = scope_of(info.name, info.namespace, verb)
            dry = "All" if "dryRun=All" in request.query else ""
            told = "apply" if applies else verb
            request.mark = (told, info.group, info.version, info.resource, info.subresource, scope, dry)
        return kind

    @staticmethod
    def _verb(method: str, info: RequestInfo, params: Params) -> str:
        verb = _VERBS.get(method, "")
        if method == "OPTIONS" and info.subresource == "proxy":
            verb = "get"
        if not verb:
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        if method == "GET" and not info.subresource and (info.watch or (not info.name and params.flag("watch"))):
            return "watch"
        if info.name:
            return verb
        return {"get": "list", "delete": "deletecollection"}.get(verb, verb)

    def _authorize(self, request: Request, attributes: Attributes) -> bool:
        """Forbidden unless allowed. Whether only the caller's own tenant may be seen."""
        decision = self._authorizer.authorize(attributes)
        if isinstance(request.about, Trail):
            request.about.decided(decision.allowed, decision.reason)
        if not decision.allowed:
            raise refusal(attributes, decision.reason)
        return decision.only_own


def _document_verb(request: Request) -> str:
    return "get" if request.method == "HEAD" else request.method.lower()


def _answer_head(called: str) -> bytes:
    """What every answer says, as of kube-apiserver: under which id it is audited, and that nobody may keep it."""
    clean = called if called.isascii() and called.isprintable() else ""
    return _HEAD % clean.encode()


def _check_place(kind: Kind, info: RequestInfo, verb: str, tenant: str) -> None:
    """NotFound or MethodNotAllowed for paths that no object or collection has: a namespace around what has none (whose
    roles would otherwise decide about it), an object of a namespace without one, a method of the other kind of path."""
    if kind.scope is Scope.NAMESPACE:
        misplaced = bool(info.name) and not info.namespace
        allowed = bool(info.namespace) or verb in {"list", "watch"}
    else:
        misplaced = bool(info.namespace) and not (kind.resource == "namespaces" and info.name == info.namespace)
        allowed = True
    if misplaced:
        raise NotFound("the server could not find the requested resource")
    if not info.subresource:
        allowed = allowed and bool(info.name) != (verb == "create") if verb in _NAMED_OR_NOT else allowed
    if not allowed:
        raise MethodNotAllowed("the server does not allow this method on the requested resource")
    if tenant == ALL_TENANTS and kind.scope is not Scope.CLUSTER and verb not in {"list", "watch"}:
        raise BadRequest("this concerns one tenant; across all tenants there is list and watch only")
