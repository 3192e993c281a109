"""One check of a container: exec, httpGet, tcpSocket or grpc. Never raises for what the container does."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import grpc
import grpc.aio

from arktos.agent.probes.judging import Found
from arktos.agent.runtimes import Runtime
from arktos.model.kinds import Obj
from arktos.rpc import cri
from arktos.rpc.method import RpcError
from arktos.rpc.protos import cri_pb2 as pb

USER_AGENT = "kube-probe/1.33"
LONGEST_OUTPUT = 10 << 10
_HEALTH = "/grpc.health.v1.Health/Check"
_SERVING = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
_EXEC_GRACE = 2.0


@dataclass(frozen=True, slots=True)
class Target:
    """The container that is checked: its runtime and id, its pod's address, its document."""

    runtime: Runtime
    container_id: str
    ip: str
    container: Obj


Finding = tuple[Found, str]


async def check(handler: Obj, target: Target, timeout: float) -> Finding:  # noqa: ASYNC109
    """Makes one check, within `timeout` seconds. The text is what an event about a failure says."""
    if handler.get("exec"):
        return await execute(list(handler["exec"].get("command") or ()), target, timeout)
    if handler.get("httpGet"):
        return await http_get(handler["httpGet"], target, timeout)
    if handler.get("tcpSocket"):
        return await connect(handler["tcpSocket"], target, timeout)
    if handler.get("grpc"):
        return await health(handler["grpc"], target, timeout)
    return Found.UNKNOWN, "missing probe handler"


def port_number(port: object, container: Obj) -> int:
    """A port that is stated by number or by the name of a container port. Raises ValueError."""
    if isinstance(port, int):
        number = port
    else:
        named = [each["containerPort"] for each in container.get("ports") or () if each.get("name") == port]
        if not named and not str(port).isdecimal():
            raise ValueError(f"couldn't find port: {port}")
        number = int(named[0]) if named else int(str(port))
    if not 0 < number < 65536:
        raise ValueError(f"invalid port number: {number}")
    return number


async def execute(command: list[str], target: Target, timeout: float) -> Finding:  # noqa: ASYNC109
    """Success if the command exits with 0."""
    question = pb.ExecSyncRequest(container_id=target.container_id, cmd=command, timeout=max(1, int(timeout)))
    try:
        answer = await target.runtime.call(cri.EXEC_SYNC, question, within=timeout + _EXEC_GRACE)
    except RpcError as error:
        if error.code == "DEADLINE_EXCEEDED":
            return Found.FAILURE, f'command timed out: "{" ".join(command)}" timed out after {_duration(timeout)}'
        return Found.UNKNOWN, str(error)
    output = (answer.stdout + answer.stderr)[:LONGEST_OUTPUT].decode(errors="replace")
    return (Found.SUCCESS if answer.exit_code == 0 else Found.FAILURE), output


async def http_get(action: Obj, target: Target, timeout: float) -> Finding:  # noqa: ASYNC109
    """Success if the answer's status is 200 to 399."""
    try:
        port = port_number(action.get("port"), target.container)
    except ValueError as error:
        return Found.UNKNOWN, str(error)
    host = action.get("host") or target.ip
    secure = (action.get("scheme") or "HTTP").upper() == "HTTPS"
    path = action.get("path") or "/"
    path = path if path.startswith("/") else f"/{path}"
    url = f"{'https' if secure else 'http'}://{_bracketed(host)}:{port}{path}"
    stated = {each["name"]: str(each.get("value") or "") for each in action.get("httpHeaders") or ()}
    try:
        async with asyncio.timeout(timeout):
            status, body = await _get(host, port, path, secure, stated)
    except TimeoutError:
        return Found.FAILURE, f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
    except OSError as error:
        return Found.FAILURE, f'Get "{url}": {_refused(host, port, error)}'
    except (ValueError, EOFError) as error:
        return Found.FAILURE, f'Get "{url}": {error}'
    if 200 <= status < 400:
        return Found.SUCCESS, body
    return Found.FAILURE, f"HTTP probe failed with statuscode: {status}"


async def connect(action: Obj, target: Target, timeout: float) -> Finding:  # noqa: ASYNC109
    """Success if the port takes a connection."""
    try:
        port = port_number(action.get("port"), target.container)
    except ValueError as error:
        return Found.UNKNOWN, str(error)
    host = action.get("host") or target.ip
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return Found.FAILURE, f"dial tcp {_bracketed(host)}:{port}: i/o timeout"
    except OSError as error:
        return Found.FAILURE, _refused(host, port, error)
    await _close(writer)
    return Found.SUCCESS, ""


async def health(action: Obj, target: Target, timeout: float) -> Finding:  # noqa: ASYNC109
    """Success if the gRPC health service answers SERVING (grpc.health.v1)."""
    address = f"{_bracketed(target.ip)}:{action.get('port')}"
    service = str(action.get("service") or "").encode()
    question = b"" if not service else b"\x0a" + _varint(len(service)) + service
    async with grpc.aio.insecure_channel(address, options=[("grpc.primary_user_agent", USER_AGENT)]) as channel:
        try:
            answer = await channel.unary_unary(_HEALTH)(question, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                return Found.FAILURE, "error: this server does not implement the grpc health protocol (grpc.health.v1)"
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                said = f'timeout: failed to connect service "{address}" within {_duration(timeout)}'
                return Found.FAILURE, f"{said}: {error.details()}"
            return Found.FAILURE, f"error: health rpc probe failed: {error.details()}"
    serving = answer[1] if len(answer) > 1 and answer[0] == 0x08 else 0
    if serving == 1:
        return Found.SUCCESS, "service healthy"
    name = _SERVING[serving] if serving < len(_SERVING) else str(serving)
    return Found.FAILURE, f'service unhealthy (responded with "{name}")'


async def _get(host: str, port: int, path: str, secure: bool, stated: Mapping[str, str]) -> tuple[int, str]:
    """Status and the first part of the body. Certificates are not looked at: a probe asks for life, not identity."""
    context: ssl.SSLContext | None = None
    if secure:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(host, port, ssl=context, limit=64 << 10)
    headers = {"Host": f"{_bracketed(host)}:{port}", "User-Agent": USER_AGENT, "Accept": "*/*", "Connection": "close"}
    for name, value in stated.items():
        headers = {known: kept for known, kept in headers.items() if known.lower() != name.lower()}
        if value:
            headers[name] = value
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("net/http: invalid header field value")
    try:
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        parts = head.split("\r\n", 1)[0].split(" ", 2)
        if len(parts) < 2 or not parts[0].startswith("HTTP/") or not parts[1].isdecimal():
            raise ValueError(f"malformed HTTP response {head[:40]!r}")
        return int(parts[1]), (await reader.read(LONGEST_OUTPUT)).decode(errors="replace")
    except asyncio.LimitOverrunError as error:
        raise ValueError("net/http: server response headers exceeded 65536 bytes") from error
    finally:
        writer.close()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def _refused(host: str, port: int, error: OSError) -> str:
    text = os.strerror(error.errno).lower() if error.errno and error.errno > 0 else str(error)
    return f"dial tcp {_bracketed(host)}:{port}: connect: {text}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _duration(seconds: float) -> str:
    return f"{seconds:g}s"


def _varint(number: int) -> bytes:
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*made, number])
