"""Rules of custom resources: where they are checked, what they say, what they may cost."""

from __future__ import annotations

from typing import Any

import pytest

from arktos.model.custom.rules import INLINE, MOST, UNCHECKED, Exhausted, Rules
from arktos.model.custom.schema import Node
from arktos.model.custom.values import validate

Obj = dict[str, Any]


def schema(spec: Obj, **rules: Any) -> Node:
    made: Obj = {"type": "object", "properties": {"spec": {"type": "object", "properties": spec}}}
    if rules:
        made["properties"]["spec"]["x-kubernetes-validations"] = [rules]
    return Node(made)


INTS: Obj = {"low": {"type": "integer"}, "high": {"type": "integer"}}


def found(node: Node, spec: Obj, old: Obj | None = None, units: int = INLINE) -> list[str]:
    errs = Rules(node).check({"spec": spec}, None if old is None else {"spec": old}, [], units)
    return [str(error) for error in errs]


def test_a_rule_that_fails_says_so() -> None:
    node = schema(INTS, rule="self.low <= self.high")
    assert found(node, {"low": 1, "high": 2}) == []
    assert found(node, {"low": 3, "high": 2}) == ["spec: Invalid value: failed rule: self.low <= self.high"]
    told = schema(INTS, rule="self.low <= self.high", message="low is above high", reason="FieldValueForbidden")
    assert found(told, {"low": 3, "high": 2}) == ["spec: Forbidden: low is above high"]
    told = schema(
        INTS, rule="self.low <= self.high", messageExpression="'%d is above' .format([self.low])", fieldPath=".low"
    )
    assert found(told, {"low": 3, "high": 2}) == ["spec.low: Invalid value: 3 is above"]


def test_scalars_are_shown() -> None:
    node = schema({"low": {"type": "integer", "x-kubernetes-validations": [{"rule": "self > 2", "message": "small"}]}})
    assert found(node, {"low": 1}) == ["spec.low: Invalid value: 1: small"]


def test_a_rule_that_cannot_be_evaluated_fails() -> None:
    node = schema(INTS, rule="self.low <= self.high", message="m")
    (told,) = found(node, {"low": 3})
    assert told.startswith("spec: Invalid value: ") and told.endswith(" evaluating rule: m")


def test_rules_of_transition() -> None:
    node = schema({"low": {"type": "integer", "x-kubernetes-validations": [{"rule": "self >= oldSelf"}]}})
    assert found(node, {"low": 1}) == []
    assert found(node, {"low": 1}, {"low": 2}) == ["spec.low: Invalid value: 1: failed rule: self >= oldSelf"]
    assert found(node, {"low": 1}, {}) == []
    rule = {"rule": "oldSelf.hasValue() ? self == oldSelf.value() : self > 0", "optionalOldSelf": True}
    node = schema({"low": {"type": "integer", "x-kubernetes-validations": [rule]}})
    assert len(found(node, {"low": 0})) == 1
    assert found(node, {"low": 3}, {"low": 3}) == []
    assert len(found(node, {"low": 4}, {"low": 3})) == 1


def test_lists_correlate_by_their_keys() -> None:
    items = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "value": {"type": "integer"}},
        "x-kubernetes-validations": [{"rule": "self.value >= oldSelf.value", "message": "shrinks"}],
    }
    steps: Obj = {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
        "items": items,
    }
    node = schema({"steps": steps})
    old = {"steps": [{"name": "a", "value": 5}, {"name": "b", "value": 1}]}
    new = {"steps": [{"name": "b", "value": 2}, {"name": "c", "value": 0}, {"name": "a", "value": 4}]}
    assert found(node, new, old) == ["spec.steps[2]: Invalid value: shrinks"]


def test_what_is_not_touched_may_stay_as_it_is() -> None:
    node = schema(INTS, rule="self.low <= self.high")
    wrong = {"low": 3, "high": 2}
    assert found(node, wrong, dict(wrong)) == []
    assert len(found(node, {**wrong, "low": 4}, wrong)) == 1


def test_the_root_knows_what_every_object_has() -> None:
    root: Obj = {"type": "object", "x-kubernetes-validations": [{"rule": "self.metadata.name.startsWith('a')"}]}
    rules = Rules(Node(root))
    for name, count in (("ab", 0), ("ba", 1)):
        obj = {"apiVersion": "x.y/v1", "kind": "X", "metadata": {"name": name, "labels": {"a": "b"}}}
        assert len(rules.check(obj, None, [], INLINE)) == count


def test_errors_keep_rules_from_being_checked() -> None:
    node = schema(INTS, rule="self.low <= self.high")
    obj = {"spec": {"low": "x", "high": 2}}
    errs = validate(node, obj)
    assert Rules(node).check(obj, None, errs, INLINE) == [UNCHECKED]


def test_what_costs_too_much_is_refused_not_waited_for() -> None:
    inner = {"type": "array", "items": {"type": "integer"}}
    rule = "self.xs.all(a, self.xs.all(b, self.xs.all(c, a + b + c >= 0)))"
    node = schema({"xs": inner}, rule=rule)
    small = {"xs": list(range(5))}
    assert found(node, small) == []
    with pytest.raises(Exhausted):
        found(node, {"xs": list(range(60))})
    assert found(node, {"xs": list(range(20))}, units=MOST) == []
    (told,) = found(node, {"xs": list(range(300))}, units=MOST)
    assert told.endswith("running out of cost budget, no further validation rules will be run")


def test_words_of_dates_and_quantities() -> None:
    node = schema(
        {"at": {"type": "string", "format": "date-time"}, "size": {"type": "string"}},
        rule="self.at.getFullYear() > 2000 && quantity(self.size).isGreaterThan(quantity('1Gi'))",
    )
    assert found(node, {"at": "2026-01-01T00:00:00Z", "size": "2Gi"}) == []
    assert len(found(node, {"at": "2026-01-01T00:00:00Z", "size": "1Mi"})) == 1
