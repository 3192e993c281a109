"""Which requests a rule means: by operation, group, version, resource and scope, by labels. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from arktos.model.kinds import Kind, Obj, Scope
from arktos.model.validation.labels import selects

EXEMPT = frozenset(
    {
        "mutatingwebhookconfigurations",
        "validatingwebhookconfigurations",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
    }
)
"""What nobody is ever asked about, or no broken configuration could be repaired."""
_GROUP = "admissionregistration.k8s.io"


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is about, as rules see it: one served version of its resource."""

    group: str
    version: str
    resource: str
    kind: str

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def as_kind(self) -> Obj:
        return {"group": self.group, "version": self.version, "kind": self.kind}

    def as_resource(self) -> Obj:
        return {"group": self.group, "version": self.version, "resource": self.resource}


@dataclass(frozen=True, slots=True)
class Question:
    """A request as matching sees it. `targets` are the versions in which its resource is served, the request's own
    first. `labels` are those of the object and of the old one (None: there is none)."""

    targets: tuple[Target, ...]
    subresource: str
    operation: str
    namespaced: bool
    name: str
    labels: tuple[Mapping[str, Any] | None, ...]
    namespace_labels: Mapping[str, Any] | None

    @property
    def target(self) -> Target:
        return self.targets[0]


def is_exempt(kind: Kind) -> bool:
    return kind.group == _GROUP and kind.plural in EXEMPT


def is_namespaced(kind: Kind) -> bool:
    """As rules' `scope` has it: Kubernetes' cluster scope is a tenant here."""
    return kind.scope is Scope.NAMESPACE


def labels_of(obj: Obj | None) -> Mapping[str, Any] | None:
    return None if obj is None else (obj.get("metadata") or {}).get("labels") or {}


def matched(part: Obj, question: Question, rules: str = "rules") -> Target | None:
    """The version in which a webhook, policy or binding wants to see the request; None where it does not mean it.

    `part` has the rules (under that name), `matchPolicy` and the selectors. The cheap questions come first."""
    target = _by_rules(part.get(rules) or (), question, part.get("matchPolicy") != "Exact")
    if target is None or not _by_labels(part, question):
        return None
    return target


def matched_resources(part: Obj, question: Question) -> Target | None:
    """The same for a MatchResources: with exclusions, and no rules meaning all."""
    equivalent = part.get("matchPolicy") != "Exact"
    if _by_rules(part.get("excludeResourceRules") or (), question, equivalent) is not None:
        return None
    rules = part.get("resourceRules") or ()
    target = _by_rules(rules, question, equivalent) if rules else question.target
    return target if target is not None and _by_labels(part, question) else None


def _by_rules(rules: Sequence[Obj], question: Question, equivalent: bool) -> Target | None:
    for rule in rules:
        if rule_matches(rule, question, question.target):
            return question.target
    if not equivalent:
        return None
    for rule in rules:
        for target in question.targets[1:]:
            if rule_matches(rule, question, target):
                return target
    return None


def rule_matches(rule: Obj, question: Question, target: Target) -> bool:
    return (
        _among(rule.get("operations"), question.operation)
        and _among(rule.get("apiGroups"), target.group)
        and _among(rule.get("apiVersions"), target.version)
        and _resource(rule.get("resources") or (), target.resource, question.subresource)
        and _scope(rule.get("scope"), question.namespaced)
        and (not rule.get("resourceNames") or question.name in rule["resourceNames"])
    )


def _among(values: Iterable[str] | None, value: str) -> bool:
    return values is not None and ("*" in values or value in values)


def _resource(patterns: Iterable[str], resource: str, subresource: str) -> bool:
    for pattern in patterns:
        wanted, slash, part = pattern.partition("/")
        if wanted not in ("*", resource):
            continue
        if (part in ("*", subresource)) if slash else not subresource:
            return True
    return False


def _scope(scope: str | None, namespaced: bool) -> bool:
    return scope in (None, "", "*") or (scope == "Namespaced") is namespaced


def _by_labels(part: Obj, question: Question) -> bool:
    selector = part.get("namespaceSelector")
    if selector and question.namespace_labels is not None and not selects(selector, question.namespace_labels):
        return False
    selector = part.get("objectSelector")
    return not selector or any(labels is not None and selects(selector, labels) for labels in question.labels)
