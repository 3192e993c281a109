"""What the tests of the API server share: a store in a dict, and a whole API server without a socket."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from arktos.apiserver import builtin_roles, foundation
from arktos.apiserver.authn import Authenticator
from arktos.apiserver.authz import Authorizer
from arktos.apiserver.custom.sharing import SharedDefinitions
from arktos.apiserver.custom.upkeep import Upkeep
from arktos.apiserver.dispatch import Dispatcher
from arktos.apiserver.documents import Documents
from arktos.apiserver.health import Health
from arktos.apiserver.identity import User
from arktos.apiserver.membership import authenticated
from arktos.apiserver.metrics import Metrics
from arktos.apiserver.options import Options
from arktos.apiserver.reader import Reader
from arktos.apiserver.resource_metrics import NodeUsage, ResourceMetrics
from arktos.apiserver.routes import Routes
from arktos.apiserver.server import admission_chain
from arktos.apiserver.servicetokens import Issuer, lookup_in
from arktos.apiserver.virtual import RootCertificates, SharedClasses
from arktos.apiserver.watching import WatchServer
from arktos.apiserver.writes import Writer
from arktos.bootstrap.pki import private_key
from arktos.model import registry
from arktos.model.status import ApiError, ServiceUnavailable, Unauthorized
from arktos.store.embedded import EmbeddedStore, Window, open_store
from arktos.store.records import Header, Key, Page, Query, Record, WatchEvent
from arktos.wire import answers
from arktos.wire.http import Request, Response, Stream
from arktos.wire.http_client import HttpResponse
from arktos.wire.request_reader import split_target

RBAC = "rbac.authorization.k8s.io"


class _Subscription:
    def __init__(self, subscriptions: list[Any], entry: Any) -> None:
        self._subscriptions, self._entry = subscriptions, entry

    def close(self) -> None:
        if self._entry in self._subscriptions:
            self._subscriptions.remove(self._entry)


class FakeStore:
    """Reads of a store, from a dict. `put` and `delete` tell subscribers at once; `reads` counts lists."""

    def __init__(self) -> None:
        self.objects: dict[Key, Record] = {}
        self.subscriptions: list[tuple[Query, Callable[[Sequence[WatchEvent], int], None]]] = []
        self.revision = 1
        self.oldest = 1
        self.reads = 0

    def get(self, key: Key) -> Record | None:
        return self.objects.get(key)

    def touched(self, resource: str) -> int:
        return self.revision

    def list(self, query: Query, *, limit: int = 0, after: Key | None = None, revision: int = 0) -> Page:
        self.reads += 1
        found = [
            record
            for key, record in sorted(self.objects.items())
            if key.resource == query.resource
            and query.tenant in (None, key.tenant)
            and query.namespace in (None, key.namespace)
        ]
        return Page(found, self.revision, False, 0)

    def subscribe(self, query: Query, deliver: Callable[[Sequence[WatchEvent], int], None]) -> _Subscription:
        self.subscriptions.append((query, deliver))
        return _Subscription(self.subscriptions, (query, deliver))

    def put(self, resource: str, tenant: str, namespace: str, obj: dict[str, Any]) -> Record:
        """Stores an object under its name."""
        self.revision += 1
        meta = obj["metadata"]
        key = Key(resource, tenant, namespace, meta["name"])
        if namespace:
            meta["namespace"] = namespace
        header = Header(meta.get("uid", ""), labels=meta.get("labels", {}), deleting="deletionTimestamp" in meta)
        record = Record(key, self.revision, header, json.dumps(obj).encode())
        kind = "MODIFIED" if key in self.objects else "ADDED"
        self.objects[key] = record
        self._tell(WatchEvent(kind, record))
        return record

    def delete(self, resource: str, tenant: str, namespace: str, name: str) -> None:
        self.revision += 1
        self._tell(WatchEvent("DELETED", self.objects.pop(Key(resource, tenant, namespace, name))))

    def _tell(self, event: WatchEvent) -> None:
        for query, deliver in list(self.subscriptions):
            if query.resource == event.record.key.resource and query.tenant in (None, event.record.key.tenant):
                deliver([event], self.revision)

    def tenant(self, *names: str) -> FakeStore:
        """Creates tenants."""
        for name in names:
            self.put("tenants", "system", "", {"metadata": {"name": name, "uid": f"uid-{name}"}})
        return self

    def role(self, tenant: str, name: str, *rules: dict[str, Any], namespace: str = "", **more: Any) -> None:
        """Stores a ClusterRole, or a Role if there is a namespace."""
        labels = more.pop("labels", {})
        obj = {"metadata": {"name": name, "labels": labels}, "rules": list(rules), **more}
        self.put(f"{'roles' if namespace else 'clusterroles'}.{RBAC}", tenant, namespace, obj)

    def bind(
        self,
        tenant: str,
        name: str,
        role: str,
        *subjects: str,
        namespace: str = "",
        kind: str = "ClusterRole",
        tenants: str | None = None,
    ) -> None:
        """Stores a binding of a role to subjects: `User:name`, `Group:name`, `ServiceAccount:name:namespace`."""
        obj: dict[str, Any] = {
            "metadata": {"name": name, "annotations": {} if tenants is None else {"arktos.io/tenants": tenants}},
            "roleRef": {"apiGroup": RBAC, "kind": kind, "name": role},
            "subjects": [subject(text) for text in subjects],
        }
        self.put(f"{'rolebindings' if namespace else 'clusterrolebindings'}.{RBAC}", tenant, namespace, obj)


def subject(text: str) -> dict[str, str]:
    kind, _, name = text.partition(":")
    if kind == "ServiceAccount":
        name, _, namespace = name.partition(":")
        return {"kind": kind, "name": name, **({"namespace": namespace} if namespace else {})}
    return {"kind": kind, "name": name, "apiGroup": RBAC}


@pytest.fixture(scope="session")
def new_store() -> Callable[[], FakeStore]:
    """Makes empty stores."""
    return FakeStore


# --- an API server without a socket --------------------------------------------------------------------------------

ADMIN = User("admin", "system", ("system:masters", "system:authenticated"))
JSON = "application/json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


def tenant_admin(tenant: str, name: str = "admin") -> User:
    """Who the certificate of a tenant's admin stands for."""
    return User(name, tenant, authenticated(tenant, ()))


