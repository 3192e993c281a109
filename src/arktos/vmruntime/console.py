"""The serial console of one machine: always drained, shown to any number of people, written to the container's log.

QEMU keeps all output in `console.raw`, also while no runtime runs. The log is made from that file, from a position
that is kept beside it; what has been taken is punched out, so the file occupies next to nothing. The socket wakes the
log's writer, feeds those who are attached, and takes what they type.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from contextlib import suppress
from pathlib import Path

from arktos.vmruntime.consolelog import LogFile
from arktos.vmruntime.qemu_command import CONSOLE_RAW, SERIAL
from arktos.vmruntime.records import QEMU_FOLDER
from arktos.wire import logs

_CHUNK = 64 << 10
_BUFFER = 256 << 10
_COALESCE = 0.05
_IDLE = 1.0
"""Seconds after which a line without an end, such as a prompt, is logged as it is."""
_RECENT = 8 << 10

_log = logs.get_logger(__name__)


class Attachment:
    """One who is attached. Reads are all output since; who reads too slowly is cut off, never the guest."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._wake = asyncio.Event()
        self.lost = False
        """Cut off for being slow."""
        self._ended = False

    async def read(self) -> bytes:
        """The next output; empty at the end: the machine ended, or `lost`."""
        while not self._pieces:
            if self._ended:
                return b""
            self._wake.clear()
            await self._wake.wait()
        piece = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        return piece

    async def write(self, data: bytes) -> None:
        """Types. Waits while the guest does not take it. Raises ConnectionError once the machine has ended."""
        await self._console.type(data)

    def close(self) -> None:
        """Idempotent."""
        self._console.forget(self)
        self.end()

    def offer(self, data: bytes) -> None:
        if self._size + len(data) > _BUFFER:
            self.lost = True
            self.close()
            return
        self._pieces.append(data)
        self._size += len(data)
        self._wake.set()

    def end(self) -> None:
        self._ended = True
        self._wake.set()


class Console:
    """The console of a machine whose process runs. `run` connects and works until the socket is closed."""

    def __init__(self, folder: Path, log: LogFile) -> None:
        self._folder = folder
        self._log_file = log
        self._attached: set[Attachment] = set()
        self._writer: asyncio.StreamWriter | None = None
        self._typing = asyncio.Lock()
        self._wake = asyncio.Event()
        self._recent = b""
        self._over = False

    def attach(self) -> Attachment:
        """From now on, with a little of what was said last, for whoever comes in the middle of a prompt."""
        attachment = Attachment(self)
        if self._recent:
            attachment.offer(self._recent)
        if self._over:
            attachment.end()
        else:
            self._attached.add(attachment)
        return attachment

    @property
    def attached(self) -> int:
        return len(self._attached)

    def forget(self, attachment: Attachment) -> None:
        self._attached.discard(attachment)

    async def type(self, data: bytes) -> None:
        if self._writer is None:
            raise ConnectionError("the machine has no console now")
        async with self._typing:
            self._writer.write(data)
            await self._writer.drain()

    async def run(self) -> None:
        """Until QEMU closes the socket. All that it said is in the log then."""
        logging = asyncio.create_task(self._write_log(), name="console-log")
        try:
            await self._drain()
        finally:
            self._over = True
            for attachment in list(self._attached):
                attachment.end()
            self._attached.clear()
            self._wake.set()
            await asyncio.wait((logging,))

    async def _drain(self) -> None:
        try:
            reader, self._writer = await _connect(self._folder)
        except OSError as error:
            _log.warning("console_unreachable", machine=self._folder.name, error=str(error))
            return
        self._wake.set()
        try:
            while data := await reader.read(_CHUNK):
                self._recent = (self._recent + data)[-_RECENT:]
                for attachment in list(self._attached):
                    attachment.offer(data)
                self._wake.set()
        except OSError:
            return
        finally:
            self._writer.close()
            self._writer = None

    async def _write_log(self) -> None:
        """Soon after output, and once more when nothing followed, for lines that have no end."""
        raw = self._folder / QEMU_FOLDER / CONSOLE_RAW
        open_line = False
        while not self._over:
            try:
                await asyncio.wait_for(self._wake.wait(), _IDLE if open_line else None)
            except TimeoutError:
                open_line = await self._pump(raw, flush=True)
                continue
            self._wake.clear()
            await asyncio.sleep(_COALESCE)
            open_line = await self._pump(raw)
        await self._pump(raw, flush=True)

    async def _pump(self, raw: Path, *, flush: bool = False) -> bool:
        try:
            return await asyncio.to_thread(self._log_file.take, raw, flush=flush)
        except OSError as error:
            # The log's disk is full or its folder gone: the guest goes on, the output stays in the raw file.
            _log.warning("console_log_failed", machine=self._folder.name, error=str(error))
            return False


async def _connect(folder: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    descriptor = os.open(folder / QEMU_FOLDER, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return await asyncio.open_unix_connection(f"/proc/self/fd/{descriptor}/{SERIAL}", limit=_CHUNK)
    finally:
        with suppress(OSError):
            os.close(descriptor)
