"""What is configured, per tenant: read from the store when it is first needed, forgotten when it changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from arktos.apiserver.encoding import decode
from arktos.model import cel
from arktos.model.admission import policies
from arktos.model.admission.matching import Question, rule_matches
from arktos.model.kinds import SYSTEM_TENANT, Obj
from arktos.store.records import Query, Record, Store, WatchEvent

ALL_TENANTS = "arktos.io/all-tenants"
"""The label with which a configuration of `system` counts in every tenant."""

_GROUP = "admissionregistration.k8s.io"
MUTATING_HOOKS, VALIDATING_HOOKS = (
    f"mutatingwebhookconfigurations.{_GROUP}",
    f"validatingwebhookconfigurations.{_GROUP}",
)
VALIDATING_POLICIES, VALIDATING_BINDINGS = (
    f"validatingadmissionpolicies.{_GROUP}",
    f"validatingadmissionpolicybindings.{_GROUP}",
)
MUTATING_POLICIES, MUTATING_BINDINGS = (
    f"mutatingadmissionpolicies.{_GROUP}",
    f"mutatingadmissionpolicybindings.{_GROUP}",
)
_RESOURCES = (
    MUTATING_HOOKS, VALIDATING_HOOKS, VALIDATING_POLICIES, VALIDATING_BINDINGS, MUTATING_POLICIES, MUTATING_BINDINGS,
)  # fmt: skip
_PLANS = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Hook:
    """One webhook of one configuration of `tenant`. `broken` is why its match conditions do not compile."""

    tenant: str
    configuration: str
    spec: Obj
    conditions: tuple[policies.Condition, ...] = ()
    broken: str = ""

    @property
    def name(self) -> str:
        return str(self.spec.get("name") or "")

    @property
    def ignores(self) -> bool:
        return self.spec.get("failurePolicy") == "Ignore"


@dataclass(frozen=True, slots=True, eq=False)
class BoundPolicy:
    """A policy of `tenant` with its bindings. `broken` is why it does not compile."""

    tenant: str
    name: str
    spec: Obj
    bindings: tuple[Obj, ...]
    policy: policies.Policy | None
    broken: str = ""

    @property
    def ignores(self) -> bool:
        return self.spec.get("failurePolicy") == "Ignore"


@dataclass(slots=True)
class Plan:
    """Who may have to be asked about requests of one sort, in order."""

    mutating_policies: tuple[BoundPolicy, ...]
    mutating_hooks: tuple[Hook, ...]
    validating_policies: tuple[BoundPolicy, ...]
    validating_hooks: tuple[Hook, ...]

    @property
    def mutates(self) -> bool:
        return bool(self.mutating_policies or self.mutating_hooks)

    @property
    def validates(self) -> bool:
        return bool(self.validating_policies or self.validating_hooks)


@dataclass(slots=True)
class Configured:
    """All that counts in one tenant."""

    everybody: Plan
    _plans: dict[tuple[object, ...], Plan | None] = field(default_factory=dict)

    def plan(self, question: Question) -> Plan | None:
        """Who is concerned, by rules alone; None: nobody."""
        key = (question.targets, question.subresource, question.operation, question.namespaced)
        if key not in self._plans:
            if len(self._plans) >= _PLANS:
                self._plans.clear()
            self._plans[key] = self._planned(question)
        return self._plans[key]

    def _planned(self, question: Question) -> Plan | None:
        all_ = self.everybody
        plan = Plan(
            tuple(p for p in all_.mutating_policies if _concerns(_rules(p), question)),
            tuple(h for h in all_.mutating_hooks if _concerns(h.spec.get("rules") or (), question)),
            tuple(p for p in all_.validating_policies if _concerns(_rules(p), question)),
            tuple(h for h in all_.validating_hooks if _concerns(h.spec.get("rules") or (), question)),
        )
        return plan if plan.mutates or plan.validates else None


def _rules(policy: BoundPolicy) -> Sequence[Obj]:
    return (policy.spec.get("matchConstraints") or {}).get("resourceRules") or ()


def _concerns(rules: Sequence[Obj], question: Question) -> bool:
    anyhow = [{**rule, "resourceNames": None} for rule in rules]
    return any(rule_matches(rule, question, target) for rule in anyhow for target in question.targets)


_STALE = Configured(Plan((), (), (), ()))


class Configurations:
    """Every tenant's, as stored a moment ago. `of` costs a look into a dict where nothing is configured."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._built: dict[str, Configured] = {}
        self._shared: Configured | None = None
        self.heard = 0
        """The revision of the newest change that counts."""
        for resource in _RESOURCES:
            for record in store.list(Query(resource, None)).records:
                self._built[record.key.tenant] = _STALE
        self._share()
        self._subscriptions = [store.subscribe(Query(resource, None), self._changed) for resource in _RESOURCES]

    def close(self) -> None:
        for subscription in self._subscriptions:
            subscription.close()

    def of(self, tenant: str) -> Configured | None:
        """What counts in a tenant; None where nothing does."""
        found = self._built.get(tenant, self._shared)
        return self._rebuilt(tenant) if found is _STALE else found

    def _rebuilt(self, tenant: str) -> Configured | None:
        own = self._read(tenant)
        if own is None:
            del self._built[tenant]
            return self._shared
        shared = self._shared.everybody if self._shared is not None and tenant != SYSTEM_TENANT else None
        found = self._built[tenant] = Configured(own if shared is None else _joined(shared, own))
        return found

    def _changed(self, events: Sequence[WatchEvent], revision: int) -> None:
        self.heard = max(self.heard, revision)
        tenants = {event.record.key.tenant for event in events}
        for tenant in tenants:
            self._built[tenant] = _STALE
        if SYSTEM_TENANT in tenants:
            self._share()
            for tenant in self._built:
                self._built[tenant] = _STALE

    def _share(self) -> None:
        plan = self._read(SYSTEM_TENANT, lambda record: record.header.labels.get(ALL_TENANTS) == "true")
        self._shared = None if plan is None else Configured(plan)

    def _read(self, tenant: str, wanted: Callable[[Record], bool] = lambda record: True) -> Plan | None:
        def objects(resource: str, *, all_: bool = False) -> Iterator[Obj]:
            for record in self._store.list(Query(resource, tenant)).records:
                if all_ or wanted(record):
                    yield decode(record)

        def bound(found: str, bindings: str, compile: Callable[[Obj], policies.Policy]) -> tuple[BoundPolicy, ...]:
            return tuple(_bound(tenant, objects(found), objects(bindings, all_=True), compile))

        plan = Plan(
            bound(MUTATING_POLICIES, MUTATING_BINDINGS, policies.mutating),
            tuple(_hooks(tenant, objects(MUTATING_HOOKS))),
            bound(VALIDATING_POLICIES, VALIDATING_BINDINGS, policies.validating),
            tuple(_hooks(tenant, objects(VALIDATING_HOOKS))),
        )
        return plan if plan.mutates or plan.validates else None


