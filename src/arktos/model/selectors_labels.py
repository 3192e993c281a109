"""Label selectors: the grammar of Kubernetes, and LabelSelector objects. Parsed once into requirements, then compiled.

requirement := [!] key | key (= | == | !=) value | key (in | notin) ( value, ... ) | key (< | >) integer
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from arktos.model.status import BadRequest

Test = Callable[[Mapping[str, str]], bool]

_SYMBOLS = "=!(),<>"
_TOKEN = re.compile(r"\s*(==|!=|[=!(),<>]|[^\s=!(),<>]+)")
_NAME = r"[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?"
_PART = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_KEY = re.compile(rf"(?:(?=[^/]{{1,253}}/){_PART}(?:\.{_PART})*/)?(?=.{{1,63}}\Z){_NAME}\Z").match
_VALUE = re.compile(rf"(?=.{{0,63}}\Z)(?:{_NAME})?\Z").match
_END = ""


class Requirement(NamedTuple):
    """One term. `operator` is one of `=`, `!=`, in, notin, exists, `!`, `>`, `<`; `values` are sorted."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(self.values)})"
        return f"{self.key}{self.operator}{self.values[0]}"


Requirements = tuple[Requirement, ...]


def parse(text: str) -> Requirements:
    """The requirements of a label selector, by key. BadRequest, worded as Kubernetes words it."""
    if not text:
        return ()
    return tuple(sorted(_Parser(text).requirements(), key=lambda requirement: requirement.key))


def canonical(requirements: Requirements) -> str:
    """Text that parses to the same requirements."""
    return ",".join(map(str, requirements))


def from_set(labels: Mapping[str, str]) -> Requirements:
    """Each label equals, as in the selector of a Service."""
    return tuple(Requirement(key, "=", (labels[key],)) for key in sorted(labels))


_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


def from_object(selector: Mapping[str, Any]) -> Requirements:
    """The requirements of a LabelSelector object. BadRequest for an operator that there is not."""
    found = list(from_set(selector.get("matchLabels") or {}))
    for expression in selector.get("matchExpressions") or ():
        operator = _OPERATORS.get(expression.get("operator", ""))
        if operator is None:
            raise BadRequest(f'"{expression.get("operator", "")}" is not a valid label selector operator')
        values = tuple(sorted(set(expression.get("values") or ())))
        found.append(Requirement(expression.get("key", ""), operator, values))
    return tuple(sorted(found, key=lambda requirement: requirement.key))


# --- compiled tests --------------------------------------------------------------------------------------------------


def compiled(requirements: Requirements) -> Test:
    """One function that says whether a set of labels meets all requirements."""
    tests = [_test(requirement) for requirement in requirements]
    match tests:
        case []:
            return lambda _labels: True
        case [only]:
            return only
        case [first, second]:
            return lambda labels: first(labels) and second(labels)

    def test(labels: Mapping[str, str]) -> bool:
        for one in tests:  # noqa: SIM110 - a generator costs more than the loop
            if not one(labels):
                return False
        return True

    return test


def _test(requirement: Requirement) -> Test:
    key, values = requirement.key, requirement.values
    match requirement.operator:
        case "exists":
            return lambda labels: key in labels
        case "!":
            return lambda labels: key not in labels
        case "=":
            (wanted,) = values
            return lambda labels: labels.get(key) == wanted
        case "!=":
            (refused,) = values
            return lambda labels: labels.get(key) != refused
        case "in":
            any_of = frozenset(values)
            return lambda labels: labels.get(key) in any_of
        case "notin":
            none_of = frozenset(values)
            return lambda labels: labels.get(key) not in none_of
    return _numeric(key, requirement.operator, int(values[0]))


def _numeric(key: str, operator: str, bound: int) -> Test:
    def test(labels: Mapping[str, str]) -> bool:
        number = to_int64(labels.get(key, ""))
        return number is not None and (number > bound if operator == ">" else number < bound)

    return test


