"""The order of it: who may change a request, who may refuse it, and when each is asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from arktos.apiserver.authz import Authorizer
from arktos.apiserver.call import Call
from arktos.apiserver.dynamic.asked import OPERATIONS, Asked
from arktos.apiserver.dynamic.configurations import BoundPolicy, Configurations, Hook, Plan
from arktos.apiserver.dynamic.hooks import Hooks, snapshot
from arktos.apiserver.dynamic.policies import Policies
from arktos.apiserver.dynamic.running import Runner
from arktos.apiserver.reader import Reader
from arktos.apiserver.webhooks import WebhookClient
from arktos.model import structure
from arktos.model.admission.matching import is_exempt
from arktos.model.kinds import Kind, Obj
from arktos.model.status import InternalError
from arktos.store.records import Store

_SERVER_OWNED = (
    "name", "generateName", "namespace", "tenant", "hashKey", "uid", "resourceVersion", "generation",
    "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "managedFields",
)  # fmt: skip
"""Metadata that nobody changes on the way."""


@dataclass(slots=True)
class Concern:
    """A request that somebody may have to be asked about."""

    asked: Asked
    plan: Plan
    stage: DynamicAdmission

    async def mutate(self, obj: Obj) -> Obj | None:
        """The object as policies and webhooks want it, None if as it is. ApiError."""
        return await self.stage.mutate(self.asked, self.plan, obj) if self.plan.mutates else None

    async def validate(self, obj: Obj | None = None) -> None:
        """Raises where somebody refuses. `obj` is the object as it is to be stored."""
        if self.plan.validates:
            await self.stage.validate(self.asked, self.plan, obj)


class DynamicAdmission:
    """Asks who is configured. `aclose` ends it."""

    def __init__(self, store: Store, reader: Reader, authorizer: Authorizer, client: WebhookClient) -> None:
        self._configurations = Configurations(store)
        self._reader = reader
        self._authorizer = authorizer
        self._client = client
        self._runner = Runner()
        self._hooks = Hooks(client, self._runner)
        self._policies = Policies(reader, self._runner)

    async def aclose(self) -> None:
        self._configurations.close()
        self._runner.close()
        await self._client.aclose()

    @property
    def heard(self) -> int:
        """The revision of the newest configuration that counts."""
        return self._configurations.heard

    def is_configured(self, tenant: str) -> bool:
        """Whether anybody is to be asked about requests to a tenant."""
        return self._configurations.of(tenant) is not None

    def about(
        self,
        tenant: str,
        call: Call,
        kind: Kind,
        operation: str,
        obj: Obj | None,
        old: Obj | None,
        subresource: str = "",
        *,
        body: Kind | None = None,
        options: Obj | None = None,
    ) -> Concern | None:
        """Whom a request to `tenant` concerns; None, at the cost of a look into a dict, where nobody is configured.

        `operation` is create, update, patch, delete or connect; `body` is the kind of `obj` where it is none of
        `kind`."""
        configured = self._configurations.of(tenant)
        if configured is None or is_exempt(kind):
            return None
        wanted = OPERATIONS[operation]
        asked = Asked(call, kind, wanted, tenant, obj, old, subresource, self._reader, self._authorizer, body, options)
        plan = configured.plan(asked.question)
        return None if plan is None else Concern(asked, plan, self)

    async def validate(self, asked: Asked, plan: Plan, obj: Obj | None) -> None:
        if obj is not None:
            asked.obj = asked.viewed(obj)
            asked.refresh()
        if plan.validating_policies:
            await self._policies.validate(asked, plan.validating_policies)
        if plan.validating_hooks:
            await self._hooks.validate(asked, plan.validating_hooks)

    async def mutate(self, asked: Asked, plan: Plan, obj: Obj) -> Obj | None:
        before = asked.obj
        steps: list[tuple[bool, Callable[[], Awaitable[None]]]] = [
            *((_again(p), self._policy_step(asked, p)) for p in plan.mutating_policies),
            *((_again(h), self._hook_step(asked, h)) for h in plan.mutating_hooks),
        ]
        after: list[bytes] = []
        for _, step in steps:
            await step()
            after.append(snapshot(asked.obj))
        for index, (again, step) in enumerate(steps):
            # Only who was asked before the last change has not seen it.
            if again and after[index] != snapshot(asked.obj):
                await step()
        if asked.obj is before:
            return None
        changed = _settled(asked.unviewed(obj), obj)
        _check_structure(asked, changed)
        return changed

    def _policy_step(self, asked: Asked, bound: BoundPolicy) -> Callable[[], Awaitable[None]]:
        async def step() -> None:
            asked.refresh()
            await self._policies.mutate(asked, bound)

        return step

    def _hook_step(self, asked: Asked, hook: Hook) -> Callable[[], Awaitable[None]]:
        async def step() -> None:
            asked.refresh()
            await self._hooks.mutate(asked, hook)

        return step


def _again(who: BoundPolicy | Hook) -> bool:
    return who.spec.get("reinvocationPolicy") == "IfNeeded"


def _settled(changed: Obj, obj: Obj) -> Obj:
    """What was changed, with the metadata that is the server's as it was."""
    given, before = changed.get("metadata"), obj.get("metadata") or {}
    meta = dict(given) if isinstance(given, dict) else {}
    for name in _SERVER_OWNED:
        if name in before:
            meta[name] = before[name]
        else:
            meta.pop(name, None)
    return {**changed, "apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": meta}


def _check_structure(asked: Asked, obj: Obj) -> None:
    """In place: what a patch may have brought that is no field, or of no type."""
    if asked.body is not None:
        return
    found = structure.check(asked.kind, obj)
    if found.type_errors:
        listed = ", ".join(map(str, found.type_errors))
        raise InternalError(f"Internal error occurred: admission changed the object to one of wrong types: {listed}")
