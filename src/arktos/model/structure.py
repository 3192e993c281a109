"""Is a document of the shape that its kind has? What is not known is pruned, what has the wrong type is told.

Two walks over the same schema. `accepts` is the fast one: a tree of small functions that says yes to a document which
is already as a server would write it. Only when it says no, the precise walk goes through again: it prunes unknown
fields and nulls, writes numbers, dates and bytes in their one form, and collects the faults.

Nulls are read as Kubernetes' decoder reads them: a null field is absent; a null value of a map or element of a list is
the empty value of its type, so `data: {key: null}` is an empty string.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable
from typing import Any, NamedTuple

from arktos.model import additions, dates, quantity
from arktos.model.constraints import required_and_enums as required_and_enums
from arktos.model.kinds import Kind, Obj
from arktos.model.schema import Schema, named
from arktos.model.status import FieldError

Accept = Callable[[Any], bool]

_INT32 = (-(2**31), 2**31 - 1)
_INT64 = (-(2**63), 2**63 - 1)
_SCALARS: dict[str, type] = {"string": str, "boolean": bool}
_MICRO_TIME = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime"


class Structure(NamedTuple):
    """`type_errors` are values of a wrong type, each message as a decoder of the Kubernetes API words it; `unknown` are
    the paths of fields that the schema doesn't have, such as `spec.containers[0].imagee`. Both in document order."""

    type_errors: list[FieldError]
    unknown: list[str]


def check(kind: Kind, obj: Obj) -> Structure:
    """Brings a document of a kind into shape, in place, and tells what was wrong with it."""
    if kind.custom is not None:
        return kind.custom.check(obj)
    return check_named(kind.schema, obj)


def check_named(type_name: str, obj: Obj) -> Structure:
    """As `check`, of a named type: options, bodies of subresources."""
    if _accept_named(type_name)(obj):
        return Structure([], [])
    found = Structure([], [])
    _Repair(found).value(named(type_name), obj, "", "", "")
    return found


def accepts(kind: Kind, obj: Obj) -> bool:
    """Whether a document is in shape as it is: `check` would change nothing and find nothing."""
    return _accept_named(kind.schema)(obj)


# --- the fast walk ---------------------------------------------------------------------------------------------------

_accepts: dict[str, Accept] = {}


def _accept_named(type_name: str) -> Accept:
    known = _accepts.get(type_name)
    return known if known is not None else _accept(named(type_name))


def _accept(schema: Schema) -> Accept:
    """The function that says yes to values of this schema."""
    match schema.type:
        case "object":
            return _accepts.get(schema.name) or _accept_object(schema)
        case "map":
            return _accept_map(_items(schema))
        case "array":
            return _accept_array(_items(schema))
        case "integer":
            return _accept_integer(*(_INT32 if schema.format == "int32" else _INT64))
        case "string" if schema.format == "date-time":
            return _accept_date(dates.canonical_micro_time if schema.name == _MICRO_TIME else dates.canonical_time)
        case "string" if schema.format == "byte":
            return _is_base64
        case "any" if schema.name in additions.HELD:
            return _accept_held(schema)
    return _ACCEPT_PLAIN[schema.type]


def _accept_object(schema: Schema) -> Accept:
    scalars: dict[str, type] = {}
    nested: dict[str, Accept] = {}
    scalar_of, nested_of = scalars.get, nested.get

    def accept(value: Any) -> bool:
        if type(value) is not dict:
            return False
        for name, item in value.items():
            if scalar_of(name) is type(item):
                continue
            test = nested_of(name)
            if test is None or not test(item):
                return False
        return True

    _accepts[schema.name] = accept
    for name, field in schema.properties.items():
        if field.type in _SCALARS and not field.format:
            scalars[name] = _SCALARS[field.type]
        else:
            nested[name] = _accept(field)
    return accept


def _accept_held(schema: Schema) -> Accept:
    """An object of the type that is held, or what may stand in its place."""
    name = additions.HELD[schema.name]

    def accept(value: Any) -> bool:
        return _accept_named(name)(value) if type(value) is dict else type(value) in (bool, list)

    return accept


