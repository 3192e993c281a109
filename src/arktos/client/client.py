"""The client: one API server, every kind, every tenant.

Kinds are rows of the registry (`arktos.model.registry.by_resource("deployments.apps")`) or rows of your own for
custom resources. Objects are plain dicts. Every method raises `ApiError` subclasses of `arktos.model.status`
(NotFound, Conflict, AlreadyExists, ...) for answers that are not success, and `ConnectionFailed` for a server that
could not be reached or died on the way: a write may then have happened.

`tenant` in every method: "" is what the object says, then the configuration, then what server URL or credential name;
`ALL_TENANTS` ("all") lists and watches across tenants. It is ignored for cluster-scoped kinds.
"""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import msgspec

from arktos.client import fencing, kubeconfig
from arktos.client.credentials import BearerToken, RenewedFile, ssl_context
from arktos.client.errors import from_response
from arktos.client.kubeconfig import ClientConfig, ConfigError
from arktos.client.metrics import Measured
from arktos.client.paths import Paths, query
from arktos.client.ratelimit import TokenBucket
from arktos.client.watching import Watch
from arktos.model.hashranges import HEADER
from arktos.model.kinds import Kind, Obj
from arktos.model.status import ApiError, Expired, ServiceUnavailable, TooManyRequests
from arktos.wire.http_client import HttpClient, ResponseStream

PatchType = Literal["merge", "json", "strategic", "apply"]
Propagation = Literal["", "Background", "Foreground", "Orphan"]

_PATCH_MEDIA = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
_JSON = "application/json"
_PARTIAL = f"{_JSON};as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_PARTIAL_LIST = f"{_JSON};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_LONGEST_PAUSE = 30.0
"""Seconds: a Retry-After that asks for more is raised instead of waited for."""
_WATCH_GRACE = 30.0
"""Seconds that a watch may outlive the timeout that the server was asked for, before we take the server for hung."""


class Listing(msgspec.Struct):
    """A complete list. `resource_version` is where a watch goes on from."""

    items: list[Obj]
    resource_version: str


class RawListing(msgspec.Struct):
    """A complete list, items undecoded (they may lack apiVersion and kind, as the server sends them)."""

    items: list[bytes]
    resource_version: str


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(name="continue", default="")


