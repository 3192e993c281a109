"""RBAC rules: what they permit, and whether some contain others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arktos.apiserver.rbac import EVERYTHING, Rule, uncovered


def rule(verbs: str, groups: str = "", resources: str = "", names: str = "") -> Rule:
    return Rule(
        tuple(verbs.split()),
        tuple("" if group == "core" else group for group in groups.split()),
        tuple(resources.split()),
        tuple(names.split()),
    )


@pytest.mark.parametrize(
    ("held", "verb", "group", "resource", "sub", "expected"),
    [
        (rule("get", "core", "pods"), "get", "", "pods", "", True),
        (rule("get", "core", "pods"), "list", "", "pods", "", False),
        (rule("get", "core", "pods"), "get", "apps", "pods", "", False),
        (rule("get", "core", "pods"), "get", "", "pods", "log", False),
        (rule("get", "core", "pods/log"), "get", "", "pods", "log", True),
        (rule("get", "core", "pods/log"), "get", "", "pods", "", False),
        (rule("*", "*", "*"), "anything", "x.io", "ys", "z", True),
        (rule("update", "apps", "*/scale"), "update", "apps", "deployments", "scale", True),
        (rule("update", "apps", "*/scale"), "update", "apps", "deployments", "", False),
        (rule("update", "apps", "*/scale"), "update", "apps", "deployments", "status", False),
        (rule("get", "core", "pods*"), "get", "", "pods", "", False),
        (rule("", "core", "pods"), "get", "", "pods", "", False),
    ],
)
def test_rule_matches(held: Rule, verb: str, group: str, resource: str, sub: str, expected: bool) -> None:
    assert held.matches(verb, group, resource, sub) is expected


@pytest.mark.parametrize(
    ("url", "path", "expected"),
    [
        ("/api", "/api", True),
        ("/api", "/api/v1", False),
        ("/api/*", "/api/v1", True),
        ("/api/*", "/api", False),
        ("/api*", "/apis", True),
        ("*", "/metrics", True),
        ("/a*b", "/axb", False),
    ],
)
def test_paths(url: str, path: str, expected: bool) -> None:
    assert Rule(("get",), urls=(url,)).permits_path("get", path) is expected
    assert not Rule(("get",), urls=(url,)).permits_path("post", path)


@pytest.mark.parametrize(
    ("held", "wanted", "missing"),
    [
        ([rule("get list", "core", "pods")], rule("get", "core", "pods"), []),
        ([rule("get", "core", "pods"), rule("list", "core", "pods")], rule("get list", "core", "pods"), []),
        ([rule("get", "core", "pods")], rule("get list", "core", "pods"), [rule("list", "core", "pods")]),
        ([rule("*", "*", "*")], rule("*", "*", "*"), []),
        ([rule("get list watch", "*", "*")], rule("*", "*", "*"), [rule("*", "*", "*")]),
        ([rule("get", "core", "pods")], rule("get", "core", "pods", "a"), []),
        ([rule("get", "core", "pods", "a b")], rule("get", "core", "pods", "a"), []),
        ([rule("get", "core", "pods", "a")], rule("get", "core", "pods"), [rule("get", "core", "pods")]),
        ([rule("get", "core", "pods", "a")], rule("get", "core", "pods", "a b"), [rule("get", "core", "pods", "b")]),
        ([rule("update", "apps", "*/scale")], rule("update", "apps", "deployments/scale"), []),
        ([rule("update", "apps", "deployments/scale")], rule("update", "apps", "*/scale"), None),
        ([Rule(("get",), urls=("/api/*",))], Rule(("get",), urls=("/api/v1", "/api/*")), []),
        ([Rule(("get",), urls=("/api/*",))], Rule(("get",), urls=("/*",)), [Rule(("get",), urls=("/*",))]),
        ([], rule("", "core", "pods"), []),
    ],
)
def test_uncovered(held: list[Rule], wanted: Rule, missing: list[Rule] | None) -> None:
    assert uncovered(held, [wanted]) == ([wanted] if missing is None else missing)


def test_a_hostile_rule_is_refused_at_once() -> None:
    many = tuple(f"r{n}" for n in range(2000))
    assert uncovered([rule("get", "core", "pods")], [Rule(("get",), many, many, many)]) != []


def test_wording() -> None:
    text = str(Rule(("get", "list"), ("", "apps"), ("pods",), ('a"b',)))
    assert text == '{APIGroups:["" "apps"], Resources:["pods"], ResourceNames:["a\\"b"], Verbs:["get" "list"]}'
    assert str(EVERYTHING[1]) == '{NonResourceURLs:["*"], Verbs:["*"]}'


_some = lambda *words: st.lists(st.sampled_from(words), min_size=1, max_size=3, unique=True).map(tuple)  # noqa: E731
_rules = st.builds(
    Rule,
    _some("get", "list", "create", "*"),
    _some("", "apps", "*"),
    _some("pods", "pods/log", "deployments", "deployments/log", "*", "*/log"),
    st.one_of(st.just(()), _some("a", "b")),
)
_asked = [
    (verb, group, resource, sub, name)
    for verb in ("get", "list", "create", "delete")
    for group in ("", "apps", "batch")
    for resource in ("pods", "deployments", "jobs")
    for sub in ("", "log", "status")
    for name in ("", "a", "b", "c")
]


def _permits(rules: list[Rule], verb: str, group: str, resource: str, sub: str, name: str) -> bool:
    return any(r.matches(verb, group, resource, sub) and r.names_match(name) for r in rules)


@given(st.lists(_rules, max_size=4), st.lists(_rules, min_size=1, max_size=3))
def test_what_is_covered_permits_nothing_more(held: list[Rule], wanted: list[Rule]) -> None:
    missing = uncovered(held, wanted)
    for asked in _asked:
        assert not _permits(wanted, *asked) or _permits([*held, *missing], *asked)
    assert uncovered([*held, *missing], wanted) == []
