"""Policies with their bindings and parameters: what they come to for one request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from arktos.apiserver import versions
from arktos.apiserver.dynamic.asked import Asked
from arktos.apiserver.dynamic.configurations import BoundPolicy
from arktos.apiserver.dynamic.running import Runner
from arktos.apiserver.encoding import key_of
from arktos.apiserver.reader import Reader
from arktos.model import cel, registry, schema, selectors
from arktos.model.admission import policies
from arktos.model.admission.matching import Target, matched_resources
from arktos.model.admission.policies import CODES, Decision, Denial, Run
from arktos.model.kinds import Kind, Obj, Scope
from arktos.model.shape import shape
from arktos.model.status import ApiError, FieldError
from arktos.store.records import Query
from arktos.wire import logs

log = logs.get_logger(__name__)

FAILURES = "validation.policy.admission.k8s.io/validation_failure"
_MOST_PARAMS = 1000


class Denied(ApiError):
    """What a policy says no with: by its reason."""

    def __init__(self, message: str, reason: str, cause: str, asked: Asked) -> None:
        super().__init__(
            message,
            group=asked.kind.group,
            kind=asked.kind.plural,
            name=asked.name,
            causes=[FieldError("", "", cause)],
        )
        self.code = CODES.get(reason, 422)  # type: ignore[misc]
        self.reason = reason  # type: ignore[misc]

    def status(self) -> Obj:
        found = super().status()
        found["details"]["causes"] = [{"message": cause.message} for cause in self.causes]
        return found


@dataclass(frozen=True, slots=True)
class _Misconfigured(Exception):
    """The binding or the policy cannot be asked; its failurePolicy judges."""

    why: str


class Policies:
    """Asks policies about a request."""

    def __init__(self, reader: Reader, runner: Runner) -> None:
        self._reader = reader
        self._runner = runner

    async def validate(self, asked: Asked, found: Sequence[BoundPolicy]) -> None:
        """Asks all; raises the first denial."""
        denied: list[Denied] = []
        audited: list[Obj] = []
        for bound in found:
            for binding, denials in await self._validated(asked, bound):
                actions = binding["spec"].get("validationActions") or ["Deny"]
                for denial in denials:
                    self._act(asked, bound, binding, denial, actions, denied, audited)
        if audited:
            asked.annotate(FAILURES, audited)
        if denied:
            raise denied[0]

    def _act(
        self,
        asked: Asked,
        bound: BoundPolicy,
        binding: Obj,
        denial: Denial,
        actions: Sequence[str],
        denied: list[Denied],
        audited: list[Obj],
    ) -> None:
        name = binding["metadata"]["name"]
        who = f"ValidatingAdmissionPolicy '{bound.name}' with binding '{name}'"
        if "Deny" in actions:
            text = f"{who} denied request: {denial.message}"
            about = f'{asked.kind.resource} "{asked.name}"' if asked.name else asked.kind.resource
            denied.append(Denied(f"{about} is forbidden: {text}", denial.reason, text, asked))
        if "Warn" in actions:
            asked.warn(f"Validation failed for {who}: {denial.message}")
        if "Audit" in actions:
            failure = {"message": denial.message, "policy": bound.name, "binding": name}
            audited.append({**failure, "validationActions": list(actions)})

    async def _validated(self, asked: Asked, bound: BoundPolicy) -> list[tuple[Obj, list[Denial]]]:
        """What each binding that means the request comes to."""
        target = matched_resources(bound.spec.get("matchConstraints") or {}, asked.question)
        if target is None:
            return []
        found: list[tuple[Obj, list[Denial]]] = []
        for binding in self._meaning(asked, bound):
            denials: list[Denial] = []
            try:
                for params in self._checked(asked, bound, binding):
                    decision = await self._decision(asked, bound, target, params)
                    if decision is None:
                        continue
                    denials += decision.denials
                    denials += [Denial(error) for error in decision.errors if not bound.ignores]
                    for key, value in decision.annotations:
                        asked.annotate(f"{bound.name}/{key}", value)
            except _Misconfigured as problem:
                if not bound.ignores:
                    denials.append(Denial(problem.why))
            found.append((binding, denials))
        return found

    async def _decision(self, asked: Asked, bound: BoundPolicy, target: Target, params: Obj | None) -> Decision | None:
        """None where the match conditions do not hold."""
        policy = bound.policy
        assert policy is not None
        values = {**asked.values(target), "params": params}

        def evaluate(run: Run) -> Decision | None:
            if not policies.meets(policy.conditions, values, run):
                return None
            return policies.decide(policy, values, run)

        try:
            return await self._runner.run(asked.tenant, evaluate)
        except cel.EvaluationError as error:
            return Decision(errors=(str(error),))

    async def mutate(self, asked: Asked, bound: BoundPolicy) -> None:
        """Lets one mutating policy change the object."""
        target = matched_resources(bound.spec.get("matchConstraints") or {}, asked.question)
        if target is None or asked.obj is None:
            return
        for binding in self._meaning(asked, bound):
            try:
                for params in self._checked(asked, bound, binding):
                    await self._mutated(asked, bound, target, params)
            except (_Misconfigured, cel.EvaluationError) as problem:
                why = problem.why if isinstance(problem, _Misconfigured) else str(problem)
                if not bound.ignores:
                    raise _mutation_failed(asked, bound, binding, why) from None
                log.info("policy_ignored", tenant=bound.tenant, policy=bound.name, why=why)

    async def _mutated(self, asked: Asked, bound: BoundPolicy, target: Target, params: Obj | None) -> None:
        policy = bound.policy
        current = asked.form(asked.obj, target)
        assert policy is not None and current is not None
        values = {**asked.values(target), "params": params}
        described = None if asked.subresource else _schema_of(asked.kind, target)
        form = None if described is None else shape(described)

        def evaluate(run: Run) -> Obj:
            if not policies.meets(policy.conditions, values, run):
                return current
            return policies.change(policy, current, form, values, run)

        changed = await self._runner.run(asked.tenant, evaluate)
        if changed is not current:
            asked.put(asked.back(changed, target))

    def _meaning(self, asked: Asked, bound: BoundPolicy) -> Iterator[Obj]:
        for binding in bound.bindings:
            narrowed = (binding.get("spec") or {}).get("matchResources")
            if narrowed is None or matched_resources(narrowed, asked.question) is not None:
                yield binding

    # ---- parameters

    def _checked(self, asked: Asked, bound: BoundPolicy, binding: Obj) -> list[Obj | None]:
        """The parameters to evaluate with, each on its own. _Misconfigured."""
        if bound.policy is None:
            raise _Misconfigured(f"failed to configure policy: {bound.broken}")
        declared, ref = bound.spec.get("paramKind"), binding["spec"].get("paramRef")
        if declared is None or ref is None:
            return [None]
        kind = self._param_kind(bound.tenant, declared)
        namespace = ""
        if kind.scope is Scope.NAMESPACE:
            namespace = ref.get("namespace") or (asked.namespace if asked.question.namespaced else "")
            if not namespace:
                why = "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
                raise _Misconfigured(f"failed to configure binding: {why}")
        elif ref.get("namespace"):
            raise _Misconfigured("failed to configure binding: paramRef.namespace must not be provided for a cluster-scoped `paramKind`")  # fmt: skip  # noqa: E501
        tenant = bound.tenant
        found = self._params(kind, tenant, namespace, ref)
        if not found and ref.get("parameterNotFoundAction") != "Allow":
            raise _Misconfigured(
                "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
            )
        return [*found]

    def _params(self, kind: Kind, tenant: str, namespace: str, ref: Obj) -> list[Obj]:
        if ref.get("name"):
            record = self._reader.get(key_of(versions.storage_kind(kind), tenant, namespace, ref["name"]))
            return [] if record is None else [_shown(record, kind)]
        selector = selectors.from_label_selector(ref.get("selector") or {})
        resource = versions.storage_kind(kind).resource
        page = self._reader.list(Query(resource, tenant, namespace or None, selector), limit=_MOST_PARAMS)
        return [_shown(record, kind) for record in page.records]

    def _param_kind(self, tenant: str, declared: Obj) -> Kind:
        version, name = declared.get("apiVersion") or "", declared.get("kind") or ""
        found = registry.by_gvk(version, name) or self._custom_kind(tenant, version, name)
        if found is None or found.measured:
            group, _, plain = version.rpartition("/")
            shown = f"{group + '/' if group else ''}{plain}, Kind={name}"
            why = f"failed to find resource referenced by paramKind: '{shown}'"
            raise _Misconfigured(f"failed to configure policy: {why}")
        return found

    def _custom_kind(self, tenant: str, version: str, name: str) -> Kind | None:
        group, _, plain = version.rpartition("/")
        for definition in self._reader.definitions.served(tenant) if group else ():
            if definition.group == group and definition.names.get("kind") == name:
                return definition.kind(plain)
        return None


def _shown(record: Any, kind: Kind) -> Obj:
    return versions.from_storage(kind, versions.decoded(record, kind))


def _schema_of(kind: Kind, target: Target) -> schema.Schema | None:
    row = registry.lookup(target.group, target.version, target.resource) if kind.custom is None else kind
    return None if row is None else schema.of(row)


def _mutation_failed(asked: Asked, bound: BoundPolicy, binding: Obj, why: str) -> ApiError:
    about = f'{asked.kind.resource} "{asked.name}"' if asked.name else asked.kind.resource
    name = binding["metadata"]["name"]
    text = f"policy '{bound.name}' with binding '{name}' denied request: {why}"
    return Denied(f"{about} is forbidden: {text}", "Invalid", text, asked)
