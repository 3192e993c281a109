"""Requests for custom resources: the same verbs as for built-in kinds, begun again where the definition moved on."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from functools import partial

from arktos.apiserver.call import Call
from arktos.apiserver.commits import seen
from arktos.apiserver.custom.converted import ConvertedWatches
from arktos.apiserver.custom.definitions import DefinitionChanged, Definitions
from arktos.apiserver.reader import Reader
from arktos.apiserver.routes import Routes
from arktos.apiserver.verbs.get import get
from arktos.apiserver.verbs.list import list_objects, page_of, query_of
from arktos.apiserver.verbs.watch import watch
from arktos.apiserver.watching import WatchServer
from arktos.model.kinds import SYSTEM_TENANT
from arktos.model.status import MethodNotAllowed, NotFound
from arktos.store.records import Record
from arktos.wire.http import Reply

ATTEMPTS = 4
"""How often a write is tried while its definition keeps changing."""


class CustomResources:
    """Answers calls whose kind is a tenant's own."""

    def __init__(self, reader: Reader, watches: WatchServer, routes: Routes) -> None:
        self._reader = reader
        self._watches = watches
        self._routes = routes
        self._conversion = routes.conversion

    @property
    def _definitions(self) -> Definitions:
        return self._reader.definitions

    def answer(self, call: Call, verb: str) -> Reply | Awaitable[Reply]:
        """As the dispatcher answers calls for built-in kinds."""
        custom = call.kind.custom
        assert custom is not None
        if custom.raw.deprecated:
            kind = call.kind
            told = custom.raw.deprecation_warning or f"{kind.api_version} {kind.kind} is deprecated"
            call.warnings.append(told)
        if verb == "create" and custom.definition.terminating and not call.info.subresource:
            raise MethodNotAllowed(f"{verb} not allowed while custom resource definition is terminating")
        if call.info.subresource or verb not in ("get", "list", "watch"):
            return self._write(call, verb)
        if not custom.definition.by_webhook:
            return self._read(call, verb)
        if verb == "watch":
            return watch(call, ConvertedWatches(self._watches, call.kind, self._conversion))
        read, shown = partial(self._awaited, call, verb), partial(self._shown, call, verb)
        return self._conversion.give(read, shown, hasty=_is_for_all(call))

    async def _awaited(self, call: Call, verb: str) -> Reply:
        found = self._read(call, verb)
        return await found if isinstance(found, Awaitable) else found

    def _shown(self, call: Call, verb: str) -> Sequence[Record]:
        """What a read is about to show."""
        return page_of(call, self._reader, query_of(call)).records if verb == "list" else ()

    def _read(self, call: Call, verb: str) -> Reply | Awaitable[Reply]:
        if verb == "get":
            return get(call, self._reader)
        if verb == "list":
            return list_objects(call, self._reader)
        return watch(call, self._watches)

    def _write(self, call: Call, verb: str) -> Awaitable[Reply]:
        return self._conversion.give(partial(self._written, call, verb), hasty=_is_for_all(call))

    async def _written(self, call: Call, verb: str) -> Reply:
        for left in reversed(range(ATTEMPTS)):
            try:
                found = (
                    self._routes.subresource(call, verb) if call.info.subresource else self._routes.write(call, verb)
                )
                return await found if isinstance(found, Awaitable) else found
            except DefinitionChanged as changed:
                if not left:
                    raise
                await seen(self._reader.store, changed.current)
                self._renew(call)
        raise AssertionError("unreachable")

    def _renew(self, call: Call) -> None:
        """Gives a call the kind as it is defined now. NotFound where it is no more."""
        info = call.info
        kind = self._definitions.lookup(call.tenant, info.group, info.version, info.resource)
        if kind is None:
            raise NotFound("the server could not find the requested resource")
        call.kind = kind
        call.warnings.clear()


def _is_for_all(call: Call) -> bool:
    """Whether somebody asks about a tenant who works for others, too: a controller, a node."""
    return call.user.is_system and call.tenant != SYSTEM_TENANT
