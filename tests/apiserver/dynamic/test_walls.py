"""Where a tenant's webhook may not be: what it must not reach, it does not reach."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
import time
from typing import Any

import pytest

from arktos.apiserver.webhooks import WebhookClient, WebhookFailed, WebhookOptions
from arktos.apiserver.webhooks.client import networks

SERVICES = (ipaddress.ip_network("10.96.0.0/12"),)


@pytest.fixture
async def client(api: Any) -> Any:
    made = WebhookClient(api.writer.reader, WebhookOptions(), SERVICES)
    yield made
    await made.aclose()


async def _node(api: Any) -> None:
    node = {
        "metadata": {"name": "n"},
        "spec": {"podCIDR": "10.244.3.0/24"},
        "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.7"}]},
    }
    (await api.post("/api/v1/nodes", node)).ok(201)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.8.8.8",
        "localhost",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "169.254.169.254",
        "[fe80::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "224.0.0.1",
        "255.255.255.255",
        "10.96.0.1",
        "10.244.3.9",
        "192.0.2.7",
        "2130706433",
        "0x7f.1",
        "127.1",
    ],
)
async def test_addresses_that_are_refused(api: Any, client: Any, host: str) -> None:
    await _node(api)
    with pytest.raises(WebhookFailed, match=r"address not allowed|no such host"):
        await client.call("acme", {"url": f"https://{host}:1/"}, b"{}", seconds=5)


async def test_a_name_is_resolved_once_and_its_address_connected_to(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that says one thing when asked and another when connected to gains nothing."""
    answers = iter(["203.0.113.1", "127.0.0.1"])
    asked: list[str] = []
    connected: list[str] = []

    def resolve(host: str, port: int, **_: Any) -> Any:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    async def connect(_: Any, host: str, port: int, **__: Any) -> Any:
        connected.append(host)
        raise OSError("not here")

    loop = asyncio.get_running_loop()
    monkeypatch.setattr("arktos.apiserver.webhooks.locating._KEPT", 0.0)
    monkeypatch.setattr("arktos.apiserver.webhooks.locating.socket.getaddrinfo", resolve)
    monkeypatch.setattr(loop, "create_connection", connect, raising=False)
    with pytest.raises(WebhookFailed, match="not here"):
        await client.call("acme", {"url": "https://rebinds.example.com/"}, b"{}", seconds=5)
    assert asked == ["rebinds.example.com"] and set(connected) == {"203.0.113.1"}
    with pytest.raises(WebhookFailed, match="address not allowed"):
        await client.call("acme", {"url": "https://rebinds.example.com/"}, b"{}", seconds=5)


@pytest.mark.parametrize(
    "config", [{"url": "http://a"}, {"url": "https://"}, {"url": "https://[x"}, {}, {"url": "https://a:x"}]
)
async def test_what_is_no_place(client: Any, config: Any) -> None:
    with pytest.raises(WebhookFailed, match="not valid"):
        await client.call("acme", config, b"{}", seconds=5)


async def test_a_bundle_that_is_none(api: Any) -> None:
    client = WebhookClient(api.writer.reader, WebhookOptions(allow=networks("127.0.0.0/8, ::1")), ())
    with pytest.raises(WebhookFailed, match="unable to load root certificates"):
        await client.call("acme", {"url": "https://127.0.0.1:1/", "caBundle": "eHg="}, b"{}", seconds=5)
    await client.aclose()


async def test_a_tenant_has_so_many_calls_and_others_have_theirs(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client = WebhookClient(api.writer.reader, WebhookOptions(allow=networks("127.0.0.1")), ())
    gate, under_way = asyncio.Event(), []

    async def ask(tenant: str, *_: Any) -> Any:
        under_way.append(tenant)
        await gate.wait()
        return 200, b"{}"

    monkeypatch.setattr(client, "_ask", ask)
    config = {"url": "https://127.0.0.1:1/"}
    calls = [asyncio.create_task(client.call("acme", config, b"{}", seconds=5)) for _ in range(300)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert under_way.count("acme") == 16
    other = asyncio.create_task(client.call("globex", config, b"{}", seconds=5))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert under_way.count("globex") == 1
    gate.set()
    done = await asyncio.gather(*calls, other, return_exceptions=True)
    refused = [each for each in done if isinstance(each, WebhookFailed)]
    assert len(refused) == 300 - 256 and "too many calls" in str(refused[0])
    await client.aclose()


async def test_a_tenant_whose_webhooks_hang_holds_up_few_of_a_controllers_hands(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arktos.apiserver.webhooks.client._HASTY_WAIT", 0.05)
    client = WebhookClient(api.writer.reader, WebhookOptions(allow=networks("127.0.0.1")), ())
    answers, under_way = asyncio.Event(), []

    async def ask(tenant: str, *_: Any) -> Any:
        under_way.append(tenant)
        await answers.wait()
        return 200, b"{}"

    monkeypatch.setattr(client, "_ask", ask)
    config = {"url": "https://127.0.0.1:1/"}

    def call(tenant: str, seconds: float = 0.3, hasty: bool = True) -> asyncio.Task[bytes]:
        return asyncio.create_task(client.call(tenant, config, b"{}", seconds=seconds, hasty=hasty))

    burst = await asyncio.gather(*(call("acme") for _ in range(40)), return_exceptions=True)
    assert under_way == ["acme"] * 8
    told = sorted(str(each).rpartition(": ")[2] for each in burst)
    assert told == ["context deadline exceeded"] * 8 + ["too many calls of this tenant's webhooks are under way"] * 32
    # From now on one looks whether it answers again, and the others do not wait at all.
    probe = call("acme", 5)
    await asyncio.sleep(0.01)
    began = time.monotonic()
    refused = await asyncio.gather(*(call("acme", 5) for _ in range(40)), return_exceptions=True)
    assert time.monotonic() - began < 0.2
    assert all("too many calls" in str(each) for each in refused) and under_way == ["acme"] * 9
    # Its own users are asked for as ever, and so are other tenants.
    others = [call("acme", 5, hasty=False), *(call("globex", 5) for _ in range(3))]
    await asyncio.sleep(0.01)
    assert under_way[9:] == ["acme", *["globex"] * 3]
    answers.set()
    assert await asyncio.gather(probe, *others) == [b"{}"] * 5
    assert await asyncio.gather(*(call("acme") for _ in range(40))) == [b"{}"] * 40
    await client.aclose()


async def test_a_slow_name_holds_up_nobody_else(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = threading.Event()

    def resolve(host: str, port: int, **_: Any) -> Any:
        if host.startswith("slow"):
            slow.wait(10)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr("arktos.apiserver.webhooks.locating.socket.getaddrinfo", resolve)
    waiting = [
        asyncio.create_task(client.call("acme", {"url": f"https://slow{n}.example.com/"}, b"{}", seconds=9))
        for n in range(40)
    ]
    try:
        await asyncio.sleep(0)
        with pytest.raises(WebhookFailed, match="address not allowed"):
            await client.call("globex", {"url": "https://quick.example.com/"}, b"{}", seconds=5)
        assert not any(task.done() for task in waiting)
    finally:
        slow.set()
    assert all(isinstance(each, WebhookFailed) for each in await asyncio.gather(*waiting, return_exceptions=True))
