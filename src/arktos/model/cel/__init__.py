"""CEL, the Common Expression Language, as Kubernetes uses it in policies, webhooks and custom resources.

    text -> lexer -> parser (macros) -> planning (types checked, functions chosen) -> Program -> value

An expression is a tenant's: nothing in it can hold its evaluator. Every step costs units, a `Program` stops at a limit,
patterns run on RE2, what a function may make is bounded, and so are the size and depth of the text.

Values are what JSON decodes to. Variables have types: `dyn` for anything, an `ObjectType` from a schema
(`schemas.declared`) where a misspelt field shall be an error of the text.

Why not a library: those for Python were measured and leave time or memory to who writes the expression (one holds the
interpreter for minutes over a few hundred characters), lack macros that Kubernetes has, or take hundreds of
microseconds. RE2, which is needed as well, comes from `cel-expr-python`.

Not here: order of lists that are sets in structural schemas (`==` and `+` see lists).
"""

from arktos.model.cel.environment import INLINE, PER_CALL, Budget, Program, ResultError, compile, standard
from arktos.model.cel.errors import CelError, CostExceeded, EvaluationError
from arktos.model.cel.frame import Lazy
from arktos.model.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    UINT,
    ObjectType,
    Type,
    list_of,
    map_of,
    optional_of,
)

__all__ = [
    "BOOL",
    "BYTES",
    "DOUBLE",
    "DURATION",
    "DYN",
    "INLINE",
    "INT",
    "NULL",
    "PER_CALL",
    "STRING",
    "TIMESTAMP",
    "UINT",
    "Budget",
    "CelError",
    "CostExceeded",
    "EvaluationError",
    "Lazy",
    "ObjectType",
    "Program",
    "ResultError",
    "Type",
    "compile",
    "list_of",
    "map_of",
    "optional_of",
    "standard",
]
