"""Which flow schema a request matches, and which flow it is of. Pure."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from arktos.apiserver.identity import User
from arktos.apiserver.membership import MASTERS
from arktos.model.kinds import SYSTEM_TENANT

_SYSTEM_GROUPS = frozenset({MASTERS, "system:nodes"})


class Asked(NamedTuple):
    """What rules look at. `path` is set for what is no resource."""

    user: User
    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    path: str = ""
    tenant: str = ""


class _Named(msgspec.Struct):
    name: str = ""
    namespace: str = ""


class _Subject(msgspec.Struct, rename="camel"):
    kind: str = ""
    user: _Named | None = None
    group: _Named | None = None
    service_account: _Named | None = None


class _ResourceRule(msgspec.Struct, rename="camel"):
    verbs: list[str] = []
    api_groups: list[str] = []
    resources: list[str] = []
    cluster_scope: bool = False
    namespaces: list[str] = []


class _PathRule(msgspec.Struct, rename="camel"):
    verbs: list[str] = []
    urls: list[str] = msgspec.field(default_factory=list, name="nonResourceURLs")


class _Rules(msgspec.Struct, rename="camel"):
    subjects: list[_Subject] = []
    resource_rules: list[_ResourceRule] = []
    non_resource_rules: list[_PathRule] = []


class _Method(msgspec.Struct):
    type: str = ""


class _Spec(msgspec.Struct, rename="camel"):
    priority_level_configuration: _Named
    matching_precedence: int = 1000
    distinguisher_method: _Method | None = None
    rules: list[_Rules] = []


class _Meta(msgspec.Struct):
    name: str
    uid: str = ""


class FlowSchema(msgspec.Struct):
    """The part of a FlowSchema that decides."""

    metadata: _Meta
    spec: _Spec

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def level(self) -> str:
        return self.spec.priority_level_configuration.name

    @property
    def order(self) -> tuple[int, str]:
        return self.spec.matching_precedence, self.metadata.name

    def matches(self, asked: Asked) -> bool:
        return any(_rules_match(rules, asked) for rules in self.spec.rules)

    def distinguisher(self, asked: Asked) -> str:
        """What tells the flows of one tenant apart."""
        method = self.spec.distinguisher_method
        if method is None:
            return ""
        return asked.user.name if method.type == "ByUser" else asked.namespace


class _Queuing(msgspec.Struct, rename="camel"):
    queues: int = 64
    hand_size: int = 8
    queue_length_limit: int = 50


class _LimitResponse(msgspec.Struct):
    type: str = "Reject"
    queuing: _Queuing | None = None


class _Limited(msgspec.Struct, rename="camel"):
    nominal_concurrency_shares: int | None = None
    lendable_percent: int | None = None
    borrowing_limit_percent: int | None = None
    limit_response: _LimitResponse = msgspec.field(default_factory=_LimitResponse)


class _LevelSpec(msgspec.Struct):
    type: str = "Limited"
    limited: _Limited | None = None


class PriorityLevel(msgspec.Struct):
    """The part of a PriorityLevelConfiguration that decides."""

    metadata: _Meta
    spec: _LevelSpec

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def exempt(self) -> bool:
        return self.spec.type == "Exempt"

    @property
    def limited(self) -> _Limited:
        return self.spec.limited or _Limited()

    @property
    def shares(self) -> int:
        shares = self.limited.nominal_concurrency_shares
        return 0 if self.exempt else 30 if shares is None else shares

    @property
    def queuing(self) -> _Queuing | None:
        """None for a level that refuses at once what it cannot take."""
        response = self.limited.limit_response
        return (response.queuing or _Queuing()) if response.type == "Queue" else None


read_schema = msgspec.json.Decoder(FlowSchema).decode
read_level = msgspec.json.Decoder(PriorityLevel).decode


def _rules_match(rules: _Rules, asked: Asked) -> bool:
    if not any(_is(subject, asked.user) for subject in rules.subjects):
        return False
    if asked.resource:
        return any(_resource_matches(rule, asked) for rule in rules.resource_rules)
    return any(
        _listed(rule.verbs, asked.verb) and any(_covers(url, asked.path) for url in rule.urls)
        for rule in rules.non_resource_rules
    )


def _is(subject: _Subject, user: User) -> bool:
    """Users and service accounts are those of `system`: the same names in a tenant are somebody else's."""
    if subject.kind == "Group" and subject.group is not None:
        name = subject.group.name
        if name in _SYSTEM_GROUPS and not user.is_system:
            return False
        return name == "*" or name in user.groups
    if user.tenant != SYSTEM_TENANT:
        return subject.kind == "User" and subject.user is not None and subject.user.name == "*"
    if subject.kind == "User" and subject.user is not None:
        return subject.user.name in ("*", user.name)
    if subject.kind == "ServiceAccount" and subject.service_account is not None:
        account = subject.service_account
        whole = f"system:serviceaccount:{account.namespace}:"
        return user.name.startswith(whole) and account.name in ("*", user.name.removeprefix(whole))
    return False


def _resource_matches(rule: _ResourceRule, asked: Asked) -> bool:
    name = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    if not (
        _listed(rule.verbs, asked.verb) and _listed(rule.api_groups, asked.group) and _listed(rule.resources, name)
    ):
        return False
    return _listed(rule.namespaces, asked.namespace) if asked.namespace else rule.cluster_scope


def _listed(values: list[str], value: str) -> bool:
    return "*" in values or value in values


def _covers(pattern: str, path: str) -> bool:
    """`*` is all, `/a/*` is all below `/a/`."""
    if pattern.endswith("/*"):
        return path.startswith(pattern[:-1])
    return pattern in ("*", path)
