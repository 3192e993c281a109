"""From events to pods and claims, each with a queue of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

from arktos.client import Cached, Key
from arktos.controllers.actions import FAILURES, Create, Delete, Replace, into_the_ending, perform
from arktos.controllers.context import Context, Sharing, Unit
from arktos.controllers.freshness import OwnWrites
from arktos.controllers.population import Population
from arktos.controllers.resourceclaim import facts
from arktos.controllers.resourceclaim.facts import CLAIM, POD
from arktos.model import registry
from arktos.model.kinds import Obj
from arktos.model.status import NotFound

NAME = "resourceclaim"
TEMPLATE = registry.by_resource("resourceclaimtemplates.resource.k8s.io")
FIELD_MANAGER = "ResourceClaimController"
_USERS = "resourceclaims"


def _uses_claims(pod: Cached) -> bool:
    return b'"resourceClaims":[' in pod.raw or b'"extendedResourceClaimStatus":{' in pod.raw


def _by_claim(pod: Cached) -> Iterable[str]:
    """Index values: tenant/namespace/claim, for each claim that a pod uses."""
    if not _uses_claims(pod):
        return ()
    return tuple(f"{pod.tenant}/{pod.namespace}/{name}" for name in facts.named(pod.obj()))


class _ResourceClaims:
    def __init__(self, context: Context) -> None:
        self.client = context.client
        self.pods, self.claims = context.mirror("pods"), context.mirror("resourceclaims.resource.k8s.io")
        self.pods.add_index(_USERS, _by_claim)
        self.recorder = context.recorder("resource_claim")
        self.writes = OwnWrites(self.claims)
        self.creates = context.metrics.counter(
            "resourceclaim_controller_creates_total",
            "Number of ResourceClaims creation requests, categorized by creation status and admin access",
            "status",
            "admin_access",
        )
        self.population = Population(self.claims, lambda claim: [("claims", facts.counted_as(claim))])
        self.gauge = context.metrics.gauge(
            "resourceclaim_controller_resource_claims",
            "Number of ResourceClaims, categorized by allocation status, admin access, and source.",
            "allocated",
            "admin_access",
            "source",
        )
        self.gauge.look = tuple

    async def measure(self) -> None:
        """Tells how many claims there are until cancelled: one process does."""
        self.gauge.look = lambda: self.population.of("claims")
        try:
            await asyncio.Event().wait()
        finally:
            self.gauge.look = tuple

    # --- a pod gets its claims

    async def pod(self, key: Key) -> float | None:
        cached = self.pods.get(*key)
        if cached is None or cached.deleting:
            self.writes.forget(key)
            return None
        if not self.writes.seen(key):
            return None
        pod = cached.obj()
        if facts.done(pod):
            return None
        known = facts.recorded(pod)
        found = dict(known)
        for each in pod["spec"].get("resourceClaims") or ():
            if each.get("resourceClaimTemplateName") and found.get(each["name"], "") is not None:
                found[each["name"]] = await self._claim(key, pod, each)
        if found != known:
            pod = await self._record(pod, found)
        if pod["spec"].get("nodeName"):
            await self._reserve(key, pod)
        return None

    async def _claim(self, key: Key, pod: Obj, wanted: Obj) -> str:
        """The name of the claim of a pod, which is there, or is made."""
        uid, name = pod["metadata"]["uid"], wanted["name"]
        owned = {cached.name: cached.obj() for cached in self.claims.by_index("controller", uid)}
        recorded = facts.recorded(pod).get(name)
        if recorded in owned:
            return str(recorded)
        found = facts.made_for(owned.values(), uid, name)
        if found is not None:
            return found
        try:
            return await self._make(key, pod, wanted)
        except FAILURES as error:
            if not into_the_ending(error):
                said = f"PodResourceClaim {name}: {error}"
                self.recorder.event(pod, "Warning", "FailedResourceClaimCreation", said)
            raise

    async def _make(self, key: Key, pod: Obj, wanted: Obj) -> str:
        called = wanted["resourceClaimTemplateName"]
        try:
            template = await self.client.get(TEMPLATE, called, tenant=key[0], namespace=key[1])
        except NotFound as error:
            raise NotFound(f'resource claim template "{called}": {error}') from error
        claim = facts.from_template(pod, wanted["name"], template)
        admin_access = "true" if facts.has_admin_access(claim) else "false"
        try:
            made = await perform(self.client, Create(CLAIM, claim))
        except FAILURES:
            self.creates.add("failure", admin_access)
            raise
        self.creates.add("success", admin_access)
        self.writes.wrote(key, made)
        return str(made["metadata"]["name"])

    async def _record(self, pod: Obj, found: dict[str, str | None]) -> Obj:
        """Says all that is known: what an apply leaves out, it takes away."""
        meta = pod["metadata"]
        statuses = [{"name": name} | ({"resourceClaimName": claim} if claim else {}) for name, claim in found.items()]
        body = {
            "apiVersion": POD.api_version,
            "kind": POD.kind,
            "metadata": {field: meta[field] for field in ("name", "namespace", "uid")},
            "status": {"resourceClaimStatuses": statuses},
        }
        return await self.client.patch(
            POD,
            meta["name"],
            body,
            type="apply",
            tenant=meta["tenant"],
            namespace=meta["namespace"],
            subresource="status",
            field_manager=FIELD_MANAGER,
            force=True,
        )

    async def _reserve(self, key: Key, pod: Obj) -> None:
        """For a pod that came to its node without the scheduler, which reserves otherwise."""
        made = set(filter(None, facts.recorded(pod).values()))
        for name in facts.named(pod):
            cached = self.claims.get(key[0], key[1], name)
            if cached is None:
                continue
            claim = cached.obj()
            if name in made and facts.owner(claim)[1] != pod["metadata"]["uid"]:
                continue
            wanted = facts.reserved_for(claim, pod)
            if wanted is not None:
                await perform(self.client, Replace(CLAIM, wanted, "status"))

    # --- a claim loses those who are done with it

    async def claim(self, key: Key) -> float | None:
        cached = self.claims.get(*key)
        if cached is None:
            return None
        claim = cached.obj()
        held = facts.consumers(claim)
        kept = [each for each in held if not facts.is_pod(each) or await self._needed(key, each)]
        wanted = facts.released(claim, kept)
        try:
            if wanted is not None:
                claim = await perform(self.client, Replace(CLAIM, wanted, "status"))
            free = facts.unprotected(claim, left=len(kept) < len(held))
            if free is not None:
                claim = await perform(self.client, Replace(CLAIM, free))
            if not kept and "deletionTimestamp" not in claim["metadata"] and self._without_use(key, claim):
                await perform(self.client, Delete(CLAIM, key, uid=cached.uid))
        except NotFound:
            return None
        return None

    async def _needed(self, key: Key, consumer: Obj) -> bool:
        """Whether a pod may still use a claim. One that the mirror lacks may be newer than the mirror."""
        tenant, namespace, name = key[0], key[1], consumer["name"]
        cached = self.pods.get(tenant, namespace, name)
        if cached is not None and cached.uid == consumer["uid"]:
            return not facts.done(cached.obj())
        try:
            pod = await self.client.get(POD, name, tenant=tenant, namespace=namespace)
        except NotFound:
            return False
        return bool(pod["metadata"]["uid"] == consumer["uid"]) and not facts.done(pod)

    def _without_use(self, key: Key, claim: Obj) -> bool:
        """Whether the pod that a claim was made for is done. Where it is gone, the garbage collector comes."""
        name, uid = facts.owner(claim)
        cached = self.pods.get(key[0], key[1], name) if name else None
        return cached is not None and cached.uid == uid and facts.done(cached.obj())

    # --- who is concerned

    def claims_of(self, pod: Cached) -> Iterator[Key]:
        """The claims that a pod uses, and those that were made for it."""
        if _uses_claims(pod):
            for name in facts.named(pod.obj()):
                yield (pod.tenant, pod.namespace, name)
            for claim in self.claims.by_index("controller", pod.uid):
                yield claim.key

    def pods_of(self, claim: Cached) -> Iterator[Key]:
        """The pods that use a claim, and the one that it was made for."""
        for pod in self.pods.by_index(_USERS, "/".join(claim.key)):
            yield pod.key
        managing = claim.controller
        if managing is not None and managing.kind == POD.kind:
            yield (claim.tenant, claim.namespace, managing.name)


def _itself(pod: Cached) -> Iterable[Key]:
    return (pod.key,) if b'"resourceClaims":[' in pod.raw else ()


def build(context: Context) -> Unit:
    work = _ResourceClaims(context)
    pods = context.controller(NAME, work.pod)
    pods.watches(work.pods, _itself)
    pods.watches(work.claims, work.pods_of)
    claims = context.controller("resourceclaim_release", work.claim)
    claims.watches(work.claims)
    claims.watches(work.pods, work.claims_of, when=lambda _, new: new is None or _is_done(new))

    def refresh() -> None:
        for pod in work.pods.items():
            if _uses_claims(pod):
                pods.enqueue(pod.key)
        for claim in work.claims.items():
            claims.enqueue(claim.key)

    # Two queues, with the keys of two kinds: a share of the ring cannot hold both.
    return Unit([pods, claims], [work.measure], refresh=refresh, sharing=Sharing.WHOLE)


def _is_done(pod: Cached) -> bool:
    return _uses_claims(pod) and facts.done(pod.obj())