def _accept_map(values: Schema) -> Accept:
    scalar = _SCALARS.get(values.type) if not values.format else None
    if scalar is not None:
        plain: type = scalar

        def accept_plain(value: Any) -> bool:
            if type(value) is not dict:
                return False
            for item in value.values():  # noqa: SIM110 - a generator costs more than the loop
                if type(item) is not plain:
                    return False
            return True

        return accept_plain
    test = _accept(values)

    def accept(value: Any) -> bool:
        if type(value) is not dict:
            return False
        for item in value.values():  # noqa: SIM110
            if not test(item):
                return False
        return True

    return accept


def _accept_array(elements: Schema) -> Accept:
    test = _accept(elements)

    def accept(value: Any) -> bool:
        if type(value) is not list:
            return False
        for item in value:  # noqa: SIM110
            if not test(item):
                return False
        return True

    return accept


def _accept_integer(low: int, high: int) -> Accept:
    def accept(value: Any) -> bool:
        return type(value) is int and low <= value <= high

    return accept


def _accept_date(canonical: Callable[[str], str]) -> Accept:
    def accept(value: Any) -> bool:
        try:
            return type(value) is str and canonical(value) == value
        except dates.DateError:
            return False

    return accept


def _is_quantity(value: Any) -> bool:
    try:
        return type(value) is str and quantity.canonical(value) == value
    except quantity.QuantityError:
        return False


def _is_base64(value: Any) -> bool:
    try:
        if type(value) is not str:
            return False
        binascii.a2b_base64(value, strict_mode=True)
    except ValueError:
        return False
    return True


def _is_int_or_string(value: Any) -> bool:
    return type(value) is str or (type(value) is int and _INT32[0] <= value <= _INT32[1])


_ACCEPT_PLAIN: dict[str, Accept] = {
    "string": lambda value: type(value) is str,
    "boolean": lambda value: type(value) is bool,
    "number": lambda value: type(value) is float or type(value) is int,
    "int-or-string": _is_int_or_string,
    "quantity": _is_quantity,
    "any": lambda value: value is not None,
}


def _items(schema: Schema) -> Schema:
    if schema.items is None:
        raise TypeError(f"a schema of type {schema.type} without items")
    return schema.items


# --- the precise walk ------------------------------------------------------------------------------------------------


class _Wrong(Exception):
    """A value cannot be read; the text says why."""


_EMPTY: dict[str, Any] = {
    "string": "",
    "boolean": False,
    "integer": 0,
    "number": 0,
    "int-or-string": 0,
    "quantity": "0",
}


def _empty(schema: Schema) -> Any:
    """What a null in a map or a list stands for; None where it stands for nothing."""
    if schema.type in ("object", "map"):
        return {}
    return None if schema.format == "date-time" else _EMPTY.get(schema.type)


class _Repair:
    """One precise walk. `path` names the place for people, `dotted` as decoders name it (without indices), `holder` is
    the type whose field is being read."""

    def __init__(self, found: Structure) -> None:
        self.found = found

    def value(self, schema: Schema, value: Any, path: str, dotted: str, holder: str) -> Any:
        """The value as it shall stand; faults are collected."""
        match schema.type:
            case "any" if schema.name in additions.HELD and type(value) is not bool and type(value) is not list:
                self.value(named(additions.HELD[schema.name]), value, path, dotted, holder)
            case "any":
                return value
            case "object" if type(value) is dict:
                self.object(schema, value, path, dotted)
            case "map" if type(value) is dict:
                self.map(schema, value, path, dotted, holder)
            case "array" if type(value) is list:
                self.array(schema, value, path, dotted, holder)
            case "object" | "map" | "array":
                self.wrong(path, _mismatch(value, schema, dotted, holder))
            case _:
                try:
                    return _scalar(schema, value, dotted, holder)
                except _Wrong as wrong:
                    self.wrong(path, str(wrong))
        return value

    def object(self, schema: Schema, value: dict[str, Any], path: str, dotted: str) -> None:
        holder = _short(schema.name)
        for name in list(value):
            item = value[name]
            field = schema.properties.get(name)
            if field is None:
                if name not in additions.CLEARED.get(schema.name, ()):
                    self.found.unknown.append(f"{path}.{name}" if path else name)
                del value[name]
            elif item is None:
                del value[name]
            else:
                below, below_dotted = (f"{path}.{name}", f"{dotted}.{name}") if path else (name, name)
                value[name] = self.value(field, item, below, below_dotted, holder)

    def map(self, schema: Schema, value: dict[str, Any], path: str, dotted: str, holder: str) -> None:
        items = _items(schema)
        for name in list(value):
            item = value[name] if value[name] is not None else _empty(items)
            if item is None:
                del value[name]
            else:
                value[name] = self.value(items, item, f"{path}[{name}]", dotted, holder)

    def array(self, schema: Schema, value: list[Any], path: str, dotted: str, holder: str) -> None:
        items = _items(schema)
        kept = [item if item is not None else _empty(items) for item in value]
        value[:] = [
            self.value(items, item, f"{path}[{index}]", dotted, holder)
            for index, item in enumerate(kept)
            if item is not None
        ]

    def wrong(self, path: str, message: str) -> None:
        self.found.type_errors.append(FieldError(path, "FieldValueTypeInvalid", message))


