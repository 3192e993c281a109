"""From events to keys, and from plans to pods."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

from arktos.client import Cached, Key
from arktos.client.controller import controller_key
from arktos.controllers import owners
from arktos.controllers.actions import FAILURES, Create, Delete, Patch, into_the_ending, perform
from arktos.controllers.context import Context, Sharing, Unit
from arktos.controllers.freshness import OwnWrites
from arktos.controllers.pods import PodView, view
from arktos.controllers.replicaset import reconcile
from arktos.model import dates, registry, selectors
from arktos.model.kinds import Obj
from arktos.model.status import NotFound, StaleRange

NAME = "replicaset"
TYPE = "ReplicaSet"
REPLICASET = registry.by_resource("replicasets.apps")
POD = registry.by_resource("pods")
_ORPHANS = "unmanaged"


class _ReplicaSets:
    def __init__(self, context: Context) -> None:
        self.context = context
        self.replicasets = context.part(TYPE, "replicasets.apps")
        self.pods = context.part(TYPE, "pods", "ReplicaSet")
        self.pods.add_index(_ORPHANS, owners.unmanaged_in_namespace)
        self.recorder = context.recorder("replicaset-controller")
        self.writes = OwnWrites(self.pods)

    def rivals(self, pod: Cached) -> Iterable[Key]:
        """The ReplicaSets that might adopt a pod."""
        candidates = self.replicasets.by_index("namespace", f"{pod.tenant}/{pod.namespace}")
        return owners.orphan_rivals(pod, candidates)

    async def reconcile(self, key: Key) -> float | None:
        cached = self.replicasets.get(*key)
        if cached is None:
            self.writes.forget(key)
            return None
        replicaset = cached.obj()
        if not self.writes.seen(key):
            return None
        pods = await self._claim(key, cached, replicaset)
        now = self.context.wall()
        failure: Exception | None = None
        reason = ""
        if not cached.deleting:
            plan = reconcile.plan(replicaset, pods, self._related(cached), now)
            reason = "FailedCreate" if plan.create else "FailedDelete"
            failure = await self._create(key, replicaset, plan.create) or await self._delete(
                key, replicaset, plan.delete
            )
        await self._report(cached, replicaset, pods, None if failure is None else (reason, str(failure)))
        if failure is not None:
            raise failure
        return reconcile.next_available(replicaset, pods, now)

    async def _claim(self, key: Key, cached: Cached, replicaset: Obj) -> list[PodView]:
        """The pods that we hold, after taking and letting go."""
        selector = selectors.from_label_selector(replicaset["spec"].get("selector"))
        owned = self.pods.by_index("controller", cached.uid)
        orphans = self.pods.by_index(_ORPHANS, f"{cached.tenant}/{cached.namespace}")
        candidates = [pod for pod in orphans if selector.matches_labels(pod.labels) and view(pod).active]
        claims = owners.claim(REPLICASET, replicaset, owned, candidates, selector.matches_labels)
        if claims.adopt:
            await self._still_there(cached)
        for patch in (*claims.adopt, *claims.release):
            await self._hand_over(key, patch)
        adopted = {patch.key for patch in claims.adopt}
        return [view(pod) for pod in (*claims.held, *(c for c in candidates if c.key in adopted))]

    async def _still_there(self, cached: Cached) -> None:
        """Adopting is for the living: asks the server itself, since our mirror may be behind. Raises NotFound."""
        fresh = await self.context.client.get(REPLICASET, cached.name, tenant=cached.tenant, namespace=cached.namespace)
        if fresh["metadata"].get("uid") != cached.uid or "deletionTimestamp" in fresh["metadata"]:
            raise NotFound(f"{cached.namespace}/{cached.name} is not what it was, or is being deleted")

    async def _hand_over(self, key: Key, patch: Patch) -> None:
        try:
            self.writes.wrote(key, await perform(self.context.client, patch))
        except NotFound:
            return

    def _related(self, cached: Cached) -> Iterator[PodView]:
        """The pods of all ReplicaSets with our own's owner, ours included, as far as they are in our range: only the
        order of victims depends on it. Decoded only if somebody asks."""
        managing = cached.controller
        siblings = [cached] if managing is None else self.replicasets.by_index("controller", managing.uid)
        for sibling in siblings:
            yield from map(view, self.pods.by_index("controller", sibling.uid))

    async def _create(self, key: Key, replicaset: Obj, count: int) -> Exception | None:
        """Creates pods in batches that double while all goes well; the first failure, after which no batch is begun."""
        if not count:
            return None
        pod = reconcile.pod_from(REPLICASET, replicaset)

        async def one() -> None:
            try:
                made = await perform(self.context.client, Create(POD, pod))
            except FAILURES as error:
                if not _ends(error):
                    self.recorder.event(replicaset, "Warning", "FailedCreate", f"Error creating: {error}")
                raise
            self.writes.wrote(key, made)
            self.recorder.event(replicaset, "Normal", "SuccessfulCreate", f"Created pod: {made['metadata']['name']}")

        failure = await in_growing_batches(count, one)
        if isinstance(failure, StaleRange):
            raise failure
        return None if failure is None or _ends(failure) else failure

    async def _delete(self, key: Key, replicaset: Obj, pods: Sequence[PodView]) -> Exception | None:
        tenant, namespace, _ = key
        rest = iter(pods)
        failures: list[Exception] = []

        async def work() -> None:
            for pod in rest:
                try:
                    gone = await perform(self.context.client, Delete(POD, (tenant, namespace, pod.name), uid=pod.uid))
                except NotFound:
                    continue
                except FAILURES as error:
                    self.recorder.event(replicaset, "Warning", "FailedDelete", f"Error deleting: {error}")
                    failures.append(error)
                    continue
                self.writes.wrote(key, gone)
                self.recorder.event(replicaset, "Normal", "SuccessfulDelete", f"Deleted pod: {pod.name}")

        async with asyncio.TaskGroup() as group:
            for _ in range(min(32, len(pods))):
                group.create_task(work())
        return failures[0] if failures else None

    async def _report(
        self, cached: Cached, replicaset: Obj, pods: Sequence[PodView], failure: tuple[str, str] | None
    ) -> None:
        now = self.context.wall()
        status = reconcile.status_of(replicaset, pods, failure, now, dates.rfc3339(dates.from_unix(now)))
        if not reconcile.differs(replicaset.get("status"), status):
            return
        body = {"metadata": {"uid": cached.uid}, "status": reconcile.body_of(status)}
        try:
            await perform(self.context.client, Patch(REPLICASET, cached.key, body, subresource="status"))
        except NotFound:
            return


def _ends(error: Exception) -> bool:
    """Whether a create failed because its namespace is on its way out, or gone, or because the range is another's:
    nothing to retry, nothing to tell."""
    return into_the_ending(error) or isinstance(error, NotFound | StaleRange)


async def in_growing_batches(count: int, one: Callable[[], Awaitable[None]]) -> Exception | None:
    """Calls `one` `count` times, 1, 2, 4, ... at once. Stops after a batch with failures; the first of them."""
    size = 1
    while count > 0:
        batch = min(size, count)
        failures = [f for f in await asyncio.gather(*(_caught(one) for _ in range(batch))) if f is not None]
        if failures:
            return failures[0]
        count -= batch
        size *= 2
    return None


async def _caught(one: Callable[[], Awaitable[None]]) -> Exception | None:
    try:
        await one()
    except FAILURES as error:
        return error
    return None


def build(context: Context) -> Unit:
    work = _ReplicaSets(context)
    controller = context.controller(NAME, work.reconcile, workers=32)
    controller.watches(work.replicasets)
    controller.watches(work.pods, controller_key("ReplicaSet"))
    controller.watches(work.pods, work.rivals)

    def refresh() -> None:
        for replicaset in work.replicasets.items():
            controller.enqueue(replicaset.key)

    parts = [work.replicasets, work.pods]
    return Unit([controller], [], refresh, Sharing.RANGES, TYPE, work.replicasets, parts)
