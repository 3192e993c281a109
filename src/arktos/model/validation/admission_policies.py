"""ValidatingAdmissionPolicy, MutatingAdmissionPolicy and their bindings."""

from __future__ import annotations

import re

from arktos.model import cel
from arktos.model.admission.expressions import POLICY_VARIABLES
from arktos.model.kinds import Obj
from arktos.model.validation.admission import (
    FAILURE_POLICIES,
    REINVOCATIONS,
    check_conditions,
    check_expression,
    check_matching,
    check_param_kind,
    is_too_long,
    one_of,
)
from arktos.model.validation.causes import (
    Errors,
    check_messages,
    duplicate,
    forbidden,
    invalid,
    not_supported,
    required,
)
from arktos.model.validation.formats import dns_subdomain, qualified_name
from arktos.model.validation.labels import check_selector
from arktos.model.validation.rules import Rules

_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized")
ACTIONS = ("Audit", "Deny", "Warn")
_NOT_FOUND = ("Allow", "Deny")
_PATCHES = ("ApplyConfiguration", "JSONPatch")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z", re.ASCII)
_LONGEST_MESSAGE = 5 * 1024
_MOST_ANNOTATIONS = 20


def _check_common(errs: Errors, spec: Obj, mutating: bool) -> tuple[frozenset[str], tuple[str, ...]]:
    """What both kinds have. Which variables their expressions may use, and those composed before them."""
    one_of(errs, "spec.failurePolicy", spec.get("failurePolicy"), FAILURE_POLICIES)
    check_param_kind(errs, "spec.paramKind", spec.get("paramKind"))
    if spec.get("matchConstraints") is None:
        errs.append(required("spec.matchConstraints"))
    else:
        check_matching(errs, "spec.matchConstraints", spec["matchConstraints"], rules_required=True)
        if mutating:
            _check_operations(errs, spec["matchConstraints"])
    with_params = spec.get("paramKind") is not None
    check_conditions(errs, "spec.matchConditions", spec.get("matchConditions") or [], params=with_params)
    names = POLICY_VARIABLES | {"params"} if with_params else POLICY_VARIABLES
    return names, _check_variables(errs, spec.get("variables") or [], names)


def _check_operations(errs: Errors, constraints: Obj) -> None:
    for index, rule in enumerate(constraints.get("resourceRules") or ()):
        for number, operation in enumerate(rule.get("operations") or ()):
            if operation not in ("*", "CREATE", "UPDATE"):
                path = f"spec.matchConstraints.resourceRules[{index}].operations[{number}]"
                errs.append(not_supported(path, operation, ("*", "CREATE", "UPDATE")))


def _check_variables(errs: Errors, variables: list[Obj], names: frozenset[str]) -> tuple[str, ...]:
    composed: tuple[str, ...] = ()
    for index, variable in enumerate(variables):
        path, name = f"spec.variables[{index}]", variable.get("name") or ""
        if not name:
            errs.append(required(f"{path}.name", "name is not specified"))
        elif not _IDENTIFIER.match(name):
            errs.append(invalid(f"{path}.name", name, "name is not a valid CEL identifier"))
        elif name in composed:
            errs.append(duplicate(f"{path}.name", name))
        check_expression(errs, f"{path}.expression", variable.get("expression") or "", names, cel.DYN, composed)
        composed = (*composed, name)
    return composed


def _check_policy(errs: Errors, obj: Obj) -> None:
    spec = obj.get("spec") or {}
    if is_too_long(errs, "spec", spec):
        return
    names, composed = _check_common(errs, spec, mutating=False)
    validations, annotations = spec.get("validations") or [], spec.get("auditAnnotations") or []
    if not validations and not annotations:
        why = "validations or auditAnnotations must be non-empty"
        errs.append(required("spec.validations", why))
    for index, validation in enumerate(validations):
        _check_validation(errs, f"spec.validations[{index}]", validation, names, composed)
    if len(annotations) > _MOST_ANNOTATIONS:
        why = f"must not have more than {_MOST_ANNOTATIONS} auditAnnotations"
        errs.append(invalid("spec.auditAnnotations", len(annotations), why))
    keys: set[str] = set()
    for index, annotation in enumerate(annotations):
        path, key = f"spec.auditAnnotations[{index}]", annotation.get("key") or ""
        check_messages(errs, f"{path}.key", key, qualified_name(f"{obj['metadata'].get('name') or ''}/{key}"))
        if key in keys:
            errs.append(duplicate(f"{path}.key", key))
        keys.add(key)
        kinds = (cel.STRING, cel.NULL)
        check_expression(
            errs, f"{path}.valueExpression", annotation.get("valueExpression") or "", names, kinds, composed
        )


