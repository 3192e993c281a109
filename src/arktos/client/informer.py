"""Informers: a local mirror of one kind, kept true by list and watch. Handlers hear of every change, in order.

An informer starts with WatchList (one watch that sends the initial state), or list + watch where the server refuses
that; it resumes from the last revision it saw, and starts over, with a diff, when that revision has expired.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from arktos.client.cache import Change
from arktos.client.cached import Cached
from arktos.client.client import Client
from arktos.model.kinds import ALL_TENANTS, Kind

IndexFn = Callable[[Cached], Iterable[str]]
Handler = Callable[[Cached | None, Cached | None], None]


class Informer:
    """A mirror of `kind`, narrowed by the filters. All methods are for the loop's thread; nothing here blocks.

    `synced` is set once the first complete state is in the cache, and stays set. Handlers must not raise: what they
    raise ends `run`.
    """

    def __init__(
        self,
        client: Client,
        kind: Kind,
        *,
        tenant: str = ALL_TENANTS,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        indexes: Mapping[str, IndexFn] | None = None,
    ) -> None:
        self.kind = kind
        self.synced = asyncio.Event()

    def __len__(self) -> int: ...

    def get(self, tenant: str, namespace: str, name: str) -> Cached | None:
        """Tenant is ignored for cluster-scoped kinds."""

    def by_index(self, name: str, value: str) -> list[Cached]:
        """The objects for which the index function `name` gave `value`. KeyError for an index that does not exist."""

    def items(self) -> Iterable[Cached]:
        """All objects, as of now (a copy is made: it may be iterated across awaits)."""

    def add_index(self, name: str, fn: IndexFn) -> None:
        """Adds an index, over what is there too. ValueError if the name is taken by another function."""

    def add_handler(self, on_change: Handler) -> None:
        """`on_change(old, new)` for every change from now on: old is None for what came, new for what went. What is
        there already is told first, as having come."""

    @property
    def resource_version(self) -> str:
        """The revision that the cache equals, "" before the first sync."""

    async def run(self) -> None:
        """Keeps the mirror true until cancelled. Network failures and refusals are retried with back-off, and
        logged."""


class Informers:
    """One informer per (kind, filters), shared by all who ask.

    `run` holds them in one task group; informers asked for while it runs are started at once.
    """

    def __init__(self, client: Client) -> None: ...

    def get(
        self,
        kind: Kind,
        *,
        tenant: str = ALL_TENANTS,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        indexes: Mapping[str, IndexFn] | None = None,
    ) -> Informer:
        """The shared informer; `indexes` are added to it."""

    async def stop(self, informer: Informer) -> None:
        """Stops one informer and forgets it (a custom resource's kind that has gone)."""

    async def run(self) -> None:
        """Runs all informers until cancelled."""

    async def wait_synced(self) -> None:
        """Waits until every informer asked for so far has its first complete state."""
