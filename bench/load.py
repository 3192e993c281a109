"""A load generator for HTTP/1.1 over TLS: many keep-alive connections, each with one request in flight.

Run as a process of its own (`python bench/load.py` reads a JSON job on standard input), so that its CPU is not the
server's.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from dataclasses import dataclass, field

import httptools
import uvloop


@dataclass(slots=True)
class Job:
    """`template` is one request's bytes as text; `{i}` in it becomes a number that no other request has."""

    host: str
    port: int
    template: str
    connections: int
    seconds: float
    first: int = 0
    limit: int = 0
    codes: dict[str, int] = field(default_factory=dict)


class Connection(asyncio.Protocol):
    def __init__(self, load: Load) -> None:
        self.load = load
        self.parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.send()

    def send(self) -> None:
        request = self.load.next()
        if request is None:
            self.transport.close()
            return
        self.sent = time.perf_counter()
        self.transport.write(request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        self.load.done(self.parser.get_status_code(), time.perf_counter() - self.sent)
        self.parser = httptools.HttpResponseParser(self)
        self.send()

    def connection_lost(self, error: Exception | None) -> None:
        self.load.closed()


class Load:
    def __init__(self, job: Job) -> None:
        self.job = job
        head, _, body = job.template.partition("\r\n\r\n")
        self.varies = "{i}" in job.template
        self.head, self.body = head, body
        self.number = job.first
        self.latencies: list[float] = []
        self.codes: dict[int, int] = {}
        self.open = job.connections
        self.finished = asyncio.Event()
        self.fixed = self.render(0)
        self.deadline = time.perf_counter() + job.seconds

    def render(self, number: int) -> bytes:
        body = self.body.replace("{i}", str(number)).encode()
        head = self.head.replace("{i}", str(number))
        if body:
            head += f"\r\nContent-Length: {len(body)}"
        return head.encode() + b"\r\n\r\n" + body

    def next(self) -> bytes | None:
        if time.perf_counter() >= self.deadline or (self.job.limit and self.number - self.job.first >= self.job.limit):
            return None
        self.number += 1
        return self.render(self.number) if self.varies else self.fixed

    def done(self, code: int, seconds: float) -> None:
        self.codes[code] = self.codes.get(code, 0) + 1
        self.latencies.append(seconds)

    def closed(self) -> None:
        self.open -= 1
        if self.open == 0:
            self.finished.set()


async def run(job: Job) -> dict[str, object]:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    load = Load(job)
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    for _ in range(job.connections):
        await loop.create_connection(lambda: Connection(load), job.host, job.port, ssl=context)
    await load.finished.wait()
    took = time.perf_counter() - began
    ordered = sorted(load.latencies) or [0.0]
    return {
        "requests": len(load.latencies),
        "seconds": took,
        "p50_ms": ordered[len(ordered) // 2] * 1e3,
        "p99_ms": ordered[int(len(ordered) * 0.99)] * 1e3,
        "codes": load.codes,
        "next": load.number,
    }


if __name__ == "__main__":
    print(json.dumps(uvloop.run(run(Job(**json.load(sys.stdin))))))
