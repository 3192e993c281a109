"""Planning of what reaches into values and puts them together: fields, elements, lists, maps, objects.

Where the type of a field says that its JSON stands for something else (a timestamp in a string, a double without a
fraction), the value is made into that as it is read.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from arktos.model.cel.errors import EvaluationError
from arktos.model.cel.frame import Frame, Lazy
from arktos.model.cel.syntax import Call, ListOf, Literal, MapOf, Member, ObjectOf, Select
from arktos.model.cel.types import (
    BOOL,
    DYN,
    ERROR,
    INT,
    NULL,
    ObjectType,
    Type,
    fits,
    joined,
    list_of,
    map_of,
    optional_of,
)
from arktos.model.cel.values import NONE, Optional, UInt, duration, timestamp

if TYPE_CHECKING:
    from arktos.model.cel.planning import Planned, Planner

Run = Callable[[Frame], Any]

TYPES_BY_NAME = frozenset(
    {"kubernetes.Quantity", "kubernetes.URL", "kubernetes.Semver", "kubernetes.NamedFormat", "net.IP", "net.CIDR"}
)


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise EvaluationError("illegal base64 data") from None


_FROM_JSON: dict[str, tuple[type, Callable[[Any], Any]]] = {
    "timestamp": (str, timestamp),
    "duration": (str, duration),
    "bytes": (str, _bytes),
    "double": (int, float),
}


def adapted(declared: Type, run: Run) -> Run:
    """`run`, whose JSON value becomes what its declared type says."""
    known = _FROM_JSON.get(declared.name)
    if known is None:
        return run
    kind, convert = known

    def adapting(frame: Frame) -> Any:
        value = run(frame)
        return convert(value) if type(value) is kind else value

    return adapting


def adapter(declared: Type) -> Callable[[Any], Any] | None:
    """The same for a value at hand; None where nothing is to be done."""
    known = _FROM_JSON.get(declared.name)
    if known is None:
        return None
    kind, convert = known
    return lambda value: convert(value) if type(value) is kind else value


# ---- fields


def plan_select(planner: Planner, node: Select) -> Planned:
    given, operand = planner.plan(node.operand)
    opened = given.name == "optional_type"
    holder = given.parts[0] if opened else given
    key, found = node.field, DYN
    if isinstance(holder, ObjectType):
        if node.field not in holder.fields:
            return planner.complain(node.at, f"undefined field '{node.field}'")
        key, found = holder.fields[node.field]
    elif holder.name == "map":
        found = holder.parts[1]
    elif holder not in (DYN, ERROR):
        return planner.complain(node.at, f"type '{holder}' does not support field selection")
    if node.test:
        return BOOL, _tested(operand, key)
    if node.optional or opened:
        return optional_of(found), _optional_field(adapter(found), operand, key)
    return found, adapted(found, _field(operand, key))


def _field(operand: Run, key: str) -> Run:
    def run(frame: Frame) -> Any:
        holder = operand(frame)
        frame.left -= 1
        if frame.left < 0:
            frame.spend(0)
        try:
            if type(holder) is dict:
                return holder[key]
            if isinstance(holder, Lazy):
                return holder.find(key)
        except KeyError:
            raise EvaluationError(f"no such key: {key}") from None
        if type(holder) is Optional:
            return _within(holder, key, None)
        raise EvaluationError("no such overload")

    return run


def _tested(operand: Run, key: str) -> Run:
    def run(frame: Frame) -> bool:
        holder = operand(frame)
        frame.spend(1)
        if type(holder) is dict:
            return key in holder
        if isinstance(holder, Lazy):
            try:
                holder.find(key)
            except KeyError:
                return False
            return True
        if type(holder) is Optional:
            return _within(holder, key, None).present
        raise EvaluationError("no such overload")

    return run


def _optional_field(convert: Callable[[Any], Any] | None, operand: Run, key: str) -> Run:
    def run(frame: Frame) -> Optional:
        holder = operand(frame)
        frame.spend(1)
        return _within(holder if type(holder) is Optional else Optional(holder), key, convert)

    return run


def _within(holder: Optional, key: Any, convert: Callable[[Any], Any] | None) -> Optional:
    """What the optional's value holds under a key or index, if anything."""
    if not holder.present:
        return NONE
    value = holder.value
    try:
        if isinstance(value, Lazy):
            found = value.find(key)
        elif type(value) is list:
            if type(key) is not int or not 0 <= key < len(value):
                return NONE
            found = value[key]
        elif type(value) is dict:
            found = value[key]
        else:
            raise EvaluationError("no such overload")
    except (KeyError, TypeError):
        return NONE
    return Optional(convert(found) if convert else found)


# ---- elements


