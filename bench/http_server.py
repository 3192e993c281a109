"""CPU per GET of the HTTP server, plain and over TLS: one process serves, another (`wrk` if present) asks.

    bench/http_server.py [seconds]

Prints JSON: per row the requests answered, the server's CPU microseconds for each, requests per second.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import multiprocessing
import resource
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from arktos.wire import tls
from arktos.wire.http import Request, Response
from arktos.wire.http_server import serve

BODY = b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"' + b"x" * 2350 + b'"}}'
CONNECTIONS = 64


def certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    paths = folder / "tls.crt", folder / "tls.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


def server_process(pipe: Connection, files: tuple[Path, Path] | None) -> None:
    """Serves until told to stop; answers each message with (CPU seconds, requests) so far."""

    async def main() -> None:
        count = 0

        def handler(request: Request) -> Response:
            nonlocal count
            count += 1
            return Response(200, BODY)

        server = await serve(handler, ssl_context=tls.server_context(*files) if files else None)
        loop = asyncio.get_running_loop()
        stopping = asyncio.Event()

        def told() -> None:
            if pipe.recv() == "stop":
                stopping.set()
            used = resource.getrusage(resource.RUSAGE_SELF)
            pipe.send((used.ru_utime + used.ru_stime, count))

        loop.add_reader(pipe.fileno(), told)
        pipe.send(server.port)
        await stopping.wait()
        await server.close(0)

    uvloop.run(main())


class Client(asyncio.Protocol):
    """Sends a request as soon as the answer to the last one is complete."""

    def __init__(self, request: bytes, size: int) -> None:
        self.request, self.size, self.got = request, size, 0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.got += len(data)
        if self.got >= self.size and self.transport is not None:
            self.got -= self.size
            self.transport.write(self.request)


async def load(port: int, secure: bool, seconds: float) -> None:
    """The load generator where there is no wrk."""
    context = ssl.create_default_context() if secure else None
    if context is not None:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    request = b"GET /api/v1/namespaces/default/pods/web HTTP/1.1\r\nHost: localhost\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    writer.write(request)
    size = len(await reader.readuntil(b"\r\n\r\n")) + len(BODY)
    writer.close()
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: Client(request, size), "127.0.0.1", port, ssl=context)
        for _ in range(CONNECTIONS)
    ]
    await asyncio.sleep(seconds)
    for transport, _ in made:
        transport.abort()


def measure(files: tuple[Path, Path] | None, seconds: float) -> dict[str, float | int | str]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=server_process, args=(theirs, files))
    process.start()
    port = ours.recv()
    wrk = shutil.which("wrk")
    url = f"{'https' if files else 'http'}://127.0.0.1:{port}/api/v1/namespaces/default/pods/web"

    def run(duration: float) -> None:
        if wrk:
            command = [wrk, "-t2", f"-c{CONNECTIONS}", f"-d{max(1, int(duration))}s", url]
            subprocess.run(command, check=True, capture_output=True)
        else:
            uvloop.run(load(port, files is not None, duration))

    run(1)
    ours.send("now")
    cpu, count = ours.recv()
    began = time.perf_counter()
    run(seconds)
    elapsed = time.perf_counter() - began
    ours.send("stop")
    cpu_end, count_end = ours.recv()
    process.join()
    requests = count_end - count
    return {
        "name": "GET 2.4 kB" + (", TLS" if files else ", plain"),
        "generator": "wrk" if wrk else "own",
        "requests": requests,
        "cpu_us_per_request": round((cpu_end - cpu) / requests * 1e6, 1),
        "requests_per_second": round(requests / elapsed),
    }


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 4.0
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(None, seconds), measure(certificate(Path(folder)), seconds)]
    print(json.dumps({"bench": "http_server", "connections": CONNECTIONS, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
