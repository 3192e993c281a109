"""Calls that are not calls: `has`, the folds over lists and maps, `cel.bind`, `optMap`, `optFlatMap`."""

from __future__ import annotations

from arktos.model.cel.errors import CelError, Issue
from arktos.model.cel.syntax import Bind, Call, Fold, Literal, Name, Node, Select

_ONE = {"all": "all", "exists": "exists", "exists_one": "existsOne", "existsOne": "existsOne", "filter": "filter"}
_TWO = {"all": "all", "exists": "exists", "existsOne": "existsOne", "exists_one": "existsOne"}
_TRANSFORMS = frozenset({"transformList", "transformMap", "transformMapEntry"})


def called(text: str, at: int, function: str, args: tuple[Node, ...]) -> Node:
    """`function(args)`. CelError if it is a macro with the wrong arguments."""
    if function == "has" and len(args) == 1:
        operand = args[0]
        if not isinstance(operand, Select) or operand.optional:
            raise CelError(text, [Issue(at, "invalid argument to has() macro")])
        return Select(operand.at, operand.operand, operand.field, test=True)
    return Call(at, function, None, args)


def member(text: str, at: int, target: Node, function: str, args: tuple[Node, ...]) -> Node:
    """`target.function(args)`. CelError if it is a macro with the wrong arguments."""
    count = len(args)
    if function == "bind" and count == 3 and target == Name(target.at, "cel"):
        return Bind(at, _variable(text, args[0]), args[1], args[2])
    if function in ("optMap", "optFlatMap") and count == 2:
        return Bind(at, _variable(text, args[0]), target, args[1], "map" if function == "optMap" else "flat")
    if function in _ONE and count == 2:
        return Fold(at, _ONE[function], target, _variable(text, args[0]), "", None, args[1])
    if function == "map" and count in (2, 3):
        return Fold(at, "map", target, _variable(text, args[0]), "", args[1] if count == 3 else None, args[-1])
    if (function in _TWO and count == 3) or (function in _TRANSFORMS and count in (3, 4)):
        first, second = _variable(text, args[0]), _variable(text, args[1])
        if first == second:
            raise CelError(text, [Issue(args[1].at, f"duplicate variable name: {second}")])
        return Fold(at, _TWO.get(function, function), target, first, second, args[2] if count == 4 else None, args[-1])
    return Call(at, function, target, args)


def _variable(text: str, node: Node) -> str:
    if not isinstance(node, Name) or isinstance(node, Literal):
        raise CelError(text, [Issue(node.at, "argument must be a simple name")])
    return node.name
