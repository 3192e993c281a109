"""No expression holds its evaluator: whatever it says, it stops after a bounded number of steps."""

from __future__ import annotations

import contextlib
import random
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arktos.model import cel
from arktos.model.cel import lexer, parser, planning
from arktos.model.cel.pace import STEPS
from arktos.model.cel.parser import LONGEST

VARIABLES = {"self": cel.DYN}
_MANY = [1] * 3000


def _doubling(start: str, step: str, end: str, times: int = 28) -> str:
    opened = "".join(f"cel.bind(a{i}, {step.format(f'a{i - 1}')}, " for i in range(1, times))
    return f"cel.bind(a0, {start}, {opened}{end.format(f'a{times - 1}')}{')' * times}"


HOSTILE: dict[str, tuple[str, Any]] = {
    "nested folds": ("self.all(x, self.all(y, self.all(z, z > 0)))", _MANY),
    "nested failures": ("self.all(x, self.all(y, self.all(z, z.a > 0)))", _MANY),
    "growing lists": ("self.map(x, self.map(y, self.map(z, [x, y, z])))", _MANY),
    "doubled text": (_doubling("'xxxxxxxxxx'", "{0} + {0}", "size({0})"), None),
    "doubled list": (_doubling("['x']", "{0} + {0}", "size({0})"), None),
    "a tree of few nodes, compared": (_doubling("['x']", "[{0}, {0}]", "{0} == {0}"), None),
    "a tree of few nodes, written": (_doubling("['x']", "[{0}, {0}]", "'%s'.format([{0}])"), None),
    "a tree of few nodes, given back": (_doubling("['x']", "[{0}, {0}]", "{0}"), None),
    "long searches": (f"self.all(x, !'{'a' * 6000}'.contains('{'a' * 3000}b'))", _MANY),
    "replacements that grow": (f"'{'a' * 2500}'.replace('a', '{'b' * 2500}').replace('b', '{'c' * 2500}')", None),
    "membership": ("self.all(x, !(2 in self))", _MANY),
    "equality": ("self.all(x, self == self)", _MANY),
    "costly patterns": (f"self.all(x, !'{'a' * 5000}'.matches('(a|aa|aaa)*(a|b)*c$'))", _MANY),
    "new patterns": ("self.map(x, x).all(x, 'a'.matches(string(x) + '(a{1,900})') || true)", list(range(3000))),
    "ranges of ranges": ("lists.range(100000).map(x, lists.range(100000))", None),
    "distinct": ("lists.range(90000).distinct()", None),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_expressions_are_stopped(name: str) -> None:
    expression, data = HOSTILE[name]
    program = cel.compile(expression, VARIABLES)
    began = time.thread_time()
    with pytest.raises(cel.CostExceeded, match="actual cost limit exceeded"):
        program.evaluate({"self": data})
    assert time.thread_time() - began < 0.1  # some 5 ms; without a bound, minutes


@pytest.mark.parametrize(
    ("pattern", "length"),
    [("[ab]*a[ab]{900}c", 6000), ("((a|b)*a(a|b){300}c|[ab]{900}e)", 60_000), ("(.*)(.*)(.*)(.*)[ab]{500}c$", 5000)],
)
def test_no_single_search_is_long_even_on_a_large_budget(pattern: str, length: int) -> None:
    """RE2 cannot be interrupted, so that a budget does not help."""
    text = "".join(random.Random(1).choice("ab") for _ in range(length))
    program = cel.compile(f"self.matches('{pattern}')", VARIABLES)
    began = time.thread_time()
    with pytest.raises(cel.CostExceeded):
        program.evaluate({"self": text}, limit=cel.PER_CALL, patient=True)
    assert time.thread_time() - began < 0.1


def test_who_compiles_gives_way_at_every_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = {"lexer": 0, "parser": 0, "planning": 0}

    def count(stage: str) -> None:
        pauses[stage] += 1

    for module in (lexer, parser, planning):
        stage = module.__name__.rpartition(".")[2]
        monkeypatch.setattr(module, "give_way", lambda stage=stage: count(stage))
    many = STEPS * 4
    cel.compile(f"[{','.join('1' * many)}].size() > 0", {})
    assert all(paused >= 4 for paused in pauses.values()), pauses


def test_ordinary_patterns_are_affordable() -> None:
    dns = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
    digest = "^[a-z0-9]+(?:[._-][a-z0-9]+)*@sha256:[a-f0-9]{64}$"
    for pattern, text in ((dns, "a" * 253), (digest, "registry@sha256:" + "0" * 64)):
        assert cel.compile(f"self.matches('{pattern}')", VARIABLES).evaluate({"self": text}) is True


def test_stopping_cannot_be_absorbed() -> None:
    program = cel.compile("self.all(x, self.all(y, self.all(z, z > 0))) || true", VARIABLES)
    with pytest.raises(cel.CostExceeded):
        program.evaluate({"self": _MANY})


def test_a_budget_is_shared() -> None:
    program = cel.compile("self.all(x, x > 0)", VARIABLES)
    budget = cel.Budget(30_000)
    with pytest.raises(cel.CostExceeded):
        for _ in range(100):
            program.evaluate({"self": [1] * 500}, budget)
    assert 0 <= budget.left < 5_000


@pytest.mark.parametrize(
    "text",
    [
        "(" * 40_000 + "1" + ")" * 40_000,
        "[" * 40_000 + "]" * 40_000,
        "+".join(["1"] * 40_000),
        "self" + ".a" * 40_000,
        "self" + ".map(x, x)" * 9_000,
        "true ? " * 10_000,
        "1" * (LONGEST + 1),
        "'" + "\\'" * 40_000,
        "-" * 90_000,
        "9" * 50_000,
    ],
)
def test_texts_that_are_too_deep_or_long_are_refused(text: str) -> None:
    began = time.thread_time()
    with pytest.raises(cel.CelError):
        cel.compile(text, VARIABLES)
    assert time.thread_time() - began < 2


def test_long_chains_of_conditions_are_fine() -> None:
    assert cel.compile(" && ".join(["self > 0"] * 800), VARIABLES).evaluate({"self": 1}, limit=cel.PER_CALL) is True


_PIECES = (
    "self . a b ( ) [ ] { } ? : , + - * / % ! == != < > && || in 1 2.5 'x' true null has size all map x 0u \" ` \\ é"
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(_PIECES.split()), max_size=30), st.integers())
def test_any_text_is_an_expression_or_an_error(pieces: list[str], seed: int) -> None:
    text = "".join(piece + random.Random(seed).choice(["", " "]) for piece in pieces)
    with contextlib.suppress(cel.CelError, cel.EvaluationError):
        cel.compile(text, VARIABLES).evaluate({"self": {"a": [1, "x", None], "b": 2}})
