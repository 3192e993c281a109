"""Images from a real registry, and from one that wants tokens."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs

import pytest

from arktos.bootstrap.oci_image import MANIFEST_TYPE, build, digest
from arktos.rpc.method import RpcError
from arktos.rpc.protos import cri_pb2 as pb
from arktos.vmruntime.images import ImagePolicy, ImageStore
from arktos.vmruntime.images.oci import Repository
from arktos.vmruntime.images.reference import OciSource
from arktos.vmruntime.images.web import Credentials, Lifeline, Web
from assets.http_files import FileServer, sha256
from assets.registry import Registry

DISK = bytes(510) + b"\x55\xaa" + b"content" * 10000 + bytes(7)


def artifact(registry: Registry, name: str, blob: bytes, media_type: str = "application/x-qcow2") -> str:
    config = b"{}"
    registry.push_blob(name, blob)
    registry.push_blob(name, config)
    layer = {"mediaType": media_type, "digest": digest(blob), "size": len(blob)}
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest(config), "size": len(config)},
        "layers": [layer],
    }
    return registry.push_manifest(name, "1", json.dumps(document).encode(), MANIFEST_TYPE).digest


@pytest.fixture
async def store(tmp_path: Path, container_registry: Registry) -> AsyncIterator[ImageStore]:
    policy = ImagePolicy(insecure_registries=frozenset({container_registry.authority}))
    store = ImageStore(tmp_path / "images", policy)
    await store.open()
    yield store
    await store.aclose()


async def test_artifact(container_registry: Registry, store: ImageStore) -> None:
    pin = artifact(container_registry, "vm/artifact", DISK)
    reference = f"oci://{container_registry.authority}/vm/artifact"
    record = await store.pull(f"{reference}:1")
    assert record.id == f"sha256:{sha256(DISK)}" and record.format == "raw"
    assert await store.pull(f"{reference}:1") == record
    assert (await store.pull(f"{reference}@{pin}")).references == (f"{reference}:1", f"{reference}@{pin}")


async def test_disk_in_a_container_image(container_registry: Registry, store: ImageStore) -> None:
    image = build({"disk/guest.img": (DISK, 0o440), "etc/passwd": (b"", 0o644)}, {})
    pushed = container_registry.push(image, "vm/containerdisk", "1")
    record = await store.pull(f"oci://{pushed.reference}")
    assert record.path.read_bytes() == DISK


async def test_a_disk_that_is_a_link_is_none(container_registry: Registry, store: ImageStore) -> None:
    pushed = container_registry.push(build({}, {}, links={"disk/guest.img": "/etc/passwd"}), "vm/link", "1")
    with pytest.raises(RpcError, match="no file in /disk/"):
        await store.pull(f"oci://{pushed.reference}")


async def test_missing(container_registry: Registry, store: ImageStore) -> None:
    with pytest.raises(RpcError, match="NOT_FOUND"):
        await store.pull(f"oci://{container_registry.authority}/vm/nothing:1")


async def test_index(container_registry: Registry, store: ImageStore) -> None:
    name = "vm/index"
    pin = artifact(container_registry, name, DISK)
    entry = {"mediaType": MANIFEST_TYPE, "digest": pin, "size": 1, "platform": {"os": "linux", "architecture": "amd64"}}
    other = {**entry, "platform": {"os": "linux", "architecture": "s390x"}}
    kind = "application/vnd.oci.image.index.v1+json"
    document = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": [other, entry]}).encode()
    container_registry.push_manifest(name, "all", document, kind)
    assert (await store.pull(f"oci://{container_registry.authority}/{name}:all")).path.read_bytes() == DISK


class TokenRegistry(BaseHTTPRequestHandler):
    """Serves one artifact to those who bring a token, and tokens to the user `u` with the password `p`. Its blobs lie
    on another server, as those of public registries do."""

    blobs = ""
    seen: list[tuple[str, str]]

    def do_GET(self) -> None:
        bearing = self.headers.get("Authorization", "")
        self.seen.append((self.path.partition("?")[0], bearing))
        here = f"http://{self.headers['Host']}"
        config = b"{}"
        if self.path.startswith("/token?"):
            asked = parse_qs(self.path.partition("?")[2])
            assert asked == {"service": ["test"], "scope": ["repository:vm/d:pull"]}
            right = bearing == "Basic " + base64.b64encode(b"u:p").decode()
            self.answer(200 if right else 401, json.dumps({"token": "t0ken"}).encode())
        elif bearing != "Bearer t0ken":
            challenge = f'Bearer realm="{here}/token",service="test",scope="repository:vm/d:pull"'
            self.answer(401, b"", {"WWW-Authenticate": challenge})
        elif "/manifests/" in self.path:
            layer = {"mediaType": "application/x-raw", "digest": digest(DISK), "size": len(DISK)}
            document = {"schemaVersion": 2, "config": {"digest": digest(config), "size": 2}, "layers": [layer]}
            self.answer(200, json.dumps(document).encode())
        else:
            self.answer(307, b"", {"Location": self.blobs})

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def token_registry(file_server: FileServer) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    seen: list[tuple[str, str]] = []
    blobs = file_server.serve("/token-registry/blob", DISK)
    handler = type("Handler", (TokenRegistry,), {"blobs": blobs, "seen": seen})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"127.0.0.1:{server.server_port}", seen
        server.shutdown()
        thread.join()


async def test_token_authentication(tmp_path: Path, token_registry: tuple[str, list[tuple[str, str]]]) -> None:
    authority, seen = token_registry
    policy = ImagePolicy(allow_local=True, insecure_registries=frozenset({authority}))
    store = ImageStore(tmp_path / "images", policy)
    await store.open()
    reference = f"oci://{authority}/vm/d:1"
    for auth in (None, pb.AuthConfig(username="u", password="wrong")):
        with pytest.raises(RpcError, match="PERMISSION_DENIED"):
            await store.pull(reference, auth)
    seen.clear()
    basic = base64.b64encode(b"u:p").decode()
    record = await store.pull(reference, pb.AuthConfig(auth=basic))
    assert record.path.read_bytes() == DISK
    assert seen == [
        ("/v2/vm/d/manifests/1", ""),
        ("/token", f"Basic {basic}"),
        ("/v2/vm/d/manifests/1", "Bearer t0ken"),
        (f"/v2/vm/d/blobs/{digest(DISK)}", "Bearer t0ken"),
    ]
    with pytest.raises(RpcError, match="PERMISSION_DENIED"):
        await store.pull(reference)
    await store.aclose()


async def test_tokens_do_not_go_over_plain_http_for_a_registry_that_is_secure() -> None:
    source = OciSource("https", "r.example.com", "vm/d")
    repository = Repository(Web(False, Lifeline()), source, Credentials("u", "p"))
    with pytest.raises(RpcError, match="plain http"):
        repository._answer_to('Bearer realm="http://r.example.com/token"')
