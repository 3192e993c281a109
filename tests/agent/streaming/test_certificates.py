"""The certificate that the agent's server shows is replaced while it runs."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography import x509

from arktos.agent.streaming import server as streaming
from arktos.agent.streaming.server import StreamingOptions, StreamingServer
from arktos.bootstrap import pki

NOW = datetime.datetime.now(datetime.UTC)


@pytest.fixture
def signer(tmp_path: Path) -> pki.Signer:
    made = pki.authority(NOW)
    for name, content in (("ca.crt", made.certificate), ("ca.key", made.key)):
        (tmp_path / name).write_bytes(content)
    return pki.Signer(tmp_path / "ca.crt", tmp_path / "ca.key")


async def shown(port: int) -> int:
    """The serial number of the certificate that a new connection meets."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return x509.load_der_x509_certificate(found).serial_number


async def test_new_connections_meet_the_new_one(
    tmp_path: Path, signer: pki.Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "CERTIFICATES_REREAD", 0.02)
    certificate, key = tmp_path / "a.crt", tmp_path / "a.key"
    serials = []

    def write(part: str = "") -> None:
        pair = signer.server(["127.0.0.1"], NOW)
        key.write_bytes(pair.key)
        certificate.write_bytes(pair.certificate if not part else part.encode())
        serials.append(x509.load_pem_x509_certificate(pair.certificate).serial_number)

    write()
    nothing = cast(Any, None)
    options = StreamingOptions(certificate, key, tmp_path / "ca.crt", tmp_path, "127.0.0.1", 0)
    server = StreamingServer(options, nothing, nothing, nothing, nothing, nothing)
    await server.start()
    running = asyncio.create_task(server.run())
    try:
        assert await shown(server.port) == serials[0]
        write("half a file")
        await asyncio.sleep(0.1)
        assert await shown(server.port) == serials[0]
        write()
        async with asyncio.timeout(10):
            while await shown(server.port) != serials[-1]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    finally:
        running.cancel()
        await server.stop()
