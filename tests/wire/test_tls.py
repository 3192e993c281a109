"""TLS: client certificates, protocol, reload."""

from __future__ import annotations

import asyncio
import datetime
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from arktos.wire.http import Channel, Reply, Request, Response, Stream, chunk
from arktos.wire.http_server import Limits, serve
from arktos.wire.tls import ServerTls, TlsError, server_context


@pytest.fixture(params=[asyncio.DefaultEventLoopPolicy, uvloop.EventLoopPolicy], ids=["asyncio", "uvloop"])
def event_loop_policy(request: pytest.FixtureRequest) -> asyncio.AbstractEventLoopPolicy:
    policy: asyncio.AbstractEventLoopPolicy = request.param()
    return policy


class Authority:
    """A CA that writes certificates to files."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._sign(self.name, self.key, True)
        self.path = folder / f"{name}.crt"
        self.path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, ca: bool) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca, None), True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
            .sign(self.key, hashes.SHA256())
        )

    def issue(self, name: str) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        files = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        files[0].write_bytes(self._sign(subject, key, False).public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return files


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ca")


def who(request: Request) -> Reply:
    der = request.peer.certificate
    assert request.peer.certificate is der
    return Response(200, x509.load_der_x509_certificate(der).subject.rfc4514_string().encode() if der else b"nobody")


def client_context(authority: Authority, files: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.path))
    context.set_alpn_protocols(["h2", "http/1.1"])
    if files:
        context.load_cert_chain(*files)
    return context


async def get(port: int, context: ssl.SSLContext, request: bytes = b"GET / HTTP/1.0\r\n\r\n") -> bytes:
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
        writer.write(request)
        data = await reader.read(-1)
        writer.transport.abort()
    return data


async def test_client_certificates_are_optional_and_seen(authority: Authority, tmp_path: Path) -> None:
    server = await serve(who, ssl_context=server_context(*authority.issue("localhost"), authority.path))
    try:
        assert (await get(server.port, client_context(authority))).endswith(b"\r\n\r\nnobody")
        files = authority.issue("alice")
        assert (await get(server.port, client_context(authority, files))).endswith(b"\r\n\r\nCN=alice")
        stranger = Authority(tmp_path, "other").issue("mallory")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            assert not await get(server.port, client_context(authority, stranger))
            raise ConnectionError("closed without an answer")
    finally:
        await server.close(0)


async def test_a_refused_body_is_answered_over_tls(authority: Authority) -> None:
    server = await serve(who, ssl_context=server_context(*authority.issue("localhost")), limits=Limits(linger=0.05))
    try:
        request = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n" + bytes(100_000)
        assert (await get(server.port, client_context(authority), request)).startswith(b"HTTP/1.1 413")
    finally:
        await server.close(0)


async def test_streams_and_congestion_over_tls(authority: Authority) -> None:
    channels: list[Channel] = []
    drained = asyncio.Event()
    server = await serve(
        lambda request: Stream(channels.append, drained.set),
        ssl_context=server_context(*authority.issue("localhost")),
        limits=Limits(high_water=100_000),
    )
    try:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", server.port, ssl=client_context(authority), server_hostname="localhost"
        )
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        sent = 0
        async with asyncio.timeout(20):
            while not channels[0].congested:
                channels[0].write(chunk(bytes(50_000)))
                sent += 1
                await asyncio.sleep(0)
            size = len(chunk(bytes(50_000)))
            await reader.readexactly(sent * size)
            await drained.wait()
            assert not channels[0].congested
            channels[0].finish()
            assert await reader.readexactly(5) == b"0\r\n\r\n"
        writer.transport.abort()
    finally:
        await server.close(0)


async def test_reload_serves_the_new_certificate_to_new_connections(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.issue("localhost")
    tls = ServerTls(certificate, key, authority.path)
    assert not tls.reload()
    server = await serve(who, ssl_context=tls.context)
    try:
        seen: list[bytes] = []

        async def shown() -> bytes:
            _, writer = await asyncio.open_connection(
                "127.0.0.1", server.port, ssl=client_context(authority), server_hostname="localhost"
            )
            seen.append(writer.get_extra_info("ssl_object").getpeercert(True))
            writer.transport.abort()
            return seen[-1]

        first = await shown()
        authority.issue("localhost")
        os.utime(certificate, ns=(1, 1))
        assert tls.reload() and await shown() != first
        key.write_text("broken")
        with pytest.raises(TlsError, match="localhost"):
            tls.reload()
        assert await shown() == seen[1]
    finally:
        await server.close(0)


@pytest.mark.parametrize(
    "spoil", [lambda f: f[0].unlink(), lambda f: f[1].write_text(""), lambda f: f[0].write_text("x")]
)
def test_unusable_files_are_named(authority: Authority, spoil: Callable[[tuple[Path, Path]], object]) -> None:
    files = authority.issue("localhost")
    spoil(files)
    with pytest.raises(TlsError, match="localhost"):
        server_context(*files, authority.path)


async def test_a_silent_peer_does_not_hold_up_the_end_of_the_server(authority: Authority) -> None:
    server = await serve(who, ssl_context=server_context(*authority.issue("localhost")))
    context = client_context(authority)

    def converse() -> ssl.SSLSocket:
        """A client that has had its answer, keeps the connection, and doesn't look at it any more."""
        plain = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        peer = context.wrap_socket(plain, server_hostname="localhost")
        peer.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert peer.recv(1 << 16).endswith(b"nobody")
        return peer

    with await asyncio.to_thread(converse):
        began = asyncio.get_running_loop().time()
        await server.close(30)
        assert asyncio.get_running_loop().time() - began < 4
