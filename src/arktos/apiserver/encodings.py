"""Answers in another encoding than JSON, for those who ask for one: YAML and Kubernetes protobuf.

What others make is JSON, errors included; here it is read again and written as asked for. Objects in protobuf do not
come this way: they are encoded once per version (`binary`). Where an answer has no form in the encoding that the client
likes best, its next choice counts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable

from arktos.apiserver import binary
from arktos.apiserver.encoding import loads
from arktos.model import registry
from arktos.model.kinds import Kind, Obj
from arktos.model.status import ApiError, NotAcceptable
from arktos.wire import answers, protobuf, yaml_encode
from arktos.wire.http import Handler, Later, Reply, Request, Response
from arktos.wire.mediatype import JSON, PROTOBUF, YAML, negotiate

EVERY = (JSON, YAML, PROTOBUF)
PLAIN = (JSON,)
_TEXTUAL = (JSON, YAML)
"""The encodings of kinds that protobuf has no message for."""
_STREAMED = (JSON, PROTOBUF)
"""The encodings that a watch can have: YAML has no frames."""

_NAMES = {
    JSON: "application/json",
    YAML: yaml_encode.CONTENT_TYPE,
    PROTOBUF: protobuf.CONTENT_TYPE,
}
_TURN = 0.002
"""Seconds of writing before others have their turn."""


def is_json(accept: str) -> bool:
    """Whether JSON is all that an Accept header can mean, at a glance."""
    return "yaml" not in accept and "vnd.kubernetes.protobuf" not in accept


def allowed(kind: Kind, verb: str) -> tuple[str, ...]:
    """The encodings that a kind's objects can be answered in."""
    if binary.encodable(kind):
        return EVERY if verb != "watch" else _STREAMED
    return _TEXTUAL if verb != "watch" else PLAIN


def none_of(allowed: tuple[str, ...]) -> NotAcceptable:
    """The refusal of a client that takes nothing that can be made."""
    listed = ", ".join(_NAMES[encoding] for encoding in allowed)
    return NotAcceptable(f"only the following media types are accepted: {listed}")


def answer(handler: Handler, request: Request) -> Reply | Later | Awaitable[Reply]:
    """What `handler` answers, or the Status of the error that it raises, in the encoding that the client likes best."""
    try:
        reply = handler(request)
    except ApiError as error:
        reply = answers.of_error(error)
    if isinstance(reply, Later):
        call = reply.call
        reply.call = lambda request: answer(call, request)
        return reply
    return _written(request, reply)


async def _written(request: Request, made: Reply | Awaitable[Reply]) -> Reply:
    try:
        reply = await made if isinstance(made, Awaitable) else made
    except ApiError as error:
        reply = answers.of_error(error)
    if not isinstance(reply, Response) or not _is_ours(request, reply):
        return reply
    accept = request.headers.get("accept", "")
    wanted = negotiate(accept, EVERY)
    if wanted is None or wanted.encoding == JSON:
        return reply
    try:
        obj = loads(reply.body if isinstance(reply.body, bytes) else b"".join(reply.body))
    except (ValueError, TypeError, RecursionError):
        return reply  # what an extension calls JSON
    if not isinstance(obj, dict):
        return reply
    if wanted.encoding == PROTOBUF:
        written = _binary(obj)
        if written is not None:
            return _as(reply, written, protobuf.CONTENT_TYPE)
        wanted = negotiate(accept, _TEXTUAL)
    if wanted is not None and wanted.encoding == YAML:
        return _as(reply, await _yaml(obj), yaml_encode.CONTENT_TYPE)
    return reply


def _is_ours(request: Request, reply: Response) -> bool:
    """Whether an answer is JSON of this server, not of what somebody is connected to."""
    if reply.content_type != _NAMES[JSON] or not reply.body:
        return False
    if any(name.lower() == "content-encoding" for name, _ in reply.headers):
        return False
    kind, subresource = _asked(request)
    return kind is None or subresource not in kind.subresources or not kind.subresources[subresource].connects


def _asked(request: Request) -> tuple[Kind | None, str]:
    if len(request.mark) < 5:
        return None, ""
    _verb, group, version, plural, subresource = request.mark[:5]
    return registry.lookup(group, version, plural), subresource


def _as(reply: Response, body: bytes, content_type: str) -> Response:
    # The tag of a document is that of its JSON.
    headers = [(name, value) for name, value in reply.headers if name.lower() != "etag"]
    return Response(reply.status, body, content_type, headers)


def _binary(obj: Obj) -> bytes | None:
    """An object in protobuf; None for one that has no message, or does not fit into it."""
    obj.setdefault("apiVersion", "v1")
    if not isinstance(obj.get("kind"), str) or not isinstance(obj["apiVersion"], str):
        return None
    if not protobuf.encodable(obj["apiVersion"], obj["kind"]):
        return None
    try:
        return protobuf.encode(obj)
    except protobuf.EncodeError:
        return None


async def _yaml(obj: Obj) -> bytes:
    """A document in YAML, written in turns."""
    written: list[str] = []
    until = time.perf_counter() + _TURN
    for part in yaml_encode.parts(obj):
        written.append(part)
        if not len(written) & 63 and time.perf_counter() > until:
            await asyncio.sleep(0)
            until = time.perf_counter() + _TURN
    return "".join(written).encode("utf-8", "replace")
