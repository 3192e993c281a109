"""What a policy says of a request: a ValidatingAdmissionPolicy's decisions, a MutatingAdmissionPolicy's changes. Pure.

A policy is compiled once (`validating`, `mutating`) and evaluated for each of its parameters. Composed variables are
worked out when they are first asked for, once per evaluation. All of it draws on one budget.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from arktos.model import apply, cel, patch_json
from arktos.model.admission.expressions import MATCH_VARIABLES, POLICY_VARIABLES, compiled
from arktos.model.kinds import Obj
from arktos.model.shape import Shape
from arktos.model.status import ApiError

CODES = {"Unauthorized": 401, "Forbidden": 403, "RequestEntityTooLarge": 413, "Invalid": 422}


@dataclass(frozen=True, slots=True)
class Condition:
    name: str
    program: cel.Program


@dataclass(frozen=True, slots=True)
class Validation:
    program: cel.Program
    message: str
    told: cel.Program | None
    reason: str


@dataclass(frozen=True, slots=True)
class Mutation:
    program: cel.Program
    patches: bool
    """Whether it gives JSON patch operations, rather than a configuration to apply."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A compiled policy: `validations` and `annotations` of a validating one, `mutations` of a mutating one."""

    conditions: tuple[Condition, ...]
    variables: Mapping[str, cel.Program]
    validations: tuple[Validation, ...] = ()
    annotations: tuple[tuple[str, cel.Program], ...] = ()
    mutations: tuple[Mutation, ...] = ()


@dataclass(frozen=True, slots=True)
class Denial:
    """One validation that does not hold; `reason` is a StatusReason."""

    message: str
    reason: str = "Invalid"


