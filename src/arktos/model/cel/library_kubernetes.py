"""What Kubernetes adds for its own values: quantities, semantic versions, named formats."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from arktos.model.cel.declarations import Library, declare
from arktos.model.cel.errors import EvaluationError
from arktos.model.cel.library_network import _url
from arktos.model.cel.types import BOOL, DOUBLE, INT, STRING, Type, list_of, optional_of
from arktos.model.cel.values import INT_MAX, INT_MIN, NONE, Optional, timestamp
from arktos.model.quantity import Quantity, QuantityError
from arktos.model.quantity import parse as parse_quantity

QUANTITY, SEMVER, FORMAT = Type("kubernetes.Quantity"), Type("kubernetes.Semver"), Type("kubernetes.NamedFormat")


def install(library: Library) -> None:
    _quantities(library)
    _versions(library)
    _formats(library)


declare(QUANTITY, Quantity)
_NANO = 10**9


def _quantity(text: str) -> Quantity:
    try:
        return parse_quantity(text)
    except QuantityError as error:
        raise EvaluationError(str(error)) from None


def _is(parse: Callable[..., Any]) -> Callable[..., bool]:
    def run(*args: Any) -> bool:
        try:
            parse(*args)
        except EvaluationError:
            return False
        return True

    return run


def _whole(value: Quantity) -> int:
    if not _is_integer(value):
        raise EvaluationError("cannot convert value to integer")
    return value.value


def _is_integer(value: Quantity) -> bool:
    return value == Quantity.of(value.value) and INT_MIN <= value.value <= INT_MAX


def _float(value: Quantity) -> float:
    return (value.milli if abs(value.milli) < 2**53 else value.value * 1000) / 1000


def _quantities(library: Library) -> None:
    library.function("quantity", [STRING], QUANTITY, _quantity)
    library.function("isQuantity", [STRING], BOOL, _is(_quantity))
    library.method("isInteger", [QUANTITY], BOOL, _is_integer)
    library.method("asInteger", [QUANTITY], INT, _whole)
    library.method("asApproximateFloat", [QUANTITY], DOUBLE, _float)
    library.method("sign", [QUANTITY], INT, lambda a: a.sign)
    library.method("add", [QUANTITY, QUANTITY], QUANTITY, lambda a, b: a + b)
    library.method("add", [QUANTITY, INT], QUANTITY, lambda a, b: a + Quantity.of(b))
    library.method("sub", [QUANTITY, QUANTITY], QUANTITY, lambda a, b: a - b)
    library.method("sub", [QUANTITY, INT], QUANTITY, lambda a, b: a - Quantity.of(b))
    _orders(library, QUANTITY)


def _orders(library: Library, type: Type) -> None:
    library.method("isLessThan", [type, type], BOOL, lambda a, b: a < b)
    library.method("isGreaterThan", [type, type], BOOL, lambda a, b: b < a)
    library.method("compareTo", [type, type], INT, lambda a, b: -1 if a < b else int(b < a))


_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(?:-((?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(?:\.(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*))?"
    r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?\Z",
    re.ASCII,
)
_NORMAL = re.compile(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?([-+].*)?\Z", re.ASCII | re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Semver:
    numbers: tuple[int, int, int]
    pre: tuple[str, ...]

    def __lt__(self, other: _Semver) -> bool:
        return self._order() < other._order()

    def _order(self) -> tuple[Any, ...]:
        ids = tuple((0, int(i), "") if i.isdigit() else (1, 0, i) for i in self.pre)
        return (self.numbers, not self.pre, ids)


declare(SEMVER, _Semver)


def _semver(text: str, normalize: bool = False) -> _Semver:
    if normalize and len(text) < 512 and (loose := _NORMAL.match(text)):
        numbers = ".".join(str(int(loose[i] or 0)) for i in (1, 2, 3))
        text = numbers + (loose[4] or "")
    found = _SEMVER.match(text) if len(text) < 512 else None
    if found is None:
        raise EvaluationError(f"invalid semantic version: {text[:64]!r}")
    return _Semver((int(found[1]), int(found[2]), int(found[3])), tuple(found[4].split(".")) if found[4] else ())


def _versions(library: Library) -> None:
    for parameters in ([STRING], [STRING, BOOL]):
        library.function("semver", parameters, SEMVER, _semver)
        library.function("isSemver", parameters, BOOL, _is(_semver))
    for position, name in enumerate(("major", "minor", "patch")):
        library.method(name, [SEMVER], INT, lambda a, i=position: a.numbers[i])
    _orders(library, SEMVER)


@dataclass(frozen=True, slots=True)
class _Format:
    """A format by name: `check` gives what is wrong with a text, nothing if all is well."""

    name: str
    check: Callable[[str], Sequence[str]]


declare(FORMAT, _Format)

_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\Z")
_DATE = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])\Z", re.ASCII)


def _prefix(check: Callable[[str], Sequence[str]]) -> Callable[[str], Sequence[str]]:
    """A prefix may end where a name goes on."""
    return lambda text: check(text[:-1] + "a" if text.endswith("-") else text)


def _attempted(parse: Callable[[str], Any], message: str) -> Callable[[str], list[str]]:
    def check(text: str) -> list[str]:
        try:
            parse(text)
        except (EvaluationError, ValueError, binascii.Error):
            return [message]
        return []

    return check


def _matched(pattern: re.Pattern[str]) -> Callable[[str], None]:
    def parse(text: str) -> None:
        if not pattern.match(text):
            raise ValueError(text)

    return parse


def _checks() -> dict[str, Callable[[str], Sequence[str]]]:
    from arktos.model.validation import formats  # which itself validates what holds expressions

    return {
        "dns1123Label": formats.dns_label,
        "dns1123Subdomain": formats.dns_subdomain,
        "dns1035Label": formats.dns_1035_label,
        "dns1123LabelPrefix": _prefix(formats.dns_label),
        "dns1123SubdomainPrefix": _prefix(formats.dns_subdomain),
        "dns1035LabelPrefix": _prefix(formats.dns_1035_label),
        "qualifiedName": formats.qualified_name,
        "labelValue": formats.label_value,
        "uri": _attempted(_url, "invalid URL"),
        "uuid": _attempted(_matched(_UUID), "does not match the UUID format"),
        "byte": _attempted(lambda text: base64.b64decode(text, validate=True), "invalid base64"),
        "date": _attempted(_matched(_DATE), "invalid date"),
        "datetime": _attempted(timestamp, "invalid datetime"),
    }


def _formats(library: Library) -> None:
    known = {name: _Format(name, check) for name, check in _checks().items()}
    for name, each in known.items():
        library.function(f"format.{name}", [], FORMAT, lambda f=each: f)
    library.function(
        "format.named", [STRING], optional_of(FORMAT), lambda name: Optional(known[name]) if name in known else NONE
    )
    library.method(
        "validate", [FORMAT, STRING], optional_of(list_of(STRING)), lambda a, text: _complaints(a.check(text))
    )


def _complaints(found: Sequence[str]) -> Optional:
    return Optional(list(found)) if found else NONE
