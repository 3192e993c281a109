"""From tokens to a tree (CEL's language definition, "Syntax" and "Macros"), by recursive descent.

An expression may be 10,000 characters long and nest 50 deep, `&&`, `||`, `+` and selections not counted.
"""

from __future__ import annotations

from collections.abc import Callable

from arktos.model.cel import macros
from arktos.model.cel.errors import CelError, Issue
from arktos.model.cel.lexer import Token, tokens
from arktos.model.cel.pace import STEPS, give_way
from arktos.model.cel.syntax import Call, ListOf, Literal, MapOf, Member, Name, Node, ObjectOf, Select
from arktos.model.cel.values import INT_MAX

LONGEST = 10_000
DEEPEST = 50

_RESERVED = frozenset(
    {"as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package"}
    | {"namespace", "return", "var", "void", "while"}
)
_COMPARISONS = frozenset({"<", "<=", ">=", ">", "==", "!=", "in"})
_EXPECTED = (
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}"
)


def parse(text: str) -> Node:
    """The expression that `text` is. CelError."""
    if len(text) > LONGEST:
        raise CelError("", [Issue(0, f"expression code point size exceeds limit: size: {len(text)}, limit: {LONGEST}")])
    return _Parser(text).expression_to_end()


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokens(text)
        self.next = 0
        self.depth = 0

    def expression_to_end(self) -> Node:
        node = self.expression()
        if self.peek.kind != "end":
            raise self.wrong(self.peek, f"Syntax error: extraneous input '{self.peek.text}' expecting <EOF>")
        return node

    @property
    def peek(self) -> Token:
        return self.tokens[self.next]

    def take(self) -> Token:
        token = self.tokens[self.next]
        self.next += 1
        if not self.next % STEPS:
            give_way()
        return token

    def taken(self, kind: str) -> Token | None:
        return self.take() if self.tokens[self.next].kind == kind else None

    def require(self, kind: str) -> Token:
        token = self.taken(kind)
        if token is None:
            raise self.wrong(self.peek, f"Syntax error: mismatched input '{self.peek.text}' expecting '{kind}'")
        return token

    def wrong(self, token: Token, message: str) -> CelError:
        return CelError(self.text, [Issue(token.at, message)])

    def expression(self) -> Node:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.wrong(self.peek, f"expression recursion limit exceeded: {DEEPEST}")
        condition = self.either()
        if question := self.taken("?"):
            yes = self.either()
            self.require(":")
            condition = Call(question.at, "_?_:_", None, (condition, yes, self.expression()))
        self.depth -= 1
        return condition

    def either(self) -> Node:
        return self._chain("||", "_||_", self.both)

    def both(self) -> Node:
        return self._chain("&&", "_&&_", self.relation)

    def _chain(self, operator: str, function: str, below: Callable[[], Node]) -> Node:
        """`a && b && c` as one call of many arguments: a long chain nests no deeper than a short one."""
        first = below()
        if self.peek.kind != operator:
            return first
        at, args = self.peek.at, [first]
        while self.taken(operator):
            args.append(below())
        return Call(at, function, None, tuple(args))

    def relation(self) -> Node:
        node = self.sum()
        while self.peek.kind in _COMPARISONS:
            token = self.take()
            name = "@in" if token.kind == "in" else f"_{token.kind}_"
            node = Call(token.at, name, None, (node, self.sum()))
        return node

    def sum(self) -> Node:
        node = self.product()
        while self.peek.kind in ("+", "-"):
            token = self.take()
            node = Call(token.at, f"_{token.kind}_", None, (node, self.product()))
        return node

    def product(self) -> Node:
        node = self.unary()
        while self.peek.kind in ("*", "/", "%"):
            token = self.take()
            node = Call(token.at, f"_{token.kind}_", None, (node, self.unary()))
        return node

    def unary(self) -> Node:
        token = self.peek
        if token.kind == "!":
            count = 0
            while self.taken("!"):
                count += 1
            node = self.member()
            return Call(token.at, "!_", None, (node,)) if count % 2 else node
        if token.kind == "-":
            count = 0
            while self.taken("-"):
                count += 1
            following = self.peek
            if following.kind == "literal" and type(following.value) in (int, float):
                self.next += 1
                value = -following.value if count % 2 else following.value
                return self.members(Literal(token.at, self.in_range(following, value)))
            node = self.member()
            return Call(token.at, "-_", None, (node,)) if count % 2 else node
        return self.member()

    def in_range(self, token: Token, value: object) -> object:
        if type(value) is int and value > INT_MAX:
            raise self.wrong(token, "invalid int literal")
        return value

    def member(self) -> Node:
        return self.members(self.primary())

    def members(self, node: Node) -> Node:
        while True:
            if dot := self.taken("."):
                optional = self.taken("?") is not None
                node = self.selection(node, dot, optional)
            elif bracket := self.taken("["):
                function = "_[?_]" if self.taken("?") else "_[_]"
                index = self.expression()
                self.require("]")
                node = Call(bracket.at, function, None, (node, index))
            else:
                return node

    def selection(self, node: Node, dot: Token, optional: bool) -> Node:
        token = self.taken("quoted") or self.taken("in") or self.peek
        if token is self.peek:
            token = self.take()
            if token.kind != "name" and token.text not in ("true", "false", "null"):
                raise self.wrong(token, f"Syntax error: no viable alternative at input '.{token.text}'")
        if token.kind == "name" and not optional and (opening := self.taken("(")):
            args = self.arguments(")")
            return macros.member(self.text, opening.at, node, token.text, args)
        return Select(dot.at, node, token.text, optional=optional)

    def arguments(self, closing: str) -> tuple[Node, ...]:
        args: list[Node] = []
        while not self.taken(closing):
            args.append(self.expression())
            if not self.taken(","):
                self.require(closing)
                break
        return tuple(args)

    def primary(self) -> Node:
        token = self.take()
        if token.kind == "literal":
            return Literal(token.at, self.in_range(token, token.value))
        if token.kind == "(":
            node = self.expression()
            self.require(")")
            return node
        if token.kind == "[":
            return ListOf(token.at, self.elements())
        if token.kind == "{":
            return MapOf(token.at, self.entries(self.map_key))
        if token.kind == "name" or (token.kind == "." and self.peek.kind == "name"):
            return self.named(self.take() if token.kind == "." else token)
        raise self.wrong(token, f"Syntax error: mismatched input '{token.text}' expecting {_EXPECTED}")

    def named(self, token: Token) -> Node:
        if token.text in _RESERVED:
            raise self.wrong(token, f"reserved identifier: {token.text}")
        if opening := self.taken("("):
            return macros.called(self.text, opening.at, token.text, self.arguments(")"))
        if (end := self.object_type_end()) is not None:
            name = token.text + "".join(t.text for t in self.tokens[self.next : end])
            self.next = end
            opening = self.require("{")
            return ObjectOf(opening.at, name, self.entries(self.field_key))
        return Name(token.at, token.text)

    def object_type_end(self) -> int | None:
        """Where the `{` of `a.b.C{` stands, if this is one: only a type's name comes before a brace."""
        at = self.next
        while self.tokens[at].kind == "." and self.tokens[at + 1].kind == "name":
            at += 2
        return at if self.tokens[at].kind == "{" else None

    def elements(self) -> tuple[Member, ...]:
        found: list[Member] = []
        while not self.taken("]"):
            at, optional = self.peek.at, self.taken("?") is not None
            found.append(Member(at, None, self.expression(), optional))
            if not self.taken(","):
                self.require("]")
                break
        return tuple(found)

    def entries(self, read_key: Callable[[], Node]) -> tuple[Member, ...]:
        found: list[Member] = []
        while not self.taken("}"):
            optional = self.taken("?") is not None
            key = read_key()
            colon = self.require(":")
            found.append(Member(colon.at, key, self.expression(), optional))
            if not self.taken(","):
                self.require("}")
                break
        return tuple(found)

    def map_key(self) -> Node:
        return self.expression()

    def field_key(self) -> Node:
        token = self.taken("quoted") or self.require("name")
        return Literal(token.at, token.text)