@dataclass(frozen=True, slots=True)
class Decision:
    """What one evaluation came to. `errors` are those of the policy, which its failurePolicy judges; `annotations` are
    for the audit log."""

    denials: tuple[Denial, ...] = ()
    errors: tuple[str, ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()


def conditions(entries: list[Obj] | None, *, params: bool = False) -> tuple[Condition, ...]:
    """The programs of matchConditions. CelError."""
    names = MATCH_VARIABLES | {"params"} if params else MATCH_VARIABLES
    return tuple(Condition(e["name"], compiled(e["expression"], names, (), cel.BOOL)) for e in entries or ())


def validating(spec: Obj) -> Policy:
    """A ValidatingAdmissionPolicy's. CelError."""
    names, composed, programs = _variables(spec)
    validations = tuple(
        Validation(
            compiled(each["expression"], names, composed, cel.BOOL),
            (each.get("message") or "").strip(),
            compiled(each["messageExpression"], names - {"authorizer"}, composed, cel.STRING)
            if each.get("messageExpression")
            else None,
            each.get("reason") or "Invalid",
        )
        for each in spec.get("validations") or ()
    )
    annotations = tuple(
        (each["key"], compiled(each["valueExpression"], names, composed, (cel.STRING, cel.NULL)))
        for each in spec.get("auditAnnotations") or ()
    )
    found = conditions(spec.get("matchConditions"), params=spec.get("paramKind") is not None)
    return Policy(found, programs, validations, annotations)


def mutating(spec: Obj) -> Policy:
    """A MutatingAdmissionPolicy's. CelError."""
    names, composed, programs = _variables(spec)
    mutations = []
    for each in spec.get("mutations") or ():
        patches = each["patchType"] == "JSONPatch"
        part = each["jsonPatch" if patches else "applyConfiguration"]
        wanted = cel.list_of(cel.DYN) if patches else cel.DYN
        mutations.append(Mutation(compiled(part["expression"], names, composed, wanted), patches))
    found = conditions(spec.get("matchConditions"), params=spec.get("paramKind") is not None)
    return Policy(found, programs, mutations=tuple(mutations))


def _variables(spec: Obj) -> tuple[frozenset[str], tuple[str, ...], dict[str, cel.Program]]:
    names = POLICY_VARIABLES | {"params"} if spec.get("paramKind") is not None else POLICY_VARIABLES
    composed: tuple[str, ...] = ()
    programs: dict[str, cel.Program] = {}
    for each in spec.get("variables") or ():
        programs[each["name"]] = compiled(each["expression"], names, composed)
        composed = (*composed, each["name"])
    return names, composed, programs


class Composed(cel.Lazy):
    """The values of `variables.`: each worked out once, when first asked for, its failure kept as well."""

    def __init__(self, programs: Mapping[str, cel.Program], values: Mapping[str, Any], run: Run) -> None:
        self._programs = programs
        self._values = values
        self._run = run
        self._known: dict[str, Any] = {}

    def find(self, field: str) -> Any:
        if field not in self._known:
            program = self._programs[field]
            try:
                self._known[field] = self._run(program, self._values)
            except cel.CostExceeded:
                raise
            except cel.EvaluationError as error:
                self._known[field] = error
        found = self._known[field]
        if isinstance(found, cel.EvaluationError):
            raise cel.EvaluationError(f"composited variable '{field}' fails to evaluate: {found}")
        return found


class Run:
    """Evaluates programs on one budget. `patient` ones give way to other threads as they go."""

    def __init__(self, units: int, *, patient: bool = False) -> None:
        self.budget = cel.Budget(units)
        self._limit = cel.PER_CALL if patient else cel.INLINE
        self._patient = patient

    def __call__(self, program: cel.Program, values: Mapping[str, Any]) -> Any:
        return program.evaluate(values, self.budget, self._limit, patient=self._patient)


def meets(found: tuple[Condition, ...], values: Mapping[str, Any], run: Run) -> bool:
    """Whether all match conditions hold: one that does not outweighs those that fail. EvaluationError."""
    failed: list[str] = []
    for condition in found:
        try:
            if run(condition.program, values) is not True:
                return False
        except cel.CostExceeded:
            raise
        except cel.EvaluationError as error:
            failed.append(f"expression '{condition.program.expression}' resulted in error: {error}")
    if failed:
        raise cel.EvaluationError(failed[0] if len(failed) == 1 else f"[{', '.join(failed)}]")
    return True


def _composed(policy: Policy, values: Mapping[str, Any], run: Run) -> dict[str, Any]:
    inner: dict[str, Any] = dict(values)
    inner["variables"] = Composed(policy.variables, inner, run)
    return inner


def decide(policy: Policy, values: Mapping[str, Any], run: Run, annotate: bool = True) -> Decision:
    """What a validating policy says. CostExceeded."""
    inner = _composed(policy, values, run)
    denials: list[Denial] = []
    errors: list[str] = []
    for validation in policy.validations:
        try:
            if run(validation.program, inner) is not True:
                denials.append(Denial(_message(validation, inner, run), validation.reason))
        except cel.CostExceeded:
            raise
        except cel.EvaluationError as error:
            errors.append(f"expression '{validation.program.expression}' resulted in error: {error}")
    annotations: list[tuple[str, str]] = []
    for key, program in policy.annotations if annotate else ():
        try:
            text = run(program, inner)
        except cel.CostExceeded:
            raise
        except cel.EvaluationError as error:
            errors.append(f"expression '{program.expression}' resulted in error: {error}")
            continue
        if type(text) is str and text:
            annotations.append((key, text[: 10 * 1024]))
    return Decision(tuple(denials), tuple(errors), tuple(annotations))


def _message(validation: Validation, values: Mapping[str, Any], run: Run) -> str:
    """The message expression's text if it has a sound one, else the message, else the expression."""
    if validation.told is not None:
        try:
            text = run(validation.told, values)
        except cel.CostExceeded:
            raise
        except cel.EvaluationError:
            text = ""
        if type(text) is str and text.strip() and "\n" not in text.strip() and len(text) <= 5 * 1024:
            return text.strip()
    return validation.message or f"failed expression: {validation.program.expression.strip()}"


def change(policy: Policy, obj: Obj, shape: Shape | None, values: Mapping[str, Any], run: Run) -> Obj:
    """The object after a mutating policy; `values["object"]` follows from one mutation to the next. Without a shape
    nothing can be applied. EvaluationError, CostExceeded."""
    current = obj
    for mutation in policy.mutations:
        result = run(mutation.program, _composed(policy, {**values, "object": current}, run))
        if mutation.patches:
            current = _patched(current, result)
        else:
            if shape is None or type(result) is not dict:
                raise cel.EvaluationError("must evaluate to Object")
            current = apply.merge(shape, current, _applicable(result))
    return current


def _patched(obj: Obj, operations: Any) -> Obj:
    if type(operations) is not list or not all(type(each) is dict for each in operations):
        raise cel.EvaluationError("must evaluate to list(JSONPatch)")
    try:
        return patch_json.apply(obj, operations)
    except ApiError as error:
        raise cel.EvaluationError(f"JSON Patch: {error.message}") from None


_FIXED = ("apiVersion", "kind")
_FIXED_METADATA = ("name", "generateName", "namespace", "uid", "creationTimestamp", "resourceVersion", "managedFields")


def _applicable(config: Obj) -> Obj:
    """Without what identifies the object."""
    found = {key: value for key, value in config.items() if key not in _FIXED}
    meta = found.get("metadata")
    if type(meta) is dict:
        for name in _FIXED_METADATA:
            if name in meta:
                raise cel.EvaluationError(f"metadata.{name} may not be set by a policy")
    return found
