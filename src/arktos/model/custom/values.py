"""Is a value what its schema asks for? OpenAPI's checks, in the words and field paths of apiextensions.k8s.io/v1.

Ratcheting (KEP-4008): an error about a part that an update leaves as it was is none. `old` is that part before, or
`NEW`; lists correlate by their keys (`x-kubernetes-list-type: map`), maps by name, other lists only as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from arktos.model.custom import formats
from arktos.model.custom.patterns import PatternError, search
from arktos.model.custom.schema import RESOURCE_FIELDS, Node
from arktos.model.kinds import Obj
from arktos.model.status import FieldError
from arktos.model.validation.causes import Errors, duplicate, invalid, required, show, too_long, too_many

NEW: Any = object()
"""What stands for the old value where there was none that could be told."""

_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: type(value) is dict,
    "array": lambda value: type(value) is list,
    "string": lambda value: type(value) is str,
    "boolean": lambda value: type(value) is bool,
    "integer": lambda value: type(value) is int or (type(value) is float and value.is_integer()),
    "number": lambda value: type(value) is int or type(value) is float,
}
_JUNCTORS = ("allOf", "anyOf", "oneOf", "not")
_STRING = ("maxLength", "minLength", "pattern")
_NUMBER = ("multipleOf", "maximum", "minimum")
_RANGES = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}


def validate(root: Node, obj: Obj, old: Any = NEW) -> list[FieldError]:
    """What is wrong with an object, its metadata apart. `old` is the object that it replaces."""
    errs: Errors = []
    _Walk(errs).value(root, obj, old, "", whole=True)
    return errs


def validate_part(node: Node, value: Any, path: str) -> list[FieldError]:
    """What is wrong with a value that stands alone, such as a default."""
    errs: Errors = []
    _Walk(errs).value(node, value, NEW, path, whole=node.embedded)
    return errs


def type_name(value: Any) -> str:
    """The JSON type of a value as errors name it."""
    for name in ("boolean", "string", "object", "array"):
        if _TYPES[name](value):
            return name
    if value is None:
        return "null"
    return "integer" if _TYPES["integer"](value) else "number"


class _Walk:
    """One walk; what is found is appended to `errs`."""

    def __init__(self, errs: Errors) -> None:
        self.errs = errs

    def value(self, node: Node, value: Any, old: Any, path: str, *, whole: bool = False) -> None:
        if value is None and node.nullable:
            return
        before = len(self.errs)
        self._own(node, value, path)
        if old is not NEW and len(self.errs) > before and same(value, old):
            # What was stored like this may stay like this.
            del self.errs[before:]
            return
        if type(value) is dict:
            self._object(node, value, old, path, whole)
        elif type(value) is list:
            self._list(node, value, old, path)

    def _own(self, node: Node, value: Any, path: str) -> None:
        """The checks of one node about the value itself, not about what is in it."""
        raw = node.raw
        if not self._type(node, value, path):
            return
        if type(value) is str:
            self._string(raw, value, path)
        elif type(value) is int or type(value) is float:
            self._number(raw, value, path)
        elif type(value) is dict:
            self._size(raw, value, path, "minProperties", "maxProperties", "properties")
            for name in node.required:
                if name not in value:
                    self.errs.append(required(f"{path}.{name}" if path else name))
        elif type(value) is list:
            self._size(raw, value, path, "minItems", "maxItems", "items")
            if raw.get("uniqueItems") and _repeated(value):
                self._wrong(path, value, "shouldn't contain duplicates")
        if "enum" in raw and not any(same(value, each) for each in raw["enum"]):
            self._unsupported(path, value, raw["enum"])
        for name in _JUNCTORS:
            if name in raw:
                self._junctor(name, raw[name], value, path)

    def _type(self, node: Node, value: Any, path: str) -> bool:
        if node.int_or_string:
            if type(value) is str or _TYPES["integer"](value):
                return True
            wanted = "integer,string"
        elif not node.type or _TYPES[node.type](value):
            return True
        else:
            wanted = node.type
        actual = type_name(value)
        self._mistyped(path, actual, wanted)
        return False

    def _mistyped(self, path: str, value: Any, wanted: str) -> None:
        text = f"Invalid value: {show(value)}: {path} in body must be of type {wanted}: {show(str(value))}"
        self.errs.append(FieldError(path or "<nil>", "FieldValueTypeInvalid", text))

    def _wrong(self, path: str, value: Any, why: str) -> None:
        self.errs.append(invalid(path or "<nil>", value, f"{path} in body {why}"))

    def _unsupported(self, path: str, value: Any, supported: Sequence[Any]) -> None:
        listed = ", ".join(f'"{each}"' if isinstance(each, str) else f'"{show(each)}"' for each in supported)
        text = f"Unsupported value: {show(value)}: supported values: {listed}"
        self.errs.append(FieldError(path or "<nil>", "FieldValueNotSupported", text))

    def _string(self, raw: Obj, value: str, path: str) -> None:
        most, least, pattern = (raw.get(name) for name in _STRING)
        if most is not None and len(value) > most:
            self.errs.append(too_long(path, most))
        if least is not None and len(value) < least:
            self._wrong(path, value, f"should be at least {least} chars long")
        if pattern:
            try:
                if not search(pattern)(value):
                    self._wrong(path, value, f"should match '{pattern}'")
            except PatternError as error:
                self._wrong(path, value, f"should match '{pattern}', which is no pattern: {error}")
        found = raw.get("format")
        if found and not formats.holds(found, value):
            self._mistyped(path, value, found)

    def _number(self, raw: Obj, value: int | float, path: str) -> None:
        factor, most, least = (raw.get(name) for name in _NUMBER)
        if factor is not None and not formats.is_multiple(value, factor):
            self._wrong(path, value, f"should be a multiple of {formats.number(factor)}")
        if most is not None:
            over, word = (value >= most, "less than") if raw.get("exclusiveMaximum") else (value > most, "")
            if over:
                self._wrong(path, value, f"should be {word or 'less than or equal to'} {formats.number(most)}")
        if least is not None:
            under, word = (value <= least, "greater than") if raw.get("exclusiveMinimum") else (value < least, "")
            if under:
                self._wrong(path, value, f"should be {word or 'greater than or equal to'} {formats.number(least)}")
        bounds = _RANGES.get(raw.get("format") or "")
        if bounds and not bounds[0] <= value <= bounds[1]:
            self._mistyped(path, type_name(value), raw["format"])

    def _size(self, raw: Obj, value: Any, path: str, fewest: str, most: str, noun: str) -> None:
        low, high = raw.get(fewest), raw.get(most)
        if high is not None and len(value) > high:
            self.errs.append(too_many(path or "<nil>", len(value), high))
        if low is not None and len(value) < low:
            self._wrong(path, value, f"should have at least {low} {noun}")

    def _junctor(self, name: str, found: Any, value: Any, path: str) -> None:
        if name == "not":
            if not _failures(found, value, path):
                self._composed(path, "must not validate the schema (not)")
            return
        failures = [_failures(each, value, path) for each in found]
        held = sum(not each for each in failures)
        if name == "allOf":
            if held < len(failures):
                self._composed(path, "must validate all the schemas (allOf)")
                for each in failures:
                    self.errs += each
        elif name == "anyOf":
            if not held:
                self._composed(path, "must validate at least one schema (anyOf)")
                self.errs += sorted(failures, key=len)[0]
        elif held != 1:
            told = f"Found {held} valid alternatives" if held else "Found none valid"
            self._composed(path, f"must validate one and only one schema (oneOf). {told}")
            if not held:
                self.errs += sorted(failures, key=len)[0]

    def _composed(self, path: str, why: str) -> None:
        self.errs.append(FieldError("<nil>", "FieldValueInvalid", f'Invalid value: "": "{path}" {why}'))

    def _object(self, node: Node, value: Obj, old: Any, path: str, whole: bool) -> None:
        extra = node.additional
        before = old if type(old) is dict else None
        for name, item in value.items():
            if whole and name in RESOURCE_FIELDS:
                continue
            below = node.field(name) or extra
            if below is None:
                continue
            previous = before[name] if before is not None and name in before else NEW
            self.value(below, item, previous, f"{path}.{name}" if path else name)
        if node.embedded:
            self._embedded(value, path)

    def _embedded(self, value: Obj, path: str) -> None:
        for name in ("apiVersion", "kind"):
            found = value.get(name)
            if not found:
                self.errs.append(required(f"{path}.{name}", "must not be empty"))
            elif not isinstance(found, str):
                self._mistyped(f"{path}.{name}", type_name(found), "string")
        if not isinstance(value.get("metadata", {}), dict):
            self._mistyped(f"{path}.metadata", type_name(value["metadata"]), "object")

    def _list(self, node: Node, value: list[Any], old: Any, path: str) -> None:
        below = node.items
        before = old if type(old) is list else None
        if node.list_type in ("set", "map") and (before is None or before != value):
            self._repeats(node, value, path)
        if below is None:
            return
        correlated = before is not None and node.list_type == "map"
        known = {_key(node, item): item for item in before or ()} if correlated else {}
        for index, item in enumerate(value):
            self.value(below, item, known.get(_key(node, item), NEW) if known else NEW, f"{path}[{index}]")

    def _repeats(self, node: Node, value: list[Any], path: str) -> None:
        """Elements of a set, or with the keys of a map, that come twice."""
        seen: set[str] = set()
        told: set[str] = set()
        for index, item in enumerate(value):
            if node.list_type == "map":
                if type(item) is not dict:
                    continue
                shown: Any = {name: item[name] for name in node.list_keys if name in item}
            else:
                shown = item
            mark = show(sorted(shown.items()) if type(shown) is dict and node.list_type == "map" else shown)
            if mark in seen and mark not in told:
                told.add(mark)
                self.errs.append(duplicate(f"{path}[{index}]", shown))
            seen.add(mark)


def _failures(raw: Obj, value: Any, path: str) -> Errors:
    errs: Errors = []
    _Walk(errs).value(Node(raw), value, NEW, path)
    return errs


def _key(node: Node, item: Any) -> str:
    if type(item) is not dict:
        return ""
    return show([item.get(name) for name in node.list_keys])


def same(left: Any, right: Any) -> bool:
    """Equal as JSON: true is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if type(left) is dict and type(right) is dict:
        return left.keys() == right.keys() and all(same(item, right[name]) for name, item in left.items())
    if type(left) is list and type(right) is list:
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def _repeated(value: list[Any]) -> bool:
    marks = [show(item) for item in value]
    return len(set(marks)) < len(marks)
