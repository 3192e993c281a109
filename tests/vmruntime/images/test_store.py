"""The store with a real web server: what it fetches, keeps, shares and refuses."""

from __future__ import annotations

import asyncio
import gzip
import lzma
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from arktos.rpc.method import RpcError
from arktos.rpc.protos import cri_pb2 as pb
from arktos.vmruntime.images import ImagePolicy, ImageStore
from assets.http_files import FileServer, sha256

LOCAL = ImagePolicy(allow_local=True)


@pytest.fixture
def path(request: pytest.FixtureRequest) -> str:
    """A place on the file server of the test's own."""
    return f"/{request.node.name}"


@pytest.fixture
def disk(tmp_path: Path) -> bytes:
    """A qcow2 image with 3 MB in it."""
    raw = tmp_path / "raw"
    raw.write_bytes(bytes(range(256)) * 12000)
    made = tmp_path / "made.qcow2"
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, made], check=True)
    return made.read_bytes()


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Callable[..., object]]:
    stores: list[ImageStore] = []

    async def make(policy: ImagePolicy = LOCAL, in_use: Callable[[str], bool] = lambda _: False) -> ImageStore:
        store = ImageStore(tmp_path / "images", policy, in_use)
        await store.open()
        stores.append(store)
        return store

    yield make
    for store in stores:
        await store.aclose()


def kept(tmp_path: Path) -> dict[str, list[str]]:
    return {folder.name: sorted(each.name for each in folder.iterdir()) for folder in (tmp_path / "images").iterdir()}


async def failure(store: ImageStore, reference: str, auth: pb.AuthConfig | None = None) -> RpcError:
    with pytest.raises(RpcError) as caught:
        await store.pull(reference, auth)
    return caught.value


async def test_pull_status_list_remove(file_server: FileServer, path: str, disk: bytes, opened, tmp_path: Path) -> None:
    store: ImageStore = await opened()
    url = file_server.serve(path, disk)
    told: list[tuple[int, int]] = []
    record = await store.pull(url, progress=lambda done, total: told.append((done, total)))
    assert record.id == f"sha256:{sha256(disk)}" and record.references == (url,)
    assert (record.format, record.virtual_size) == ("qcow2", 3072000)
    assert record.path.read_bytes() == disk and record.path.stat().st_mode & 0o777 == 0o444
    assert told[-1] == (len(disk), len(disk)) and len(told) >= 3
    assert await store.status(url) == await store.status(record.id) == record
    assert await store.list() == [record]
    size, inodes = await store.usage()
    assert size >= len(disk) and inodes == 2
    reopened: ImageStore = await opened()
    assert await reopened.status(url) == record
    await reopened.remove(record.id)
    await reopened.remove(record.id)
    assert await reopened.list() == [] and kept(tmp_path) == {"data": [], "links": [], "partial": []}


async def test_second_pull_asks_whether_it_changed(file_server: FileServer, path: str, disk: bytes, opened) -> None:
    store: ImageStore = await opened()
    url = file_server.serve(path, disk)
    first = await store.pull(url)
    changed = disk + bytes(512)
    file_server.serve(path, changed)
    second = await store.pull(url)
    assert second.id == f"sha256:{sha256(changed)}"
    assert not first.path.exists() and [each.id for each in await store.list()] == [second.id]


async def test_two_names_of_one_content(file_server: FileServer, path: str, disk: bytes, opened) -> None:
    store: ImageStore = await opened()
    one, two = file_server.serve(path + "/1", disk), file_server.serve(path + "/2", disk)
    await store.pull(one)
    record = await store.pull(two)
    assert record.references == (one, two)
    await store.remove(one)
    assert await store.list() == []


async def test_an_image_in_use_keeps_its_content(file_server: FileServer, path: str, disk: bytes, opened) -> None:
    used = {f"sha256:{sha256(disk)}"}
    store: ImageStore = await opened(LOCAL, used.__contains__)
    record = await store.pull(file_server.serve(path, disk))
    await store.remove(record.id)
    assert await store.list() == [] and record.path.exists()
    used.clear()
    await store.remove(record.id)
    assert not record.path.exists()


