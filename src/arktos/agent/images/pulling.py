"""Gets images to where containers can be made from them, without making anybody wait in line for it.

`ensure` answers at once: the image, or why there is none yet. A pull goes on in the background, one for all who want
the same image with the same credentials; each of them is woken when it has ended. A failed one is tried again after
10 s, doubled up to 300 s, by pod and image.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

from arktos.agent.images.credentials import Credential, matching
from arktos.agent.images.ledger import Ledger
from arktos.agent.images.reference import MalformedReference, default_policy, machine_location, with_tag
from arktos.agent.pods.backoff import CrashBackoff
from arktos.agent.runtimes import Runtime
from arktos.model.kinds import Obj
from arktos.rpc import cri
from arktos.rpc.method import RpcError
from arktos.rpc.protos import cri_pb2 as pb

AT_ONCE = 5
"""Pulls of one tenant at the same time; more wait. Not of all together: who names servers that never answer shall hold
up nobody else."""

LONGEST_PULL = 3600.0

_UNSETTLED = frozenset({"CANCELLED", "DEADLINE_EXCEEDED", "UNAVAILABLE", "INTERNAL"})
"""What a call may end with while the runtime goes on."""

Tell = Callable[[str, str, str], None]
"""Takes an event's type, reason and message."""

SecretsOf = Callable[[Obj], Awaitable[Sequence[Obj]]]
"""A pod's pull secrets, those that exist."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image that is here. `ref` is what to make containers from; `uid` or `username` who its processes are, if
    it says; `names` all that the runtime knows it by."""

    ref: str
    uid: int | None = None
    username: str = ""
    names: tuple[str, ...] = ()


