"""Audit policies: rules, of which the first that matches a request says how much of it is logged. Pure.

Kubernetes' rules, and `tenants` beside `users` and `groups`: the tenant that a request speaks of.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from arktos.apiserver.identity import User
from arktos.wire import json, yaml

API_VERSION = "audit.k8s.io/v1"


class Level(enum.IntEnum):
    """How much of a request is logged; each includes those before it."""

    NONE = 0
    METADATA = 1
    REQUEST = 2
    REQUEST_RESPONSE = 3

    @property
    def word(self) -> str:
        return _WORDS[self]


_WORDS = {
    Level.NONE: "None",
    Level.METADATA: "Metadata",
    Level.REQUEST: "Request",
    Level.REQUEST_RESPONSE: "RequestResponse",
}
_LEVELS = {word: level for level, word in _WORDS.items()}

STAGES = ("RequestReceived", "ResponseStarted", "ResponseComplete", "Panic")


class BadPolicy(ValueError):
    """A policy cannot be used; the message names the field."""


class Subject(NamedTuple):
    """What rules look at. `user` is None where nobody could be authenticated; `path` is set for what is no resource."""

    user: User | None
    tenant: str
    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


class Verdict(NamedTuple):
    level: Level
    omit_stages: frozenset[str] = frozenset()
    omit_managed_fields: bool = False


class _GroupResources(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    group: str = ""
    resources: list[str] = []
    resource_names: list[str] = []


class _Rule(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    level: str
    tenants: list[str] = []
    users: list[str] = []
    user_groups: list[str] = []
    verbs: list[str] = []
    resources: list[_GroupResources] = []
    namespaces: list[str] = []
    non_resource_urls: list[str] = msgspec.field(default_factory=list, name="nonResourceURLs")
    omit_stages: list[str] = []
    omit_managed_fields: bool | None = None


class _Policy(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    api_version: str
    kind: str
    rules: list[_Rule]
    metadata: Mapping[str, Any] | None = None
    omit_stages: list[str] = []
    omit_managed_fields: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, as sets: an empty one asks for nothing."""

    verdict: Verdict
    tenants: frozenset[str]
    users: frozenset[str]
    groups: frozenset[str]
    verbs: frozenset[str]
    namespaces: frozenset[str]
    resources: tuple[tuple[str, frozenset[str], frozenset[str]], ...]
    paths: tuple[str, ...]

    def matches(self, subject: Subject) -> bool:
        user = subject.user
        if self.tenants and subject.tenant not in self.tenants:
            return False
        if user is not None and self.users and user.name not in self.users:
            return False
        if user is not None and self.groups and self.groups.isdisjoint(user.groups):
            return False
        if self.verbs and subject.verb not in self.verbs:
            return False
        if self.namespaces or self.resources:
            return bool(subject.resource) and self._matches_resource(subject)
        if self.paths:
            return not subject.resource and any(_covers(path, subject.path) for path in self.paths)
        return True

    def _matches_resource(self, subject: Subject) -> bool:
        if self.namespaces and subject.namespace not in self.namespaces:
            return False
        if not self.resources:
            return True
        resource, sub = subject.resource, subject.subresource
        spelled = {"*", f"{resource}/*", *((f"{resource}/{sub}", f"*/{sub}") if sub else (resource,))}
        return any(
            group == subject.group
            and (not resources or (not resources.isdisjoint(spelled) and (not names or subject.name in names)))
            for group, resources, names in self.resources
        )


def _covers(pattern: str, path: str) -> bool:
    return path.startswith(pattern[:-1]) if pattern.endswith("*") else path == pattern


class Policy:
    """A policy in force. What no rule matches is not logged."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(rules)

    def verdict(self, subject: Subject) -> Verdict:
        for rule in self._rules:
            if rule.matches(subject):
                return rule.verdict
        return Verdict(Level.NONE)


def parse(data: bytes) -> Policy:
    """A policy from YAML or JSON. Raises `BadPolicy`."""
    try:
        read = msgspec.convert(yaml.decode(data), _Policy)
    except (json.DecodeError, msgspec.ValidationError) as error:
        raise BadPolicy(str(error)) from error
    if read.api_version != API_VERSION or read.kind != "Policy":
        raise BadPolicy(f"expected a Policy of {API_VERSION}, not {read.kind!r} of {read.api_version!r}")
    if not read.rules:
        raise BadPolicy("rules: a policy needs at least one rule")
    _check_stages("omitStages", read.omit_stages)
    return Policy([_rule(f"rules[{number}]", rule, read) for number, rule in enumerate(read.rules)])


def _rule(field: str, rule: _Rule, policy: _Policy) -> Rule:
    if rule.level not in _LEVELS:
        raise BadPolicy(f"{field}.level: {rule.level!r} is none of {', '.join(_LEVELS)}")
    _check_stages(f"{field}.omitStages", rule.omit_stages)
    if rule.non_resource_urls and (rule.resources or rule.namespaces):
        raise BadPolicy(f"{field}.nonResourceURLs: rules cannot apply to both regular resources and non-resource URLs")
    for url in rule.non_resource_urls:
        if url != "*" and (not url.startswith("/") or "*" in url[:-1]):
            raise BadPolicy(f"{field}.nonResourceURLs: {url!r} must begin with / and may have * only at its end")
    for each in rule.resources:
        if "/" in each.group:
            raise BadPolicy(f"{field}.resources.group: {each.group!r} must be a group without a version")
        if each.resource_names and not each.resources:
            raise BadPolicy(f"{field}.resources.resourceNames: using resourceNames requires at least one resource")
    omit = policy.omit_managed_fields if rule.omit_managed_fields is None else rule.omit_managed_fields
    return Rule(
        Verdict(_LEVELS[rule.level], frozenset(rule.omit_stages) | frozenset(policy.omit_stages), omit),
        frozenset(rule.tenants),
        frozenset(rule.users),
        frozenset(rule.user_groups),
        frozenset(rule.verbs),
        frozenset(rule.namespaces),
        tuple((r.group, frozenset(r.resources), frozenset(r.resource_names)) for r in rule.resources),
        tuple(rule.non_resource_urls),
    )


def _check_stages(field: str, stages: Sequence[str]) -> None:
    for stage in stages:
        if stage not in STAGES:
            raise BadPolicy(f"{field}: {stage!r} is none of {', '.join(STAGES)}")
