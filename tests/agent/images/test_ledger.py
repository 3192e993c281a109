"""Who may have an image that is here already: also after kills, lost files, and images that come back."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from arktos.agent.images.credentials import Credential
from arktos.agent.images.ledger import Ledger, canonical
from arktos.agent.images.pulling import Image, Images, NoImage, StillPulling
from arktos.rpc import cri
from arktos.rpc.method import RpcError
from arktos.rpc.protos import cri_pb2 as pb

NAME, ID = "r.io/team/app:1", "sha256:" + "1" * 64
MINE, OTHER = Credential("me", "secret"), Credential("other", "secret")


async def opened(folder: Path) -> Ledger:
    ledger = Ledger(folder)
    await ledger.load()
    return ledger


async def pulled(ledger: Ledger, tenant: str, shown: Credential | None, name: str = NAME, image: str = ID) -> None:
    await ledger.begin("c", name)
    await ledger.succeeded("c", name, image, tenant, shown)


def may(ledger: Ledger, tenant: str, *shown: Credential, image: str = ID, name: str = NAME) -> bool:
    return ledger.allows("c", image, (name,), tenant, shown)


def contents(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob("*.json")]


async def test_for_whom_it_was_pulled(tmp_path: Path) -> None:
    ledger = await opened(tmp_path)
    await pulled(ledger, "acme", MINE)
    for known in (ledger, await opened(tmp_path)):
        assert may(known, "acme", MINE) and may(known, "acme", OTHER, MINE)
        assert not may(known, "acme") and not may(known, "acme", OTHER)
        assert not may(known, "globex") and not may(known, "globex", MINE)
        # By its id, or by another name, it is the same image.
        assert not may(known, "globex", name="other.io/x:1")
        assert known.allows("vm", ID, (NAME,), "globex", ())
    await pulled(ledger, "globex", OTHER)
    assert may(ledger, "globex", OTHER) and may(ledger, "acme", MINE) and not may(ledger, "umbrella")
    assert not any(b"secret" in content for content in contents(tmp_path))


async def test_what_anybody_may_pull_is_everybodys(tmp_path: Path) -> None:
    ledger = await opened(tmp_path)
    await pulled(ledger, "acme", MINE)
    await pulled(ledger, "globex", None)
    await pulled(ledger, "acme", MINE)
    assert may(await opened(tmp_path), "umbrella")


async def test_what_the_operator_put_here_is_everybodys(tmp_path: Path) -> None:
    ledger = await opened(tmp_path)
    assert may(ledger, "acme")
    await ledger.begin("c", NAME)
    await ledger.failed("c", NAME, known=True)
    assert may(ledger, "acme") and may(await opened(tmp_path), "acme")
    assert not list((tmp_path / "pulls").iterdir())


@pytest.mark.parametrize("end", ["killed", "unknown", "interrupted"])
async def test_a_pull_whose_end_nobody_saw(tmp_path: Path, end: str) -> None:
    ledger = await opened(tmp_path)
    await ledger.begin("c", "r.io/team/app")
    if end == "unknown":
        await ledger.failed("c", "r.io/team/app", known=False)
    elif end == "interrupted":
        ledger.interrupted("c", "r.io/team/app")
    for known in (ledger, await opened(tmp_path)):
        assert not may(known, "acme", name="r.io/team/app:latest")
        assert may(known, "acme", name="r.io/team/app:2")
    again = await opened(tmp_path)
    await pulled(again, "acme", MINE, "r.io/team/app")
    assert may(again, "acme", MINE) and not may(again, "globex")
    assert not list((tmp_path / "pulls").iterdir())


async def test_a_file_that_cannot_be_read_gives_nothing_away(tmp_path: Path) -> None:
    await pulled(await opened(tmp_path), "acme", MINE)
    next((tmp_path / "images").iterdir()).write_bytes(b"{")
    for _ in range(2):
        ledger = await opened(tmp_path)
        assert not may(ledger, "acme", MINE) and may(ledger, "acme", image="sha256:2")
    await pulled(ledger, "acme", MINE)
    assert may(await opened(tmp_path), "acme", MINE)


async def test_a_removed_image_is_forgotten_but_not_one_that_came_back(tmp_path: Path) -> None:
    ledger = await opened(tmp_path)
    await pulled(ledger, "acme", MINE)
    before = ledger.grants("c", ID)
    await pulled(ledger, "globex", OTHER)
    await ledger.forget("c", ID, before)
    assert not may(ledger, "umbrella")
    await ledger.forget("c", ID, ledger.grants("c", ID))
    assert not list((tmp_path / "images").iterdir())


async def test_a_full_disk_gives_nothing_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = await opened(tmp_path)
    await ledger.begin("c", NAME)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("arktos.agent.images.ledger._replace", full)
    with pytest.raises(OSError, match="No space left"):
        await ledger.succeeded("c", NAME, ID, "acme", MINE)
    assert not may(ledger, "globex") and not may(await opened(tmp_path), "globex")
    with pytest.raises(OSError, match="No space left"):
        await ledger.begin("c", "r.io/other:1")


def test_names_as_runtimes_list_them() -> None:
    digest = "sha256:" + "a" * 64
    assert [canonical(each) for each in ("busybox", "a/b:1", f"r.io/a:1@{digest}", "https://x/y?z")] == [
        "docker.io/library/busybox:latest",
        "docker.io/a/b:1",
        f"r.io/a@{digest}",
        "https://x/y?z",
    ]


class Runtime:
    """A runtime whose registry asks for `user`, "" for nobody."""

    name, type = "c", "container"

    def __init__(self, user: str) -> None:
        self.user, self.present, self.pulls = user, False, 0

    async def call(self, method: Any, question: Any, *, within: float = 0) -> Any:
        if method is cri.IMAGE_STATUS:
            image = pb.Image(id=ID, repo_tags=[NAME]) if self.present else pb.Image()
            return pb.ImageStatusResponse(image=image)
        self.pulls += 1
        if self.user and question.auth.username != self.user:
            raise RpcError("UNKNOWN", "401 Unauthorized")
        self.present = True
        return pb.PullImageResponse(image_ref=ID)


def secrets_of(pod: Any) -> Sequence[Any]:
    user = pod["user"]
    text = json.dumps({"auths": {"r.io": {"username": user, "password": "p"}}}).encode()
    return [{"data": {".dockerconfigjson": base64.b64encode(text).decode()}}] if user else []


async def ask(images: Images, runtime: Any, tenant: str, user: str, policy: str = "IfNotPresent") -> Image:
    pod = {"metadata": {"uid": f"{tenant}-{user}", "tenant": tenant}, "spec": {}, "user": user}
    container = {"name": "c", "image": NAME, "imagePullPolicy": policy}
    woken = asyncio.Event()
    try:
        return await images.ensure(runtime, pod, container, lambda *_: None, woken.set)
    except StillPulling:
        await woken.wait()
        return await images.ensure(runtime, pod, container, lambda *_: None, woken.set)


async def test_a_private_image_is_not_handed_to_another_tenant(tmp_path: Path) -> None:
    async def secrets(pod: Any) -> Sequence[Any]:
        return secrets_of(pod)

    runtime = Runtime("me")
    images = Images(secrets, ledger=await opened(tmp_path))
    await ask(images, runtime, "acme", "me")
    await ask(images, runtime, "acme", "me")
    await ask(images, runtime, "acme", "me", "Never")
    assert runtime.pulls == 1
    for tenant, user in (("globex", ""), ("globex", "them"), ("acme", "")):
        with pytest.raises(NoImage) as refused:
            await ask(images, runtime, tenant, user)
        assert (refused.value.reason, refused.value.message) == ("ErrImagePull", "401 Unauthorized")
        with pytest.raises(NoImage) as refused:
            await ask(images, runtime, tenant, user, "Never")
        assert refused.value.reason == "ErrImageNeverPull"
    await ask(images, runtime, "globex", "me")
    assert runtime.pulls == 5
    await ask(images, runtime, "globex", "me")
    assert runtime.pulls == 5
    await images.aclose()


async def test_a_public_image_is_pulled_once_for_all(tmp_path: Path) -> None:
    async def secrets(pod: Any) -> Sequence[Any]:
        return secrets_of(pod)

    runtime = Runtime("")
    images = Images(secrets, ledger=await opened(tmp_path))
    for tenant, user in (("acme", "me"), ("globex", ""), ("umbrella", ""), ("acme", "")):
        await ask(images, runtime, tenant, user)
    assert runtime.pulls == 2
    await images.aclose()