def _check_validation(
    errs: Errors, path: str, validation: Obj, names: frozenset[str], composed: tuple[str, ...]
) -> None:
    expression = validation.get("expression") or ""
    check_expression(errs, f"{path}.expression", expression, names, cel.BOOL, composed)
    message, reason = validation.get("message") or "", validation.get("reason")
    if message:
        if not message.strip():
            errs.append(invalid(f"{path}.message", message, "message must be non-empty if specified"))
        elif "\n" in message.strip():
            errs.append(invalid(f"{path}.message", message, "message must not contain line breaks"))
        elif len(message) > _LONGEST_MESSAGE:
            errs.append(
                invalid(f"{path}.message", message[:64], f"message must be no more than {_LONGEST_MESSAGE} bytes")
            )
    elif "\n" in expression.strip():
        why = "message must be specified if expression contains line breaks"
        errs.append(required(f"{path}.message", why))
    if validation.get("messageExpression"):
        # Whether it is allowed is no question that a message needs to ask.
        told = names - {"authorizer"}
        check_expression(errs, f"{path}.messageExpression", validation["messageExpression"], told, cel.STRING, composed)
    if reason is not None and reason not in _REASONS:
        errs.append(not_supported(f"{path}.reason", reason, _REASONS))


def _check_mutating(errs: Errors, obj: Obj) -> None:
    spec = obj.get("spec") or {}
    if is_too_long(errs, "spec", spec):
        return
    names, composed = _check_common(errs, spec, mutating=True)
    mutations = spec.get("mutations") or []
    if not mutations:
        errs.append(required("spec.mutations", "mutations must contain at least one item"))
    if not spec.get("reinvocationPolicy"):
        errs.append(required("spec.reinvocationPolicy"))
    else:
        one_of(errs, "spec.reinvocationPolicy", spec["reinvocationPolicy"], REINVOCATIONS)
    for index, mutation in enumerate(mutations):
        _check_mutation(errs, f"spec.mutations[{index}]", mutation, names, composed)


_PART = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}


def _check_mutation(errs: Errors, path: str, mutation: Obj, names: frozenset[str], composed: tuple[str, ...]) -> None:
    kind = mutation.get("patchType") or ""
    if not kind:
        errs.append(required(f"{path}.patchType"))
        return
    if kind not in _PATCHES:
        errs.append(not_supported(f"{path}.patchType", kind, _PATCHES))
        return
    for other, name in _PART.items():
        part = mutation.get(name)
        if other != kind and part is not None:
            errs.append(forbidden(f"{path}.{name}", f"must not be specified when patchType is {kind}"))
        elif other == kind and part is None:
            errs.append(required(f"{path}.{name}", f"must be specified when patchType is {kind}"))
        elif other == kind:
            wanted = cel.list_of(cel.DYN) if kind == "JSONPatch" else cel.DYN
            expression = (part or {}).get("expression") or ""
            check_expression(errs, f"{path}.{name}.expression", expression, names, wanted, composed)


def _check_binding(errs: Errors, obj: Obj) -> None:
    spec = obj.get("spec") or {}
    name = spec.get("policyName") or ""
    if not name:
        errs.append(required("spec.policyName"))
    else:
        check_messages(errs, "spec.policyName", name, dns_subdomain(name))
    if spec.get("paramRef") is not None:
        _check_param_ref(errs, spec["paramRef"])
    if spec.get("matchResources") is not None:
        check_matching(errs, "spec.matchResources", spec["matchResources"], rules_required=False)


def _check_validating_binding(errs: Errors, obj: Obj) -> None:
    _check_binding(errs, obj)
    actions = (obj.get("spec") or {}).get("validationActions") or []
    path = "spec.validationActions"
    if not actions:
        errs.append(required(path, "at least one validation action is required"))
    for index, action in enumerate(actions):
        one_of(errs, f"{path}[{index}]", action, ACTIONS)
        if action in actions[:index]:
            errs.append(duplicate(f"{path}[{index}]", action))
    if "Deny" in actions and "Warn" in actions:
        errs.append(invalid(path, actions, "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)"))  # fmt: skip  # noqa: E501


def _check_param_ref(errs: Errors, ref: Obj) -> None:
    path, name, selector = "spec.paramRef", ref.get("name"), ref.get("selector")
    if name and selector is not None:
        errs.append(forbidden(f"{path}.name", "name and selector are mutually exclusive"))
    elif not name and selector is None:
        errs.append(required(path, "one of name or selector must be specified"))
    if selector is not None:
        check_selector(errs, f"{path}.selector", selector)
    action = ref.get("parameterNotFoundAction")
    if not action:
        errs.append(required(f"{path}.parameterNotFoundAction"))
    elif action not in _NOT_FOUND:
        errs.append(not_supported(f"{path}.parameterNotFoundAction", action, _NOT_FOUND))


VALIDATING_POLICY = Rules(always=_check_policy)
MUTATING_POLICY = Rules(always=_check_mutating)
VALIDATING_BINDING = Rules(always=_check_validating_binding)
MUTATING_BINDING = Rules(always=_check_binding)
