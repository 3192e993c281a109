"""Pods on behalf of a workload: which are its own, and making and deleting them so that users see what happened.

What the controllers of ReplicaSets, StatefulSets, DaemonSets and Jobs share. A controller decides nothing until
`writes` has seen its own last writes come back (`controllers.freshness`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import msgspec

from arktos.client import Cached, Controller, Informer, Key
from arktos.client.cached import decode_header
from arktos.client.controller import controller_key
from arktos.controllers import owners
from arktos.controllers.actions import FAILURES, Delete, Patch, into_the_ending, perform
from arktos.controllers.context import Context, Sharing, Unit
from arktos.controllers.freshness import OwnWrites
from arktos.model import registry, selectors
from arktos.model.kinds import Kind, Obj
from arktos.model.status import NotFound, StaleRange

POD = registry.by_resource("pods")
_ORPHANS = "unmanaged"
_AT_ONCE = 32


Matches = Callable[[Mapping[str, str]], bool]
Selects = Callable[[Obj], Matches]
"""From a workload to the test for the labels of its pods."""


def by_selector(owner: Obj) -> Matches:
    """By a LabelSelector."""
    return selectors.from_label_selector(owner["spec"].get("selector")).matches_labels


def by_labels(owner: Obj) -> Matches:
    """By a plain map of labels."""
    return selectors.from_labels(owner["spec"].get("selector")).matches_labels


class PodControl:
    """The pods of one kind of workload. `component` is who events come from (`statefulset-controller`)."""

    def __init__(self, context: Context, kind: Kind, component: str, selects: Selects = by_selector) -> None:
        self.context = context
        self._selects = selects
        self.kind = kind
        self.owners = context.part(kind.kind, kind.resource)
        self.pods = context.part(kind.kind, "pods", kind.kind)
        self.pods.add_index(_ORPHANS, owners.unmanaged_in_namespace)
        self.recorder = context.recorder(component)
        self.writes = OwnWrites(self.pods)

    def unit(self, controller: Controller, *more: Informer) -> Unit:
        """The unit of a controller that watches the workloads and their pods; `more` are further mirrors of the parts
        of the ring that are ours."""
        controller.watches(self.owners)
        controller.watches(self.pods, controller_key(self.kind.kind))
        controller.watches(self.pods, self.rivals)
        for informer in more:
            controller.needs(informer)

        def refresh() -> None:
            for owner in self.owners.items():
                controller.enqueue(owner.key)

        parts = [self.owners, self.pods, *more]
        return Unit([controller], [], refresh, Sharing.RANGES, self.kind.kind, self.owners, parts)

    def rivals(self, pod: Cached) -> Iterable[Key]:
        """The workloads that might adopt a pod."""
        return owners.orphan_rivals(pod, self.owners.by_index("namespace", f"{pod.tenant}/{pod.namespace}"))

    async def claim(
        self, owner: Cached, obj: Obj, may_adopt: Callable[[Cached], bool] = lambda _: True
    ) -> list[Cached]:
        """The pods that `owner` holds, after taking and letting go."""
        matches = self._selects(obj)
        owned = self.pods.by_index("controller", owner.uid)
        orphans = self.pods.by_index(_ORPHANS, f"{owner.tenant}/{owner.namespace}")
        candidates = [pod for pod in orphans if matches(pod.labels) and may_adopt(pod)]
        claims = owners.claim(self.kind, obj, owned, candidates, matches)
        if claims.adopt:
            await self._still_there(owner)
        for patch in (*claims.adopt, *claims.release):
            await self._hand_over(owner.key, patch)
        adopted = {patch.key for patch in claims.adopt}
        return [*claims.held, *(each for each in candidates if each.key in adopted)]

    async def _still_there(self, owner: Cached) -> None:
        """Adopting is for the living: asks the server itself, since our mirror may be behind. Raises NotFound."""
        fresh = await self.context.client.get(self.kind, owner.name, tenant=owner.tenant, namespace=owner.namespace)
        if fresh["metadata"].get("uid") != owner.uid or "deletionTimestamp" in fresh["metadata"]:
            raise NotFound(f"{owner.namespace}/{owner.name} is not what it was, or is being deleted")

    async def _hand_over(self, key: Key, patch: Patch) -> None:
        try:
            self.writes.wrote(key, await perform(self.context.client, patch))
        except NotFound:
            return

    async def create(self, key: Key, owner: Obj, pod: Obj) -> None:
        """Creates a pod and says so. Raises as `Client` does, after an event about it."""
        await self._create(key, owner, msgspec.json.encode(pod))

    async def create_all(self, key: Key, owner: Obj, pods: Sequence[Obj]) -> Exception | None:
        """Creates pods, ever more at once while all goes well; the first failure, after which none is begun, or None.
        That its namespace is on its way out is no failure: there is nothing to retry."""
        bodies: dict[int, bytes] = {}
        rest = iter(pods)

        async def one() -> None:
            pod = next(rest)
            body = bodies.get(id(pod))
            if body is None:
                body = bodies[id(pod)] = msgspec.json.encode(pod)
            await self._create(key, owner, body)

        failure = await ever_more(len(pods), one)
        if isinstance(failure, StaleRange):
            raise failure
        return None if failure is None or ends(failure) else failure

    async def _create(self, key: Key, owner: Obj, body: bytes) -> None:
        meta = owner["metadata"]
        client, tenant, namespace = self.context.client, meta.get("tenant", ""), meta["namespace"]
        try:
            made = decode_header(await client.create_raw(POD, body, tenant=tenant, namespace=namespace)).metadata
        except FAILURES as error:
            if not ends(error):
                self.recorder.event(owner, "Warning", "FailedCreate", f"Error creating: {error}")
            raise
        self.writes.reached(key, made.resource_version)
        self.recorder.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {made.name}")

    async def delete_all(self, key: Key, owner: Obj, pods: Iterable[Cached]) -> Exception | None:
        """Deletes pods, many at once; the first failure. What is gone is no failure."""
        rest = iter(list(pods))
        failures: list[Exception] = []

        async def work() -> None:
            for pod in rest:
                try:
                    gone = await perform(self.context.client, Delete(POD, pod.key, uid=pod.uid))
                except NotFound:
                    continue
                except FAILURES as error:
                    self.recorder.event(owner, "Warning", "FailedDelete", f"Error deleting: {error}")
                    failures.append(error)
                    continue
                self.writes.wrote(key, gone)
                self.recorder.event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {pod.name}")

        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(work())
        return failures[0] if failures else None

    async def report(self, owner: Cached, status: Obj) -> None:
        """Writes a status, as a merge patch; an owner that is gone needs none."""
        body = {"metadata": {"uid": owner.uid}, "status": status}
        try:
            await perform(self.context.client, Patch(self.kind, owner.key, body, subresource="status"))
        except NotFound:
            return


def ends(error: Exception) -> bool:
    """Whether a create failed because its namespace is on its way out, or gone, or because the range is another's:
    nothing to retry, nothing to tell."""
    return into_the_ending(error) or isinstance(error, NotFound | StaleRange)


def pod_from(kind: Kind, owner: Obj, template: Obj, *, name: str = "") -> Obj:
    """The pod that a template makes, with its owner's reference: called `name`, or with a name that is drawn."""
    meta = owner["metadata"]
    told = template.get("metadata") or {}
    metadata: Obj = {
        **({"name": name} if name else {"generateName": f"{meta['name']}-"}),
        "namespace": meta["namespace"],
        "tenant": meta["tenant"],
        "ownerReferences": [owners.managing(kind, owner)],
    }
    for field in ("labels", "annotations", "finalizers"):
        if told.get(field):
            metadata[field] = told[field]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template.get("spec") or {}}


async def ever_more(count: int, one: Callable[[], Awaitable[None]], most: int = 2 * _AT_ONCE) -> Exception | None:
    """Calls `one` `count` times: first alone, then two for each that went well, up to `most` at once. After a failure
    none is begun; the first of them."""
    left = count
    workers = 0
    failure: Exception | None = None

    async def work() -> None:
        nonlocal left, workers, failure
        while left and failure is None:
            left -= 1
            failed = await _caught(one)
            failure = failure or failed
            if left and failure is None and workers < most:
                workers += 1
                group.create_task(work())

    async with asyncio.TaskGroup() as group:
        workers = 1
        group.create_task(work())
    return failure


async def _caught(one: Callable[[], Awaitable[None]]) -> Exception | None:
    try:
        await one()
    except FAILURES as error:
        return error
    return None


def resolved(value: object, total: int, *, up: bool) -> int:
    """An IntOrString of a `total`: a number, or a percentage rounded up or down. ValueError for other text."""
    if isinstance(value, int):
        return value
    percent = int(str(value).removesuffix("%")) * total
    return -(-percent // 100) if up else percent // 100
