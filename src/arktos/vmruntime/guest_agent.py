"""The QEMU guest agent in a machine: whether it answers, and commands run by it (qemu-ga protocol, JSON lines)."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arktos.vmruntime.errors import Failed, TooLate, WrongState
from arktos.vmruntime.qemu_command import AGENT
from arktos.vmruntime.records import QEMU_FOLDER

_SYNC = 2.0
_ANSWER = 10.0
_LONGEST = 64 << 20
_FIRST_POLL, _LAST_POLL = 0.02, 0.5
ABSENT = "the guest agent does not answer: exec needs qemu-guest-agent running in the guest"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command in the guest ended: its exit code, 128 + n where a signal ended it."""

    exit_code: int
    output: bytes
    errors: bytes


class GuestAgent:
    """The agent of one machine whose process runs. One question at a time; connects for each conversation."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / QEMU_FOLDER
        self._lock = asyncio.Lock()

    async def answers(self) -> bool:
        """Whether it does within two seconds."""
        try:
            async with self._lock:
                (await _Conversation.open(self._folder)).close()
        except WrongState:
            return False
        return True

    async def ask(self, command: str, arguments: Mapping[str, object] | None = None, *, answer: bool = True) -> Any:
        """Raises WrongState without an agent, Failed with its words. Some commands have no answer by design."""
        async with self._lock:
            conversation = await _Conversation.open(self._folder)
            try:
                return await conversation.ask(command, arguments or {}, answer=answer)
            finally:
                conversation.close()

    async def run(self, command: Sequence[str], *, within: float, given: bytes = b"") -> Outcome:
        """Runs a command to its end, `given` on its standard input; `within` 0 waits for ever. Raises WrongState,
        Failed where it cannot be started, TooLate: then it may still run in the guest."""
        if not command:
            raise Failed("no command was given")
        question: dict[str, object] = {"path": command[0], "arg": list(command[1:]), "capture-output": True}
        if given:
            question["input-data"] = base64.b64encode(given).decode()
        pid = (await self.ask("guest-exec", question))["pid"]
        pause = _FIRST_POLL
        try:
            async with asyncio.timeout(within or None):
                while True:
                    status = await self.ask("guest-exec-status", {"pid": pid})
                    if status["exited"]:
                        return _outcome(status)
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, _LAST_POLL)
        except TimeoutError:
            raise TooLate(f"command {list(command)} timed out after {within:g} s") from None


def _outcome(status: Mapping[str, Any]) -> Outcome:
    code = 128 + status["signal"] if "signal" in status else status.get("exitcode", 0)
    return Outcome(code, _decoded(status.get("out-data")), _decoded(status.get("err-data")))


def _decoded(text: object) -> bytes:
    try:
        return base64.b64decode(str(text or ""))
    except binascii.Error:
        return b""


class _Conversation:
    """A connection that is in step with the agent: what it said to somebody before is behind us."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, folder: Path) -> _Conversation:
        try:
            descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            raise WrongState(ABSENT) from None
        conversation = None
        try:
            async with asyncio.timeout(_SYNC):
                path = f"/proc/self/fd/{descriptor}/{AGENT}"
                conversation = cls(*await asyncio.open_unix_connection(path, limit=_LONGEST))
                await conversation._synchronize()
        except (TimeoutError, OSError):
            if conversation is not None:
                conversation.close()
            raise WrongState(ABSENT) from None
        finally:
            os.close(descriptor)
        return conversation

    async def _synchronize(self) -> None:
        mark = secrets.randbelow(1 << 31)
        self._send("guest-sync", {"id": mark})
        while (await self._line()).get("return") != mark:
            pass

    async def ask(self, command: str, arguments: Mapping[str, object], *, answer: bool) -> Any:
        self._send(command, arguments)
        if not answer:
            await self._writer.drain()
            return None
        try:
            async with asyncio.timeout(_ANSWER):
                found = await self._line()
        except (TimeoutError, OSError):
            raise WrongState(ABSENT) from None
        if "error" in found:
            raise Failed(f"guest agent: {found['error'].get('desc', 'refused')}")
        return found.get("return")

    def close(self) -> None:
        self._writer.close()

    def _send(self, command: str, arguments: Mapping[str, object]) -> None:
        self._writer.write(json.dumps({"execute": command, "arguments": dict(arguments)}).encode() + b"\n")

    async def _line(self) -> dict[str, Any]:
        while True:
            line = await self._reader.readline()
            if not line:
                raise ConnectionError("the agent's channel was closed")
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict):
                return found
