"""Where a pod may run: affinity, tolerations, spread constraints, gates; and the taints of nodes."""

from __future__ import annotations

from arktos.model.kinds import Obj
from arktos.model.validation.causes import (
    POSITIVE,
    Errors,
    check_messages,
    duplicate,
    forbidden,
    invalid,
    required,
)
from arktos.model.validation.formats import dns_label, dns_subdomain, label_value, qualified_name
from arktos.model.validation.labels import check_label_name, check_selector

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_BOTH_KEYS = "exists in both matchLabelKeys and labelSelector"
_NO_SELECTOR = "must not be specified when labelSelector is not set"


def check_affinity(errs: Errors, path: str, affinity: Obj) -> None:
    """Node affinity, pod affinity and pod anti-affinity."""
    node = affinity.get("nodeAffinity")
    if node:
        if _REQUIRED in node:
            check_node_selector(errs, f"{path}.nodeAffinity.{_REQUIRED}", node[_REQUIRED])
        for i, term in enumerate(node.get(_PREFERRED) or ()):
            field = f"{path}.nodeAffinity.{_PREFERRED}[{i}]"
            _check_weight(errs, field, term)
            _check_node_term(errs, f"{field}.preference", term.get("preference") or {}, values=False)
    for name in ("podAffinity", "podAntiAffinity"):
        pods = affinity.get(name)
        if not pods:
            continue
        for i, term in enumerate(pods.get(_REQUIRED) or ()):
            _check_pod_term(errs, f"{path}.{name}.{_REQUIRED}[{i}]", term)
        for i, term in enumerate(pods.get(_PREFERRED) or ()):
            field = f"{path}.{name}.{_PREFERRED}[{i}]"
            _check_weight(errs, field, term)
            _check_pod_term(errs, f"{field}.podAffinityTerm", term.get("podAffinityTerm") or {})


def _check_weight(errs: Errors, path: str, term: Obj) -> None:
    weight = term.get("weight", 0)
    if not 1 <= weight <= 100:
        errs.append(invalid(f"{path}.weight", weight, "must be in the range 1-100"))


def check_node_selector(errs: Errors, path: str, selector: Obj) -> None:
    """A NodeSelector: at least one term."""
    terms = selector.get("nodeSelectorTerms")
    if not terms:
        errs.append(required(f"{path}.nodeSelectorTerms", "must have at least one node selector term"))
        return
    for i, term in enumerate(terms):
        _check_node_term(errs, f"{path}.nodeSelectorTerms[{i}]", term, values=True)


def _check_node_term(errs: Errors, path: str, term: Obj, *, values: bool) -> None:
    for i, requirement in enumerate(term.get("matchExpressions") or ()):
        _check_node_requirement(errs, f"{path}.matchExpressions[{i}]", requirement, values)
    for i, requirement in enumerate(term.get("matchFields") or ()):
        _check_node_field(errs, f"{path}.matchFields[{i}]", requirement)


def _check_node_requirement(errs: Errors, path: str, requirement: Obj, check_values: bool) -> None:
    operator, values = requirement.get("operator"), requirement.get("values") or ()
    if operator in ("In", "NotIn"):
        if not values:
            errs.append(required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            errs.append(forbidden(f"{path}.values", detail))
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            errs.append(required(f"{path}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'"))
    elif operator == "":
        errs.append(invalid(f"{path}.operator", operator, "not a valid selector operator"))
    check_label_name(errs, f"{path}.key", requirement.get("key", ""))
    if check_values:
        for i, value in enumerate(values):
            check_messages(errs, f"{path}.values[{i}]", value, label_value(value))


def _check_node_field(errs: Errors, path: str, requirement: Obj) -> None:
    operator, values = requirement.get("operator"), requirement.get("values") or ()
    if operator not in ("In", "NotIn"):
        errs.append(invalid(f"{path}.operator", operator or "", "not a valid selector operator"))
    elif len(values) != 1:
        detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        errs.append(required(f"{path}.values", detail))
    if requirement.get("key") != "metadata.name":
        errs.append(invalid(f"{path}.key", requirement.get("key", ""), "not a valid field selector key"))
        return
    for i, value in enumerate(values):
        check_messages(errs, f"{path}.values[{i}]", value, dns_subdomain(value))


def _check_pod_term(errs: Errors, path: str, term: Obj) -> None:
    selector = term.get("labelSelector")
    for name in ("labelSelector", "namespaceSelector"):
        if name in term:
            check_selector(errs, f"{path}.{name}", term[name])
    for namespace in term.get("namespaces") or ():
        check_messages(errs, f"{path}.namespace", namespace, dns_label(namespace))
    match, mismatch = term.get("matchLabelKeys") or (), term.get("mismatchLabelKeys") or ()
    for name, keys in (("matchLabelKeys", match), ("mismatchLabelKeys", mismatch)):
        if keys and selector is None:
            errs.append(forbidden(f"{path}.{name}", _NO_SELECTOR))
            continue
        for i, key in enumerate(keys):
            check_label_name(errs, f"{path}.{name}[{i}]", key)
    if match and selector:
        _check_keys_once(errs, path, list(match), selector)
    for i, key in enumerate(match):
        if key in mismatch:
            detail = "exists in both matchLabelKeys and mismatchLabelKeys"
            errs.append(invalid(f"{path}.matchLabelKeys[{i}]", key, detail))
    topology = term.get("topologyKey", "")
    if not topology:
        errs.append(required(f"{path}.topologyKey", "can not be empty"))
    check_label_name(errs, f"{path}.topologyKey", topology)


def _check_keys_once(errs: Errors, path: str, keys: list[str], selector: Obj) -> None:
    # The server itself adds one requirement for each of these keys, so that only a second one is the author's.
    seen = set(selector.get("matchLabels") or ())
    for requirement in selector.get("matchExpressions") or ():
        key = requirement.get("key", "")
        if key in keys and key in seen:
            errs.append(invalid(f"{path}[{keys.index(key)}]", key, _BOTH_KEYS))
        seen.add(key)


def check_tolerations(errs: Errors, path: str, tolerations: list[Obj]) -> None:
    """`spec.tolerations`."""
    for i, toleration in enumerate(tolerations):
        field = f"{path}[{i}]"
        key, value = toleration.get("key"), toleration.get("value", "")
        operator, effect = toleration.get("operator", ""), toleration.get("effect", "")
        if key:
            check_messages(errs, f"{field}.key", key, qualified_name(key))
        elif operator != "Exists":
            detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            errs.append(invalid(f"{field}.operator", operator, detail))
        if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
            detail = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            errs.append(invalid(f"{field}.effect", effect, detail))
        if operator in ("", "Equal"):
            found = label_value(value)
            if found:
                errs.append(invalid(f"{field}.operator", value, ";".join(found)))
        elif operator == "Exists":
            if value:
                errs.append(invalid(f"{field}.operator", value, "value must be empty when `operator` is 'Exists'"))
        elif operator in ("Gt", "Lt"):
            _check_number(errs, f"{field}.value", value)


def _check_number(errs: Errors, field: str, value: str) -> None:
    digits = value[1:] if value.startswith("-") else value
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 19 and -(2**63) <= int(value) < 2**63):
        errs.append(invalid(field, value, "value must be a valid integer when `operator` is 'Gt' or 'Lt'"))


