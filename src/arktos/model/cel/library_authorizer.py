"""`authorizer`: what may this user do? (KEP-3488, "Secondary Authz".)

The expression builds a question step by step; who evaluates it gives the answer, as an `Authorizer` whose `decide` is
asked at `allowed()`, `reason()` or `errored()`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from arktos.model.cel.declarations import Library, Overload, declare
from arktos.model.cel.types import BOOL, STRING, Type

AUTHORIZER = Type("kubernetes.authorization.Authorizer")
PATH = Type("kubernetes.authorization.PathCheck")
GROUP = Type("kubernetes.authorization.GroupCheck")
RESOURCE = Type("kubernetes.authorization.ResourceCheck")
DECISION = Type("kubernetes.authorization.Decision")

COST = 350
"""What asking costs, in units (Kubernetes': an authorization check weighs 350,000 of a million-unit budget's
thousandths)."""


@dataclass(frozen=True, slots=True)
class Question:
    """May `user` (empty: who asks; else a service account `namespace/name`) do `verb` to this?"""

    service_account: str = ""
    path: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    verb: str = ""
    field_selector: str = ""
    label_selector: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    allowed: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Authorizer:
    """The value of the variable `authorizer`. Answers are kept for the time of one request."""

    decide: Callable[[Question], Answer]
    known: dict[Question, Answer] = field(default_factory=dict)
    question: Question = Question()

    def ask(self, question: Question) -> Answer:
        if question not in self.known:
            self.known[question] = self.decide(question)
        return self.known[question]


class _Path(Authorizer):
    __slots__ = ()


class _Group(Authorizer):
    __slots__ = ()


class _Resource(Authorizer):
    __slots__ = ()


class _Decision(Authorizer):
    __slots__ = ()


for _type, _class in ((AUTHORIZER, Authorizer), (PATH, _Path), (GROUP, _Group), (RESOURCE, _Resource)):
    declare(_type, _class)
declare(DECISION, _Decision)


def resource_check(authorizer: Authorizer, question: Question) -> Authorizer:
    """The value of `authorizer.requestResource`: about the request's own resource."""
    return _Resource(authorizer.decide, authorizer.known, question)


def _step(made: type[Authorizer], name: str) -> Callable[[Authorizer, str], Authorizer]:
    def run(authorizer: Authorizer, text: str) -> Authorizer:
        return made(authorizer.decide, authorizer.known, replace(authorizer.question, **{name: text}))

    return run


def _service_account(authorizer: Authorizer, namespace: str, name: str) -> Authorizer:
    question = replace(authorizer.question, service_account=f"{namespace}/{name}")
    return Authorizer(authorizer.decide, authorizer.known, question)


def _answer(authorizer: Any) -> Answer:
    found: Answer = authorizer.ask(authorizer.question)
    return found


def install(library: Library) -> None:
    library.method("path", [AUTHORIZER, STRING], PATH, _step(_Path, "path"))
    library.method("group", [AUTHORIZER, STRING], GROUP, _step(_Group, "group"))
    library.method("serviceAccount", [AUTHORIZER, STRING, STRING], AUTHORIZER, _service_account)
    library.method("resource", [GROUP, STRING], RESOURCE, _step(_Resource, "resource"))
    for name, part in (
        ("subresource", "subresource"),
        ("namespace", "namespace"),
        ("name", "name"),
        ("fieldSelector", "field_selector"),
        ("labelSelector", "label_selector"),
    ):
        library.method(name, [RESOURCE, STRING], RESOURCE, _step(_Resource, part))
    for type in (PATH, RESOURCE):
        library.method("check", [type, STRING], DECISION, _step(_Decision, "verb"))
    library.add("allowed", Overload((DECISION,), BOOL, lambda a: _answer(a).allowed, member=True, cost=COST))
    library.add("reason", Overload((DECISION,), STRING, lambda a: _answer(a).reason, member=True, cost=COST))
    library.method("errored", [DECISION], BOOL, lambda a: False)
    library.method("error", [DECISION], STRING, lambda a: "")
