"""Names of images, pull secrets, and pulls that many wait for."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest

from arktos.agent.images.credentials import Credential, matching
from arktos.agent.images.pulling import Image, Images, NoImage, StillPulling
from arktos.agent.images.reference import MalformedReference, Reference, default_policy, parse, with_tag
from arktos.rpc import cri
from arktos.rpc.method import RpcError
from arktos.rpc.protos import cri_pb2 as pb

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("nginx", Reference("docker.io", "library/nginx")),
        ("a/b:1", Reference("docker.io", "a/b", "1")),
        ("localhost/a", Reference("localhost", "a")),
        ("127.0.0.1:5000/a/b:x", Reference("127.0.0.1:5000", "a/b", "x")),
        (f"r.io/a@{DIGEST}", Reference("r.io", "a", "", DIGEST)),
    ],
)
def test_names(name: str, meant: Reference) -> None:
    assert parse(name) == meant


@pytest.mark.parametrize("name", ["", "UPPER/Case", "a:b:c", "a//b", "a@sha256:short", "-a", "a" * 300])
def test_no_names(name: str) -> None:
    with pytest.raises(MalformedReference):
        parse(name)


def test_tags_and_policies() -> None:
    assert [with_tag(each) for each in ("a", "a:1", f"a@{DIGEST}")] == ["a:latest", "a:1", f"a@{DIGEST}"]
    assert [default_policy(each) for each in ("a", "a:latest", "a:1")] == ["Always", "Always", "IfNotPresent"]


def secret(**servers: Any) -> Any:
    whole = json.dumps({"auths": servers}).encode()
    return {"data": {".dockerconfigjson": base64.b64encode(whole).decode()}}


def test_credentials_fit_registry_and_path() -> None:
    auth = base64.b64encode(b"me:pass:word").decode()
    secrets = [
        secret(**{"https://r.io/v2/": {"auth": auth}, "r.io/team": {"username": "t", "password": "p"}}),
        secret(**{"*.example.com": {"username": "x"}}),
        {"data": {".dockerconfigjson": "%%%"}},
        {},
    ]
    assert matching(secrets, "r.io/team/app:1") == [Credential("t", "p"), Credential("me", "pass:word")]
    assert matching(secrets, "r.io/teams/app") == [Credential("me", "pass:word")]
    assert matching(secrets, "a.example.com/x") == [Credential("x")]
    assert matching(secrets, "example.com/x") == []
    assert matching(secrets, "nginx") == []
    assert "pass" not in repr(Credential("me", "pass"))


class FakeRuntime:
    name = "fake"
    type = "container"

    def __init__(self) -> None:
        self.present: set[str] = set()
        self.pulls: list[str] = []
        self.go = asyncio.Event()
        self.error = ""

    async def call(self, method: Any, question: Any, *, within: float = 0) -> Any:
        image = question.image.image
        if method is cri.IMAGE_STATUS:
            found = pb.ImageStatusResponse()
            if image in self.present:
                found.image.id, found.image.size = f"id of {image}", 7
            return found
        assert method is cri.PULL_IMAGE
        self.pulls.append(f"{question.auth.username}:{image}")
        await self.go.wait()
        if self.error:
            raise RpcError("NOT_FOUND", self.error)
        self.present.add(image)
        return pb.PullImageResponse(image_ref=image)


class Asker:
    """A container that needs an image."""

    def __init__(self, images: Images, runtime: FakeRuntime, uid: str, **container: Any) -> None:
        self.said: list[tuple[str, str]] = []
        self.woken = asyncio.Event()
        self._images, self._runtime = images, runtime
        self.pod: dict[str, Any] = {"metadata": {"uid": uid}, "spec": {}}
        self._container = {"name": "c", "image": "a:1", **container}

    async def ask(self) -> Image:
        self.woken.clear()
        runtime: Any = self._runtime
        return await self._images.ensure(
            runtime, self.pod, self._container, lambda _, *said: self.said.append(said), self.woken.set
        )


async def no_secrets(pod: Any) -> list[Any]:
    return []


async def test_one_pull_for_all_who_wait() -> None:
    images, runtime = Images(no_secrets), FakeRuntime()
    askers = [Asker(images, runtime, f"u{number}") for number in range(3)]
    for asker in askers:
        with pytest.raises(StillPulling):
            await asker.ask()
    runtime.go.set()
    for asker in askers:
        await asker.woken.wait()
        assert (await asker.ask()).ref == "id of a:1"
    assert runtime.pulls == [":a:1"]
    assert askers[0].said[0] == ("Pulling", 'Pulling image "a:1"')
    assert askers[0].said[1][1].startswith('Successfully pulled image "a:1" in ')
    assert askers[0].said[1][1].endswith("Image size: 7 bytes.")
    await images.aclose()


async def test_a_tenant_whose_servers_never_answer_holds_up_no_other() -> None:
    images, runtime = Images(no_secrets, at_once=2), FakeRuntime()
    for number in range(4):
        asker = Asker(images, runtime, f"u{number}", image=f"tarpit:{number}")
        asker.pod["metadata"]["tenant"] = "hostile"
        with pytest.raises(StillPulling):
            await asker.ask()
    other = Asker(images, runtime, "other", image="tarpit:3")
    other.pod["metadata"]["tenant"] = "acme"
    with pytest.raises(StillPulling):
        await other.ask()
    for _ in range(10):
        await asyncio.sleep(0)
    assert runtime.pulls == [":tarpit:0", ":tarpit:1", ":tarpit:3"]
    await images.aclose()


async def test_what_is_here_is_not_pulled_unless_always() -> None:
    images, runtime = Images(no_secrets), FakeRuntime()
    runtime.present = {"a:1"}
    asker = Asker(images, runtime, "u")
    await asker.ask()
    assert asker.said == [("Pulled", 'Container image "a:1" already present on machine')]
    with pytest.raises(StillPulling):
        await Asker(images, runtime, "v", imagePullPolicy="Always").ask()
    await images.aclose()


async def test_failed_pull_backs_off() -> None:
    images, runtime = Images(no_secrets), FakeRuntime()
    runtime.error = "no such image"
    runtime.go.set()
    asker = Asker(images, runtime, "u")
    reasons = []
    for _ in range(3):
        with pytest.raises(NoImage) as raised:
            await asker.ask()
        if isinstance(raised.value, StillPulling):
            await asker.woken.wait()
        else:
            reasons.append((raised.value.reason, raised.value.message))
    assert reasons == [
        ("ErrImagePull", "no such image"),
        ("ImagePullBackOff", 'Back-off pulling image "a:1": ErrImagePull: no such image'),
    ]
    assert [reason for reason, _ in asker.said] == ["Pulling", "Failed", "Failed", "BackOff"]
    await images.aclose()


async def test_pull_secrets_keep_pulls_apart() -> None:
    async def secrets_of(pod: Any) -> list[Any]:
        return [secret(**{"docker.io": {"username": pod["metadata"]["uid"], "password": "p"}})]

    images, runtime = Images(secrets_of), FakeRuntime()
    for uid in ("u", "v"):
        with pytest.raises(StillPulling):
            await Asker(images, runtime, uid).ask()
    await asyncio.sleep(0)
    assert sorted(runtime.pulls) == ["u:a:1", "v:a:1"]
    await images.aclose()


async def test_a_pull_secret_that_is_missing_is_told_and_the_pull_goes_on() -> None:
    async def secrets_of(pod: Any) -> list[Any]:
        return [{**secret(), "metadata": {"name": "there"}}]

    images, runtime = Images(secrets_of), FakeRuntime()
    asker = Asker(images, runtime, "u")
    asker.pod["spec"]["imagePullSecrets"] = [{"name": "there"}, {"name": "lost"}]
    with pytest.raises(StillPulling):
        await asker.ask()
    reason, message = asker.said[-1]
    assert reason == "FailedToRetrieveImagePullSecret"
    assert message.startswith("Unable to retrieve some image pull secrets (lost); ")
    await asyncio.sleep(0)
    assert runtime.pulls == [":a:1"]
    await images.aclose()


@pytest.mark.parametrize(
    ("container", "reason"),
    [({"image": "UPPER"}, "InvalidImageName"), ({"imagePullPolicy": "Never"}, "ErrImageNeverPull")],
)
async def test_what_is_not_even_tried(container: Any, reason: str) -> None:
    images, runtime = Images(no_secrets), FakeRuntime()
    with pytest.raises(NoImage) as raised:
        await Asker(images, runtime, "u", **container).ask()
    assert raised.value.reason == reason
    assert runtime.pulls == []