async def test_concurrent_pulls_share_one_download(file_server: FileServer, path: str, disk: bytes, opened) -> None:
    store: ImageStore = await opened()
    url = file_server.serve(path, disk, pause=0.005)
    records = await asyncio.gather(*(store.pull(url) for _ in range(10)))
    assert len({record.id for record in records}) == 1 and file_server.requests[path] == 1


async def test_one_waiter_may_leave_and_the_last_one_ends_it(
    file_server: FileServer, path: str, disk: bytes, opened, tmp_path: Path
) -> None:
    store: ImageStore = await opened()
    url = file_server.serve(path, disk, pause=0.02)
    begun = asyncio.Event()
    leaving = asyncio.create_task(store.pull(url, progress=lambda *_: begun.set()))
    staying = asyncio.create_task(store.pull(url))
    await begun.wait()
    leaving.cancel()
    assert (await staying).id == f"sha256:{sha256(disk)}"
    file_server.serve(path + "/slow", disk, pause=1)
    begun.clear()
    alone = asyncio.create_task(store.pull(url + "/slow", progress=lambda *_: begun.set()))
    await begun.wait()
    alone.cancel()
    await store.aclose()
    assert kept(tmp_path)["partial"] == []


async def test_broken_transfers_are_taken_up_again(file_server: FileServer, path: str, disk: bytes, opened) -> None:
    store: ImageStore = await opened()
    url = file_server.serve(path, disk, truncate_at=1 << 20)
    record = await store.pull(url)
    assert record.path.read_bytes() == disk
    assert file_server.ranges[path] == ["bytes=1048576-", "bytes=2097152-"] or len(file_server.ranges[path]) >= 2
    file_server.serve(path + "/whole", disk, truncate_at=1 << 20, ranges=False)
    assert (await failure(store, url + "/whole")).code == "UNAVAILABLE"


async def test_overload_is_retried(file_server: FileServer, path: str, disk: bytes, opened) -> None:
    store: ImageStore = await opened()
    await store.pull(file_server.serve(path, disk, failures=2))
    assert file_server.requests[path] == 3


async def test_checksums(file_server: FileServer, path: str, disk: bytes, opened, tmp_path: Path) -> None:
    store: ImageStore = await opened()
    url = file_server.serve(path, disk)
    wrong = await failure(store, f"{url}@sha256:{'0' * 64}")
    assert wrong.code == "DATA_LOSS" and sha256(disk) in wrong.message
    assert kept(tmp_path) == {"data": [], "links": [], "partial": []}
    right = f"{url}?checksum=sha256:{sha256(disk)}"
    await store.pull(right)
    before = file_server.requests[path]
    await store.pull(right)
    assert file_server.requests[path] == before


async def test_packed_images(file_server: FileServer, path: str, disk: bytes, opened) -> None:
    store: ImageStore = await opened()
    packed = {"/gz": gzip.compress(disk), "/xz": lzma.compress(disk), "/two.gz": gzip.compress(disk[:5000])}
    packed["/two.gz"] += gzip.compress(disk[5000:])
    for name, content in packed.items():
        pin = sha256(content)
        record = await store.pull(f"{file_server.serve(path + name, content)}@sha256:{pin}")
        assert record.id == f"sha256:{sha256(disk)}"
    cut = file_server.serve(path + "/cut", packed["/xz"][:-20])
    assert (await failure(store, cut)).code == "DATA_LOSS"
    cut = file_server.serve(path + "/cutgz", packed["/gz"][:-20])
    assert (await failure(store, cut)).code == "DATA_LOSS"


async def test_bounds(file_server: FileServer, path: str, disk: bytes, opened, tmp_path: Path) -> None:
    store: ImageStore = await opened(ImagePolicy(allow_local=True, most_bytes=1 << 20))
    bomb = gzip.compress(bytes(64 << 20))
    for url in (
        file_server.serve(path + "/large", disk),
        file_server.serve(path + "/silent", disk, length=-1),
        file_server.serve(path + "/bomb", bomb),
    ):
        assert (await failure(store, url)).code == "RESOURCE_EXHAUSTED"
    assert kept(tmp_path) == {"data": [], "links": [], "partial": []}


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "NOT_FOUND"), (403, "PERMISSION_DENIED"), (400, "INVALID_ARGUMENT"), (500, "UNAVAILABLE")],
)
async def test_answers_of_failure(file_server: FileServer, path: str, opened, status: int, code: str) -> None:
    store: ImageStore = await opened()
    assert (await failure(store, file_server.serve(f"{path}{status}", b"", status=status))).code == code


