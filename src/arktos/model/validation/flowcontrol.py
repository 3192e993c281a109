"""Flow schemas and priority levels, among them those that every server has and nobody changes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from arktos.model.kinds import Obj
from arktos.model.validation.causes import (
    Errors,
    check_messages,
    duplicate,
    forbidden,
    invalid,
    not_supported,
    required,
)
from arktos.model.validation.formats import dns_label, dns_subdomain
from arktos.model.validation.rules import Rules

EXEMPT, CATCH_ALL = "exempt", "catch-all"

_ANY = ["*"]


def _whoever(group: str) -> Obj:
    return {"kind": "Group", "group": {"name": group}}


def _everything(*groups: str) -> list[Obj]:
    resources = {"verbs": _ANY, "apiGroups": _ANY, "resources": _ANY, "clusterScope": True, "namespaces": _ANY}
    return [
        {
            "subjects": [_whoever(group) for group in groups],
            "resourceRules": [resources],
            "nonResourceRules": [{"verbs": _ANY, "nonResourceURLs": _ANY}],
        }
    ]


MANDATORY_SCHEMAS: dict[str, Obj] = {
    EXEMPT: {
        "matchingPrecedence": 1,
        "priorityLevelConfiguration": {"name": EXEMPT},
        "rules": _everything("system:masters"),
    },
    CATCH_ALL: {
        "matchingPrecedence": 10000,
        "priorityLevelConfiguration": {"name": CATCH_ALL},
        "distinguisherMethod": {"type": "ByUser"},
        "rules": _everything("system:unauthenticated", "system:authenticated"),
    },
}
"""The specs of the flow schemas that are always there: first and last of all."""

MANDATORY_LEVELS: dict[str, Obj] = {
    EXEMPT: {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}},
    CATCH_ALL: {
        "type": "Limited",
        "limited": {
            "nominalConcurrencyShares": 5,
            "lendablePercent": 0,
            "limitResponse": {"type": "Reject"},
        },
    },
}
"""The specs of the priority levels that are always there. What others may borrow of `exempt` can be chosen."""

_DISTINGUISHERS = ("ByNamespace", "ByUser")
_SUBJECTS = ("Group", "ServiceAccount", "User")
_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")
_HIGHEST_PRECEDENCE = 10000
_MOST_QUEUES = 10_000_000
_HASH_BITS = 60
"""Bits of the hash that deals a flow its hand of queues."""


def _name(obj: Obj) -> str:
    return str((obj.get("metadata") or {}).get("name", ""))


def _check_schema(errs: Errors, obj: Obj) -> None:
    spec, name = obj.get("spec") or {}, _name(obj)
    _check_precedence(errs, spec.get("matchingPrecedence", 0), name)
    method = spec.get("distinguisherMethod")
    if method is not None and method.get("type") not in _DISTINGUISHERS:
        errs.append(not_supported("spec.distinguisherMethod.type", method.get("type", ""), _DISTINGUISHERS))
    level = (spec.get("priorityLevelConfiguration") or {}).get("name", "")
    if level:
        check_messages(errs, "spec.priorityLevelConfiguration.name", level, dns_subdomain(level))
    else:
        errs.append(required("spec.priorityLevelConfiguration.name", "must reference a priority level"))
    for i, rule in enumerate(spec.get("rules") or ()):
        _check_rule(errs, f"spec.rules[{i}]", rule)
    fixed = MANDATORY_SCHEMAS.get(name)
    if fixed is not None and spec != fixed:
        errs.append(invalid("spec", spec, f"spec of '{name}' must equal the fixed value"))


def _check_precedence(errs: Errors, precedence: int, name: str) -> None:
    field = "spec.matchingPrecedence"
    if precedence <= 0:
        errs.append(invalid(field, precedence, "must be a positive value"))
    elif precedence > _HIGHEST_PRECEDENCE:
        errs.append(invalid(field, precedence, f"must not be greater than {_HIGHEST_PRECEDENCE}"))
    elif precedence == 1 and name != EXEMPT:
        errs.append(invalid(field, precedence, "only the schema named 'exempt' may have matchingPrecedence 1"))


def _check_rule(errs: Errors, path: str, rule: Obj) -> None:
    subjects = rule.get("subjects") or ()
    if not subjects:
        errs.append(required(f"{path}.subjects", "subjects must contain at least one value"))
    for i, subject in enumerate(subjects):
        _check_subject(errs, f"{path}.subjects[{i}]", subject)
    resources, others = rule.get("resourceRules") or (), rule.get("nonResourceRules") or ()
    if not resources and not others:
        errs.append(required(path, "at least one of resourceRules and nonResourceRules has to be non-empty"))
    for i, each in enumerate(resources):
        _check_resource_rule(errs, f"{path}.resourceRules[{i}]", each)
    for i, each in enumerate(others):
        _check_other_rule(errs, f"{path}.nonResourceRules[{i}]", each)


_SUBJECT_FIELDS = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}


def _check_subject(errs: Errors, path: str, subject: Obj) -> None:
    """One that is of a kind, and names nothing of another."""
    kind = subject.get("kind", "")
    own = _SUBJECT_FIELDS.get(kind)
    if own is None:
        errs.append(not_supported(f"{path}.kind", kind, _SUBJECTS))
        return
    for other, field in _SUBJECT_FIELDS.items():
        if field != own and subject.get(field) is not None:
            errs.append(forbidden(f"{path}.{field}", f"{field} is forbidden when subject kind is not '{other}'"))
    named = subject.get(own)
    if named is None:
        errs.append(required(f"{path}.{own}", f"{own} is required when subject kind is '{kind}'"))
        return
    name = named.get("name", "")
    if not name:
        errs.append(required(f"{path}.{own}.name"))
    if kind != "ServiceAccount":
        return
    if name and name != "*":
        check_messages(errs, f"{path}.{own}.name", name, dns_subdomain(name))
    namespace = named.get("namespace", "")
    if namespace:
        check_messages(errs, f"{path}.{own}.namespace", namespace, dns_label(namespace))
    else:
        errs.append(required(f"{path}.{own}.namespace", "must specify namespace for service account"))


def _check_verbs(errs: Errors, field: str, verbs: Sequence[str]) -> None:
    if not verbs:
        errs.append(required(field, "verbs must contain at least one value"))
    elif "*" in verbs:
        _check_alone(errs, field, verbs, "verbs")
    elif not set(verbs) <= set(_VERBS):
        errs.append(not_supported(field, list(verbs), _VERBS))


def _check_alone(errs: Errors, field: str, values: Sequence[str], what: str) -> None:
    """`*` stands for all, so nothing stands beside it."""
    if "*" in values and len(values) > 1:
        errs.append(invalid(field, list(values), f"if '*' is present, must not specify other {what}"))


def _check_resource_rule(errs: Errors, path: str, rule: Obj) -> None:
    _check_verbs(errs, f"{path}.verbs", rule.get("verbs") or ())
    for field, what, one in (
        ("apiGroups", "api groups", "api group"),
        ("resources", "resources", "resource"),
    ):
        values = rule.get(field) or ()
        if not values:
            errs.append(required(f"{path}.{field}", f"resource rules must supply at least one {one}"))
        _check_alone(errs, f"{path}.{field}", values, what)
    namespaces = rule.get("namespaces") or ()
    if not namespaces and not rule.get("clusterScope"):
        detail = "resource rules that are not cluster scoped must supply at least one namespace"
        errs.append(required(f"{path}.namespaces", detail))
    elif "*" in namespaces:
        _check_alone(errs, f"{path}.namespaces", namespaces, "namespaces")
    else:
        for i, each in enumerate(namespaces):
            messages = [f"each member of this list must be '*' or a DNS-1123 label; {m}" for m in dns_label(each)]
            check_messages(errs, f"{path}.namespaces[{i}]", each, messages)


def _check_other_rule(errs: Errors, path: str, rule: Obj) -> None:
    _check_verbs(errs, f"{path}.verbs", rule.get("verbs") or ())
    urls, field = rule.get("nonResourceURLs") or (), f"{path}.nonResourceURLs"
    if not urls:
        errs.append(required(field, "nonResourceURLs must contain at least one value"))
    elif "*" in urls:
        _check_alone(errs, field, urls, "non-resource URLs")
    else:
        for i, url in enumerate(urls):
            check_messages(errs, f"{field}[{i}]", url, _url_faults(url))


def _url_faults(url: str) -> tuple[str, ...]:
    """What is wrong with a path that may end in `/*`."""
    if not url:
        return ("must not be empty",)
    if url == "/":
        return ()
    if not url.startswith("/"):
        return ("must start with slash",)
    if " " in url:
        return ("must not contain white-space",)
    if "//" in url:
        return ("must not contain double slash",)
    wildcards = url.count("*")
    if wildcards > 1 or (wildcards == 1 and not url.endswith("/*")):
        return ("wildcard can only do suffix matching",)
    return ()


def _check_conditions(errs: Errors, obj: Obj, old: Obj) -> None:
    seen = set()
    for i, condition in enumerate((obj.get("status") or {}).get("conditions") or ()):
        kind, field = condition.get("type", ""), f"status.conditions[{i}].type"
        if kind in seen:
            errs.append(duplicate(field, kind))
        if not kind:
            errs.append(required(field, "must not be empty"))
        seen.add(kind)


FLOW_SCHEMA = Rules(always=_check_schema, subresources={"status": _check_conditions})


def _check_level(errs: Errors, obj: Obj) -> None:
    spec, name = obj.get("spec") or {}, _name(obj)
    kind, limited, exempt = spec.get("type", ""), spec.get("limited"), spec.get("exempt")
    if (name == EXEMPT) != (kind == "Exempt"):
        errs.append(invalid("spec.type", kind, "type must be 'Exempt' if and only if name is 'exempt'"))
    if kind == "Exempt":
        if limited is not None:
            errs.append(forbidden("spec.limited", "must be nil if the type is not Limited"))
        if exempt is not None:
            _check_shares(errs, "spec.exempt", exempt)
    elif kind == "Limited":
        if exempt is not None:
            errs.append(forbidden("spec.exempt", "must be nil if the type is Limited"))
        if limited is None:
            errs.append(required("spec.limited", "must not be empty when type is Limited"))
        else:
            _check_limited(errs, "spec.limited", limited)
    else:
        errs.append(not_supported("spec.type", kind, ("Exempt", "Limited")))
    _check_fixed_level(errs, spec, name)


def _check_fixed_level(errs: Errors, spec: Obj, name: str) -> None:
    fixed = MANDATORY_LEVELS.get(name)
    if fixed is None:
        return
    if name == EXEMPT:
        if spec.get("type") != "Exempt" or "limited" in spec:
            detail = f"spec of '{name}' except the 'spec.{EXEMPT}' field must equal the fixed value"
            errs.append(invalid("spec", spec, detail))
    elif spec != fixed:
        errs.append(invalid("spec", spec, f"spec of '{name}' must equal the fixed value"))


def _check_shares(errs: Errors, path: str, level: Obj) -> None:
    shares, lendable = level.get("nominalConcurrencyShares", 0), level.get("lendablePercent", 0)
    if shares < 0:
        errs.append(invalid(f"{path}.nominalConcurrencyShares", shares, "must be a non-negative integer"))
    if not 0 <= lendable <= 100:
        errs.append(invalid(f"{path}.lendablePercent", lendable, "must be between 0 and 100, inclusive"))


def _check_limited(errs: Errors, path: str, limited: Obj) -> None:
    _check_shares(errs, path, limited)
    borrowing = limited.get("borrowingLimitPercent")
    if borrowing is not None and borrowing < 0:
        detail = "if specified, must be a non-negative integer"
        errs.append(invalid(f"{path}.borrowingLimitPercent", borrowing, detail))
    response = limited.get("limitResponse") or {}
    kind, queuing, path = response.get("type", ""), response.get("queuing"), f"{path}.limitResponse"
    if kind == "Reject":
        if queuing is not None:
            detail = "must be nil if limited.limitResponse.type is not Limited"
            errs.append(forbidden(f"{path}.queuing", detail))
    elif kind == "Queue":
        if queuing is None:
            detail = "must not be empty if limited.limitResponse.type is Limited"
            errs.append(required(f"{path}.queuing", detail))
        else:
            _check_queuing(errs, f"{path}.queuing", queuing)
    else:
        errs.append(not_supported(f"{path}.type", kind, ("Queue", "Reject")))


def _check_queuing(errs: Errors, path: str, queuing: Obj) -> None:
    length, queues, hand = (queuing.get(name, 0) for name in ("queueLengthLimit", "queues", "handSize"))
    if length <= 0:
        errs.append(invalid(f"{path}.queueLengthLimit", length, "must be positive"))
    if queues <= 0:
        errs.append(invalid(f"{path}.queues", queues, "must be positive"))
    elif queues > _MOST_QUEUES:
        errs.append(invalid(f"{path}.queues", queues, f"must not be greater than {_MOST_QUEUES}"))
    if hand <= 0:
        errs.append(invalid(f"{path}.handSize", hand, "must be positive"))
    elif hand > queues:
        errs.append(invalid(f"{path}.handSize", hand, f"should not be greater than queues ({queues})"))
    elif math.ceil(math.log2(queues) * hand) > _HASH_BITS:
        detail = (
            f"required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {_HASH_BITS}"
        )
        errs.append(invalid(f"{path}.handSize", hand, detail))


PRIORITY_LEVEL = Rules(always=_check_level, subresources={"status": _check_conditions})
