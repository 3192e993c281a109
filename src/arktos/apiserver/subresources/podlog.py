"""PodLogOptions: how the query of pods/log is read, and what it must not say (as Kubernetes validates it). Pure."""

from __future__ import annotations

from urllib.parse import urlencode

from arktos.apiserver.call import Params
from arktos.model import dates
from arktos.model.status import BadRequest, FieldError, invalid

_FLAGS = ("follow", "previous", "timestamps")
_NUMBERS = {"sinceSeconds": 1, "tailLines": 0, "limitBytes": 1}
"""The smallest value of each."""
_AT_LEAST = {0: "must be greater than or equal to 0", 1: "must be greater than 0"}
_STREAMS = ("All", "Stdout", "Stderr")


def log_query(params: Params, pod: str) -> str:
    """The query for the node's agent. Raises BadRequest for values that cannot be read, Invalid for what they say."""
    found: dict[str, str] = {name: "true" for name in _FLAGS if params.flag(name)}
    causes: list[FieldError] = []
    for name, least in _NUMBERS.items():
        text = params.get(name, "")
        if not text:
            continue
        value = _integer(name, text)
        if value < least:
            causes.append(FieldError(name, "FieldValueInvalid", f"Invalid value: {value}: {_AT_LEAST[least]}"))
        found[name] = str(value)
    if since := params.get("sinceTime", ""):
        try:
            dates.parse(since)
        except dates.DateError as error:
            raise BadRequest(str(error)) from error
        found["sinceTime"] = since
        if "sinceSeconds" in found:
            message = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"
            causes.append(FieldError("sinceSeconds", "FieldValueForbidden", message))
    if stream := params.get("stream", ""):
        if stream not in _STREAMS:
            supported = ", ".join(f'"{name}"' for name in _STREAMS)
            message = f'Unsupported value: "{stream}": supported values: {supported}'
            causes.append(FieldError("stream", "FieldValueNotSupported", message))
        elif stream != "All" and "tailLines" in found:
            message = "Forbidden: `tailLines` and specific `stream` are mutually exclusive for now"
            causes.append(FieldError("tailLines", "FieldValueForbidden", message))
        found["stream"] = stream
    if causes:
        raise invalid("", "PodLogOptions", pod, causes)
    return urlencode(found)


def _integer(name: str, text: str) -> int:
    if not text.lstrip("-").isascii() or not text.removeprefix("-").isdecimal() or len(text) > 19:
        raise BadRequest(f"the query parameter {name} must be an integer, not {text[:64]!r}")
    return int(text)