def _scalar(schema: Schema, value: Any, dotted: str, holder: str) -> Any:
    match schema.type:
        case "string" if type(value) is str:
            return _formatted(schema, value)
        case "boolean" if type(value) is bool:
            return value
        case "integer" if type(value) is int:
            low, high = _INT32 if schema.format == "int32" else _INT64
            if low <= value <= high:
                return value
        case "number" if type(value) in (int, float):
            return value
        case "int-or-string" if _is_int_or_string(value):
            return value
        case "quantity" if type(value) in (str, int, float):
            try:
                return quantity.canonical(_number_text(value))
            except quantity.QuantityError as wrong:
                raise _Wrong(str(wrong)) from wrong
    raise _Wrong(_mismatch(value, schema, dotted, holder))


def _formatted(schema: Schema, value: str) -> str:
    if schema.format == "date-time":
        try:
            if schema.name == _MICRO_TIME:
                return dates.canonical_micro_time(value)
            return dates.canonical_time(value)
        except dates.DateError as wrong:
            raise _Wrong(str(wrong)) from wrong
    if schema.format == "byte" and not _is_base64(value):
        lines = value.replace("\n", "").replace("\r", "")
        if not _is_base64(lines):
            raise _Wrong("illegal base64 data at input byte " + str(_first_illegal(lines)))
        return lines
    return value


def _first_illegal(text: str) -> int:
    """The offset at which a base64 text stops being one."""
    for offset, letter in enumerate(text):
        if not (letter.isascii() and (letter.isalnum() or letter in "+/")):
            return offset
    return len(text)


def _number_text(value: str | int | float) -> str:
    return value.strip() if isinstance(value, str) else repr(value)


def _mismatch(value: Any, schema: Schema, dotted: str, holder: str) -> str:
    target = _type_name(schema)
    if not dotted:
        return f"json: cannot unmarshal {_json_name(value)} into Go value of type {target}"
    return f"json: cannot unmarshal {_json_name(value)} into Go struct field {holder}.{dotted} of type {target}"


def _json_name(value: Any) -> str:
    match value:
        case bool():
            return "bool"
        case int() | float():
            return f"number {value}"
        case str():
            return "string"
        case dict():
            return "object"
        case list():
            return "array"
    return "null"


_TYPE_NAMES = {"boolean": "bool", "number": "float64", "int-or-string": "int32", "quantity": "resource.Quantity"}


def _type_name(schema: Schema) -> str:
    """The name of a schema's type as decoders of the Kubernetes API print it: `[]v1.Container`, `map[string]string`."""
    match schema.type:
        case "array":
            return "[]uint8" if schema.format == "byte" else f"[]{_type_name(_items(schema))}"
        case "map":
            return f"map[string]{_type_name(_items(schema))}"
        case "object":
            return ".".join(schema.name.rsplit(".", 2)[1:])
        case "integer":
            return schema.format or "int64"
        case "string" if schema.format:
            return "[]uint8" if schema.format == "byte" else ".".join(schema.name.rsplit(".", 2)[1:])
    return _TYPE_NAMES.get(schema.type, schema.type)


def _short(type_name: str) -> str:
    return type_name.rpartition(".")[2]