_INTEGER = re.compile(r"[+-]?\d{1,19}\Z", re.ASCII).match


def to_int64(text: str) -> int | None:
    """The 64-bit integer that a text writes, None if it writes none."""
    if not _INTEGER(text):
        return None
    number = int(text)
    return number if -(2**63) <= number < 2**63 else None


# --- parsing ---------------------------------------------------------------------------------------------------------


class _Parser:
    """Recursive descent over tokens. A word is whatever stands between blanks and symbols; `in` and `notin` are
    operators only where an operator stands."""

    def __init__(self, text: str) -> None:
        self.tokens = _TOKEN.findall(text)
        self.at = 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else _END

    def take(self) -> str:
        token = self.peek()
        self.at += 1
        return token

    def requirements(self) -> Iterable[Requirement]:
        if self.peek() == _END:
            return
        while True:
            token = self.peek()
            if token != "!" and not _is_word(token):
                raise BadRequest(f"found '{token}', expected: !, identifier, or 'end of string'")
            yield self.requirement()
            token = self.take()
            if token == _END:
                return
            if token != ",":
                raise BadRequest(f"found '{token}', expected: ',' or 'end of string'")
            following = self.peek()
            if following != "!" and not _is_word(following):
                raise BadRequest(f"found '{following}', expected: identifier after ','")

    def requirement(self) -> Requirement:
        negated = self.peek() == "!"
        if negated:
            self.take()
        key = self.take()
        if not _is_word(key):
            raise _unparsable(f"found '{key}', expected: identifier")
        _check_key(key)
        if self.peek() in (_END, ","):
            return Requirement(key, "!" if negated else "exists")
        if negated:
            raise BadRequest(f"found '{self.peek()}', expected: ',' or 'end of string'")
        operator = self.take()
        if operator in ("in", "notin"):
            return Requirement(key, operator, self.values(key))
        if operator not in ("=", "==", "!=", "<", ">"):
            raise _unparsable(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")
        return self.comparison(key, "=" if operator == "==" else operator)

    def comparison(self, key: str, operator: str) -> Requirement:
        value = "" if self.peek() in (_END, ",") else self.take()
        if value and not _is_word(value):
            raise _unparsable(f"found '{value}', expected: identifier")
        _check_value(key, value)
        if operator in ("<", ">") and to_int64(value) is None:
            rule = "for 'Gt', 'Lt' operators, the value must be an integer"
            raise _unparsable(f'values[0][{key}]: Invalid value: "{value}": {rule}')
        return Requirement(key, operator, (value,))

    def values(self, key: str) -> tuple[str, ...]:
        token = self.take()
        if token != "(":
            raise _unparsable(f"found '{token}' expected: '('")
        found: set[str] = set()
        word = ""
        while (token := self.take()) != ")":
            if token == ",":
                found.add(word)
                word = ""
            elif _is_word(token) and not word:
                word = token
            else:
                raise _unparsable(f"found '{token}', expected: ',' or ')'")
        found.add(word)
        for value in found:
            _check_value(key, value)
        return tuple(sorted(found))


def _is_word(token: str) -> bool:
    return token != _END and token[0] not in _SYMBOLS


def _unparsable(why: str) -> BadRequest:
    return BadRequest(f"unable to parse requirement: {why}")


def _check_key(key: str) -> None:
    if not _KEY(key):
        from arktos.model.validation.formats import qualified_name

        raise _unparsable(f'<nil>: Invalid value: "{key}": {_joined(qualified_name(key))}')


def _check_value(key: str, value: str) -> None:
    if not _VALUE(value):
        from arktos.model.validation.formats import label_value

        raise _unparsable(f'values[0][{key}]: Invalid value: "{value}": {_joined(label_value(value))}')


def _joined(messages: Sequence[str]) -> str:
    return "; ".join(messages) or "must be a valid label key or value"
