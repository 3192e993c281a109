"""Commands in a guest, by an agent that is played here: the wire is qemu-ga's."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from arktos.rpc.method import RpcError
from arktos.vmruntime.guest_agent import GuestAgent


class Agent:
    """Answers like qemu-ga; `polls` is how often a command is seen running before it has ended."""

    def __init__(self) -> None:
        self.polls = 2
        self.stale = b'{"return": 17}\n'
        self.commands: list[dict[str, Any]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self.stale)
        while line := await reader.readline():
            asked = json.loads(line)
            answer = self.answer(asked["execute"], asked["arguments"])
            writer.write(json.dumps(answer).encode() + b"\n")
        writer.close()

    def answer(self, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if command == "guest-sync":
            return {"return": arguments["id"]}
        if command == "guest-exec" and arguments["path"] == "/nothing":
            return {"error": {"class": "GenericError", "desc": "Guest agent command failed: No such file"}}
        if command == "guest-exec":
            self.commands.append(arguments)
            return {"return": {"pid": 5}}
        self.polls -= 1
        if self.polls >= 0:
            return {"return": {"exited": False}}
        given = self.commands[-1].get("input-data", "")
        return {
            "return": {"exited": True, "exitcode": 3, "out-data": given, "err-data": base64.b64encode(b"e").decode()}
        }


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Agent]:
    (tmp_path / "qemu").mkdir()
    played = Agent()
    here = os.getcwd()
    os.chdir(tmp_path / "qemu")
    server = await asyncio.start_unix_server(played.serve, "agent")
    os.chdir(here)
    yield played
    server.close()


async def test_a_command_runs_to_its_end(agent: Agent, tmp_path: Path) -> None:
    found = await GuestAgent(tmp_path).run(["sh", "-c", "x"], within=10, given=b"text")
    assert (found.exit_code, found.output, found.errors) == (3, b"text", b"e")
    assert agent.commands[0]["path"] == "sh" and agent.commands[0]["arg"] == ["-c", "x"]
    assert await GuestAgent(tmp_path).answers()


async def test_a_command_that_takes_too_long(agent: Agent, tmp_path: Path) -> None:
    agent.polls = 10**6
    with pytest.raises(RpcError) as caught:
        await GuestAgent(tmp_path).run(["sleep"], within=0.3)
    assert caught.value.code == "DEADLINE_EXCEEDED"


async def test_a_command_that_cannot_be_started(agent: Agent, tmp_path: Path) -> None:
    with pytest.raises(RpcError, match="No such file"):
        await GuestAgent(tmp_path).run(["/nothing"], within=1)


async def test_without_an_agent(tmp_path: Path) -> None:
    assert not await GuestAgent(tmp_path).answers()
    with pytest.raises(RpcError) as caught:
        await GuestAgent(tmp_path).run(["true"], within=1)
    assert caught.value.code == "FAILED_PRECONDITION"