def _joined(first: Plan, second: Plan) -> Plan:
    return Plan(
        first.mutating_policies + second.mutating_policies,
        first.mutating_hooks + second.mutating_hooks,
        first.validating_policies + second.validating_policies,
        first.validating_hooks + second.validating_hooks,
    )


def _hooks(tenant: str, configurations: Iterator[Obj]) -> Iterator[Hook]:
    for configuration in configurations:
        name = configuration["metadata"]["name"]
        for spec in configuration.get("webhooks") or ():
            try:
                yield Hook(tenant, name, spec, policies.conditions(spec.get("matchConditions")))
            except cel.CelError as error:
                yield Hook(tenant, name, spec, broken=str(error))


def _bound(
    tenant: str, found: Iterator[Obj], bindings: Iterator[Obj], compile: Callable[[Obj], policies.Policy]
) -> Iterator[BoundPolicy]:
    by_policy: dict[str, list[Obj]] = {}
    for binding in bindings:
        by_policy.setdefault((binding.get("spec") or {}).get("policyName") or "", []).append(binding)
    for obj in found:
        name, spec = obj["metadata"]["name"], obj.get("spec") or {}
        if name not in by_policy:
            continue  # a policy without a binding says nothing
        try:
            yield BoundPolicy(tenant, name, spec, tuple(by_policy[name]), compile(spec))
        except (cel.CelError, KeyError) as error:
            yield BoundPolicy(tenant, name, spec, tuple(by_policy[name]), None, str(error))