def plan_index(planner: Planner, node: Call) -> Planned:
    (given, operand), (index_type, index) = planner.plan(node.args[0]), planner.plan(node.args[1])
    opened = given.name == "optional_type"
    holder = given.parts[0] if opened else given
    found = DYN
    if holder.name == "list" and fits(INT, index_type, {}):
        found = holder.parts[0]
    elif holder.name == "map" and fits(holder.parts[0], index_type, {}):
        found = holder.parts[1]
    elif holder not in (DYN, ERROR):
        return planner.complain(
            node.at, f"found no matching overload for '{node.function}' applied to '({given}, {index_type})'"
        )
    if node.function == "_[?_]" or opened:
        convert = adapter(found)

        def run_optional(frame: Frame) -> Optional:
            value, key = operand(frame), index(frame)
            frame.spend(1)
            return _within(value if type(value) is Optional else Optional(value), key, convert)

        return optional_of(found), run_optional
    return found, adapted(found, _element(operand, index))


def _element(operand: Run, index: Run) -> Run:
    def run(frame: Frame) -> Any:
        holder, key = operand(frame), index(frame)
        frame.spend(1)
        if type(holder) is list:
            if type(key) not in (int, UInt, float) or key != int(key):
                raise EvaluationError("no such overload")
            if not 0 <= key < len(holder):
                raise EvaluationError(f"index out of bounds: {int(key)}")
            return holder[int(key)]
        try:
            if type(holder) is dict:
                return holder[key]
            if isinstance(holder, Lazy):
                return holder.find(key)
        except KeyError:
            raise EvaluationError(f"no such key: {_shown(key)}") from None
        except TypeError:
            raise EvaluationError("no such overload") from None
        if type(holder) is Optional:
            return _within(holder, key, None)
        raise EvaluationError("no such overload")

    return run


def _shown(key: Any) -> str:
    return str(key) if type(key) in (str, int, UInt) else repr(key)


# ---- what is put together


def _parts(planner: Planner, members: Sequence[Member]) -> tuple[Type | None, list[tuple[Run, bool]]]:
    """The common type of the members' values, and how each comes about."""
    common: Type | None = None
    runs: list[tuple[Run, bool]] = []
    for member in members:
        given, run = planner.plan(member.value)
        if member.optional:
            if given.name == "optional_type":
                given = given.parts[0]
            elif given not in (DYN, ERROR):
                planner.complain(member.at, f"expected type 'optional_type({given})' but found '{given}'")
        common = given if common is None else joined(common, given)
        runs.append((run, member.optional))
    return common, runs


def _given(value: Any, optional: bool) -> Optional:
    if not optional:
        return Optional(value)
    if type(value) is not Optional:
        raise EvaluationError("no such overload")
    return value


def plan_list(planner: Planner, node: ListOf) -> Planned:
    common, runs = _parts(planner, node.members)

    def run(frame: Frame) -> list[Any]:
        frame.spend(10)
        found = (_given(each(frame), optional) for each, optional in runs)
        return [element.value for element in found if element.present]

    if all(type(member.value) is Literal and not member.optional for member in node.members):
        constant = [member.value.value for member in node.members if type(member.value) is Literal]

        def run_constant(frame: Frame) -> list[Any]:
            frame.spend(1)
            return constant

        return list_of(common or DYN), run_constant
    return list_of(common or DYN), run


def plan_map(planner: Planner, node: MapOf) -> Planned:
    keys = [planner.plan(member.key) for member in node.members if member.key is not None]
    common, runs = _parts(planner, node.members)
    key_type: Type | None = None
    for given, _ in keys:
        key_type = given if key_type is None else joined(key_type, given)

    def run(frame: Frame) -> dict[Any, Any]:
        frame.spend(30)
        found: dict[Any, Any] = {}
        for (_, key_run), (each, optional) in zip(keys, runs, strict=True):
            key, value = key_run(frame), _given(each(frame), optional)
            if type(key) not in (str, int, UInt, bool):
                raise EvaluationError("unsupported key type")
            if key in found:
                raise EvaluationError(f"Failed with repeated key: {_shown(key)}")
            if value.present:
                found[key] = value.value
        return found

    return map_of(key_type or DYN, common or DYN), run


def plan_object(planner: Planner, node: ObjectOf) -> Planned:
    """`Type{field: value}`: an object with those fields, where the surroundings know such types."""
    made = planner.objects(node.type)
    if made is None:
        return planner.complain(node.at, f"undeclared reference to '{node.type}' (in container '')")
    runs: list[tuple[str, Run, bool]] = []
    for member in node.members:
        assert isinstance(member.key, Literal)
        given, run = planner.plan(member.value)
        key, wanted = member.key.value, DYN
        if isinstance(made, ObjectType):
            if key not in made.fields:
                planner.complain(member.at, f"undefined field '{key}'")
                continue
            key, wanted = made.fields[key]
        held = given.parts[0] if member.optional and given.name == "optional_type" else given
        if held is not NULL and not fits(wanted, held, {}):
            planner.complain(
                member.at, f"expected type of field '{member.key.value}' is '{wanted}' but provided type is '{held}'"
            )
        runs.append((key, run, member.optional))

    def make(frame: Frame) -> dict[str, Any]:
        frame.spend(40)
        found = ((key, _given(run(frame), optional)) for key, run, optional in runs)
        return {key: value.value for key, value in found if value.present}

    return made, make