async def test_nobody_there(opened) -> None:
    store: ImageStore = await opened()
    assert (await failure(store, "http://127.0.0.1:1/x.img")).code == "UNAVAILABLE"


async def test_local_addresses_are_refused(file_server: FileServer, path: str, disk: bytes, opened) -> None:
    store: ImageStore = await opened(ImagePolicy())
    for host in ("127.0.0.1", "localhost", "[::1]"):
        refused = await failure(store, f"http://{host}:{file_server.authority.rpartition(':')[2]}{path}")
        assert refused.code == "INVALID_ARGUMENT" and "loopback" in refused.message
    assert file_server.requests[path] == 0


async def test_mirrors_may_be_local_but_send_nowhere(file_server: FileServer, path: str, disk: bytes, opened) -> None:
    port = file_server.authority.rpartition(":")[2]
    store: ImageStore = await opened(ImagePolicy(mirrors=(("images.example.com/", f"http://127.0.0.1:{port}/"),)))
    file_server.serve(path, disk)
    record = await store.pull(f"images.example.com{path}")
    assert record.references == (f"images.example.com{path}",)
    file_server.redirect(path + "/away", f"http://localhost:{port}{path}")
    refused = await failure(store, f"images.example.com{path}/away")
    assert refused.code == "INVALID_ARGUMENT" and "loopback" in refused.message


async def test_redirects(file_server: FileServer, path: str, disk: bytes, opened) -> None:
    store: ImageStore = await opened()
    url = file_server.serve(path, disk)
    assert (await store.pull(file_server.redirect(path + "/1", path))).path.read_bytes() == disk
    file_server.redirect(path + "/loop", path + "/loop")
    assert "redirects more than" in (await failure(store, url + "/loop")).message
    file_server.redirect(path + "/file", "file:///etc/passwd")
    assert (await failure(store, url + "/file")).code == "INVALID_ARGUMENT"


async def test_files_are_the_operators(disk: bytes, opened, tmp_path: Path) -> None:
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    (allowed / "a.qcow2").write_bytes(disk)
    (tmp_path / "outside.qcow2").write_bytes(disk)
    (allowed / "link.qcow2").symlink_to(tmp_path / "outside.qcow2")
    closed: ImageStore = await opened(ImagePolicy())
    assert (await failure(closed, f"file://{allowed}/a.qcow2")).code == "PERMISSION_DENIED"
    store: ImageStore = await opened(ImagePolicy(files=allowed))
    record = await store.pull(f"file://{allowed}/a.qcow2")
    assert record.id == f"sha256:{sha256(disk)}"
    for outside in (f"{allowed}/link.qcow2", f"{allowed}/../outside.qcow2", "/etc/passwd"):
        assert (await failure(store, f"file://{outside}")).code == "PERMISSION_DENIED"
    assert (await failure(store, f"file://{allowed}/none")).code == "NOT_FOUND"


async def test_no_images(file_server: FileServer, path: str, opened, tmp_path: Path) -> None:
    store: ImageStore = await opened()
    page = await failure(store, file_server.serve(path, b"<!DOCTYPE html><p>log in" + bytes(1000)))
    assert page.code == "INVALID_ARGUMENT" and "a web page" in page.message
    assert kept(tmp_path) == {"data": [], "links": [], "partial": []}


async def test_what_a_killed_process_left_goes(disk: bytes, opened, tmp_path: Path) -> None:
    await opened()
    for left in ("partial/tmpx/download", "data/" + "0" * 64, "links/broken.json"):
        target = tmp_path / "images" / left
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(b"half")
    await opened()
    assert kept(tmp_path) == {"data": [], "links": [], "partial": []}


async def test_a_changed_image_is_found_out(file_server: FileServer, path: str, disk: bytes, opened) -> None:
    store: ImageStore = await opened()
    record = await store.pull(file_server.serve(path, disk))
    await store.verify(record.id)
    record.path.chmod(0o644)
    record.path.write_bytes(disk[:-1] + b"!")
    with pytest.raises(RpcError, match="DATA_LOSS"):
        await store.verify(record.id)
    assert await store.list() == []
