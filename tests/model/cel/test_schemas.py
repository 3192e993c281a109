"""Types from schemas: what is declared is known, what is misspelt is an error of the text."""

from __future__ import annotations

from typing import Any

import pytest

from arktos.model import cel
from arktos.model.cel.schemas import declared, escaped

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "replicas": {"type": "integer"},
        "ratio": {"type": "number"},
        "a-b": {"type": "string"},
        "if": {"type": "boolean"},
        "since": {"type": "string", "format": "date-time"},
        "ports": {"type": "array", "items": {"type": "object", "properties": {"port": {"type": "integer"}}}},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "times": {"type": "array", "items": {"type": "string", "format": "duration"}},
        "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "either": {"x-kubernetes-int-or-string": True},
    },
}
OBJECT = {
    "replicas": 2,
    "ratio": 1,
    "a-b": "x",
    "if": True,
    "since": "2024-01-01T00:00:00Z",
    "ports": [{"port": 80}],
    "labels": {"k": "v"},
    "times": ["1h", "90m"],
    "any": {"z": 1},
    "either": "50%",
}


@pytest.mark.parametrize(
    "expression",
    [
        "self.replicas > 1 && self.replicas > 0.5",
        "self.ratio == 1.0 && self.ratio / 2.0 == 0.5",
        "self.a__dash__b == 'x' && self.__if__",
        "self.since.getFullYear() == 2024",
        "self.ports.all(p, p.port == 80)",
        "self.labels['k'] == 'v' && self.labels.k == 'v' && self.labels.all(k, k == 'k')",
        "self.times.all(t, t >= duration('1h')) && self.times[1] == duration('1h30m')",
        "self.any.z == 1 && type(self.either) == string",
        "!has(self.metadata.generateName) || self.kind == 'X'",
    ],
)
def test_declared_fields_have_their_types(expression: str) -> None:
    program = cel.compile(expression, {"self": declared(SCHEMA, root=True)}, cel.BOOL)
    assert program.evaluate({"self": {**OBJECT, "metadata": {"name": "a"}}}) is True


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("self.replica > 1", "undefined field 'replica'"),
        ("self.replicas == 'a'", "found no matching overload for '_==_' applied to '(int, string)'"),
        ("self.ports.exists(p, p.prt == 1)", "undefined field 'prt'"),
        ("has(self.nothing)", "undefined field 'nothing'"),
        ("self.labels.k > 1", "found no matching overload for '_>_' applied to '(string, int)'"),
        ("self.since == 'x'", "found no matching overload for '_==_' applied to '(timestamp, string)'"),
    ],
)
def test_mistakes_are_found_before_anything_runs(expression: str, message: str) -> None:
    with pytest.raises(cel.CelError, match="ERROR") as failed:
        cel.compile(expression, {"self": declared(SCHEMA, root=True)})
    assert message in str(failed.value)


def test_names_are_escaped() -> None:
    names = ("a.b", "a/b", "a__b", "namespace", "1a", "ok")
    assert [escaped(name) for name in names] == [
        "a__dot__b", "a__slash__b", "a__underscores__b", "__namespace__", None, "ok",
    ]  # fmt: skip
