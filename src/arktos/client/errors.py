"""What a call can raise: the server's `Status` as the `ApiError` it was, and `ConnectionFailed` for everything
below it.

`from_status` is the inverse of `ApiError.status()`: the reason picks the class, the HTTP code where the reason is
unknown.
"""

from __future__ import annotations

import functools
from typing import Any

import msgspec

from arktos.model import status
from arktos.model.status import ApiError, FieldError
from arktos.wire.http_client import ConnectionFailed, RequestTimeout

__all__ = ["ConnectionFailed", "RequestTimeout", "from_response", "from_status", "is_too_large_revision"]

_CLASSES: tuple[type[ApiError], ...] = (
    status.BadRequest,
    status.Unauthorized,
    status.Forbidden,
    status.NotFound,
    status.MethodNotAllowed,
    status.NotAcceptable,
    status.Conflict,
    status.StaleRange,
    status.AlreadyExists,
    status.Expired,
    status.RequestEntityTooLarge,
    status.UnsupportedMediaType,
    status.MisdirectedRequest,
    status.Invalid,
    status.TooManyRequests,
    status.InternalError,
    status.ServiceUnavailable,
    status.Timeout,
)
_BY_REASON: dict[str, type[ApiError]] = {c.reason: c for c in _CLASSES} | {"Gone": status.Expired}
_BY_CODE: dict[int, type[ApiError]] = {c.code: c for c in reversed(_CLASSES)} | {409: status.Conflict}


@functools.lru_cache(maxsize=64)
def _unlisted(code: int, reason: str) -> type[ApiError]:
    """A class for a code that the model has no name for, so that `code` and `reason` stay true."""
    return type("ApiError", (ApiError,), {"code": code, "reason": reason})


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def from_status(body: dict[str, Any], *, retry_after: int = 0) -> ApiError:
    """The error that a `Status` object reports. Never raises: fields that are missing or of a wrong type count as
    empty. `retry_after` (seconds, from the header) counts where the body has none."""
    code, reason = _whole(body.get("code")) or 500, _text(body.get("reason"))
    details = body.get("details")
    details = details if isinstance(details, dict) else {}
    kind = (
        _BY_REASON.get(reason) or (_BY_CODE.get(code) if not reason else None) or _unlisted(code, reason or "Unknown")
    )
    causes = details.get("causes")
    return kind(
        _text(body.get("message")) or reason or f"the server answered {code}",
        group=_text(details.get("group")),
        kind=_text(details.get("kind")),
        name=_text(details.get("name")),
        uid=_text(details.get("uid")),
        causes=[
            FieldError(_text(c.get("field")), _text(c.get("reason")), _text(c.get("message")))
            for c in (causes if isinstance(causes, list) else ())
            if isinstance(c, dict)
        ],
        retry_after=_whole(details.get("retryAfterSeconds")) or retry_after,
    )


def from_response(code: int, body: bytes, retry_after: int = 0) -> ApiError:
    """The error of an answer with `code` >= 400, whether its body is a `Status` or not (a proxy's page, plain
    text)."""
    try:
        decoded = msgspec.json.decode(body)
    except msgspec.DecodeError:
        decoded = None
    if isinstance(decoded, dict) and decoded.get("kind") == "Status":
        return from_status({**decoded, "code": decoded.get("code") or code}, retry_after=retry_after)
    text = body[:512].decode("utf-8", "replace").strip() or f"the server answered {code}"
    return from_status({"code": code, "message": text}, retry_after=retry_after)


def is_too_large_revision(error: ApiError) -> bool:
    """Whether the server has not (or no longer) seen the revision that was asked for (a 504 with that cause)."""
    return isinstance(error, status.Timeout) and any(c.reason == "ResourceVersionTooLarge" for c in error.causes)