@dataclass
class _Peer:
    user: User | None
    address: str = "127.0.0.1"
    certificate: bytes | None = None
    state: dict[str, object] = field(default_factory=dict)


class _Known(Authenticator):
    """Takes the peer's word for who it is; tokens are looked at as ever."""

    def authenticate(self, request: Request) -> User:
        if "authorization" in request.headers:
            return super().authenticate(request)
        user = request.peer.user  # type: ignore[attr-defined]
        if user is None:
            raise Unauthorized("Unauthorized")
        assert isinstance(user, User)
        return user


@dataclass
class Answer:
    """A complete answer."""

    code: int
    body: bytes
    content_type: str
    headers: dict[str, str]

    @property
    def obj(self) -> Any:
        return json.loads(self.body)

    @property
    def items(self) -> list[Any]:
        return list(self.obj["items"])

    @property
    def names(self) -> list[str]:
        return [item["metadata"]["name"] for item in self.items]

    @property
    def message(self) -> str:
        return str(self.obj.get("message", ""))

    @property
    def reason(self) -> str:
        return str(self.obj.get("reason", ""))

    @property
    def rv(self) -> str:
        return str(self.obj["metadata"]["resourceVersion"])

    def ok(self, code: int = 200) -> Any:
        """The object of an answer that must have this code."""
        assert self.code == code, f"{self.code}, not {code}: {self.body[:2000]!r}"
        return self.obj

    def refused(self, code: int, text: str = "") -> Any:
        """The Status of a refusal that must have this code and contain `text`."""
        assert self.code == code, f"{self.code}, not {code}: {self.body[:2000]!r}"
        status = self.obj
        assert status["kind"] == "Status" and status["status"] == "Failure" and status["code"] == code
        assert text in status["message"], status["message"]
        return status


class Watch:
    """The receiving end of a watch: a channel that keeps what is written to it."""

    def __init__(self, reply: Stream, congested: bool) -> None:
        self._reply = reply
        self._buffer = b""
        self._events: list[Any] = []
        self._news = asyncio.Event()
        self.congested = congested
        self.finished = self.aborted = False
        reply.open(self)

    def write(self, framed: bytes) -> None:
        assert not self.finished, "written after the end"
        self._buffer += answers.unframed(framed)
        *lines, self._buffer = self._buffer.split(b"\n")
        self._events += [json.loads(line) for line in lines]
        self._news.set()

    def finish(self) -> None:
        self.finished = True
        self._news.set()

    def abort(self) -> None:
        self.aborted = True
        self._news.set()

    def drain(self) -> None:
        self.congested = False
        self._reply.on_drain()

    async def next(self, seconds: float = 5.0) -> Any:
        """The next event."""
        async with asyncio.timeout(seconds):
            while not self._events:
                assert not self.finished, "the stream has ended"
                self._news.clear()
                await self._news.wait()
        return self._events.pop(0)

    async def take(self, count: int) -> list[tuple[str, str]]:
        """Type and name of the next events."""
        events = [await self.next() for _ in range(count)]
        return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]

    async def ended(self, seconds: float = 5.0) -> None:
        async with asyncio.timeout(seconds):
            while not self.finished:
                self._news.clear()
                await self._news.wait()

    def pending(self) -> list[Any]:
        """What has come and was not taken."""
        events, self._events = self._events, []
        return events

    def close(self) -> None:
        self._reply.on_close()


