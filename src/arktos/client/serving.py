"""The port on which a component tells how it is: /healthz, /livez, /readyz (each check on a path of its own, too)
and /metrics. Plain HTTP, for the host's own supervisor and scrapers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs

from arktos.wire.http import Request, Response
from arktos.wire.http_server import Server, serve

Check = Callable[[], str | None]
"""None when well, else why not. Called on the loop; must not block."""
Render = Callable[[str], tuple[bytes, str]]
"""From an Accept header to an exposition and its content type."""

_TEXT = "text/plain; charset=utf-8"


class HealthServer:
    """`live` checks fail when a restart would help, `ready` ones while the component cannot do its work yet.

    Use as an async context manager. `port` 0 takes any; the property says which. Raises OSError on entering when the
    address cannot be had. `metrics` gives the exposition; without it /metrics is 404.
    """

    def __init__(
        self,
        address: str,
        port: int,
        *,
        live: Mapping[str, Check] | None = None,
        ready: Mapping[str, Check] | None = None,
        metrics: Render | None = None,
    ) -> None:
        self._address = address
        self._port = port
        well: dict[str, Check] = {"ping": lambda: None}
        alive = {**well, **(live or {})}
        self._checks: dict[str, Mapping[str, Check]] = {
            "livez": alive,
            "healthz": alive,
            "readyz": {**alive, **(ready or {})},
        }
        self._metrics = metrics
        self._server: Server | None = None

    @property
    def port(self) -> int:
        return self._server.port if self._server is not None else self._port

    async def __aenter__(self) -> Self:
        self._server = await serve(self.answer, host=self._address, port=self._port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        await self._server.close(grace=0.1)

    def answer(self, request: Request) -> Response:
        """The handler. Answers GET only."""
        if request.method != "GET":
            return Response(405, b"only GET is allowed\n", _TEXT, [("Allow", "GET")])
        if request.path == "/metrics" and self._metrics is not None:
            body, content_type = self._metrics(request.headers.get("accept", ""))
            return Response(200, body, content_type)
        endpoint, _, name = request.path.strip("/").partition("/")
        checks = self._checks.get(endpoint)
        if checks is None or (name and name not in checks):
            return Response(404, b"404 page not found\n", _TEXT)
        asked = parse_qs(request.query, keep_blank_values=True)
        return _report(endpoint, {name: checks[name]} if name else checks, "verbose" in asked, asked.get("exclude", []))


def _report(endpoint: str, checks: Mapping[str, Check], verbose: bool, excluded: list[str]) -> Response:
    lines, failed = [], False
    for name, check in checks.items():
        if name in excluded:
            lines.append(f"[+]{name} excluded: ok")
            continue
        problem = check()
        failed = failed or problem is not None
        lines.append(f"[+]{name} ok" if problem is None else f"[-]{name} failed: {problem}")
    if failed:
        return Response(500, "\n".join([*lines, f"{endpoint} check failed", ""]).encode(), _TEXT)
    text = "\n".join([*lines, f"{endpoint} check passed", ""]) if verbose else "ok"
    return Response(200, text.encode(), _TEXT)
