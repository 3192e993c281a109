"""The client that asks webhooks: connections that are kept, a deadline, a bounded number of calls per tenant."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import ipaddress
import ssl
import time
from collections import OrderedDict
from dataclasses import dataclass

from arktos.apiserver.reader import Reader
from arktos.apiserver.webhooks.guard import AddressRefused, Guard, Network
from arktos.apiserver.webhooks.locating import Locator, NotLocated, Place, place_of
from arktos.model.kinds import Obj
from arktos.wire.http_client import ConnectionFailed, HttpClient, RequestTimeout

_AT_A_TIME = 16
_IN_LINE = 256
_HASTY_AT_A_TIME = 8
_HASTY_WAIT = 2.0
"""Seconds that a hasty call stands in line."""
_AWAY = 10.0
"""Seconds for which hasty calls go one at a time after one that was long."""
_LONG, _NEARLY = 3.0, 0.9
"""Seconds that are long, answered or not, and which part of what it may take is."""
_CLIENTS = 256
_CONNECTIONS = 8


@dataclass(frozen=True, slots=True)
class WebhookOptions:
    """`allow` are networks that tenants' URLs may lead to although they are loopback, link-local, nodes', pods' or
    services'. `max_answer` bytes are read of an answer."""

    allow: tuple[Network, ...] = ()
    max_answer: int = 3 * 1024 * 1024


def networks(text: str) -> tuple[Network, ...]:
    """`--webhook-allow`: networks, separated by commas. ValueError."""
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())


class WebhookFailed(Exception):
    """There is no answer; the message says why, as upstream: `Post "https://...": context deadline exceeded`."""


class WebhookClient:
    """Asks what tenants' configurations name. For one event loop; `aclose` ends it."""

    def __init__(self, reader: Reader, options: WebhookOptions, service_ranges: tuple[Network, ...] = ()) -> None:
        self._options = options
        self._locator = Locator(reader, Guard(reader, options.allow, service_ranges))
        self._clients: OrderedDict[tuple[str, int, str, str], HttpClient] = OrderedDict()
        self._contexts: OrderedDict[str, ssl.SSLContext] = OrderedDict()
        self._turns: dict[tuple[str, bool], _Turns] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def call(
        self, tenant: str, config: Obj, body: bytes, *, seconds: float, about: str = "", hasty: bool = False
    ) -> bytes:
        """POSTs JSON to where the WebhookClientConfig of this tenant points; the body of its 200. WebhookFailed.

        `about` is the tenant in whose line the call stands, where that is another: what one tenant asks of everybody's
        webhook must not keep the others waiting. `hasty` is a call for somebody who works for all tenants: it stands in
        a line of its own, and where others wait for an answer in vain it fails at once, so that a tenant whose webhooks
        hang holds up a few of its hands and not all."""
        try:
            place = place_of(config)
        except NotLocated as error:
            raise WebhookFailed(str(error)) from None
        target = f"{place.path}?timeout={seconds:g}s"
        line = (about or tenant, hasty)
        turns = self._turns.setdefault(line, _Hasty() if hasty else _Turns())
        try:
            async with asyncio.timeout(seconds), turns:
                began = time.monotonic()
                try:
                    status, answer = await self._ask(tenant, config, place, target, body, seconds)
                finally:
                    turns.took(time.monotonic() - began, seconds)
        except (TimeoutError, RequestTimeout):
            raise _failed(place, target, "context deadline exceeded") from None
        except _TooMany:
            raise WebhookFailed("too many calls of this tenant's webhooks are under way") from None
        except (NotLocated, AddressRefused, ConnectionFailed) as error:
            raise _failed(place, target, str(error)) from None
        finally:
            if turns.idle:
                self._turns.pop(line, None)
        if status != 200:
            raise WebhookFailed(_of_status(status, answer))
        return answer

    async def aclose(self) -> None:
        self._locator.names.close()
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()

    async def _ask(
        self, tenant: str, config: Obj, place: Place, target: str, body: bytes, seconds: float
    ) -> tuple[int, bytes]:
        address, port = await self._locator.locate(tenant, config, place)
        client = await self._client(address, port, place, config.get("caBundle") or "")
        headers = {"Content-Type": "application/json", "Accept": "application/json, */*"}
        response = await client.request("POST", target, headers=headers, body=body, timeout=seconds, idempotent=True)
        return response.status, response.body

    async def _client(self, address: str, port: int, place: Place, bundle: str) -> HttpClient:
        trust = hashlib.sha256(bundle.encode()).hexdigest() if bundle else ""
        key = (address, port, place.authority, trust)
        known = self._clients.get(key)
        context = None if known is not None else await self._context(trust, bundle)
        known = self._clients.get(key)
        if known is None:
            shown = f"[{address}]" if ":" in address else address
            known = self._clients[key] = HttpClient(
                f"https://{shown}:{port}",
                ssl_context=context,
                server_name=place.server_name,
                connections=_CONNECTIONS,
                user_agent="kube-apiserver-admission",
                authority=place.authority,
                max_body=self._options.max_answer,
            )
            if len(self._clients) > _CLIENTS:
                _, old = self._clients.popitem(last=False)
                closing = asyncio.get_running_loop().create_task(old.aclose())
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)
        self._clients.move_to_end(key)
        return known

    async def _context(self, trust: str, bundle: str) -> ssl.SSLContext:
        known = self._contexts.get(trust)
        if known is None:
            # Certificates are read beside the loop: the system's roots take tens of milliseconds.
            known = self._contexts[trust] = await asyncio.to_thread(_trusting, bundle)
            if len(self._contexts) > _CLIENTS:
                self._contexts.popitem(last=False)
        return known


