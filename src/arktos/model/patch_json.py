"""JSON patch (RFC 6902). Pure: the input document is never changed, and what a patch doesn't touch is shared with it.

Every container that an operation writes into is copied once, on its first write; a `copy` operation copies its value,
and the sum of what it copies is bounded, so that a few operations cannot grow a document without end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from arktos.model.kinds import Obj
from arktos.model.status import BadRequest, Invalid, RequestEntityTooLarge

MAX_OPERATIONS = 10_000
MAX_COPIED = 3 << 20
"""Most bytes, roughly, that the `copy` operations of one patch may add together."""

_MISSING: Any = object()
_NEEDS = {
    "add": ("value",),
    "remove": (),
    "replace": ("value",),
    "move": ("from",),
    "copy": ("from",),
    "test": (),
}


def apply(doc: Obj, patch: Any) -> Obj:
    """The document after all operations, in order.

    Raises BadRequest when the patch is malformed, RequestEntityTooLarge when it has more than `MAX_OPERATIONS` or
    copies too much, Invalid when an operation does not apply (a `test` that fails, a path that is not there).
    """
    operations = _checked(patch)
    run = _Run(doc)
    try:
        for operation in operations:
            run.step(operation)
    except RecursionError:
        raise BadRequest("the patch is nested too deeply") from None
    if not isinstance(run.doc, dict):
        raise Invalid("the patch does not leave an object")
    return run.doc


def equal(left: Any, right: Any) -> bool:
    """JSON equality: as Python's, but true and 1, false and 0 differ."""
    if left != right:
        return False
    if isinstance(left, dict):
        return all(equal(value, right[key]) for key, value in left.items())
    if isinstance(left, list):
        return all(map(equal, left, right))
    return isinstance(left, bool) == isinstance(right, bool)


def _checked(patch: Any) -> list[Obj]:
    if not isinstance(patch, list):
        raise BadRequest("error decoding patch: a JSON patch is an array of operations")
    if len(patch) > MAX_OPERATIONS:
        raise RequestEntityTooLarge(
            f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(patch)}"
        )
    for index, operation in enumerate(patch):
        if not isinstance(operation, dict):
            raise BadRequest(f"error decoding patch: operation {index} is not an object")
        name = operation.get("op")
        if not isinstance(name, str) or name not in _NEEDS:
            raise BadRequest(f"error decoding patch: operation {index} has unknown op {_text(name)}")
        for member in ("path", "from"):
            if member in operation and not isinstance(operation[member], str):
                raise BadRequest(f"error decoding patch: operation {index} has {member} that is not a string")
        for member in ("path", *_NEEDS[name]):
            if member not in operation:
                raise BadRequest(f"error decoding patch: operation {index} ({name}) lacks {member}")
    return patch


def _tokens(pointer: str) -> list[str]:
    """The reference tokens of a JSON pointer (RFC 6901)."""
    if not pointer:
        return []
    if pointer[0] != "/":
        raise BadRequest(f"error decoding patch: {_text(pointer)} is not a JSON pointer")
    tokens = pointer[1:].split("/")
    if "~" in pointer:
        tokens = [token.replace("~1", "/").replace("~0", "~") for token in tokens]
    return tokens


def _index(token: str, length: int) -> int:
    """The array index that a token names, or -1."""
    if not token.isascii() or not token.isdigit() or (token[0] == "0" and token != "0") or len(token) > 9:
        return -1
    index = int(token)
    return index if index < length else -1


def _get(container: Any, token: str) -> Any:
    if isinstance(container, dict):
        return container.get(token, _MISSING)
    if isinstance(container, list):
        index = _index(token, len(container))
        return container[index] if index >= 0 else _MISSING
    return _MISSING


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


