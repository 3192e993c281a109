"""The client: one API server, every kind, every tenant.

Kinds are rows of the registry (`arktos.model.registry.by_resource("deployments.apps")`) or rows of your own for
custom resources. Objects are plain dicts. Every method raises `ApiError` subclasses of `arktos.model.status` (NotFound, Conflict,
AlreadyExists, ...) for answers that are not success, and `ConnectionFailed` for a server that could not be reached
or died on the way: a write may then have happened.

`tenant` in every method: "" is what the object says, then the configuration, then what server URL or credential name;
`ALL_TENANTS` ("all") lists and watches across tenants. It is ignored for cluster-scoped kinds.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import msgspec

from arktos.client.kubeconfig import ClientConfig
from arktos.client.watching import Watch
from arktos.model.kinds import Kind, Obj

PatchType = Literal["merge", "json", "strategic", "apply"]
Propagation = Literal["", "Background", "Foreground", "Orphan"]


class Listing(msgspec.Struct):
    """A complete list. `resource_version` is where a watch goes on from."""

    items: list[Obj]
    resource_version: str


class RawListing(msgspec.Struct):
    """A complete list, items undecoded (they may lack apiVersion and kind, as the server sends them)."""

    items: list[bytes]
    resource_version: str


class Client:
    """Safe for any number of tasks of one event loop. Use as an async context manager, or call `aclose`."""

    def __init__(self, config: ClientConfig) -> None: ...

    @classmethod
    def from_kubeconfig(cls, path: str | Path = "", context: str = "", *, user_agent: str = "") -> Self:
        """`path` "" is $KUBECONFIG or ~/.kube/config, `context` "" the file's current one. Raises ConfigError."""

    async def aclose(self) -> None:
        """Closes all connections, running watches included."""

    async def get(
        self, kind: Kind, name: str, *, namespace: str = "", tenant: str = "", subresource: str = ""
    ) -> Obj: ...

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
        expires midway is started again, once, without pages. Items carry apiVersion and kind."""

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
    ) -> RawListing:
        """As `list`, without decoding the items."""

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
        """Creates `obj`, or posts it to `subresource` of the object `name` (default: the body's own name)."""

    async def update(
        self, kind: Kind, obj: Obj, *, subresource: str = "", field_manager: str = "", dry_run: bool = False
    ) -> Obj:
        """Replaces the object; tenant, namespace and name are the object's own. `metadata.resourceVersion`, if there,
        must be the current one (else Conflict)."""

    async def patch(
        self,
        kind: Kind,
        name: str,
        patch: Obj | list[Obj],
        *,
        type: PatchType = "merge",
        namespace: str = "",
        tenant: str = "",
        subresource: str = "",
        field_manager: str = "",
        force: bool = False,
        dry_run: bool = False,
    ) -> Obj:
        """`json` takes a list of operations, the others an object. `apply` is server-side apply: `field_manager` is
        then required by the server (default: the user agent's first word), `force` takes fields over."""

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
    ) -> Obj: ...

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
    ) -> Watch:
        """Events after `resource_version`; without one, synthetic ADDED events come first. `timeout` in seconds is
        asked of the server (0 = the server's own)."""

    async def request(self, method: str, path: str, body: Obj | None = None, *, timeout: float = 0.0) -> Obj:
        """Any other call: `path` under the server's prefix, query included (`/version`, `/apis`)."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
