"""A gRPC method as a typed value: called with `call` or `stream`, served with `serve`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

Question = TypeVar("Question", bound=Message)
Answer = TypeVar("Answer", bound=Message)

LARGEST_MESSAGE = 16 << 20
"""Bytes: what the runtimes of the field allow."""

OPTIONS = (("grpc.max_receive_message_length", LARGEST_MESSAGE), ("grpc.max_send_message_length", LARGEST_MESSAGE))


_RECONNECT = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
)
"""On one machine a try costs nothing, and gRPC's usual two minutes would be time without pods."""


class RpcError(Exception):
    """A call that failed. `code` is gRPC's name for it: NOT_FOUND, UNAVAILABLE, DEADLINE_EXCEEDED, ..."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


@dataclass(frozen=True, slots=True)
class Method(Generic[Question, Answer]):
    """One method of one service, with its messages. `streams` where the answer is a stream of messages."""

    service: str
    name: str
    question: type[Question]
    answer: type[Answer]
    streams: bool = False

    @property
    def path(self) -> str:
        return f"/{self.service}/{self.name}"


def connect(socket: str) -> grpc.aio.Channel:
    """A channel to a unix socket (a path, or a `unix://` URL). Connects on the first call, and again when it broke."""
    path = socket.removeprefix("unix://").removeprefix("unix:")
    return grpc.aio.insecure_channel("unix:" + path, options=(*OPTIONS, *_RECONNECT))


async def call(
    channel: grpc.aio.Channel, method: Method[Question, Answer], question: Question, *, within: float
) -> Answer:
    """The answer of a method, within so many seconds. Raises RpcError for every failure, silence included."""
    bound = channel.unary_unary(
        method.path,
        request_serializer=method.question.SerializeToString,
        response_deserializer=method.answer.FromString,
    )
    try:
        answer: Answer = await bound(question, timeout=within)
    except grpc.aio.AioRpcError as error:
        raise RpcError(error.code().name, error.details() or "") from None
    return answer


async def stream(
    channel: grpc.aio.Channel, method: Method[Question, Answer], question: Question
) -> AsyncIterator[Answer]:
    """The answers of a streaming method, until the server ends it. Raises RpcError when the stream breaks."""
    bound = channel.unary_stream(
        method.path,
        request_serializer=method.question.SerializeToString,
        response_deserializer=method.answer.FromString,
    )
    running = bound(question)
    try:
        async for answer in running:
            yield answer
    except grpc.aio.AioRpcError as error:
        raise RpcError(error.code().name, error.details() or "") from None
    finally:
        running.cancel()


Unary = Callable[[Any], Awaitable[Message]]
Streaming = Callable[[Any], AsyncIterator[Message]]


def serve(server: grpc.aio.Server, implementations: Iterable[tuple[Method[Any, Any], Unary | Streaming]]) -> None:
    """Adds methods to a server. An implementation raises RpcError to answer with that code; any other exception is
    answered INTERNAL with its text. A method without an implementation answers UNIMPLEMENTED."""
    services: dict[str, dict[str, grpc.RpcMethodHandler]] = {}
    for method, implementation in implementations:
        kind = grpc.unary_stream_rpc_method_handler if method.streams else grpc.unary_unary_rpc_method_handler
        services.setdefault(method.service, {})[method.name] = kind(
            _streaming(implementation) if method.streams else _unary(implementation),
            request_deserializer=method.question.FromString,
            response_serializer=method.answer.SerializeToString,
        )
    server.add_generic_rpc_handlers(
        tuple(grpc.method_handlers_generic_handler(name, methods) for name, methods in services.items())
    )


def _unary(implementation: Any) -> Any:
    async def answer(question: Message, context: grpc.aio.ServicerContext) -> Message | None:
        try:
            found: Message = await implementation(question)
        except Exception as error:
            await _refuse(context, error)
            return None
        return found

    return answer


def _streaming(implementation: Any) -> Any:
    async def answers(question: Message, context: grpc.aio.ServicerContext) -> AsyncIterator[Message]:
        try:
            async for each in implementation(question):
                yield each
        except Exception as error:
            await _refuse(context, error)

    return answers


async def _refuse(context: grpc.aio.ServicerContext, error: Exception) -> None:
    if isinstance(error, RpcError):
        await context.abort(grpc.StatusCode[error.code], error.message)
    await context.abort(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")
