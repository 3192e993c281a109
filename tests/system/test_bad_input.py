"""What must not come over a socket, and comes: each gets its answer or its end, and nobody else notices."""

from __future__ import annotations

import base64
import datetime
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from arktos.bootstrap import pki

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
MIB = 1 << 20


def rss(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmRSS:")).split()[1]) * 1024


class Bystander:
    """Somebody else, who reads all the time and measures how long it takes."""

    def __init__(self, api: Any) -> None:
        self._api = api
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self.seconds: list[float] = []
        self.problems: list[str] = []

    def _read(self) -> None:
        while not self._stop.is_set():
            began = time.perf_counter()
            try:
                answer = self._api("GET", "/api/v1/namespaces/default")
            except (OSError, http.client.HTTPException) as error:
                self.problems.append(repr(error))
                continue
            self.seconds.append(time.perf_counter() - began)
            if answer.status != 200:
                self.problems.append(str(answer))
            time.sleep(0.001)

    @contextmanager
    def reading(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join(30)

    def is_content(self) -> None:
        assert self.problems == []
        assert len(self.seconds) > 20
        ordered = sorted(self.seconds)
        # A bystander shares the machine with the test; what is looked for is a server that stands still.
        assert ordered[int(len(ordered) * 0.99)] < 0.25, f"p99 {ordered[int(len(ordered) * 0.99)]:.3f} s"


@contextmanager
def connected(system: Any, context: ssl.SSLContext | None) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", system.settings.port), timeout=30) as plain:
        if context is None:
            yield plain
            return
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as secure:
            yield secure


def received(peer: socket.socket) -> bytes:
    """All until the server closes."""
    data = b""
    with suppress(ConnectionResetError, BrokenPipeError, ssl.SSLError):
        while piece := peer.recv(1 << 16):
            data += piece
    return data


def answered(peer: socket.socket) -> tuple[int, Any]:
    """Status code and Status object of an answer."""
    answer = http.client.HTTPResponse(peer)
    answer.begin()
    return answer.status, json.loads(answer.read())


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"\0\1\2\3 nonsense\r\n\r\n", 400),
        (b"GET / HTTP/9.7\r\nHost: x\r\n\r\n", 400),
        (b"GET /api/v1/namespaces HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\n bad folding: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nNo colon\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /api/v1/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 104857600\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * (2 * MIB) + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * (2 * MIB) + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(200_000)) + b"\r\n", 431),
        (b"PUT / HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\n\r\n", 417),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else repr(value[:60]),
)
def test_malformed_http(shared_apiserver: Any, api_for: Any, sent: bytes, code: int) -> None:
    api = api_for(shared_apiserver)
    with connected(shared_apiserver, api.context) as peer:
        with suppress(BrokenPipeError, ConnectionResetError, ssl.SSLError):
            peer.sendall(sent)
        found, status = answered(peer)
    assert (found, status["kind"], status["status"], status["code"]) == (code, "Status", "Failure", code)
    assert api("GET", "/api/v1/namespaces/default").status == 200


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_body_of_100_megabytes(shared_apiserver: Any, api_for: Any, framing: str) -> None:
    api = api_for(shared_apiserver)
    assert shared_apiserver.server is not None
    pid = shared_apiserver.server.pid
    before = rss(pid)
    peak = before
    bystander = Bystander(api.clone())
    head = f"POST {CONFIGMAPS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {100 * MIB}\r\n\r\n" if framing == "length" else "Transfer-Encoding: chunked\r\n\r\n"
    piece = b"x" * MIB if framing == "length" else b"100000\r\n" + b"x" * MIB + b"\r\n"
    with bystander.reading():
        with connected(shared_apiserver, api.context) as peer:
            # A client that sends it all before it listens, as far as it is let.
            with suppress(BrokenPipeError, ConnectionResetError, ssl.SSLError):
                peer.sendall(head.encode())
                for _ in range(100):
                    peer.sendall(piece)
                    peak = max(peak, rss(pid))
            code, status = answered(peer)
        time_to_read = time.monotonic() + 5
        while len(bystander.seconds) < 50 and time.monotonic() < time_to_read:
            time.sleep(0.01)
    assert code == 413
    assert status["reason"] == "RequestEntityTooLarge"
    assert peak - before < 32 * MIB
    bystander.is_content()


def test_slow_loris_is_let_go(shared_apiserver: Any, api_for: Any) -> None:
    """Hundreds of heads that never end cost neither the others their answers nor the server much memory."""
    api = api_for(shared_apiserver)
    assert shared_apiserver.server is not None
    before = rss(shared_apiserver.server.pid)
    bystander = Bystander(api.clone())
    peers = []
    try:
        with bystander.reading():
            for _ in range(300):
                plain = socket.create_connection(("127.0.0.1", shared_apiserver.settings.port), timeout=30)
                peers.append(api.context.wrap_socket(plain, server_hostname="127.0.0.1"))
                peers[-1].sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-1: a")
            for _ in range(20):
                for peer in peers:
                    peer.sendall(b"a")
        bystander.is_content()
        assert rss(shared_apiserver.server.pid) - before < 64 * MIB
    finally:
        for peer in peers:
            peer.close()


@pytest.mark.heavy
def test_a_head_that_does_not_come_is_answered_in_time(shared_apiserver: Any, api_for: Any) -> None:
    api = api_for(shared_apiserver)
    with connected(shared_apiserver, api.context) as peer:
        peer.settimeout(60)
        peer.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        began = time.monotonic()
        assert answered(peer)[0] in (408, 504)
        assert time.monotonic() - began < 55


@pytest.mark.parametrize(
    "sent",
    [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"\0" * 500, b"\0" * 4096, b"SSH-2.0-x\r\n"],
    ids=["http", "garbled hello", "zeros", "ssh"],
)
def test_not_tls(shared_apiserver: Any, api_for: Any, sent: bytes) -> None:
    with connected(shared_apiserver, None) as peer:
        peer.sendall(sent)
        peer.shutdown(socket.SHUT_WR)
        answer = received(peer)
    # A TLS alert or nothing; and the end of the connection.
    assert answer[:1] in (b"", b"\x15")
    assert api_for(shared_apiserver)("GET", "/api/v1/namespaces/default").status == 200


def client(
    authority: pki.Pair | None, system: Any, tmp_path: Path, name: str, before: datetime.timedelta
) -> ssl.SSLContext:
    """A context with a client certificate of an authority (None: the system's own), issued `before` now."""
    layout = system.settings.layout
    certificate, key = tmp_path / "ca.crt", tmp_path / "ca.key"
    certificate.write_bytes(layout.ca.read_bytes() if authority is None else authority.certificate)
    key.write_bytes(layout.ca_key.read_bytes() if authority is None else authority.key)
    pair = pki.Signer(certificate, key).client(
        name, datetime.datetime.now(datetime.UTC) - before, groups=["system:masters"]
    )
    both = tmp_path / "client.pem"
    both.write_bytes(pair.certificate + pair.key)
    context = ssl.create_default_context(cafile=str(layout.ca))
    context.load_cert_chain(both)
    return context


def refused_or_unauthorized(system: Any, context: ssl.SSLContext) -> None:
    """The handshake fails, or the request gets 401: never an answer."""
    connection = http.client.HTTPSConnection("127.0.0.1", system.settings.port, timeout=20, context=context)
    try:
        connection.request("GET", "/api/v1/namespaces/default")
        assert connection.getresponse().status == 401
    except OSError:
        pass
    finally:
        connection.close()


def test_a_certificate_of_another_authority(shared_apiserver: Any, tmp_path: Path) -> None:
    foreign = pki.authority(datetime.datetime.now(datetime.UTC))
    refused_or_unauthorized(
        shared_apiserver, client(foreign, shared_apiserver, tmp_path, "admin", datetime.timedelta())
    )


def test_an_expired_certificate(shared_apiserver: Any, tmp_path: Path) -> None:
    years = datetime.timedelta(days=800)
    refused_or_unauthorized(shared_apiserver, client(None, shared_apiserver, tmp_path, "admin", years))


def test_a_certificate_that_signs_itself(shared_apiserver: Any, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:masters"),
            x509.NameAttribute(NameOID.COMMON_NAME, "admin"),
        ]
    )
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    both = tmp_path / "self.pem"
    both.write_bytes(
        builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.create_default_context(cafile=str(shared_apiserver.settings.layout.ca))
    context.load_cert_chain(both)
    refused_or_unauthorized(shared_apiserver, context)


@pytest.mark.parametrize(
    ("body", "code", "reason"),
    [
        (b"{", 400, "BadRequest"),
        (b"", 400, "BadRequest"),
        (b"[1, 2]", 400, "BadRequest"),
        (b"\xff\xfe", 400, "BadRequest"),
        (b'{"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a"}}', 400, "BadRequest"),
        (b'{"kind": "ConfigMap", "apiVersion": "v1", "metadata": []}', 400, "BadRequest"),
        (b'{"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "A b"}}', 422, "Invalid"),
        (b'{"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}, "data": {"k": 1}}', 400, "BadRequest"),
        (b"[" * 200_000, 400, "BadRequest"),
        (b'{"a":' * 100_000, 400, "BadRequest"),
        (b'{"metadata": {"name": "a", "name": "b", "annotations": {"n": 1e999}}}', 400, "BadRequest"),
    ],
    ids=lambda value: repr(value[:50]) if isinstance(value, bytes) else str(value),
)
def test_bodies_that_are_no_objects(shared_apiserver: Any, api_for: Any, body: bytes, code: int, reason: str) -> None:
    api = api_for(shared_apiserver)
    connection = api.connect()
    connection.request("POST", CONFIGMAPS, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    status = json.loads(answer.read())
    connection.close()
    assert (answer.status, status["kind"], status["reason"]) == (code, "Status", reason), status


@pytest.mark.parametrize("media", ["application/yaml", "application/vnd.kubernetes.protobuf", "application/x-unknown"])
def test_bodies_of_other_media(shared_apiserver: Any, api_for: Any, media: str) -> None:
    api = api_for(shared_apiserver)
    connection = api.connect()
    connection.request("POST", CONFIGMAPS, b"k8s\0\x0a\xff\xff" + b"&a [*a" * 3, {"Content-Type": media})
    answer = connection.getresponse()
    status = json.loads(answer.read())
    connection.close()
    assert answer.status == (415 if media.endswith("unknown") else 400), status


def test_a_yaml_bomb(shared_apiserver: Any, api_for: Any) -> None:
    api = api_for(shared_apiserver)
    lines = ["kind: ConfigMap", "apiVersion: v1", "metadata: {name: bomb}", "data:", "  a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"  a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    bystander = Bystander(api.clone())
    connection = api.connect()
    with bystander.reading():
        connection.request("POST", CONFIGMAPS, "\n".join(lines).encode(), {"Content-Type": "application/yaml"})
        answer = connection.getresponse()
        assert json.loads(answer.read())["kind"] == "Status"
        connection.close()
        until = time.monotonic() + 5
        while len(bystander.seconds) < 50 and time.monotonic() < until:
            time.sleep(0.01)
    assert answer.status == 400
    bystander.is_content()


def test_credentials_that_are_none(shared_apiserver: Any) -> None:
    context = ssl.create_default_context(cafile=str(shared_apiserver.settings.layout.ca))
    for header in ("Bearer x", "Bearer " + "x" * 100_000, "Basic " + base64.b64encode(b"a:b").decode(), "Bearer a.b.c"):
        connection = http.client.HTTPSConnection(
            "127.0.0.1", shared_apiserver.settings.port, timeout=20, context=context
        )
        connection.request("GET", "/api/v1/namespaces", headers={"Authorization": header})
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["reason"]) == (401, "Unauthorized")
        connection.close()
