"""RBAC's rules: what one permits, and whether some contain another. Pure; knows no tenant and no store.

Semantics are Kubernetes' (rbac.authorization.k8s.io/v1): a rule is about resources or about URLs, its lists are
alternatives, `*` stands for everything, `*/sub` for a subresource of every resource, a URL may end in `*`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from arktos.model.kinds import Obj

ALL = "*"

_MAX_CELLS = 1024


class Rule(NamedTuple):
    """One PolicyRule. `names` empty means every name."""

    verbs: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()

    def matches(self, verb: str, group: str, resource: str, subresource: str) -> bool:
        """Whether this rule speaks of the verb on the resource, whatever the object's name."""
        if verb not in self.verbs and ALL not in self.verbs:
            return False
        if group not in self.groups and ALL not in self.groups:
            return False
        if ALL in self.resources:
            return True
        if not subresource:
            return resource in self.resources
        return f"{resource}/{subresource}" in self.resources or f"*/{subresource}" in self.resources

    def names_match(self, name: str) -> bool:
        return not self.names or name in self.names

    def permits_path(self, verb: str, path: str) -> bool:
        """Whether this rule permits the verb on a path that is no resource."""
        if verb not in self.verbs and ALL not in self.verbs:
            return False
        return any(url_covers(url, path) for url in self.urls)

    def as_object(self) -> Obj:
        """The rule as it stands in a SelfSubjectRulesReview (and, but for the kind of rule, in a role)."""
        named = {
            "apiGroups": self.groups,
            "resources": self.resources,
            "resourceNames": self.names,
            "nonResourceURLs": self.urls,
        }
        return {"verbs": list(self.verbs)} | {field: list(values) for field, values in named.items() if values}

    def __str__(self) -> str:
        """The rule as Kubernetes words it when it refuses to grant it."""
        parts = (
            ("APIGroups", self.groups),
            ("Resources", self.resources),
            ("NonResourceURLs", self.urls),
            ("ResourceNames", self.names),
            ("Verbs", self.verbs),
        )
        return "{" + ", ".join(f"{label}:{quoted(values)}" for label, values in parts if values) + "}"


EVERYTHING = (Rule((ALL,), groups=(ALL,), resources=(ALL,)), Rule((ALL,), urls=(ALL,)))
"""What members of system:masters hold everywhere."""


def quoted(values: Iterable[str]) -> str:
    """Strings as Kubernetes' messages list them: `["a" "b"]`."""
    return "[" + " ".join(_quote(value) for value in values) + "]"


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'


def url_covers(held: str, wanted: str) -> bool:
    """Whether the URL pattern `held` contains the URL or pattern `wanted`."""
    if held in (ALL, wanted):
        return True
    return held.endswith(ALL) and wanted.startswith(held.rstrip(ALL))


def uncovered(held: Sequence[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """What of `wanted` is not contained in `held`, merged by verbs; empty when nothing is missing.

    `wanted` may be hostile: once it would take more than thousands of comparisons to say what exactly is missing of
    it, what is left counts as missing as it stands.
    """
    holding = list(dict.fromkeys(held))
    missing: dict[Rule, None] = {}
    budget = _MAX_CELLS
    for rule in dict.fromkeys(wanted):
        if any(_contains(holder, rule) for holder in holding):
            continue
        cells = _count(rule)
        if cells > budget:
            missing[rule] = None
            continue
        budget -= cells
        for cell in _cells(rule):
            lacking = _lacking_verbs(holding, cell)
            if lacking:
                missing[cell._replace(verbs=lacking)] = None
    return list(missing)


def _count(rule: Rule) -> int:
    return len(rule.groups) * len(rule.resources) * max(1, len(rule.names)) + len(rule.urls)


def _cells(rule: Rule) -> Iterator[Rule]:
    """The rule cut into parts of one group, resource and name, or of one URL, all verbs together."""
    for group in rule.groups:
        for resource in rule.resources:
            for name in rule.names or ("",):
                yield Rule(rule.verbs, (group,), (resource,), (name,) if rule.names else ())
    for url in rule.urls:
        yield Rule(rule.verbs, urls=(url,))


def _lacking_verbs(held: Sequence[Rule], cell: Rule) -> tuple[str, ...]:
    lacking = set(cell.verbs)
    for holder in held:
        if not _subject_contained(holder, cell):
            continue
        if ALL in holder.verbs:
            return ()
        lacking.difference_update(holder.verbs)
        if not lacking:
            return ()
    return tuple(sorted(lacking))


def _contains(holder: Rule, rule: Rule) -> bool:
    return (ALL in holder.verbs or set(holder.verbs).issuperset(rule.verbs)) and _subject_contained(holder, rule)


def _subject_contained(holder: Rule, rule: Rule) -> bool:
    """Whether what `rule` is about is contained in what `holder` is about, verbs apart."""
    if not (ALL in holder.groups or set(holder.groups).issuperset(rule.groups)):
        return False
    if not (ALL in holder.resources or all(_resource_contained(holder.resources, r) for r in rule.resources)):
        return False
    if holder.names and not (rule.names and set(holder.names).issuperset(rule.names)):
        return False
    return all(any(url_covers(url, wanted) for url in holder.urls) for wanted in rule.urls)


def _resource_contained(held: tuple[str, ...], resource: str) -> bool:
    if resource in held:
        return True
    _, slash, subresource = resource.partition("/")
    return bool(slash) and f"*/{subresource}" in held
