"""A request on its way through the server: parsed once, passed along."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from arktos.apiserver.encoding import key_of
from arktos.apiserver.identity import User
from arktos.apiserver.requestinfo import RequestInfo
from arktos.model.kinds import ALL_TENANTS, Kind, Scope
from arktos.model.status import BadRequest, FieldError, Invalid
from arktos.store.records import Key
from arktos.wire.http import Request
from arktos.wire.mediatype import Accept

_TRUE = frozenset({"true", "1", "t", "T", "TRUE", "True"})
_FALSE = frozenset({"", "false", "0", "f", "F", "FALSE", "False"})
_DIGITS, _LARGEST = 20, 2**53
"""Digits that a number in a query may have, and what larger ones count as."""
_MAX_MANAGER = 128
"""Bytes of a field manager's name."""


class Params(dict[str, str]):
    """Query parameters; of a repeated one the first counts, but for `fieldSelector` and `labelSelector`, which join."""

    @classmethod
    def parse(cls, query: str) -> Params:
        params = cls()
        if not query:
            return params
        for name, value in parse_qsl(query, keep_blank_values=True):
            if name not in params:
                params[name] = value
            elif name in {"fieldSelector", "labelSelector"} and params[name] != value:
                params[name] = f"{params[name]},{value}"
        return params

    def flag(self, name: str) -> bool:
        value = self.get(name, "")
        if value in _TRUE:
            return True
        if value in _FALSE:
            return False
        raise BadRequest(f"the query parameter {name} must be a boolean, not {value!r}")

    def number(self, name: str) -> int:
        value = self.get(name, "")
        if not value:
            return 0
        if not (value.isascii() and value.isdigit()) or len(value) > _DIGITS:
            raise BadRequest(f"the query parameter {name} must be an integer and not negative, not {value[:64]!r}")
        return min(int(value), _LARGEST)


@dataclass(slots=True)
class Call:
    """`tenant` is resolved (`all` only for LIST and WATCH). Where `only_name` is set, the caller may see no object of
    another name. `require` raises Forbidden unless the caller may do this verb, too. `warnings` become `Warning`
    headers of the answer."""

    request: Request
    info: RequestInfo
    kind: Kind
    user: User
    tenant: str
    params: Params
    accept: Accept
    only_name: str = ""
    require: Callable[[str], object] = lambda verb: None
    warnings: list[str] = field(default_factory=list)

    @property
    def key(self) -> Key:
        return key_of(self.kind, self.tenant, self.info.namespace, self.info.name)

    def key_named(self, name: str) -> Key:
        return key_of(self.kind, self.tenant, self.info.namespace, name)

    @property
    def query_tenant(self) -> str | None:
        """The tenant part of a store query: None for all; cluster-scoped kinds live under `system`."""
        if self.kind.scope is Scope.CLUSTER:
            return "system"
        return None if self.tenant == ALL_TENANTS else self.tenant

    @property
    def field_manager(self) -> str:
        """The manager that writes are booked on: `fieldManager`, else the client program's name, as upstream.

        Invalid for a name that is too long or cannot be printed."""
        named = self.params.get("fieldManager", "")
        if named:
            problem = ""
            if len(named.encode()) > _MAX_MANAGER:
                problem = f"Too long: may not be more than {_MAX_MANAGER} bytes"
            elif not named.isprintable():
                problem = f"Invalid value: {named!r}: should only contain printable characters"
            if problem:
                cause = FieldError("fieldManager", "FieldValueInvalid", problem)
                raise Invalid(f"PatchOptions.meta.k8s.io is invalid: {cause}", causes=[cause])
            return named
        agent = self.request.headers.get("user-agent", "")
        return agent.split("/", 1)[0][:_MAX_MANAGER] or "unknown"

    @property
    def dry_run(self) -> bool:
        value = self.params.get("dryRun", "")
        if value in {"", "All"}:
            return value == "All"
        raise BadRequest(f'Invalid value: "{value}": dryRun: Unsupported value: "{value}": supported values: "All"')
