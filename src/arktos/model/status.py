"""Errors in Kubernetes' own form: a `Status` with reason, code, field causes.

One base class renders itself; the subclasses differ by reason and HTTP code only. Every error that a client may see is
raised as one of these, wherever it arises, and rendered once at the edge. Reasons and codes are those of the Kubernetes
API conventions ("Response Status Kind").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """One cause of an Invalid object: `field` is a Kubernetes field path such as `spec.containers[0].image`.

    `reason` is a Kubernetes CauseType: FieldValueRequired, FieldValueInvalid, FieldValueNotSupported,
    FieldValueDuplicate, FieldValueForbidden, FieldValueTooLong, FieldValueTooMany, FieldValueTypeInvalid,
    FieldValueNotFound. `message` is the full sentence after the field, as Kubernetes prints it.
    """

    field: str
    reason: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


class ApiError(Exception):
    """An answer that is not success. `status()` is the wire object; `code` the HTTP code."""

    code: ClassVar[int] = 500
    reason: ClassVar[str] = "InternalError"

    def __init__(
        self,
        message: str,
        *,
        group: str = "",
        kind: str = "",
        name: str = "",
        uid: str = "",
        causes: Sequence[FieldError] = (),
        retry_after: int = 0,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.group = group
        self.kind = kind
        self.name = name
        self.uid = uid
        self.causes = tuple(causes)
        self.retry_after = retry_after

    def status(self) -> dict[str, Any]:
        details: dict[str, Any] = {
            key: value
            for key, value in (("name", self.name), ("group", self.group), ("kind", self.kind), ("uid", self.uid))
            if value
        }
        if self.causes:
            details["causes"] = [{"reason": c.reason, "message": c.message, "field": c.field} for c in self.causes]
        if self.retry_after:
            details["retryAfterSeconds"] = self.retry_after
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if details:
            body["details"] = details
        return body


class BadRequest(ApiError):
    code, reason = 400, "BadRequest"


class Unauthorized(ApiError):
    code, reason = 401, "Unauthorized"


class Forbidden(ApiError):
    code, reason = 403, "Forbidden"


class NotFound(ApiError):
    code, reason = 404, "NotFound"


class MethodNotAllowed(ApiError):
    code, reason = 405, "MethodNotAllowed"


class NotAcceptable(ApiError):
    code, reason = 406, "NotAcceptable"


class AlreadyExists(ApiError):
    code, reason = 409, "AlreadyExists"


class Conflict(ApiError):
    code, reason = 409, "Conflict"


class StaleRange(Conflict):
    """The write was decided under a tenure of a hash range that is over."""

    reason = "StaleRange"


class Expired(ApiError):
    """The revision asked for has left the history window."""

    code, reason = 410, "Expired"


class RequestEntityTooLarge(ApiError):
    code, reason = 413, "RequestEntityTooLarge"


class UnsupportedMediaType(ApiError):
    code, reason = 415, "UnsupportedMediaType"


class MisdirectedRequest(ApiError):
    code, reason = 421, "MisdirectedRequest"


class Invalid(ApiError):
    code, reason = 422, "Invalid"


class TooManyRequests(ApiError):
    code, reason = 429, "TooManyRequests"


class InternalError(ApiError):
    code, reason = 500, "InternalError"


class ServiceUnavailable(ApiError):
    code, reason = 503, "ServiceUnavailable"


class Timeout(ApiError):
    code, reason = 504, "Timeout"


def invalid(group: str, kind: str, name: str, causes: Sequence[FieldError]) -> Invalid:
    """The 422 of an object with field errors, worded as Kubernetes does."""
    qualified = f"{kind}.{group}" if group else kind
    listed = ", ".join(str(c) for c in causes)
    text = f"[{listed}]" if len(causes) > 1 else listed
    return Invalid(f'{qualified} "{name}" is invalid: {text}', group=group, kind=kind, name=name, causes=causes)


def not_found(resource: str, name: str) -> NotFound:
    """404 for `resource` (a group-resource such as `pods` or `deployments.apps`)."""
    plural, _, group = resource.partition(".")
    return NotFound(f'{resource} "{name}" not found', group=group, kind=plural, name=name)


def already_exists(resource: str, name: str) -> AlreadyExists:
    plural, _, group = resource.partition(".")
    return AlreadyExists(f'{resource} "{name}" already exists', group=group, kind=plural, name=name)


def conflict(resource: str, name: str, why: str) -> Conflict:
    plural, _, group = resource.partition(".")
    return Conflict(f'Operation cannot be fulfilled on {resource} "{name}": {why}', group=group, kind=plural, name=name)


def stale_range(instance: str) -> StaleRange:
    why = "the tenure under which this was decided is over: another may own the range now"
    return StaleRange(f'controllerinstances "{instance}": {why}', kind="controllerinstances", name=instance)


def forbidden(resource: str, name: str, why: str) -> Forbidden:
    plural, _, group = resource.partition(".")
    return Forbidden(f'{resource} "{name}" is forbidden: {why}', group=group, kind=plural, name=name)