@dataclass
class Agents:
    """The agents of nodes: `answers` are bodies by node, or what happens instead; `asked` counts the questions."""

    answers: dict[str, bytes | Exception | asyncio.Event] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def get(self, node: str, path: str, *, within: float = 10.0) -> HttpResponse:
        self.asked.append((node, path))
        answer = self.answers.get(node, ServiceUnavailable(f"{node} is away"))
        if isinstance(answer, asyncio.Event):
            await answer.wait()
            answer = b"{}"
        if isinstance(answer, Exception):
            raise answer
        return HttpResponse(200, {}, answer)


@dataclass
class Api:
    """An API server in this process. Calls go through the dispatcher as they would from the wire."""

    store: EmbeddedStore
    dispatcher: Dispatcher
    watches: WatchServer
    writer: Writer
    issuer: Issuer
    agents: Agents
    upkeep: Upkeep

    # What test modules need besides; this module cannot be imported by them.
    JSON, MERGE, STRATEGIC, JSON_PATCH, APPLY = JSON, MERGE, STRATEGIC, JSON_PATCH, APPLY
    TABLE, PARTIAL, PARTIAL_LIST = TABLE, PARTIAL, PARTIAL_LIST
    ADMIN = ADMIN
    admin_of = staticmethod(tenant_admin)

    async def __call__(
        self,
        method: str,
        target: str,
        body: object = None,
        *,
        user: User | None = ADMIN,
        type: str = JSON,
        accept: str = "",
        headers: Mapping[str, str] | None = None,
        **query: object,
    ) -> Answer:
        """An answer, whatever its code. `body` is encoded unless it is bytes; `query` is added to the target."""
        reply = await self.reply(method, target, body, user=user, type=type, accept=accept, headers=headers, **query)
        assert isinstance(reply, Response), f"{method} {target} answered {reply}"
        whole = reply.body if isinstance(reply.body, bytes) else b"".join(reply.body)
        names: dict[str, str] = {}
        for name, value in reply.headers:
            names[name.lower()] = f"{names[name.lower()]}, {value}" if name.lower() in names else value
        return Answer(reply.status, whole, reply.content_type, names)

    async def reply(
        self,
        method: str,
        target: str,
        body: object = None,
        *,
        user: User | None = ADMIN,
        type: str = JSON,
        accept: str = "",
        headers: Mapping[str, str] | None = None,
        **query: object,
    ) -> Any:
        if query:
            target += ("&" if "?" in target else "?") + urlencode(query)
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        heads = {"accept": accept, "user-agent": "test/1.0", **(headers or {})}
        if data and type:
            heads["content-type"] = type
        text, path, raw_query = split_target(target.encode("ascii"))
        request = Request(method, text, path, raw_query, heads, data, _Peer(user))
        try:
            answer = self.dispatcher.handle(request)
            async with asyncio.timeout(20):
                return await answer if inspect.isawaitable(answer) else answer
        except ApiError as error:
            return answers.of_error(error)

    async def get(self, target: str, **more: Any) -> Answer:
        return await self("GET", target, **more)

    async def post(self, target: str, body: object, **more: Any) -> Answer:
        return await self("POST", target, body, **more)

    async def put(self, target: str, body: object, **more: Any) -> Answer:
        return await self("PUT", target, body, **more)

    async def patch(self, target: str, body: object, type: str = MERGE, **more: Any) -> Answer:
        return await self("PATCH", target, body, type=type, **more)

    async def delete(self, target: str, body: object = None, **more: Any) -> Answer:
        return await self("DELETE", target, body, **more)

    async def apply(self, target: str, body: object, manager: str = "m", **more: Any) -> Answer:
        return await self("PATCH", target, body, type=APPLY, fieldManager=manager, **more)

    async def watch(self, target: str, congested: bool = False, **more: Any) -> Watch:
        """An open watch; fails when it is refused. A `congested` one takes nothing before it is drained."""
        reply = await self.reply("GET", target, watch="true", **more)
        assert isinstance(reply, Stream), reply
        return Watch(reply, congested)

    async def tenant(self, *names: str) -> None:
        """Creates tenants with what their controller would: namespace and service account `default`."""
        for name in names:
            (await self.post("/api/v1/tenants", {"metadata": {"name": name}})).ok(201)
            await self.namespace("default", tenant=name)

    async def namespace(self, name: str, tenant: str = "system") -> None:
        root = f"/tenants/{tenant}/api/v1/namespaces"
        answered = await self.post(root, {"metadata": {"name": name}})
        assert answered.code in (201, 409), answered.body
        answered = await self.post(f"{root}/{name}/serviceaccounts", {"metadata": {"name": "default"}})
        assert answered.code in (201, 409), answered.body

    @staticmethod
    def pod(name: str, **more: Any) -> dict[str, Any]:
        """A small pod; `more` goes into its spec."""
        return {
            "kind": "Pod",
            "apiVersion": "v1",
            "metadata": {"name": name},
            "spec": {"containers": [{"name": "c", "image": "nginx"}], **more},
        }

    @staticmethod
    def vm_pod(name: str, **more: Any) -> dict[str, Any]:
        """A pod that is a virtual machine."""
        machine = {"name": "vm", "image": "cirros", "keyPairName": "k"}
        return {
            "kind": "Pod",
            "apiVersion": "v1",
            "metadata": {"name": name},
            "spec": {"virtualMachine": machine, **more},
        }

    @staticmethod
    def config_map(name: str, **data: str) -> dict[str, Any]:
        return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}, "data": data}

    @staticmethod
    def deployment(name: str, replicas: int = 1, **labels: str) -> dict[str, Any]:
        labels = labels or {"app": name}
        template = {"metadata": {"labels": labels}, "spec": Api.pod(name)["spec"]}
        return {
            "kind": "Deployment",
            "apiVersion": "apps/v1",
            "metadata": {"name": name},
            "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
        }


