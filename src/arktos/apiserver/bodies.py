"""Request bodies: bytes in any accepted encoding to a checked object, with field validation as the client asked."""

from __future__ import annotations

from collections.abc import Sequence

from arktos.apiserver.call import Call
from arktos.model import structure
from arktos.model.kinds import Kind, Obj
from arktos.model.status import BadRequest, FieldError, UnsupportedMediaType
from arktos.wire import json as wire_json
from arktos.wire import protobuf
from arktos.wire.mediatype import content_type

_VALIDATIONS = frozenset({"Strict", "Warn", "Ignore"})


def decode_bytes(call: Call) -> Obj:
    """The body as a JSON object, whatever its encoding. A missing Content-Type means JSON (Python clients send none).

    BadRequest for what is not an object, UnsupportedMediaType for encodings that are not spoken."""
    encoding = content_type(call.request.headers.get("content-type", ""))
    data = call.request.body
    try:
        if encoding == "json":
            decoded = wire_json.decode(data)
        elif encoding == "yaml":
            decoded = wire_json.decode_yaml(data)
        elif encoding == "protobuf" and call.kind.custom is None:
            decoded = protobuf.decode(data)
        else:
            raise UnsupportedMediaType(
                "the body of the request was in an unknown format - accepted media types include: "
                "application/json, application/yaml"
                + (", application/vnd.kubernetes.protobuf" if call.kind.custom is None else "")
            )
    except (wire_json.DecodeError, protobuf.DecodeError) as error:
        raise BadRequest(f"couldn't read the request's body: {error}") from error
    if not isinstance(decoded, dict):
        raise BadRequest("the request's body must be an object")
    return decoded


def read_object(call: Call, kind: Kind | None = None) -> Obj:
    """The body as an object of `kind` (the call's own by default), structure checked, unknown fields pruned.

    BadRequest for another kind, wrong types, and, under `fieldValidation=Strict`, unknown or duplicate fields; under
    Warn (the default) these become warnings."""
    kind = kind or call.kind
    obj = decode_bytes(call)
    match_kind(obj, kind)
    mode = validation_mode(call)
    check(call, kind, obj, mode, duplicates(call, mode))
    return obj


def duplicates(call: Call, mode: str) -> Sequence[str]:
    """Paths of the fields that the body has more than once; none where nobody asks for them."""
    if mode == "Ignore":
        return ()
    encoding = content_type(call.request.headers.get("content-type", ""))
    if encoding in {"yaml", "apply-patch"}:
        from arktos.wire import yaml

        return yaml.duplicate_fields(call.request.body)
    return () if encoding in {"protobuf", "json-patch"} else wire_json.duplicate_fields(call.request.body)


def validation_mode(call: Call) -> str:
    mode = call.params.get("fieldValidation", "") or "Warn"
    if mode not in _VALIDATIONS:
        raise BadRequest(f'fieldValidation: Unsupported value: "{mode}": supported values: "Ignore", "Strict", "Warn"')
    return mode


def match_kind(obj: Obj, kind: Kind) -> None:
    """Fills in a missing kind and apiVersion; BadRequest where the body says it is something else."""
    for field, own in (("kind", kind.kind), ("apiVersion", kind.api_version)):
        if obj.get(field) in (None, ""):
            obj[field] = own
    name, version = obj["kind"], obj["apiVersion"]
    if version != kind.api_version:
        raise BadRequest(
            f"the API version in the data ({version}) does not match the expected API version ({kind.api_version})"
        )
    if name != kind.kind:
        raise BadRequest(f"the kind in the data ({name}) does not match the expected kind ({kind.kind})")


def check(call: Call, kind: Kind, obj: Obj, mode: str, repeated: Sequence[str] = (), known: Obj | None = None) -> None:
    """The structure of `obj`, in place: nulls and unknown fields go, by `mode` with an error, a warning or silently.

    What it shares with `known`, an object that has passed, is not looked at."""
    found = structure.check(kind, obj) if known is None or kind.custom is not None else _check_new(kind, obj, known)
    if found.type_errors:
        raise wrong_types(kind, found.type_errors)
    if mode == "Ignore":
        return
    problems = [f'unknown field "{path}"' for path in found.unknown]
    problems += [f'duplicate field "{path}"' for path in repeated]
    if not problems:
        return
    if mode == "Strict":
        raise BadRequest(
            f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: '
            f"strict decoding error: {', '.join(problems)}"
        )
    call.warnings += [problem for problem in problems if problem not in call.warnings]


def _check_new(kind: Kind, obj: Obj, known: Obj) -> structure.Structure:
    """The structure of the top-level fields that are not those of `known`."""
    fresh = {name: value for name, value in obj.items() if name not in known or known[name] is not value}
    names = list(fresh)
    found = structure.check(kind, fresh)
    for name in names:
        if name in fresh:
            obj[name] = fresh[name]
        else:
            del obj[name]
    return found


def wrong_types(kind: Kind, errors: Sequence[FieldError]) -> BadRequest:
    listed = ", ".join(str(error) for error in errors)
    return BadRequest(
        f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {listed}',
        group=kind.group,
        kind=kind.kind,
        causes=errors,
    )
