"""A container's log as an answer: read in threads, followed while the container runs, at the client's pace."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from arktos.agent.streaming.crilog import LogOptions, LogReader
from arktos.agent.streaming.inotify import Folders
from arktos.agent.streaming.logfiles import files_of, open_log, open_next, tail_of
from arktos.wire import logs
from arktos.wire.http import Channel, Stream, chunk

_PIECE = 256 * 1024
_LOOK_AGAIN = 5.0
"""Seconds after which a follower looks even if the kernel told it nothing."""
_LOOK_SOON = 0.2
"""Seconds after which one looks that may have to wait for the news that its container has ended."""
_LOOKS_SOON = 25

_log = logs.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LogSource:
    """One run of a container: its current log file, and whether it may still be written to."""

    path: Path
    running: Callable[[], bool]


def log_stream(source: LogSource, options: LogOptions, folders: Folders | None) -> Stream:
    """The answer that carries a log; `folders` tells of changes (None: looks for them every few seconds)."""
    sender = _Sender(source, options, folders)
    return Stream(sender.open, sender.drained, sender.close, content_type="text/plain")


class _Sender:
    """Carries one log to one client."""

    def __init__(self, source: LogSource, options: LogOptions, folders: Folders | None) -> None:
        self._source = source
        self._options = options
        self._folders = folders
        self._reader = LogReader(options)
        self._room = asyncio.Event()
        self._news = asyncio.Event()
        self._looks_soon = 0
        self._task: asyncio.Task[None] | None = None

    def open(self, channel: Channel) -> None:
        self._task = asyncio.get_running_loop().create_task(self._send(channel))

    def drained(self) -> None:
        self._room.set()

    def close(self) -> None:
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    async def _send(self, channel: Channel) -> None:
        stop = self._watch()
        try:
            await self._carry(channel)
        except (OSError, EOFError) as error:
            _log.warning("log_broke_off", log=str(self._source.path), error=str(error))
            channel.abort()
        else:
            channel.finish()
        finally:
            stop()

    def _watch(self) -> Callable[[], None]:
        if self._options.follow and self._folders is not None:
            try:
                return self._folders.watch(self._source.path.parent, self._changed)
            except OSError as error:
                _log.warning("log_not_watched", log=str(self._source.path), error=str(error))
        return lambda: None

    def _changed(self, closed: bool) -> None:
        if closed:
            # The container has ended, mostly, of which the runtime will tell in a moment.
            self._looks_soon = _LOOKS_SOON
        self._news.set()

    async def _carry(self, channel: Channel) -> None:
        """Sends the log from where it was asked for: file by file, then what is written while the container runs."""
        files = await asyncio.to_thread(files_of, self._source.path)
        first, offset = 0, 0
        if self._options.tail is not None:
            first, offset = await asyncio.to_thread(tail_of, files, self._options.tail)
        file = await self._opened(files[first])
        if file is None:
            return
        try:
            if offset:
                await asyncio.to_thread(file.seek, offset)
            while True:
                self._news.clear()
                running = self._source.running()
                await self._drain_file(channel, file)
                if self._reader.done:
                    return
                following = await asyncio.to_thread(self._next, file, running)
                if following is not None:
                    # The runtime has turned to the next file: nothing more comes into this one.
                    await self._drain_file(channel, file)
                    file.close()
                    file = following
                elif not (self._options.follow and running):
                    return
                else:
                    self._looks_soon -= 1
                    await self._wait(_LOOK_SOON if self._looks_soon >= 0 else _LOOK_AGAIN)
        finally:
            file.close()

    def _next(self, file: IO[bytes], running: bool) -> IO[bytes] | None:
        """The next file, once the runtime writes to it: until then it may still write to this one."""
        following = open_next(file, self._source.path)
        if following is not None and running and not os.fstat(following.fileno()).st_size:
            following.close()
            return None
        return following

    async def _drain_file(self, channel: Channel, file: IO[bytes]) -> None:
        """Sends all that there is in a file from here on."""
        while not self._reader.done:
            sent, ended = await self._piece(channel, file)
            if ended and not sent:
                return

    async def _piece(self, channel: Channel, file: IO[bytes]) -> tuple[int, bool]:
        data = await asyncio.to_thread(file.read, _PIECE)
        if not data:
            return 0, True
        # A piece is worth a millisecond or two.
        wanted = await asyncio.to_thread(self._reader.feed, data)
        if wanted:
            channel.write(chunk(wanted))
            while channel.congested:
                self._room.clear()
                await self._room.wait()
        return len(data), False

    async def _opened(self, path: Path) -> IO[bytes] | None:
        """A file, waited for while the container runs: a runtime makes it a moment after the start."""
        while True:
            self._news.clear()
            running = self._source.running()
            try:
                return await asyncio.to_thread(open_log, path)
            except FileNotFoundError:
                if not (running and self._options.follow):
                    return None
                path = self._source.path
            await self._wait(_LOOK_SOON)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return
