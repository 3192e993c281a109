"""The rules of `x-kubernetes-validations`: CEL over a value, and over what it was before (KEP-2876, KEP-4008).

A rule is checked where its value is. One that speaks of `oldSelf` is checked where there is an old value to compare
with: lists correlate by their keys, maps by name, other lists only as a whole. A rule about a value that an update
leaves as it was cannot fail the update, unless it speaks of `oldSelf`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from arktos.model import cel
from arktos.model.cel.schemas import declared
from arktos.model.cel.values import NONE, Optional
from arktos.model.custom.schema import RESOURCE_FIELDS, Node
from arktos.model.custom.values import NEW, same
from arktos.model.kinds import Obj
from arktos.model.status import FieldError
from arktos.model.validation.causes import Errors, show

INLINE = cel.INLINE
"""Units that may be spent where others wait."""
MOST = cel.PER_CALL
"""Units that all rules of one object may cost together."""

REASONS = ("FieldValueRequired", "FieldValueForbidden", "FieldValueInvalid", "FieldValueDuplicate")
_WORDS = {
    "FieldValueRequired": "Required value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueDuplicate": "Duplicate value",
}
_SPENT = "validation failed due to running out of cost budget, no further validation rules will be run"
UNCHECKED = FieldError(
    "<nil>",
    "FieldValueInvalid",
    'Invalid value: "null": some validation rules were not checked because the object was invalid; correct the '
    "existing errors to complete validation",
)
"""Stands beside errors that keep rules from being checked."""
_BLOCKING = frozenset({"FieldValueRequired", "FieldValueTypeInvalid", "FieldValueTooLong", "FieldValueTooMany"})


class Exhausted(Exception):
    """The units that were given do not suffice; with more, there may be an answer."""


class Rule(NamedTuple):
    """One rule, compiled. `compares`: it speaks of `oldSelf`; `optional`: it wants to, even where there is none."""

    raw: Obj
    program: cel.Program
    message: cel.Program | None
    compares: bool
    optional: bool


def compiled(raw: Obj, node: Node, *, whole: bool = False) -> Rule:
    """A rule of a node. Raises CelError, and ValueError for a `messageExpression` that is no text."""
    own = declared(node.raw, "self", root=whole)
    optional = bool(raw.get("optionalOldSelf"))
    variables = {"self": own, "oldSelf": cel.optional_of(own) if optional else own}
    program = cel.compile(raw["rule"], variables, cel.BOOL)
    told = raw.get("messageExpression")
    message = cel.compile(told, variables, cel.STRING) if told else None
    compares = "oldSelf" in program.uses
    return Rule(raw, program, message, compares, optional)


class Rules:
    """The rules of one version of a definition."""

    def __init__(self, root: Node) -> None:
        self._root = root
        self._compiled: dict[int, tuple[Rule, ...]] = {}
        self._below: dict[int, bool] = {}

    def check(self, obj: Obj, old: Obj | None, found: Errors, units: int) -> list[FieldError]:
        """What the rules find in an object; `found` is what is wrong with it anyway. Raises Exhausted where `units` do
        not suffice, unless they are the most that there are."""
        if not self._any(self._root):
            return []
        if any(error.reason in _BLOCKING for error in found):
            return [UNCHECKED]
        walk = _Walk(self, cel.Budget(units), units)
        walk.value(self._root, obj, NEW if old is None else old, "", whole=True)
        return walk.errs

    def _any(self, node: Node) -> bool:
        """Whether there are rules at a node or below it."""
        known = self._below.get(id(node.raw))
        if known is None:
            known = self._below[id(node.raw)] = _has_rules(node.raw)
        return known

    def of(self, node: Node, whole: bool) -> tuple[Rule, ...]:
        """The rules of a node itself."""
        raws = node.raw.get("x-kubernetes-validations")
        if not raws:
            return ()
        known = self._compiled.get(id(node.raw))
        if known is None:
            made = tuple(compiled(raw, node, whole=whole) for raw in raws)
            known = self._compiled[id(node.raw)] = made
        return known

    def below(self, node: Node | None) -> bool:
        return node is not None and self._any(node)


class _Walk:
    def __init__(self, rules: Rules, budget: cel.Budget, units: int) -> None:
        self.errs: Errors = []
        self._rules = rules
        self._budget = budget
        self._units = units
        self._patient = units > INLINE  # what may cost more than that is given to a thread
        self._over = False

    def value(self, node: Node, value: Any, old: Any, path: str, *, whole: bool = False) -> None:
        if value is None or self._over:
            return
        whole = whole or node.embedded
        for rule in self._rules.of(node, whole):
            self._check(rule, node, value, old, path)
        if type(value) is dict:
            self._object(node, value, old, path, whole)
        elif type(value) is list and self._rules.below(node.items):
            below, before = node.items, old if type(old) is list and node.list_type == "map" else None
            assert below is not None
            known = {_key(node, item): item for item in before or ()}
            for index, item in enumerate(value):
                self.value(below, item, known.get(_key(node, item), NEW) if known else NEW, f"{path}[{index}]")

    def _object(self, node: Node, value: Obj, old: Any, path: str, whole: bool) -> None:
        before = old if type(old) is dict else {}
        extra = node.additional
        for name, item in value.items():
            if whole and name in RESOURCE_FIELDS:
                continue
            below = node.field(name) or extra
            if below is not None and self._rules.below(below):
                self.value(below, item, before.get(name, NEW), f"{path}.{name}" if path else name)

    def _check(self, rule: Rule, node: Node, value: Any, old: Any, path: str) -> None:
        if self._over or (rule.compares and not rule.optional and old is NEW):
            return
        if not rule.compares and old is not NEW and same(value, old):
            return  # what was stored like this may stay like this
        values = {"self": value}
        if rule.optional:
            values["oldSelf"] = NONE if old is NEW else Optional(old)
        elif old is not NEW:
            values["oldSelf"] = old
        try:
            held = rule.program.evaluate(values, self._budget, self._units, patient=self._patient)
        except cel.CostExceeded:
            self._spent(path)
            return
        except cel.EvaluationError as error:
            self._tell(rule, value, path, f"{error} evaluating rule: {_plain(rule.raw)}")
            return
        if held is not True:
            self._tell(rule, value, path, self._message(rule, values))

    def _spent(self, path: str) -> None:
        if self._units < MOST:
            raise Exhausted
        self._over = True
        self.errs.append(FieldError(path or "<nil>", "FieldValueInvalid", f"Invalid value: {_SPENT}"))

    def _message(self, rule: Rule, values: dict[str, Any]) -> str:
        if rule.message is not None:
            try:
                told = rule.message.evaluate(values, self._budget, self._units, patient=self._patient)
            except cel.EvaluationError:
                told = ""
            if isinstance(told, str) and told.strip() and "\n" not in told and len(told) <= 5120:
                return told.strip()
        return _plain(rule.raw)

    def _tell(self, rule: Rule, value: Any, path: str, detail: str) -> None:
        reason = rule.raw.get("reason") or "FieldValueInvalid"
        field = (path + (rule.raw.get("fieldPath") or "")).lstrip(".") or "<nil>"
        silent = type(value) in (dict, list) or reason in ("FieldValueRequired", "FieldValueForbidden")
        shown = "" if silent else show(value)
        word = _WORDS.get(reason, "Invalid value")
        text = f"{word}: {shown}: {detail}" if shown else f"{word}: {detail}"
        self.errs.append(FieldError(field, reason, text))


def _plain(raw: Obj) -> str:
    """What a rule says of itself when it fails."""
    return (raw.get("message") or "").strip() or f"failed rule: {raw['rule'].strip()}"


def _key(node: Node, item: Any) -> str:
    return show([item.get(name) for name in node.list_keys]) if type(item) is dict else ""


def _has_rules(raw: Obj) -> bool:
    waiting: list[Any] = [raw]
    while waiting:
        found = waiting.pop()
        if found.get("x-kubernetes-validations"):
            return True
        waiting += _inner(found)
    return False


def _inner(raw: Obj) -> Iterator[Obj]:
    yield from (raw.get("properties") or {}).values()
    for name in ("items", "additionalProperties"):
        found = raw.get(name)
        if isinstance(found, dict):
            yield found
