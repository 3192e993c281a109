"""What goes wrong with an expression: in its text (`CelError`), or while it runs (`EvaluationError`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Issue:
    """One complaint about a text, at an offset in it (in code points)."""

    offset: int
    message: str


class CelError(ValueError):
    """The text is no expression, or one whose types do not fit. `str` is the list of issues as Kubernetes prints it:
    each with line, column and the line that it is about."""

    def __init__(self, text: str, issues: Sequence[Issue]) -> None:
        self.issues = tuple(sorted(issues, key=lambda issue: issue.offset))
        super().__init__("\n".join(_pointed(text, issue) for issue in self.issues))


class EvaluationError(Exception):
    """An expression came to no value: `no such key: replicas`, `division by zero`."""


class CostExceeded(EvaluationError):
    """The expression was stopped because it cost more than it may. Nothing in an expression can absorb this."""

    def __init__(self) -> None:
        super().__init__("operation cancelled: actual cost limit exceeded")


def _pointed(text: str, issue: Issue) -> str:
    before = text[: issue.offset]
    line = before.count("\n") + 1
    start = before.rfind("\n") + 1
    column = issue.offset - start
    source = text[start:].split("\n", 1)[0].replace("\t", " ")
    return f"ERROR: <input>:{line}:{column + 1}: {issue.message}\n | {source}\n | {'.' * column}^"