class NoImage(Exception):
    """There is no image, for a `reason` that a container's waiting state shows. `again`: seconds until another try is
    worth while, None if an event will tell."""

    def __init__(self, reason: str, message: str, again: float | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.again = again


class StillPulling(NoImage):
    """The image is on its way."""

    def __init__(self, image: str) -> None:
        super().__init__("ContainerCreating", f'Pulling image "{image}"')


@dataclass(frozen=True, slots=True)
class _Pulled:
    """What a pull came to; times in seconds of the loop's clock."""

    error: str
    asked: float
    began: float
    ended: float


class Images:
    """The images of all runtimes of this node. `secrets_of` reads pull secrets; `ledger` knows who may have what is
    here already. Close it to end what is under way."""

    def __init__(self, secrets_of: SecretsOf, *, ledger: Ledger | None = None, at_once: int = AT_ONCE) -> None:
        self._secrets_of = secrets_of
        self._ledger = ledger or Ledger()
        self._at_once = at_once
        self._slots: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._pulls: dict[tuple[str, str, str, tuple[Credential, ...]], asyncio.Task[_Pulled]] = {}
        self._wanted: dict[tuple[str, str], asyncio.Task[_Pulled]] = {}
        self._backoff = CrashBackoff()
        self._failures: dict[tuple[str, str], tuple[float, str]] = {}

    async def ensure(self, runtime: Runtime, pod: Obj, container: Obj, tell: Tell, wake: Callable[[], None]) -> Image:
        """The image of a container. `tell` gets the events on the way. Raises NoImage; after StillPulling `wake` is
        called, and the next call has the answer. Raises RpcError if the runtime does not answer."""
        uid, name = pod["metadata"]["uid"], container["name"]
        try:
            image = _named(runtime, container.get("image", ""))
        except MalformedReference as error:
            said = f'couldn\'t parse image name "{container.get("image", "")}": {error}'
            message = f'Failed to apply default image tag "{container.get("image", "")}": {said}'
            tell("Warning", "InspectFailed", message)
            raise NoImage("InvalidImageName", message) from None
        wanted = self._wanted.get((uid, name))
        if wanted is not None:
            if not wanted.done():
                raise StillPulling(image)
            del self._wanted[uid, name]
            return await self._outcome(runtime, uid, image, wanted.result(), tell)
        policy = container.get("imagePullPolicy") or default_policy(container.get("image", ""))
        present = None if policy == "Always" else await self._present(runtime, pod, image)
        if present is not None:
            tell("Normal", "Pulled", f'Container image "{image}" already present on machine')
            return present
        if policy == "Never":
            message = f'Container image "{image}" is not present with pull policy of Never'
            tell("Warning", "ErrImageNeverPull", message)
            raise NoImage("ErrImageNeverPull", message)
        self._check_backoff(uid, image, tell)
        tell("Normal", "Pulling", f'Pulling image "{image}"')
        secrets = await self._secrets_of(pod)
        if missing := _missing(pod, secrets):
            said = f"Unable to retrieve some image pull secrets ({', '.join(missing)})"
            message = f"{said}; attempting to pull the image may not succeed."
            tell("Warning", "FailedToRetrieveImagePullSecret", message)
        shown = tuple(matching(secrets, _location(runtime, image)))
        pull = self._pull(runtime, image, pod["metadata"].get("tenant", ""), shown)
        self._wanted[uid, name] = pull
        pull.add_done_callback(lambda _: wake())
        raise StillPulling(image)

    def forget(self, uid: str) -> None:
        """Drops what is remembered of a pod. A pull that it asked for goes on: the next one may want it."""
        self._backoff.forget(uid)
        for key in [key for key in self._wanted if key[0] == uid]:
            del self._wanted[key]
        for key in [key for key in self._failures if key[0] == uid]:
            del self._failures[key]

    async def aclose(self) -> None:
        tasks = list(self._pulls.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _present(self, runtime: Runtime, pod: Obj, image: str) -> Image | None:
        """An image that is here and that the pod may have without asking for it."""
        found = await find(runtime, image)
        if found is None:
            return None
        tenant = pod["metadata"].get("tenant", "")
        if self._ledger.allows(runtime.name, found.ref, found.names, tenant, ()):
            return found
        shown = matching(await self._secrets_of(pod), _location(runtime, image))
        return found if self._ledger.allows(runtime.name, found.ref, found.names, tenant, shown) else None

    def _check_backoff(self, uid: str, image: str, tell: Tell) -> None:
        now = asyncio.get_running_loop().time()
        failed, error = self._failures.get((uid, image), (0.0, ""))
        left = self._backoff.wait((uid, image), failed, now) if error else 0.0
        if left > 0:
            tell("Normal", "BackOff", f'Back-off pulling image "{image}"')
            raise NoImage("ImagePullBackOff", f'Back-off pulling image "{image}": ErrImagePull: {error}', left)

    async def _outcome(self, runtime: Runtime, uid: str, image: str, pulled: _Pulled, tell: Tell) -> Image:
        found = None if pulled.error else await find(runtime, image)
        if found is not None:
            self._failures.pop((uid, image), None)
            size = await _size(runtime, image)
            took, whole = pulled.ended - pulled.began, pulled.ended - pulled.asked
            said = f'Successfully pulled image "{image}" in {_seconds(took)} ({_seconds(whole)} including waiting)'
            tell("Normal", "Pulled", f"{said}. Image size: {size} bytes.")
            return found
        error = pulled.error or "the image is gone again"
        self._failures[uid, image] = (pulled.ended, error)
        self._backoff.started((uid, image), pulled.ended, pulled.ended)
        tell("Warning", "Failed", f'Failed to pull image "{image}": {error}')
        tell("Warning", "Failed", "Error: ErrImagePull")
        left = self._backoff.wait((uid, image), pulled.ended, asyncio.get_running_loop().time())
        raise NoImage("ErrImagePull", error, min(1.0, left))

    def _pull(
        self, runtime: Runtime, image: str, tenant: str, credentials: tuple[Credential, ...]
    ) -> asyncio.Task[_Pulled]:
        """A tenant's pull of an image with these credentials: one that is under way, or a new one."""
        key = (runtime.name, image, tenant, credentials)
        task = self._pulls.get(key)
        if task is None:
            task = asyncio.create_task(self._run(runtime, image, tenant, credentials), name=f"pull {image}")
            self._pulls[key] = task
            task.add_done_callback(lambda _: self._pulls.pop(key, None))
        return task

    async def _run(self, runtime: Runtime, image: str, tenant: str, credentials: tuple[Credential, ...]) -> _Pulled:
        loop = asyncio.get_running_loop()
        asked = loop.time()
        async with self._slots_of(tenant):
            began = loop.time()
            error = ""
            for credential in credentials or (None,):
                try:
                    await self._once(runtime, image, tenant, credential)
                except RpcError as refused:
                    error = error or refused.message or refused.code
                except OSError as failed:
                    error = error or f"cannot note who may have the image: {failed}"
                else:
                    return _Pulled("", asked, began, loop.time())
            return _Pulled(error, asked, began, loop.time())

    def _slots_of(self, tenant: str) -> asyncio.Semaphore:
        """Those of a tenant, as long as anybody waits or pulls."""
        slots = self._slots.get(tenant)
        if slots is None:
            slots = self._slots[tenant] = asyncio.Semaphore(self._at_once)
        return slots

    async def _once(self, runtime: Runtime, image: str, tenant: str, credential: Credential | None) -> None:
        """A pull, noted with its outcome. Raises RpcError, OSError."""
        question = pb.PullImageRequest(image=pb.ImageSpec(image=image))
        if credential is not None:
            question.auth.username, question.auth.password = credential.username, credential.password
            question.auth.identity_token = credential.identity_token
        await self._ledger.begin(runtime.name, image)
        try:
            answer = await runtime.call(cri.PULL_IMAGE, question, within=LONGEST_PULL)
            found = await find(runtime, answer.image_ref or image)
        except RpcError as refused:
            await self._ledger.failed(runtime.name, image, known=refused.code not in _UNSETTLED)
            raise
        except BaseException:
            self._ledger.interrupted(runtime.name, image)
            raise
        if found is None:
            await self._ledger.failed(runtime.name, image, known=False)
        else:
            await self._ledger.succeeded(runtime.name, image, found.ref, tenant, credential)


def _named(runtime: Runtime, image: str) -> str:
    """What the runtime is asked for. The images of machines have names of their own form: their runtime judges them.
    Raises MalformedReference."""
    if runtime.type == "vm" and image:
        return image
    return with_tag(image)


def _missing(pod: Obj, secrets: Sequence[Obj]) -> list[str]:
    """The pull secrets that a pod names and that are not there."""
    there = {(each.get("metadata") or {}).get("name") for each in secrets}
    named = (each.get("name", "") for each in pod["spec"].get("imagePullSecrets") or ())
    return [name for name in named if name and name not in there]


def _location(runtime: Runtime, image: str) -> str:
    return machine_location(image) if runtime.type == "vm" else image


async def find(runtime: Runtime, image: str) -> Image | None:
    """An image that is here; None if it is not. Raises RpcError."""
    answer = await runtime.call(cri.IMAGE_STATUS, pb.ImageStatusRequest(image=pb.ImageSpec(image=image)))
    if not answer.image.id:
        return None
    uid = answer.image.uid.value if answer.image.HasField("uid") else None
    names = (*answer.image.repo_tags, *answer.image.repo_digests)
    return Image(answer.image.id, uid, answer.image.username, names)


async def _size(runtime: Runtime, image: str) -> int:
    answer = await runtime.call(cri.IMAGE_STATUS, pb.ImageStatusRequest(image=pb.ImageSpec(image=image)))
    return int(answer.image.size)


def _seconds(amount: float) -> str:
    return f"{amount * 1000:.0f}ms" if amount < 1 else f"{amount:.3g}s"
