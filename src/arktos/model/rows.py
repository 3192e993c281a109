"""How the rows of `kinds_*` are written: what all kinds of a group share, and the subresources that many have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from arktos.model.kinds import Kind, Scope, Subresource

READ_WRITE = ("get", "patch", "update")
CREATE = ("create",)
NO_COLLECTION_DELETE = ("create", "delete", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class GroupVersion:
    """One group-version; `package` is the prefix of its type names in the schema tables."""

    group: str
    version: str
    package: str

    def row(self, kind: str, plural: str, scope: Scope = Scope.NAMESPACE, **facts: Any) -> Kind:
        """A kind of this group-version. A `status` subresource makes `has_status` true."""
        subresources: tuple[Subresource, ...] = facts.pop("subresources", ())
        return Kind(
            self.group,
            self.version,
            kind,
            plural,
            scope,
            schema=f"{self.package}.{kind}",
            singular=facts.pop("singular", kind.lower()),
            subresources={entry.name: entry for entry in subresources},
            has_status=any(entry.name == "status" for entry in subresources),
            **facts,
        )


STATUS = Subresource("status", READ_WRITE)
SCALE = Subresource("scale", READ_WRITE, kind="Scale", group="autoscaling", version="v1")
_PROXIED = ("create", "delete", "get", "patch", "update")
_CONNECTED = ("create", "get")


def proxy(kind: str) -> Subresource:
    """The `proxy` of a kind: HTTP to it, with any method."""
    return Subresource("proxy", _PROXIED, kind=kind, connects=True)


def connection(name: str, kind: str) -> Subresource:
    """A connection that begins with an upgrade, from GET (WebSocket) or POST (SPDY)."""
    return Subresource(name, _CONNECTED, kind=kind, connects=True)
