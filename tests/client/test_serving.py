"""Health and metrics of a component, over a real socket."""

from __future__ import annotations

import pytest

from arktos.client.serving import HealthServer
from arktos.wire.http_client import HttpClient


@pytest.fixture
def problems() -> dict[str, str | None]:
    return {"loop": None, "synced": "pods are not synced"}


async def ask(server: HealthServer, target: str, method: str = "GET") -> tuple[int, str]:
    client = HttpClient(f"http://127.0.0.1:{server.port}")
    try:
        answer = await client.request(method, target)
        return answer.status, answer.body.decode()
    finally:
        await client.aclose()


def make(problems: dict[str, str | None]) -> HealthServer:
    return HealthServer(
        "127.0.0.1",
        0,
        live={"loop": lambda: problems["loop"]},
        ready={"synced": lambda: problems["synced"]},
        metrics=lambda accept: (b"up 1\n", "text/plain"),
    )


async def test_alive_before_ready(problems: dict[str, str | None]) -> None:
    async with make(problems) as server:
        assert await ask(server, "/livez") == (200, "ok")
        assert await ask(server, "/healthz") == (200, "ok")
        status, text = await ask(server, "/readyz")
        assert status == 500
        assert "[-]synced failed: pods are not synced" in text
        problems["synced"] = None
        assert await ask(server, "/readyz") == (200, "ok")


async def test_each_check_has_a_path_and_can_be_left_out(problems: dict[str, str | None]) -> None:
    async with make(problems) as server:
        assert (await ask(server, "/readyz/loop"))[0] == 200
        assert (await ask(server, "/readyz/synced"))[0] == 500
        assert (await ask(server, "/readyz?exclude=synced"))[0] == 200
        assert (await ask(server, "/readyz/unheard-of"))[0] == 404
        assert "[+]loop ok" in (await ask(server, "/livez?verbose"))[1]


async def test_metrics_and_the_rest(problems: dict[str, str | None]) -> None:
    async with make(problems) as server:
        assert await ask(server, "/metrics") == (200, "up 1\n")
        assert (await ask(server, "/"))[0] == 404
        assert (await ask(server, "/livez", "POST"))[0] == 405
