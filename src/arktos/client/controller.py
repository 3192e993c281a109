"""A small controller runtime: informers put keys on a queue, workers reconcile them, failures come back with
back-off."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Self

from arktos.client.cached import Cached, ObjectKey
from arktos.client.informer import Informer
from arktos.client.workqueue import QueueMetrics

Key = ObjectKey
"""(tenant, namespace, name): what `reconcile` gets."""
Reconcile = Callable[[Key], Awaitable[float | None]]
MapFn = Callable[[Cached], Iterable[Key]]
Predicate = Callable[[Cached | None, Cached | None], bool]


class Retry(Exception):
    """Raised by `reconcile`: try again in `after` seconds. Not a failure; nothing is logged above debug."""

    def __init__(self, after: float, reason: str = "") -> None:
        super().__init__(reason)
        self.after = after


class Terminal(Exception):
    """Raised by `reconcile`: no retry will help until the object changes. Logged once."""


def own_key(cached: Cached) -> Iterable[Key]:
    """The object's own key: the default mapping."""
    return (cached.key,)


def controller_key(kind: str) -> MapFn:
    """A mapping to the key of the managing owner, if that is of `kind` ("ReplicaSet")."""

    def owner(cached: Cached) -> Iterable[Key]:
        managing = cached.controller
        return ((cached.tenant, cached.namespace, managing.name),) if managing and managing.kind == kind else ()

    return owner


class Controller:
    """`reconcile(key)` makes the world as the object of that key wants it. It returns None, or seconds until it
    wants to be called again. Raised from it:

    * `Retry(after)`: called again then. `Terminal(reason)`: not called again until the object changes.
    * `Conflict` (somebody else wrote meanwhile): again after back-off, logged at debug.
    * other `ApiError`, `ConnectionFailed`: again after back-off (or Retry-After, if longer), logged as a warning.
    * anything else is a bug: logged with its trace, again after back-off; other keys go on.
    """

    def __init__(
        self,
        name: str,
        reconcile: Reconcile,
        *,
        workers: int = 4,
        backoff: tuple[float, float] = (0.005, 1000.0),
        metrics: QueueMetrics | None = None,
    ) -> None:
        self.name = name

    def watches(self, informer: Informer, map_fn: MapFn = own_key, *, when: Predicate | None = None) -> Self:
        """Every change of the informer's objects queues the keys that `map_fn` gives for the old and the new
        object, if `when(old, new)` says so. `run` waits for the informer to be synced."""
        return self

    def needs(self, informer: Informer) -> Self:
        """An informer that `reconcile` reads: `run` waits for it too."""
        return self

    def enqueue(self, key: Key, after: float = 0.0) -> None:
        """Queues a key by hand, in `after` seconds."""

    async def run(self) -> None:
        """Waits for the informers, then works until cancelled. The informers are run by their owner."""
