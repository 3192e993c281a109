"""Media types as the Kubernetes API negotiates them (RFC 9110 12.5.1, with the API's own parameters).

Parameters come in any order, weights are honoured, the first of equals wins. The same headers come again and again, so
results are cached by header text; headers of absurd length are not. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

JSON, YAML, PROTOBUF = "json", "yaml", "protobuf"
MERGE_PATCH, JSON_PATCH, STRATEGIC_PATCH = "merge-patch", "json-patch", "strategic-merge-patch"
APPLY_PATCH = "apply-patch"

_ENCODINGS = {
    "application/json": JSON,
    "application/yaml": YAML,
    "application/vnd.kubernetes.protobuf": PROTOBUF,
}
_TEXT_ONLY = frozenset({"Table"})
"""Representations that protobuf has no use for: a clause that asks for it is passed over."""
_LONGEST = 4096
_MANY = 64


@dataclass(frozen=True, slots=True)
class Accept:
    """One acceptable form of an answer. `as_` is empty for the object itself, else the kind of its representation
    (`Table`, `PartialObjectMetadata`, `APIGroupDiscoveryList`, …) in `group` and `version`; `stream` is `watch` where
    the client asked for a framed stream; `pretty` is what the media type said, the query may say more."""

    encoding: str = JSON
    as_: str = ""
    group: str = ""
    version: str = ""
    stream: str = ""
    pretty: bool = False


def negotiate(
    accept: str, allowed: tuple[str, ...] = (JSON,), kinds: tuple[str, ...] | frozenset[str] | None = None
) -> Accept | None:
    """The best form that the client takes and we can make; None when there is none (406).

    `allowed` are the encodings that can be made, best first (it decides `*/*`); `kinds` the `as=` representations, None
    for any: a clause that asks for another kind is passed over, as the API does. An empty header takes anything.
    """
    return (_cached_negotiate if len(accept) <= _LONGEST else _negotiate)(accept, allowed, kinds)


def _negotiate(accept: str, allowed: tuple[str, ...], kinds: tuple[str, ...] | frozenset[str] | None) -> Accept | None:
    if not accept.strip():
        return Accept(allowed[0])
    wanted = _clauses(accept)
    refused = {clause.form.encoding for clause in wanted if not clause.weight}
    for clause in wanted:
        form = clause.form
        if not clause.weight or (form.as_ and kinds is not None and form.as_ not in kinds):
            continue
        if form.encoding == PROTOBUF and form.as_ in _TEXT_ONLY:
            continue
        if clause.media_type in ("*/*", "application/*"):
            possible = [encoding for encoding in allowed if encoding not in refused]
        else:
            possible = [encoding for encoding in allowed if encoding == form.encoding]
        if possible:
            return replace(form, encoding=possible[0])
    return None


_cached_negotiate = lru_cache(maxsize=1024)(_negotiate)


@dataclass(frozen=True, slots=True)
class Clause:
    """One element of an Accept header: the media type and what its parameters say."""

    media_type: str
    weight: float
    form: Accept


def content_type(header: str) -> str:
    """What a request's body is, by its Content-Type: one of this module's names, the bare media type for others.

    A missing header means JSON: the Python clients send none."""
    if not header or header == "application/json":
        return JSON
    media_type = header.partition(";")[0].strip().lower()
    return _CONTENT_TYPES.get(media_type, media_type)


_CONTENT_TYPES = {
    "": JSON,
    "text/json": JSON,
    "application/yaml": YAML,
    "application/x-yaml": YAML,
    "text/yaml": YAML,
    "text/x-yaml": YAML,
    "application/merge-patch+json": MERGE_PATCH,
    "application/json-patch+json": JSON_PATCH,
    "application/strategic-merge-patch+json": STRATEGIC_PATCH,
    "application/apply-patch+yaml": APPLY_PATCH,
    **_ENCODINGS,
}


def _clauses(accept: str) -> tuple[Clause, ...]:
    """The elements of an Accept header, best first; broken ones are left out."""
    found = [clause for text in _split(accept, ",")[:_MANY] if (clause := _clause(text)) is not None]
    return tuple(sorted(found, key=lambda clause: -clause.weight))


def _clause(text: str) -> Clause | None:
    media_type, *rest = _split(text, ";")
    media_type = media_type.strip().lower()
    if media_type.count("/") != 1 or media_type.startswith("/") or media_type.endswith("/"):
        return None
    parameters: dict[str, str] = {}
    for parameter in rest:
        name, _, value = parameter.partition("=")
        parameters[name.strip().lower()] = _unquoted(value.strip())
    try:
        weight = float(parameters.get("q", "1"))
    except ValueError:
        return None
    form = Accept(
        _ENCODINGS.get(media_type, ""),
        parameters.get("as", ""),
        parameters.get("g", ""),
        parameters.get("v", ""),
        parameters.get("stream", ""),
        parameters.get("pretty", "0") in ("1", "true"),
    )
    return Clause(media_type, min(max(weight, 0.0), 1.0), form)


def _split(text: str, separator: str) -> list[str]:
    """Splits outside of quoted strings."""
    if '"' not in text:
        return text.split(separator)
    parts, start, quoted, escaped = [], 0, False, False
    for index, character in enumerate(text):
        if escaped:
            escaped = False
        elif quoted and character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif character == separator and not quoted:
            parts.append(text[start:index])
            start = index + 1
    parts.append(text[start:])
    return parts


def _unquoted(value: str) -> str:
    if len(value) < 2 or value[0] != '"' or value[-1] != '"':
        return value
    return value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
