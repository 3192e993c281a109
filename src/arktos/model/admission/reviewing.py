"""AdmissionReview: what a webhook is asked, and what its answer means (admission.k8s.io/v1). Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from arktos.model import patch_json
from arktos.model.kinds import Obj
from arktos.model.status import ApiError

API_VERSION = "admission.k8s.io/v1"
_MAX_WARNINGS, _LONGEST_WARNING = 10, 256
_MAX_ANNOTATIONS = 32


class BadAnswer(Exception):
    """The webhook's answer is none: what is told after `failed calling webhook "x": `."""


class Rejection(ApiError):
    """What a webhook said no with: its own code, reason and details."""

    def __init__(self, status: Obj) -> None:
        super().__init__(str(status.get("message") or ""))
        self._status = status
        # What is raised must answer with the webhook's code and reason, which are its own for each instance.
        self.code = int(status["code"])  # type: ignore[misc]
        self.reason = str(status.get("reason") or "")  # type: ignore[misc]

    def status(self) -> Obj:
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, **self._status}


@dataclass(frozen=True, slots=True)
class Answer:
    """`patch` are JSON patch operations, checked for their form only."""

    allowed: bool
    status: Obj = field(default_factory=dict)
    patch: Sequence[Obj] = ()
    warnings: tuple[str, ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()


def review(uid: str, request: Obj) -> Obj:
    """The document that is sent."""
    return {"kind": "AdmissionReview", "apiVersion": API_VERSION, "request": {"uid": uid, **request}}


def read(body: bytes, uid: str, *, mutating: bool) -> Answer:
    """The answer that `body` is. BadAnswer."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadAnswer(f"could not get REST client: the answer is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise BadAnswer("webhook response was not an object")
    version, kind = document.get("apiVersion"), document.get("kind")
    if version != API_VERSION or kind != "AdmissionReview":
        wanted = f"{API_VERSION}, Kind=AdmissionReview"
        raise BadAnswer(f"expected webhook response of {wanted}, got {version or ''}, Kind={kind or ''}")
    response = document.get("response")
    if not isinstance(response, dict):
        raise BadAnswer("webhook response was absent")
    if response.get("uid") != uid:
        raise BadAnswer(f'expected response.uid="{uid}", got "{response.get("uid") or ""}"')
    if response.get("allowed") not in (True, False, None):
        raise BadAnswer("webhook response's allowed is not a boolean")
    return Answer(
        allowed=response.get("allowed") is True,
        status=_object(response.get("status")),
        patch=_patch(response, mutating) if mutating else (),
        warnings=_warnings(response.get("warnings")),
        annotations=_annotations(response.get("auditAnnotations")),
    )


def _object(value: Any) -> Obj:
    return value if isinstance(value, dict) else {}


def _patch(response: Obj, mutating: bool) -> Sequence[Obj]:
    patch, kind = response.get("patch"), response.get("patchType")
    if patch is None and kind is None:
        return ()
    if patch is None or kind is None:
        raise BadAnswer(
            "webhook returned response.patch but not response.patchType"
            if kind is None
            else "webhook returned response.patchType but not response.patch"
        )
    if kind != "JSONPatch":
        raise BadAnswer(f'webhook returned invalid response.patchType of "{kind}"')
    try:
        operations = msgspec.json.decode(base64.b64decode(patch, validate=True))
    except (TypeError, ValueError, binascii.Error, msgspec.DecodeError):
        raise BadAnswer("received undecodable patch") from None
    if not isinstance(operations, list) or not all(isinstance(each, dict) for each in operations):
        raise BadAnswer("received undecodable patch")
    return operations


def _warnings(found: Any) -> tuple[str, ...]:
    if not isinstance(found, list):
        return ()
    texts = [each.replace("\n", " ").replace("\r", " ")[:_LONGEST_WARNING] for each in found if isinstance(each, str)]
    return tuple(texts[:_MAX_WARNINGS])


def _annotations(found: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(found, dict):
        return ()
    pairs = [
        (key[:256], value[:1024]) for key, value in found.items() if isinstance(key, str) and isinstance(value, str)
    ]
    return tuple(pairs[:_MAX_ANNOTATIONS])


def rejection(name: str, status: Obj) -> Rejection:
    """The error that a webhook's no is told with. When to come again it cannot say: controllers, who write for all
    tenants, would wait for as long."""
    denied = f'admission webhook "{name}" denied the request'
    told = {key: value for key, value in status.items() if key in ("message", "reason", "code", "details")}
    code = told.get("code")
    told["code"] = code if isinstance(code, int) and 400 <= code <= 599 else 400
    told["status"] = "Failure"
    reason = told.get("reason") if isinstance(told.get("reason"), str) else ""
    message = told.get("message") if isinstance(told.get("message"), str) else ""
    told["message"] = f"{denied}: {message or reason}" if message or reason else f"{denied} without explanation"
    told["reason"] = reason
    if isinstance(told.get("details"), dict):
        told["details"] = {key: value for key, value in told["details"].items() if key != "retryAfterSeconds"}
    else:
        told.pop("details", None)
    if not reason:
        told.pop("reason")
    return Rejection(told)


def patched(obj: Obj, operations: Sequence[Obj]) -> Obj:
    """The object after a webhook's patch; it is not changed. BadAnswer where the patch does not fit."""
    try:
        return patch_json.apply(obj, list(operations))
    except ApiError as error:
        raise BadAnswer(f"failed to apply patch: {error.message}") from None
