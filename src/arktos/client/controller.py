"""A small controller runtime: informers put keys on a queue, workers reconcile them, failures come back with
back-off."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Self

from arktos.client.cached import Cached, ObjectKey
from arktos.client.errors import ConnectionFailed
from arktos.client.informer import Informer
from arktos.client.workqueue import QueueMetrics, WorkQueue, run
from arktos.model.status import ApiError, Conflict
from arktos.wire import logs

Key = ObjectKey
"""(tenant, namespace, name): what `reconcile` gets."""
Reconcile = Callable[[Key], Awaitable[float | None]]
MapFn = Callable[[Cached], Iterable[Key]]
Predicate = Callable[[Cached | None, Cached | None], bool]

_log = logs.get_logger(__name__)


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
        if managing is None or managing.kind != kind:
            return ()
        return ((cached.tenant, cached.namespace, managing.name),)

    return owner


class Controller:
    """`reconcile(key)` makes the world as the object of that key wants it; it finds the object in an informer, and
    that it is gone is one of its cases. It returns None, or seconds until it wants to be called again. Raised from
    it:

    * `Retry(after)`: called again then. `Terminal(reason)`: not called again until the object changes.
    * `Conflict` (somebody else wrote meanwhile): again after back-off, logged at debug.
    * other `ApiError`, `ConnectionFailed`: again after back-off (or Retry-After, if longer), logged as a warning.
    * anything else is a bug: logged with its trace, again after back-off; other keys go on.

    `backoff` is (first, longest) in seconds. One key is never reconciled twice at a time.
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
        self._reconcile = reconcile
        self._workers = workers
        self._queue: WorkQueue[Key] = WorkQueue(base=backoff[0], ceiling=backoff[1], metrics=metrics)
        self._informers: list[Informer] = []

    def watches(self, informer: Informer, map_fn: MapFn = own_key, *, when: Predicate | None = None) -> Self:
        """Every change of the informer's objects queues the keys that `map_fn` gives for the old and the new
        object, if `when(old, new)` says so. `run` waits for the informer to be synced."""

        def on_change(old: Cached | None, new: Cached | None) -> None:
            if when is not None and not when(old, new):
                return
            for cached in (old, new):
                if cached is not None:
                    for key in map_fn(cached):
                        self._queue.add(key)

        informer.add_handler(on_change)
        return self.needs(informer)

    def needs(self, informer: Informer) -> Self:
        """An informer that `reconcile` reads: `run` waits for it too."""
        if informer not in self._informers:
            self._informers.append(informer)
        return self

    def enqueue(self, key: Key, after: float = 0.0) -> None:
        """Queues a key by hand, in `after` seconds."""
        self._queue.add_after(key, after)

    def within(self, wrap: Callable[[Reconcile], Reconcile]) -> None:
        """Replaces what is done with a key by what `wrap` makes of it."""
        self._reconcile = wrap(self._reconcile)

    def unfinished(self) -> tuple[float, float]:
        """Seconds of work under way: of all keys together, and of the one that takes longest."""
        return self._queue.unfinished()

    async def run(self) -> None:
        """Waits for the informers, then works until cancelled. The informers are run by their owner."""
        for informer in self._informers:
            await informer.synced.wait()
        _log.info("controller_started", controller=self.name, workers=self._workers)
        await run(self._queue, self._workers, self._handle)

    async def _handle(self, key: Key) -> None:
        log = _log.bind(controller=self.name, tenant=key[0], namespace=key[1], name=key[2])
        try:
            again = await self._reconcile(key)
        except Retry as retry:
            log.debug("reconcile_postponed", reason=str(retry), seconds=retry.after)
            again = retry.after
        except Terminal as error:
            log.warning("reconcile_terminal", error=str(error))
            again = None
        except Conflict as error:
            log.debug("reconcile_conflict", error=str(error))
            self._queue.add_rate_limited(key)
            return
        except (ApiError, ConnectionFailed) as error:
            after = error.retry_after if isinstance(error, ApiError) else 0
            log.warning("reconcile_failed", error=f"{type(error).__name__}: {error}", seconds=self._again(key, after))
            return
        except Exception:
            # The one supervisor on the clients' side: a bug met by one object must not stop all others.
            log.exception("reconcile_bug", seconds=self._again(key, 0.0))
            return
        self._queue.forget(key)
        if again is not None:
            self._queue.add_after(key, again)

    def _again(self, key: Key, at_least: float) -> float:
        """Queues `key` after its back-off, or `at_least` seconds, and returns which."""
        return self._queue.add_rate_limited(key, at_least=at_least)