class _Run:
    """The state of one patch: the document, and which of its containers are ours to write into."""

    def __init__(self, doc: Any) -> None:
        self.doc = doc
        self._ours: dict[int, Any] = {}
        self._copied = 0
        self._steps: dict[str, Callable[[Obj], None]] = {
            "add": self._add,
            "remove": self._remove,
            "replace": self._replace,
            "move": self._move,
            "copy": self._copy,
            "test": self._test,
        }

    def step(self, operation: Obj) -> None:
        self._steps[operation["op"]](operation)

    def _own(self, container: Any) -> Any:
        if id(container) in self._ours:
            return container
        copy = container.copy()
        self._ours[id(copy)] = copy  # held, so that the id stays taken
        return copy

    def _parent(self, tokens: list[str], operation: Obj) -> Any:
        """The container of the last token, writable along the whole way."""
        self.doc = node = self._own_or_fail(self.doc, operation)
        for token in tokens[:-1]:
            child = self._own_or_fail(_get(node, token), operation)
            node[token if isinstance(node, dict) else int(token)] = child
            node = child
        return node

    def _own_or_fail(self, node: Any, operation: Obj) -> Any:
        if not isinstance(node, dict | list):
            raise Invalid(
                f"{operation['op']} operation does not apply: doc is missing path: {operation['path']}: missing value"
            )
        return self._own(node)

    def _look(self, tokens: list[str]) -> Any:
        node = self.doc
        for token in tokens:
            node = _get(node, token)
        return node

    def _put(self, tokens: list[str], value: Any, operation: Obj) -> None:
        if not tokens:
            self.doc = value
            return
        parent = self._parent(tokens, operation)
        token = tokens[-1]
        if isinstance(parent, dict):
            parent[token] = value
            return
        index = len(parent) if token == "-" else _index(token, len(parent) + 1)
        if index < 0:
            raise Invalid(
                f"{operation['op']} operation does not apply: {operation['path']} is not an index of the array"
            )
        parent.insert(index, value)

    def _take(self, tokens: list[str], operation: Obj, path: str) -> None:
        if not tokens:
            self.doc = None
            return
        if self._look(tokens) is _MISSING:
            raise Invalid(f"{operation['op']} operation does not apply: doc is missing key: {path}: missing value")
        parent = self._parent(tokens, operation)
        del parent[tokens[-1] if isinstance(parent, dict) else int(tokens[-1])]

    def _source(self, operation: Obj) -> tuple[list[str], Any]:
        tokens = _tokens(operation["from"])
        value = self._look(tokens)
        if value is _MISSING:
            name, path = operation["op"], operation["from"]
            raise Invalid(f"{name} operation does not apply: doc is missing from path: {path}: missing value")
        return tokens, value

    def _add(self, operation: Obj) -> None:
        self._put(_tokens(operation["path"]), operation["value"], operation)

    def _remove(self, operation: Obj) -> None:
        self._take(_tokens(operation["path"]), operation, operation["path"])

    def _replace(self, operation: Obj) -> None:
        tokens = _tokens(operation["path"])
        if self._look(tokens) is _MISSING:
            raise Invalid(f"replace operation does not apply: doc is missing key: {operation['path']}: missing value")
        if not tokens:
            self.doc = operation["value"]
            return
        parent = self._parent(tokens, operation)
        parent[tokens[-1] if isinstance(parent, dict) else int(tokens[-1])] = operation["value"]

    def _move(self, operation: Obj) -> None:
        source, value = self._source(operation)
        target = _tokens(operation["path"])
        if target == source:
            return
        if target[: len(source)] == source:
            raise Invalid(f"move operation does not apply: {operation['path']} is inside {operation['from']}")
        self._take(source, operation, operation["from"])
        self._put(target, value, operation)

    def _copy(self, operation: Obj) -> None:
        _, value = self._source(operation)
        self._put(_tokens(operation["path"]), self._duplicate(value), operation)

    def _test(self, operation: Obj) -> None:
        wanted = operation.get("value")
        found = self._look(_tokens(operation["path"]))
        if found is _MISSING:
            found = None  # as Kubernetes: testing an absent member for null succeeds
        if not equal(found, wanted):
            raise Invalid(f"testing value {operation['path']} failed: test failed")

    def _duplicate(self, value: Any) -> Any:
        """A deep copy, counted: what is copied twice must not become one container in two places."""
        self._copied += len(value) + 2 if isinstance(value, str) else 4
        if self._copied > MAX_COPIED:
            raise RequestEntityTooLarge(f"the copy operations of the patch add more than {MAX_COPIED} bytes")
        if isinstance(value, dict):
            self._copied += sum(map(len, value))
            return {key: self._duplicate(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._duplicate(item) for item in value]
        return value
