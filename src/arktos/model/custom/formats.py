"""The formats of strings that a schema may ask for (apiextensions.k8s.io/v1), and arithmetic of numbers. Unknown
formats ask for nothing."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import math
import re
from collections.abc import Callable
from urllib.parse import urlsplit

_UUID = re.compile(r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")
_VERSIONED = {
    version: re.compile(rf"(?i)[0-9a-f]{{8}}-?[0-9a-f]{{4}}-?{version}[0-9a-f]{{3}}-?[0-9a-f]{{4}}-?[0-9a-f]{{12}}")
    for version in "345"
}
_HOST = re.compile(
    r"(?=.{1,255}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
    r"(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*\.?"
)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_DATE_TIME = re.compile(r"(\d{4}-\d{2}-\d{2})[Tt](\d{2}):(\d{2}):(\d{2})(\.\d+)?([Zz]|[+-]\d{2}:\d{2})")
_DURATION = re.compile(r"[-+]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+|0")
_WORDS = re.compile(r"\d+\s*(?:ns|us|µs|ms|s|sec|secs|m|min|mins|h|hr|hrs|hour|hours|d|day|days|w|wk|week|weeks)")
_EMAIL = re.compile(r"[^@\s<>]+@[^@\s<>]+")
_MAC = re.compile(r"(?i)[0-9a-f]{2}(?:(?::[0-9a-f]{2}){5,7}|(?:-[0-9a-f]{2}){5,7})|[0-9a-f]{4}(?:\.[0-9a-f]{4}){2,3}")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_BOUND = 4096
"""Characters up to which a text is looked at: none of the formats is longer, base64 apart."""


def _pattern(text: str) -> Callable[[str], bool]:
    test = re.compile(text).fullmatch
    return lambda value: test(value) is not None


def _date(value: str) -> bool:
    try:
        return bool(_DATE.fullmatch(value)) and bool(datetime.date.fromisoformat(value))
    except ValueError:
        return False


def _date_time(value: str) -> bool:
    found = _DATE_TIME.fullmatch(value)
    if found is None:
        return False
    return _date(found[1]) and int(found[2]) < 24 and int(found[3]) < 60 and int(found[4]) < 61


def _address(value: str, version: int = 0) -> bool:
    try:
        found = ipaddress.ip_address(value)
    except ValueError:
        return False
    return "%" not in value and (not version or found.version == version)


def _cidr(value: str) -> bool:
    address, slash, bits = value.partition("/")
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        return False
    return bool(slash) and bits.isdigit() and "%" not in address


def _uri(value: str) -> bool:
    try:
        found = urlsplit(value)
    except ValueError:
        return False
    return bool(found.scheme) or value.startswith("/")


def _base64(value: str) -> bool:
    try:
        base64.b64decode(value, validate=True)
    except ValueError:
        return False
    return True


def _isbn(value: str) -> bool:
    digits = re.sub(r"[\s-]", "", value)
    if len(digits) == 10 and re.fullmatch(r"\d{9}[\dX]", digits):
        return sum((10 - at) * (10 if c == "X" else int(c)) for at, c in enumerate(digits)) % 11 == 0
    if len(digits) == 13 and digits.isdigit():
        return sum(int(c) * (3 if at % 2 else 1) for at, c in enumerate(digits)) % 10 == 0
    return False


def _is_isbn(length: int) -> Callable[[str], bool]:
    return lambda value: len(re.sub(r"[\s-]", "", value)) == length and _isbn(value)


_FORMATS: dict[str, Callable[[str], bool]] = {
    "bsonobjectid": _pattern("[0-9a-fA-F]{24}"),
    "uri": _uri,
    "email": lambda value: _EMAIL.fullmatch(value) is not None,
    "hostname": lambda value: _HOST.fullmatch(value) is not None,
    "ipv4": lambda value: _address(value, 4),
    "ipv6": lambda value: _address(value, 6),
    "cidr": _cidr,
    "mac": lambda value: _MAC.fullmatch(value) is not None,
    "uuid": lambda value: _UUID.fullmatch(value) is not None,
    "uuid3": lambda value: _VERSIONED["3"].fullmatch(value) is not None,
    "uuid4": lambda value: _VERSIONED["4"].fullmatch(value) is not None,
    "uuid5": lambda value: _VERSIONED["5"].fullmatch(value) is not None,
    "isbn": _isbn,
    "isbn10": _is_isbn(10),
    "isbn13": _is_isbn(13),
    "creditcard": _pattern(
        r"(?:4\d{12}(?:\d{3})?|5[1-5]\d{14}|6(?:011|5\d\d)\d{12}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11})"
    ),
    "ssn": _pattern(r"\d{3}[- ]?\d{2}[- ]?\d{4}"),
    "hexcolor": _pattern("#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "rgbcolor": _pattern(r"rgb\(\s*\d{1,3}\s*,\s*\d{1,3}\s*,\s*\d{1,3}\s*\)"),
    "byte": _base64,
    "password": lambda value: True,
    "date": _date,
    "duration": lambda value: bool(_DURATION.fullmatch(value) or _WORDS.fullmatch(value)),
    "datetime": _date_time,
    "date-time": _date_time,
    "k8s-short-name": lambda value: _LABEL.fullmatch(value) is not None,
    "k8s-long-name": lambda value: _NAME.fullmatch(value) is not None,
}


def holds(name: str, value: str) -> bool:
    """Whether a text is of a format. Formats that are not known, and those of numbers, hold for every text."""
    test = _FORMATS.get(name)
    if test is None:
        return True
    if len(value) > _BOUND and name not in ("byte", "password"):
        return False
    return test(value)


def is_multiple(value: int | float, factor: int | float) -> bool:
    if not factor:
        return True
    if isinstance(value, int) and isinstance(factor, int):
        return value % factor == 0
    quotient = value / factor
    return math.isfinite(quotient) and quotient == math.trunc(quotient)


def number(value: int | float) -> str:
    """A bound as messages print it: whole numbers without a fraction."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return str(value)
