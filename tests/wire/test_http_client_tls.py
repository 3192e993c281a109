"""The HTTP client over TLS: certificates on both sides, on both event loops."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from arktos.wire.http_client import ConnectionFailed, HttpClient

pytestmark = pytest.mark.filterwarnings("ignore:Overriding the")


@pytest.fixture(params=["asyncio", "uvloop"])
def event_loop_policy(request: pytest.FixtureRequest) -> asyncio.AbstractEventLoopPolicy:
    return uvloop.EventLoopPolicy() if request.param == "uvloop" else asyncio.DefaultEventLoopPolicy()


class Authority:
    """A certificate authority for one test run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test-ca")])
        self.pem = self._sign(self._name, self._key, ca=True).public_bytes(serialization.Encoding.PEM)

    def issue(self, name: str) -> Path:
        """A file with certificate and key, good for localhost and for client authentication."""
        key = ec.generate_private_key(ec.SECP256R1())
        cert = self._sign(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key, ca=False)
        file = self.folder / f"{name}.pem"
        file.write_bytes(
            cert.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return file

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, ca: bool) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        )
        return builder.sign(self._key, hashes.SHA256())


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    yield Authority(tmp_path_factory.mktemp("ca"))


class Server:
    """Answers every request with the subject of the client's certificate."""

    def __init__(self) -> None:
        self.port = 0
        self.answered = 0
        self.over: list[asyncio.Future[None]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.over.append(over)
        subject = str(writer.get_extra_info("peercert")["subject"]).encode()
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(subject), subject))
                self.answered += 1
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            over.set_result(None)


@asynccontextmanager
async def serving(authority: Authority) -> AsyncIterator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.issue("localhost"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=authority.pem.decode())
    playing = Server()
    server = await asyncio.start_server(playing.serve, "127.0.0.1", 0, ssl=context)
    playing.port = server.sockets[0].getsockname()[1]
    try:
        yield playing
    finally:
        server.close()
        await asyncio.gather(*playing.over)


def trusting(authority: Authority, cert: Path | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=authority.pem.decode())
    if cert is not None:
        context.load_cert_chain(cert)
    return context


async def test_a_client_certificate_is_shown(authority: Authority) -> None:
    async with serving(authority) as server:
        client = HttpClient(
            f"https://localhost:{server.port}", ssl_context=trusting(authority, authority.issue("alice"))
        )
        for _ in range(3):
            assert b"alice" in (await client.request("GET", "/")).body
        await client.aclose()
        assert len(server.over) == 1


async def test_without_the_certificate_that_the_server_wants(authority: Authority) -> None:
    async with serving(authority) as server:
        client = HttpClient(f"https://localhost:{server.port}", ssl_context=trusting(authority))
        with pytest.raises(ConnectionFailed):
            await client.request("GET", "/")
        await client.aclose()
        assert server.answered == 0


async def test_name_and_authority_are_checked(authority: Authority, tmp_path: Path) -> None:
    alice = authority.issue("alice")
    async with serving(authority) as server:
        wrong_name = HttpClient(f"https://127.0.0.1:{server.port}", ssl_context=trusting(authority, alice))
        stranger = trusting(Authority(tmp_path), alice)
        wrong_authority = HttpClient(f"https://localhost:{server.port}", ssl_context=stranger)
        for client in (wrong_name, wrong_authority):
            with pytest.raises(ConnectionFailed, match="certificate") as failure:
                await client.request("GET", "/")
            assert not failure.value.sent
            await client.aclose()
        assert server.answered == 0
        told = HttpClient(
            f"https://127.0.0.1:{server.port}", ssl_context=trusting(authority, alice), server_name="localhost"
        )
        assert (await told.request("GET", "/")).status == 200
        await told.aclose()