def check_taints(errs: Errors, path: str, taints: list[Obj]) -> None:
    """The taints of a node: one for each key and effect."""
    seen: set[tuple[str, str]] = set()
    for i, taint in enumerate(taints):
        key, effect, value = taint.get("key", ""), taint.get("effect", ""), taint.get("value", "")
        check_messages(errs, f"{path}[{i}].key", key, qualified_name(key))
        found = label_value(value)
        if found:
            errs.append(invalid(f"{path}[{i}].value", value, ";".join(found)))
        if not effect:
            errs.append(required(f"{path}[{i}].effect"))
        if (key, effect) in seen:
            error = duplicate(f"{path}[{i}]", taint)
            errs.append(
                type(error)(error.field, error.reason, f"{error.message}: taints must be unique by key and effect pair")
            )
        seen.add((key, effect))


def check_spread(errs: Errors, path: str, constraints: list[Obj]) -> None:
    """`spec.topologySpreadConstraints`."""
    seen: set[tuple[str, str]] = set()
    for i, constraint in enumerate(constraints):
        field = f"{path}[{i}]"
        skew, key = constraint.get("maxSkew", 0), constraint.get("topologyKey", "")
        action = constraint.get("whenUnsatisfiable", "")
        if skew <= 0:
            errs.append(invalid(f"{field}.maxSkew", skew, POSITIVE))
        if not key:
            errs.append(required(f"{field}.topologyKey", "can not be empty"))
        if (key, action) in seen:
            errs.append(duplicate(f"{field}.{{topologyKey, whenUnsatisfiable}}", f"{{{key}, {action}}}"))
        seen.add((key, action))
        domains = constraint.get("minDomains")
        if domains is not None:
            if domains <= 0:
                errs.append(invalid(f"{field}.minDomains", domains, POSITIVE))
            if action != "DoNotSchedule":
                detail = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
                errs.append(invalid(f"{field}.minDomains", domains, detail))
        _check_spread_keys(errs, field, constraint)


def _check_spread_keys(errs: Errors, path: str, constraint: Obj) -> None:
    selector, keys = constraint.get("labelSelector"), constraint.get("matchLabelKeys") or ()
    if selector is not None:
        check_selector(errs, f"{path}.labelSelector", selector)
    elif keys:
        errs.append(forbidden(f"{path}.matchLabelKeys", _NO_SELECTOR))
    for i, key in enumerate(keys):
        check_label_name(errs, f"{path}.matchLabelKeys[{i}]", key)
    if keys and selector:
        _check_keys_once(errs, f"{path}.matchLabelKeys", list(keys), selector)


def check_gates(errs: Errors, path: str, gates: list[Obj]) -> None:
    """`spec.schedulingGates`."""
    seen: set[str] = set()
    for i, gate in enumerate(gates):
        name = gate.get("name", "")
        check_messages(errs, f"{path}[{i}]", name, qualified_name(name))
        if name in seen:
            errs.append(duplicate(f"{path}[{i}]", name))
        seen.add(name)
