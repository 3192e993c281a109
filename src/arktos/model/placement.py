"""Whether a pod may be on a node: its nodeSelector and required node affinity, and its tolerations. Pure.

The scheduler has rules of its own form (columns over thousands of nodes); these are for one pod and one node at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from arktos.model import selectors_labels
from arktos.model.kinds import Obj
from arktos.model.selectors_labels import Requirement

NO_SCHEDULE, NO_EXECUTE = "NoSchedule", "NoExecute"

_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!", "Gt": ">", "Lt": "<"}


def matches_node(spec: Obj, node: Obj) -> bool:
    """Whether nodeSelector and the required node affinity of a pod spec fit a node."""
    labels = node["metadata"].get("labels") or {}
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    fields = {"metadata.name": node["metadata"]["name"]}
    return any(_term_fits(term, labels, fields) for term in required.get("nodeSelectorTerms") or ())


def tolerates(toleration: Obj, taint: Obj) -> bool:
    """Whether a toleration is for a taint: effect and key match or are empty, and the value is equal, any, or (Lt, Gt)
    on the right side of the toleration's (KEP-5471)."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    operator = toleration.get("operator") or "Equal"
    value, against = toleration.get("value") or "", taint.get("value") or ""
    if operator == "Exists":
        return True
    if operator in ("Lt", "Gt"):
        if not (_whole(value) and _whole(against)):
            return False
        return int(against) < int(value) if operator == "Lt" else int(against) > int(value)
    return bool(toleration.get("key")) and value == against


def untolerated(tolerations: Sequence[Obj], taints: Iterable[Obj], effects: Iterable[str]) -> Obj | None:
    """The first taint with one of these effects that no toleration is for."""
    wanted = frozenset(effects)
    for taint in taints:
        if taint.get("effect") in wanted and not any(tolerates(each, taint) for each in tolerations):
            return taint
    return None


def _whole(text: str) -> bool:
    return text.removeprefix("-").isdecimal()


def _term_fits(term: Obj, labels: Mapping[str, str], fields: Mapping[str, str]) -> bool:
    expressions, about_fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not about_fields:
        return False
    return _all_fit(expressions, labels) and _all_fit(about_fields, fields)


def _all_fit(expressions: Iterable[Obj], values: Mapping[str, str]) -> bool:
    needed = tuple(
        Requirement(each["key"], _OPERATORS[each["operator"]], tuple(each.get("values") or ())) for each in expressions
    )
    return selectors_labels.compiled(needed)(values)
