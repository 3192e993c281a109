"""Field errors in Kubernetes' wording: one constructor per kind of cause, and the checks that are nothing but one.

The constructors return a `FieldError`; the checks append to a list, which is how rules report. A value is shown as
Kubernetes shows it: strings quoted, numbers and booleans plain, anything else as JSON.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from arktos.model.status import FieldError

Errors = list[FieldError]
"""Where rules put what they find."""

IMMUTABLE = "field is immutable"
NOT_NEGATIVE = "must be greater than or equal to 0"
POSITIVE = "must be greater than 0"


def show(value: Any) -> str:
    """`value` as it stands in a message."""
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    return msgspec.json.encode(value).decode("utf-8", "replace")


def required(field: str, detail: str = "") -> FieldError:
    return FieldError(field, "FieldValueRequired", f"Required value: {detail}" if detail else "Required value")


def invalid(field: str, value: Any, detail: str = "") -> FieldError:
    text = f"Invalid value: {show(value)}"
    return FieldError(field, "FieldValueInvalid", f"{text}: {detail}" if detail else text)


def not_supported(field: str, value: Any, supported: Iterable[str]) -> FieldError:
    """`supported` is listed in the order given."""
    listed = ", ".join(f'"{each}"' for each in supported)
    return FieldError(field, "FieldValueNotSupported", f"Unsupported value: {show(value)}: supported values: {listed}")


def duplicate(field: str, value: Any) -> FieldError:
    return FieldError(field, "FieldValueDuplicate", f"Duplicate value: {show(value)}")


def forbidden(field: str, detail: str) -> FieldError:
    return FieldError(field, "FieldValueForbidden", f"Forbidden: {detail}")


def not_found(field: str, value: Any, detail: str = "") -> FieldError:
    text = f"Not found: {show(value)}"
    return FieldError(field, "FieldValueNotFound", f"{text}: {detail}" if detail else text)


def too_long(field: str, limit: int) -> FieldError:
    """`limit` in bytes."""
    return FieldError(field, "FieldValueTooLong", f"Too long: may not be more than {limit} bytes")


def too_many(field: str, actual: int, limit: int) -> FieldError:
    noun = "item" if limit == 1 else "items"
    return FieldError(field, "FieldValueTooMany", f"Too many: {actual}: must have at most {limit} {noun}")


def between(low: int, high: int) -> str:
    """The detail of a number out of its inclusive range."""
    return f"must be between {low} and {high}, inclusive"


def check_messages(errs: Errors, field: str, value: Any, messages: Iterable[str]) -> None:
    """One Invalid for each message."""
    for message in messages:
        errs.append(invalid(field, value, message))


def check_not_negative(errs: Errors, obj: dict[str, Any], path: str, *names: str) -> None:
    """Each named number that is present must be zero or more."""
    for name in names:
        value = obj.get(name)
        if value is not None and value < 0:
            errs.append(invalid(f"{path}.{name}" if path else name, value, NOT_NEGATIVE))


def check_immutable(errs: Errors, field: str, new: Any, old: Any) -> None:
    """The value may not change."""
    if new != old:
        errs.append(invalid(field, new, IMMUTABLE))
