"""A running watch: events as they come, bytes and header, nothing decoded beyond that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Literal, Self

import msgspec

from arktos.client.cached import Header, decode_header
from arktos.client.errors import from_status
from arktos.model.status import ApiError, InternalError
from arktos.wire.http_client import ResponseStream

EventType = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]


class WatchEvent(msgspec.Struct, frozen=True, gc=False):
    """One event. `raw` is the object's JSON, `header` its identity. ERROR never shows: it is raised as `ApiError`."""

    type: EventType
    raw: bytes
    header: Header

    @property
    def ends_initial_events(self) -> bool:
        """True for the bookmark that closes the initial batch of a watch with `send_initial_events`."""
        return self.type == "BOOKMARK" and _ANNOTATED.decode(self.raw).metadata.ends_initial_events


class _Line(msgspec.Struct, gc=False):
    type: EventType
    object: msgspec.Raw


class _BookmarkMeta(msgspec.Struct, frozen=True):
    annotations: dict[str, str] | None = None

    @property
    def ends_initial_events(self) -> bool:
        return (self.annotations or {}).get("k8s.io/initial-events-end") == "true"


class _Bookmark(msgspec.Struct, frozen=True):
    metadata: _BookmarkMeta = _BookmarkMeta()


_LINE = msgspec.json.Decoder(_Line)
_ANNOTATED = msgspec.json.Decoder(_Bookmark)


def decode_event(line: bytes) -> WatchEvent:
    """One line of a watch. Raises the `ApiError` that an ERROR event carries, `InternalError` for what is no
    event."""
    try:
        decoded = _LINE.decode(line)
        if decoded.type == "ERROR":
            raise from_status(msgspec.json.decode(decoded.object, type=dict))
        return WatchEvent(decoded.type, bytes(decoded.object), decode_header(decoded.object))
    except msgspec.DecodeError as error:
        raise InternalError(f"the server sent a watch event that cannot be read: {error}") from error


class Watch:
    """An async iterator of `WatchEvent`, opened by its first step. Ends when the server ends it (its timeout, or a
    slow reader); raises `ApiError` (also for an ERROR event, such as `Expired`) and `ConnectionFailed`.

    A reader that stops early closes it: `async with client.watch(...) as events:` or `aclose()`.
    """

    def __init__(self, connect: Callable[[], Awaitable[ResponseStream]]) -> None:
        self._connect = connect
        self._stream: ResponseStream | None = None
        self._ready: list[WatchEvent] = []
        self._failure: ApiError | None = None
        self._closed = False

    async def batch(self) -> list[WatchEvent]:
        """All events that have arrived, at least one: waits for the first. Empty at the end of the stream."""
        if self._ready:
            ready, self._ready = self._ready, []
            ready.reverse()
            return ready
        if self._failure:
            failure, self._failure = self._failure, None
            await self.aclose()
            raise failure
        if self._closed:
            return []
        if self._stream is None:
            self._stream = await self._connect()
            if self._closed:  # while it was being opened
                await self._stream.aclose()
                return []
        events: list[WatchEvent] = []
        for line in await self._stream.lines():
            try:
                events.append(decode_event(line))
            except ApiError as error:
                if not events:
                    await self.aclose()
                    raise
                self._failure = error
                break
        if not events:
            await self.aclose()
        return events

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> WatchEvent:
        if not self._ready:
            self._ready = await self.batch()
            self._ready.reverse()
        if not self._ready:
            raise StopAsyncIteration
        return self._ready.pop()

    async def aclose(self) -> None:
        """Closes the connection. Idempotent."""
        self._closed = True
        if self._stream is not None:
            await self._stream.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
