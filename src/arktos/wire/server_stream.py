"""A stream's hold on its connection: what a handler writes an endless body to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from arktos.wire import answers
from arktos.wire.http import Stream

log = logging.getLogger("arktos.wire")


class Carrier(Protocol):
    """What a stream needs of its connection."""

    @property
    def transport(self) -> asyncio.Transport: ...

    @property
    def congested(self) -> bool: ...

    def abort(self) -> None: ...

    def stream_finished(self, status: int, size: int) -> None: ...


class StreamChannel:
    """The `Channel` of one `Stream`, without effect once that has ended. `unframe` is for peers that know no chunks.

    The calls into the stream's owner go through here: one that raises ends the connection, since its body has a hole.
    """

    __slots__ = ("_carrier", "_open", "_sent", "_stream", "_unframe")

    def __init__(self, carrier: Carrier, stream: Stream, unframe: bool) -> None:
        self._carrier = carrier
        self._stream = stream
        self._unframe = unframe
        self._sent = 0
        self._open = True

    def write(self, framed: bytes) -> None:
        if self._open:
            self._sent += len(framed)
            self._carrier.transport.write(answers.unframed(framed) if self._unframe else framed)

    def finish(self) -> None:
        if self._open:
            if not self._unframe:
                self._carrier.transport.write(answers.LAST_CHUNK)
            self.lost()
            self._carrier.stream_finished(self._stream.status, self._sent)

    def abort(self) -> None:
        if self._open:
            self._carrier.abort()

    @property
    def congested(self) -> bool:
        return not self._open or self._carrier.congested

    @property
    def status(self) -> int:
        return self._stream.status

    # For the connection

    def begin(self) -> None:
        """The head has been sent."""
        self._call(lambda: self._stream.open(self))

    def drained(self) -> None:
        """There is room again."""
        if self._open:
            self._call(self._stream.on_drain)

    def lost(self) -> None:
        """The body has ended, well or not; tells the stream's owner once."""
        if self._open:
            self._open = False
            self._call(self._stream.on_close)

    def _call(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception:
            log.exception("stream failed")
            self._carrier.abort()