@pytest.fixture(scope="session")
def signing_key() -> bytes:
    return private_key()


async def open_api(folder: Path, signing_key: bytes, window: Window | None = None) -> Api:
    """An API server on a store in `folder`, with the tenant `system` and its namespaces."""
    indexed = {kind.resource: kind.indexed for kind in registry.all_kinds() if not kind.storage}
    store = open_store(folder / "store.db", indexed, **({"window": window} if window else {}))
    await foundation.lay(store)
    nowhere = Path("/nonexistent")
    options = Options(folder, nowhere, nowhere, None, nowhere)
    sources = [
        builtin_roles.BuiltinRoles(store),
        SharedClasses(store),
        SharedDefinitions(store),
        RootCertificates(store, "CA"),
    ]
    reader = Reader(store, sources)
    watches = WatchServer(reader)
    issuer = Issuer(signing_key, "https://kubernetes.default.svc", lookup_in(store))
    authenticator = _Known(issuer=issuer, store=store)
    authorizer = Authorizer(store)
    writer = Writer(reader, admission_chain(store, authorizer, options))
    metrics = Metrics(lambda: ())
    agents = Agents()
    usage = NodeUsage(agents, fresh=0.0, patience=0.2)
    routes = Routes(writer, issuer, authenticator, authorizer, ResourceMetrics(reader, usage))
    documents = Documents(Health({}, {}), metrics, issuer)
    dispatcher = Dispatcher(reader, watches, routes, authenticator, authorizer, documents, metrics)
    made = Api(store, dispatcher, watches, writer, issuer, agents, Upkeep(writer, watches))
    made.upkeep.start()
    await made.namespace("default")
    return made


@pytest.fixture
async def api(tmp_path: Path, signing_key: bytes) -> AsyncIterator[Api]:
    """An API server in this process."""
    made = await open_api(tmp_path, signing_key)
    yield made
    await made.upkeep.aclose()
    made.watches.close()
    await made.store.close()


@pytest.fixture
def new_api(tmp_path: Path, signing_key: bytes) -> Callable[..., Any]:
    """Opens API servers with another history window; whoever opens one closes its store."""
    return lambda **more: open_api(tmp_path, signing_key, **more)


@pytest.fixture(scope="session")
def opener(signing_key: bytes) -> Callable[..., Any]:
    """Opens an API server in a folder; whoever opens one closes its store."""
    return lambda folder, **more: open_api(folder, signing_key, **more)