def _trusting(bundle: str) -> ssl.SSLContext:
    if not bundle:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cadata=base64.b64decode(bundle).decode("ascii"))
    except (ssl.SSLError, binascii.Error, ValueError):
        raise ConnectionFailed("unable to load root certificates: unable to parse bytes as PEM block") from None


def _failed(place: Place, target: str, why: str) -> WebhookFailed:
    return WebhookFailed(f'Post "https://{place.authority}{target}": {why}')


def _of_status(status: int, body: bytes) -> str:
    if status == 404:
        return "the server could not find the requested resource"
    told = body[:256].decode("utf-8", "replace").strip().replace("\n", " ")
    if status >= 500:
        return f'an error on the server ("{told or "unknown"}") has prevented the request from succeeding'
    return f"the server rejected our request for an unknown reason (status {status})"


class _TooMany(Exception):
    """The tenant's line is full."""


class _Turns:
    """One tenant's calls: so many at a time, so many in line."""

    __slots__ = ("_semaphore", "_waiting")

    def __init__(self, at_a_time: int = _AT_A_TIME) -> None:
        self._semaphore = asyncio.Semaphore(at_a_time)
        self._waiting = 0

    @property
    def idle(self) -> bool:
        return self._waiting == 0

    async def __aenter__(self) -> None:
        if self._waiting >= _IN_LINE:
            raise _TooMany()
        self._waiting += 1
        try:
            await self._semaphore.acquire()
        except BaseException:
            self._waiting -= 1
            raise

    async def __aexit__(self, *_: object) -> None:
        self._waiting -= 1
        self._semaphore.release()

    def took(self, seconds: float, most: float) -> None:
        """How long a call went of the time that it had, whatever came of it."""


class _Hasty(_Turns):
    """Hasty calls about one tenant."""

    __slots__ = ("_away",)

    def __init__(self) -> None:
        super().__init__(_HASTY_AT_A_TIME)
        self._away = float("-inf")

    @property
    def idle(self) -> bool:
        return self._waiting == 0 and not self._is_away

    @property
    def _is_away(self) -> bool:
        return time.monotonic() - self._away < _AWAY

    async def __aenter__(self) -> None:
        if self._waiting and self._is_away:
            raise _TooMany()
        self._waiting += 1
        try:
            async with asyncio.timeout(_HASTY_WAIT):
                await self._semaphore.acquire()
        except TimeoutError:
            self._waiting -= 1
            self._away = time.monotonic()
            raise _TooMany() from None
        except BaseException:
            self._waiting -= 1
            raise

    def took(self, seconds: float, most: float) -> None:
        is_long = seconds >= min(_LONG, _NEARLY * most)
        self._away = time.monotonic() if is_long else float("-inf")
