"""Answers for what a tenant's extensions serve, and tells of it beside what this server has."""

from __future__ import annotations

import gzip
from collections.abc import Awaitable, Callable, Mapping

from arktos.apiserver.aggregation import merging
from arktos.apiserver.aggregation.availability import Availability
from arktos.apiserver.aggregation.connecting import FrontProxyOptions, Ways
from arktos.apiserver.aggregation.extensions import Extension, Extensions, GroupVersion
from arktos.apiserver.aggregation.local import LocalServices
from arktos.apiserver.backends import Backends
from arktos.apiserver.encoding import dumps, loads
from arktos.apiserver.identity import User
from arktos.apiserver.prebuilt import Document
from arktos.apiserver.proxying import reply_of
from arktos.apiserver.reader import Reader
from arktos.apiserver.requestinfo import RequestInfo
from arktos.model.kinds import Obj
from arktos.model.status import NotFound, ServiceUnavailable, Timeout
from arktos.wire.exchange import ConnectionFailed, RequestTimeout
from arktos.wire.http import Reply, Request, Response

_MAX_MERGED = 256
_OPENAPI = "/openapi/v3"
_Own = Callable[[], Response | Awaitable[Response]]
_Merge = Callable[[Obj, Mapping[GroupVersion, Extension]], Obj]


class Aggregator:
    """One per server. `start` when the loop runs; `aclose` at the end."""

    def __init__(self, reader: Reader, local: LocalServices, options: FrontProxyOptions) -> None:
        self._local = local
        self._ways = Ways(Backends(reader), options)
        self._availability = Availability(reader.store, self._ways)
        self._extensions = Extensions(reader.store, self._availability.look_soon)
        self._availability.extensions = self._extensions
        self._merged: dict[tuple[object, ...], Document] = {}

    def start(self) -> None:
        self._availability.start()

    async def aclose(self) -> None:
        self._extensions.close()
        await self._availability.aclose()

    def find(self, tenant: str, group: str, version: str) -> Extension | None:
        """The extension that answers for a group-version of a tenant, None if that is this server's, or nobody's."""
        found = self._extensions.of(tenant)
        if not found:
            return None
        extension = found.get((group, version))
        if extension is None or self._local.answers(tenant, group, version):
            return None
        return extension

    async def forward(self, extension: Extension, request: Request, user: User) -> Reply:
        """The extension's answer. ServiceUnavailable, Timeout, BadRequest."""
        if not extension.available:
            raise ServiceUnavailable("service unavailable")
        return await self._passed(extension, request, target_of(request.target), user)

    def document(
        self, request: Request, info: RequestInfo, user: User, tenant: str, own: _Own
    ) -> Response | Awaitable[Reply]:
        """Discovery and OpenAPI of a tenant: `own` is this server's answer to the same. NotFound."""
        extensions = self._extensions.of(tenant)
        path = info.path.rstrip("/")
        if not extensions or request.method not in ("GET", "HEAD"):
            return own()
        steps = path.split("/")[1:]
        if path in ("/apis", _OPENAPI):
            # What the client has already is to be compared with the whole.
            known = request.headers.pop("if-none-match", "")
            listed = merging.discovery_list if _is_aggregated(request) else merging.group_list
            merge = merging.openapi_index if path == _OPENAPI else listed
            answered = own()
            if not isinstance(answered, Response):
                return answered
            return self._together(request, tenant, answered, merge, extensions, known)
        if steps[0] == "apis" and len(steps) == 2:
            return self._group(steps[1], own, extensions)
        named = steps[2:] if path.startswith(_OPENAPI) else steps
        if len(named) == 3 and named[0] == "apis":
            extension = self.find(tenant, named[1], named[2])
            if extension is not None:
                return self._answered(extension, request, user, openapi=path.startswith(_OPENAPI))
        return own()

    async def _answered(self, extension: Extension, request: Request, user: User, *, openapi: bool) -> Reply:
        if not extension.available:
            raise ServiceUnavailable("service unavailable")
        if openapi and not extension.openapi:
            raise NotFound("the server could not find the requested resource")
        target = extension.openapi if openapi else target_of(request.target)
        return await self._passed(extension, request, target, user)

    async def _passed(self, extension: Extension, request: Request, target: str, user: User) -> Reply:
        try:
            return await reply_of(await self._ways.forward(extension, request, target, user))
        except RequestTimeout as error:
            raise Timeout(f"error trying to reach service: {error}") from error
        except ConnectionFailed as error:
            self._availability.look_soon(extension)
            raise ServiceUnavailable(f"error trying to reach service: {error}") from error

    def _group(
        self, name: str, own: _Own, extensions: Mapping[GroupVersion, Extension]
    ) -> Response | Awaitable[Response]:
        """One APIGroup, of this server's versions and the extensions'."""
        more = merging.groups_of(extensions).get(name)
        if more is None:
            return own()
        try:
            answered = own()
        except NotFound:
            known = None
        else:
            known = loads(_whole(answered)) if isinstance(answered, Response) else None
        return Response(200, dumps({"kind": "APIGroup", "apiVersion": "v1", **merging.group(name, more, known)}))

    def _together(
        self,
        request: Request,
        tenant: str,
        own: Response,
        merge: _Merge,
        extensions: Mapping[GroupVersion, Extension],
        if_none_match: str,
    ) -> Response:
        tag = dict(own.headers).get("ETag", "")
        key = (tenant, merge, own.content_type, tag, self._extensions.generation)
        known = self._merged.get(key)
        if known is None:
            if len(self._merged) >= _MAX_MERGED:
                self._merged.clear()
            body = dumps(merge(loads(_whole(own)), extensions))
            known = self._merged[key] = Document(body, own.content_type)
        return known.answer(if_none_match, request.headers.get("accept-encoding", ""))


def target_of(target: str) -> str:
    """A request's target without the tenant that it names: an extension knows one tenant only."""
    path, mark, query = target.partition("?")
    steps = path.split("/")
    if steps[1:2] == ["tenants"]:
        steps = ["", *steps[3:]]
    if steps[1:2] == ["apis"] and steps[4:5] == ["tenants"] and len(steps) > 6:
        steps = [*steps[:4], *steps[6:]]
    return "/".join(steps) + mark + query


def _is_aggregated(request: Request) -> bool:
    return "as=APIGroupDiscoveryList" in request.headers.get("accept", "")


def _whole(response: Response) -> bytes:
    body = response.body if isinstance(response.body, bytes) else b"".join(response.body)
    return gzip.decompress(body) if ("Content-Encoding", "gzip") in response.headers else body
