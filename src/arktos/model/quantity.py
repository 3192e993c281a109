"""Quantities: exact numbers with the suffixes of Kubernetes (`100m`, `1.5Gi`, `2e3`), and their canonical form.

The value is an exact rational, never a float. Canonical form is that of the Kubernetes API: no precision is lost beyond
nano, no fraction is written, and the exponent or suffix is as large as possible; the family of suffixes (decimal,
binary, exponent) is kept. What is finer than nano is rounded up, as in the API.
"""

from __future__ import annotations

import re
from enum import Enum
from fractions import Fraction
from functools import lru_cache, total_ordering


class Format(Enum):
    """How a quantity is written: `1k`, `1Ki`, `1e3`."""

    DECIMAL = "DecimalSI"
    BINARY = "BinarySI"
    EXPONENT = "DecimalExponent"


_NUMBER = re.compile(r"([+-]?)(\d+\.?\d*|\.\d+)([A-Za-z]*)([+-]?\d*)\Z", re.ASCII)
_SHAPE = re.compile(r"[+-]?[0-9.]+[eEinumkKMGTP]*[-+]?[0-9]*\Z", re.ASCII)
_DECIMAL: dict[str, int] = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY: dict[str, int] = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL_SUFFIX = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY_SUFFIX = {exponent: suffix for suffix, exponent in _BINARY.items()}
_NANO = 10**9
_LARGEST = 2**63 - 1
_MAX_EXPONENT = 1_000
_MAX_LENGTH = 1_000

WRONG_FORMAT = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
WRONG_SUFFIX = "unable to parse quantity's suffix"
WRONG_NUMBER = "unable to parse numeric part of quantity"


class QuantityError(ValueError):
    """The text is no quantity; the message is worded as the Kubernetes API words it."""


@total_ordering
class Quantity:
    """An exact amount. Immutable; compares and hashes by amount, whatever its format. `str` is the canonical form."""

    __slots__ = ("_nano", "format")

    def __init__(self, nano: int = 0, format: Format = Format.DECIMAL) -> None:
        self._nano = nano
        self.format = format

    @classmethod
    def of(cls, value: int, format: Format = Format.DECIMAL) -> Quantity:
        """A whole number."""
        return cls(value * _NANO, format)

    @classmethod
    def of_milli(cls, milli: int, format: Format = Format.DECIMAL) -> Quantity:
        """A number of thousandths."""
        return cls(milli * 10**6, format)

    @property
    def value(self) -> int:
        """Whole units, rounded up (away from zero)."""
        return _up(self._nano, _NANO)

    @property
    def milli(self) -> int:
        """Thousandths, rounded up (away from zero)."""
        return _up(self._nano, 10**6)

    @property
    def sign(self) -> int:
        return (self._nano > 0) - (self._nano < 0)

    def __add__(self, other: Quantity) -> Quantity:
        return Quantity(self._nano + other._nano, self.format if self._nano else other.format)

    def __sub__(self, other: Quantity) -> Quantity:
        return Quantity(self._nano - other._nano, self.format if self._nano else other.format)

    def __neg__(self) -> Quantity:
        return Quantity(-self._nano, self.format)

    def __bool__(self) -> bool:
        return self._nano != 0

    def __eq__(self, other: object) -> bool:
        return self._nano == other._nano if isinstance(other, Quantity) else NotImplemented

    def __lt__(self, other: Quantity) -> bool:
        return self._nano < other._nano

    def __hash__(self) -> int:
        return hash(self._nano)

    def __repr__(self) -> str:
        return f"Quantity({self})"

    def __str__(self) -> str:
        if not self._nano:
            return "0"
        if self.format is Format.BINARY and abs(self._nano) >= 1024 * _NANO and self._nano % _NANO == 0:
            return _binary(self._nano // _NANO)
        return _decimal(self._nano, self.format is Format.EXPONENT)


ZERO = Quantity()


def parse(text: str) -> Quantity:
    """The quantity that `text` writes. QuantityError."""
    return _parse(text)


@lru_cache(maxsize=4096)
def _parse(text: str) -> Quantity:
    if not text or len(text) > _MAX_LENGTH or not _SHAPE.match(text):
        raise QuantityError(WRONG_FORMAT)
    found = _NUMBER.match(text)
    if found is None:
        raise QuantityError(WRONG_NUMBER if text.count(".") > 1 else WRONG_FORMAT)
    sign, digits, letters, trailing = found.groups()
    scale, format = _scale(letters, trailing)
    number = int(digits) if digits.isdigit() else Fraction(digits)
    exact = number * scale * _NANO
    magnitude = min(-(-exact.numerator // exact.denominator), _LARGEST * _NANO)
    return Quantity(-magnitude if sign == "-" else magnitude, format)


def _scale(letters: str, trailing: str) -> tuple[Fraction | int, Format]:
    """The factor that a suffix stands for, and the format it belongs to."""
    if not trailing:
        if letters in _BINARY:
            return 1 << _BINARY[letters], Format.BINARY
        if letters in _DECIMAL:
            return _power(_DECIMAL[letters]), Format.DECIMAL
    elif letters in ("e", "E") and trailing[-1].isdigit():
        exponent = int(trailing)
        if abs(exponent) <= _MAX_EXPONENT:
            return _power(exponent), Format.EXPONENT
    raise QuantityError(WRONG_SUFFIX)


@lru_cache(maxsize=4096)
def canonical(text: str) -> str:
    """The canonical form of a quantity in text, which is its own canonical form. QuantityError.

    Read twice: a binary quantity that ends without a suffix (`27828.125Ki` is `28496000`) is a decimal one from then on
    (`28496k`).
    """
    return str(_parse(str(_parse(text))))


def _power(exponent: int) -> Fraction | int:
    return 10**exponent if exponent >= 0 else Fraction(1, 10**-exponent)


def _up(amount: int, unit: int) -> int:
    return -(-amount // unit) if amount >= 0 else amount // unit


def _binary(whole: int) -> str:
    exponent = 0
    while exponent < 60 and whole % 1024 == 0:
        whole //= 1024
        exponent += 10
    return f"{whole}{_BINARY_SUFFIX.get(exponent, '')}"


def _decimal(nano: int, as_exponent: bool) -> str:
    exponent = -9
    while nano % 1000 == 0 and (as_exponent or exponent < 18):
        nano //= 1000
        exponent += 3
    if as_exponent:
        return f"{nano}e{exponent}" if exponent else f"{nano}"
    return f"{nano}{_DECIMAL_SUFFIX[exponent]}"
