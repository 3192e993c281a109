"""The loopback HTTP server to which CRI's Exec, Attach and PortForward send their callers.

A URL has a token that is good for one connection within a minute. At most a thousand are outstanding; more and the
oldest goes.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from arktos.model.status import ApiError
from arktos.rpc.method import RpcError
from arktos.vmruntime.errors import WrongState
from arktos.vmruntime.machine import Machine
from arktos.wire.http import Reply, Request, Response
from arktos.wire.http_server import Server, serve
from arktos.wire.remotecommand import (
    CommandFailed,
    Dial,
    Output,
    Terminal,
    Wanted,
    serve_command,
    serve_port_forward,
)

_VALID = 60.0
_MOST = 1000
_LARGEST_INPUT = 4 << 20
_TEXT = "text/plain; charset=utf-8"
_DIAL = 10.0


@dataclass(frozen=True, slots=True)
class _Ticket:
    expires: float
    wanted: Wanted
    machine: Machine | None = None
    command: Sequence[str] = ()
    address: str = ""


class StreamingServer:
    """Use as an async context manager."""

    def __init__(self) -> None:
        self._tickets: OrderedDict[str, _Ticket] = OrderedDict()
        self._server: Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await serve(self._answer, host="127.0.0.1", port=0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        await self._server.close(grace=0.1)

    def attach(self, machine: Machine, wanted: Wanted) -> str:
        """The URL of a machine's console. Raises WrongState where there is none."""
        if machine.console is None or machine.monitor is None:
            raise WrongState(f"the machine is {machine.power}: it has no console now")
        return self._url("attach", _Ticket(_expiry(), wanted, machine))

    def exec(self, machine: Machine, command: Sequence[str], wanted: Wanted) -> str:
        """The URL of a command to be run in a machine by its agent."""
        return self._url("exec", _Ticket(_expiry(), wanted, machine, tuple(command)))

    def port_forward(self, address: str) -> str:
        """The URL of connections to a guest's address."""
        return self._url("portforward", _Ticket(_expiry(), Wanted(), address=address))

    def _url(self, verb: str, ticket: _Ticket) -> str:
        assert self._server is not None
        token = secrets.token_urlsafe(24)
        while len(self._tickets) >= _MOST:
            self._tickets.popitem(last=False)
        self._tickets[token] = ticket
        return f"http://127.0.0.1:{self._server.port}/{verb}/{token}"

    def _answer(self, request: Request) -> Reply:
        verb, _, token = request.path.strip("/").partition("/")
        ticket = self._tickets.pop(token, None)
        if ticket is None or ticket.expires < asyncio.get_running_loop().time():
            return Response(404, b"no such session, or it has expired\n", _TEXT)
        try:
            if verb == "portforward":
                return serve_port_forward(request, _dialer(ticket.address))
            assert ticket.machine is not None
            if verb == "attach":
                return serve_command(request, _Attached(ticket.machine), ticket.wanted)
            return serve_command(request, _Executed(ticket.machine, ticket.command), ticket.wanted)
        except ApiError as error:
            return Response(error.code, f"{error.message}\n".encode(), _TEXT)


def _expiry() -> float:
    return asyncio.get_running_loop().time() + _VALID


def _dialer(address: str) -> Dial:
    async def dial(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            return await asyncio.wait_for(asyncio.open_connection(address, port), _DIAL)
        except TimeoutError:
            raise OSError(f"{address}:{port} did not answer within {_DIAL:.0f} s") from None

    return dial


class _Attached:
    """A client at the serial console: ends with the machine, or when the client goes."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    async def __call__(self, terminal: Terminal) -> int:
        console = self._machine.console
        if console is None:
            raise CommandFailed(f"the machine is {self._machine.power}: it has no console now")
        attachment = console.attach()

        async def typing() -> None:
            async for data in terminal.stdin:
                await attachment.write(data)

        keys = asyncio.create_task(typing(), name="attach-keys")
        try:
            while data := await attachment.read():
                await terminal.stdout(data)
        finally:
            keys.cancel()
            attachment.close()
            await asyncio.gather(keys, return_exceptions=True)
        if attachment.lost:
            raise CommandFailed("the client reads more slowly than the machine writes")
        return 0


class _Executed:
    """A command in the guest. Its output comes when it has ended: the agent has no streams."""

    def __init__(self, machine: Machine, command: Sequence[str]) -> None:
        self._machine = machine
        self._command = command

    async def __call__(self, terminal: Terminal) -> int:
        given = b""
        async for data in terminal.stdin:
            given += data
            if len(given) > _LARGEST_INPUT:
                raise CommandFailed(f"a command in a guest takes at most {_LARGEST_INPUT >> 20} MiB of input")
        try:
            outcome = await self._machine.agent.run(self._command, within=0, given=given)
        except RpcError as error:
            raise CommandFailed(error.message) from None
        await _give(terminal.stdout, outcome.output)
        await _give(terminal.stdout if terminal.tty else terminal.stderr, outcome.errors)
        return outcome.exit_code


async def _give(output: Output, data: bytes) -> None:
    if data:
        await output(data)