class _RawPage(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


_PAGE = msgspec.json.Decoder(_RawPage)


class Client:
    """Safe for any number of tasks of one event loop. Use as an async context manager, or call `aclose`.

    A request that the server refuses for now (429, 503 with Retry-After) is sent again, `config.retries` times at
    most; a GET also once more when its connection died before any answer byte. Nothing else is ever sent twice.
    """

    def __init__(self, config: ClientConfig) -> None:
        """Raises ConfigError for a configuration that cannot be used. Connects on the first request."""
        try:
            self._paths = Paths(config.server, config.tenant)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        self.config = config
        self._tls = ssl_context(config)
        self._file: RenewedFile | None = None
        http = HttpClient(
            self._paths.origin,
            ssl_context=self._tls,
            server_name=config.tls_server_name,
            connections=config.connections,
            user_agent=config.user_agent,
        )
        self._http = Measured(http, self._paths.host)
        self._token = BearerToken(config)
        self._bucket: TokenBucket | None = None

    @classmethod
    def from_kubeconfig(cls, path: str | Path = "", context: str = "", *, user_agent: str = "") -> Self:
        """`path` "" is $KUBECONFIG or ~/.kube/config, `context` "" the file's current one. Raises ConfigError.

        A file named by `path` is looked at again now and then: certificates and tokens that it gets later are used."""
        config = kubeconfig.load(path, context)
        made = cls(config.with_user_agent(user_agent) if user_agent else config)
        if path:
            made._file = RenewedFile(Path(path), context, made._tls)
        return made

    async def aclose(self) -> None:
        """Closes all connections, running watches included."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # reading

    async def get(self, kind: Kind, name: str, *, namespace: str = "", tenant: str = "", subresource: str = "") -> Obj:
        """One object, or its subresource (`scale`)."""
        path = self._paths.object(kind, name, tenant=tenant, namespace=namespace, subresource=subresource)
        return _decode(await self._call("GET", path))

    async def list(
        self,
        kind: Kind,
        *,
        namespace: str = "",
        tenant: str = "",
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        resource_version: str = "",
        resource_version_match: str = "",
    ) -> Listing:
        """All objects that match, following continue tokens; `limit` is the page size (0 = one page). A list that
        expires midway is started again without pages. Items carry apiVersion and kind."""
        raw = await self.list_raw(
            kind,
            namespace=namespace,
            tenant=tenant,
            label_selector=label_selector,
            field_selector=field_selector,
            limit=limit,
            resource_version=resource_version,
            resource_version_match=resource_version_match,
        )
        items = []
        for encoded in raw.items:
            item = _decode(encoded)
            item.setdefault("apiVersion", kind.api_version)
            item.setdefault("kind", kind.kind)
            items.append(item)
        return Listing(items, raw.resource_version)

    async def list_raw(
        self,
        kind: Kind,
        *,
        namespace: str = "",
        tenant: str = "",
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        resource_version: str = "",
        resource_version_match: str = "",
        metadata_only: bool = False,
    ) -> RawListing:
        """As `list`, without decoding the items. With `metadata_only` they are PartialObjectMetadata."""
        accept = _PARTIAL_LIST if metadata_only else _JSON
        path = self._paths.resource(kind, tenant=tenant, namespace=namespace)
        filters = {"labelSelector": label_selector, "fieldSelector": field_selector}
        start = {
            **filters,
            "limit": str(limit) if limit else "",
            "resourceVersion": resource_version,
            "resourceVersionMatch": resource_version_match,
        }
        parameters: Mapping[str, str] = start
        items: builtins.list[bytes] = []
        while True:
            try:
                page = _page(await self._call("GET", query(path, parameters), accept=accept))
            except Expired:
                if parameters is start:
                    raise
                # The token has outlived the server's history: what we have is of no use, a whole list always works.
                items, parameters = [], {**start, "limit": ""}
                start = parameters
                continue
            items += [bytes(item) for item in page.items or ()]
            if not page.metadata.continue_:
                return RawListing(items, page.metadata.resource_version)
            parameters = {**filters, "limit": start["limit"], "continue": page.metadata.continue_}

    def watch(
        self,
        kind: Kind,
        *,
        namespace: str = "",
        tenant: str = "",
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
        bookmarks: bool = True,
        send_initial_events: bool = False,
        timeout: float = 0.0,
        metadata_only: bool = False,
    ) -> Watch:
        """Events after `resource_version`; without one, synthetic ADDED events come first. `send_initial_events` ends
        these with a bookmark (`WatchEvent.ends_initial_events`). `timeout` in seconds is asked of the server (0 = the
        server's own). With `metadata_only` the objects are PartialObjectMetadata."""
        parameters = {
            "watch": "true",
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
            "resourceVersion": resource_version,
            "allowWatchBookmarks": "true" if bookmarks or send_initial_events else "",
            "sendInitialEvents": "true" if send_initial_events else "",
            "resourceVersionMatch": "NotOlderThan" if send_initial_events else "",
            "timeoutSeconds": str(max(1, round(timeout))) if timeout else "",
        }
        target = query(self._paths.resource(kind, tenant=tenant, namespace=namespace), parameters)
        accept = _PARTIAL if metadata_only else _JSON
        return Watch(lambda: self._stream(target, timeout + _WATCH_GRACE if timeout else 0.0, accept))

    # writing

    async def create(
        self,
        kind: Kind,
        obj: Obj,
        *,
        namespace: str = "",
        tenant: str = "",
        subresource: str = "",
        name: str = "",
        field_manager: str = "",
        dry_run: bool = False,
    ) -> Obj:
        """Creates `obj`, or posts it to `subresource` of the object `name` (default: the body's own name). Tenant and
        namespace, where not given, are the body's."""
        meta = obj.get("metadata") or {}
        tenant = tenant or meta.get("tenant", "")
        namespace = namespace or meta.get("namespace", "")
        if subresource:
            name = name or meta.get("name", "")
            path = self._paths.object(kind, name, tenant=tenant, namespace=namespace, subresource=subresource)
        else:
            path = self._paths.resource(kind, tenant=tenant, namespace=namespace)
        return _decode(await self._call("POST", query(path, _write(field_manager, dry_run)), obj))

    async def create_raw(self, kind: Kind, body: bytes, *, namespace: str = "", tenant: str = "") -> bytes:
        """As `create` of what is encoded already, answered undecoded: for many objects that are alike."""
        return await self._call(
            "POST", self._paths.resource(kind, tenant=tenant, namespace=namespace), msgspec.Raw(body)
        )

    async def update(
        self, kind: Kind, obj: Obj, *, subresource: str = "", field_manager: str = "", dry_run: bool = False
    ) -> Obj:
        """Replaces the object; tenant, namespace and name are the object's own. `metadata.resourceVersion`, if there,
        must be the current one (else Conflict)."""
        meta = obj["metadata"]
        path = self._paths.object(
            kind,
            meta.get("name", ""),
            tenant=meta.get("tenant", ""),
            namespace=meta.get("namespace", ""),
            subresource=subresource,
        )
        return _decode(await self._call("PUT", query(path, _write(field_manager, dry_run)), obj))

    async def patch(
        self,
        kind: Kind,
        name: str,
        patch: Obj | builtins.list[Obj] | msgspec.Raw,
        *,
        type: PatchType = "merge",
        namespace: str = "",
        tenant: str = "",
        subresource: str = "",
        field_manager: str = "",
        force: bool = False,
        dry_run: bool = False,
    ) -> Obj:
        """`json` takes a list of operations, the others an object; what is encoded already comes as `msgspec.Raw`.
        `apply` is server-side apply, for which the server wants a field manager (default: the user agent's first
        word); `force` takes fields over."""
        if type == "apply" and not field_manager:
            field_manager = self.config.user_agent.split("/")[0].split(" ")[0]
        path = self._paths.object(kind, name, tenant=tenant, namespace=namespace, subresource=subresource)
        parameters = {**_write(field_manager, dry_run), "force": "true" if force else ""}
        return _decode(await self._call("PATCH", query(path, parameters), patch, _PATCH_MEDIA[type]))

    async def delete(
        self,
        kind: Kind,
        name: str,
        *,
        namespace: str = "",
        tenant: str = "",
        propagation: Propagation = "",
        uid: str = "",
        resource_version: str = "",
        grace_period: int | None = None,
        dry_run: bool = False,
    ) -> Obj:
        """Deletes, under the preconditions `uid` and `resource_version` if given (else Conflict). Answers the
        object, or a Status, as the server sends. `grace_period` in seconds, None = the object's own."""
        options = _delete_options(propagation, grace_period)
        if uid or resource_version:
            given = {"uid": uid, "resourceVersion": resource_version}
            options["preconditions"] = {name: value for name, value in given.items() if value}
        path = self._paths.object(kind, name, tenant=tenant, namespace=namespace)
        return _decode(await self._call("DELETE", query(path, _write("", dry_run)), options or None))

    async def delete_collection(
        self,
        kind: Kind,
        *,
        namespace: str = "",
        tenant: str = "",
        label_selector: str = "",
        field_selector: str = "",
        propagation: Propagation = "",
        grace_period: int | None = None,
    ) -> Obj:
        """Deletes all objects that match. Answers the list, or a Status, as the server sends."""
        path = self._paths.resource(kind, tenant=tenant, namespace=namespace)
        parameters = {"labelSelector": label_selector, "fieldSelector": field_selector}
        options = _delete_options(propagation, grace_period)
        return _decode(await self._call("DELETE", query(path, parameters), options or None))

    async def request(self, method: str, path: str, body: Obj | None = None) -> Obj:
        """Any other call: `path` under the server's prefix, query included (`/version`, `/apis`)."""
        return _decode(await self._call(method, self._paths.other(path), body))

    # the wire

    async def _call(
        self,
        method: str,
        target: str,
        body: Obj | builtins.list[Obj] | msgspec.Raw | None = None,
        media: str = "application/json",
        accept: str = _JSON,
    ) -> bytes:
        encoded = b"" if body is None else msgspec.json.encode(body)
        for attempt in range(self.config.retries + 1):
            headers = await self._admit(accept)
            if encoded:
                headers["Content-Type"] = media
            if method != "GET" and (tenure := fencing.current()):
                headers[HEADER] = tenure
            answer = await self._http.request(
                method, target, headers=headers, body=encoded, timeout=self.config.timeout
            )
            if answer.status < 400:
                return answer.body
            error = _refusal(answer.status, answer.headers, answer.body)
            if attempt == self.config.retries or not _worth_waiting(error):
                raise error
            await asyncio.sleep(error.retry_after)
        raise AssertionError("unreachable")

    async def _stream(self, target: str, lifetime: float, accept: str) -> ResponseStream:
        for attempt in range(self.config.retries + 1):
            stream = await self._http.stream(
                "GET", target, headers=await self._admit(accept), timeout=self.config.timeout, lifetime=lifetime
            )
            if stream.status < 400:
                return stream
            error = _refusal(stream.status, stream.headers, await stream.read())
            if attempt == self.config.retries or not _worth_waiting(error):
                raise error
            await asyncio.sleep(error.retry_after)
        raise AssertionError("unreachable")

    async def _admit(self, accept: str) -> dict[str, str]:
        """Waits for our own rate limit, if there is one; gives the headers of every request."""
        now = asyncio.get_running_loop().time()
        if self._file is not None and (renewed := self._file.look(now)) is not None:
            self._token = BearerToken(renewed)
        if self.config.qps:
            if self._bucket is None:
                self._bucket = TokenBucket(self.config.qps, self.config.burst or max(1.0, self.config.qps), now)
            pause = self._bucket.reserve(now)
            if pause:
                await asyncio.sleep(pause)
        return {"Accept": accept, **self._token.header(now)}


def _decode(body: bytes) -> Obj:
    try:
        decoded: Obj = msgspec.json.decode(body, type=dict)
    except msgspec.DecodeError as error:
        raise from_response(500, b"the server answered what is no JSON object: " + str(error).encode()) from error
    return decoded


def _page(body: bytes) -> _RawPage:
    try:
        return _PAGE.decode(body)
    except msgspec.DecodeError as error:
        raise from_response(500, b"the server answered what is no list: " + str(error).encode()) from error


def _refusal(code: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    after = headers.get("retry-after", "")
    return from_response(code, body, int(after) if after.isdecimal() else 0)


def _worth_waiting(error: ApiError) -> bool:
    return isinstance(error, TooManyRequests | ServiceUnavailable) and 0 < error.retry_after <= _LONGEST_PAUSE


def _write(field_manager: str, dry_run: bool) -> dict[str, str]:
    return {"fieldManager": field_manager, "dryRun": "All" if dry_run else ""}


def _delete_options(propagation: str, grace_period: int | None) -> Obj:
    options: Obj = {}
    if propagation:
        options["propagationPolicy"] = propagation
    if grace_period is not None:
        options["gracePeriodSeconds"] = grace_period
    return options
