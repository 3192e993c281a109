"""The start of one container: image, environment, mounts, then creation, start, postStart."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from arktos.agent.images.pulling import Image, NoImage, StillPulling
from arktos.agent.pods import hooks
from arktos.agent.pods.ending import Ending, address
from arktos.agent.pods.observed import Container, State
from arktos.agent.pods.parts import Parts, log_directory
from arktos.agent.pods.plan import Start, Waiting
from arktos.agent.pods.podspec import Role
from arktos.agent.pods.table import PodRecord
from arktos.agent.probes.checks import Target
from arktos.agent.runtimes import Runtime
from arktos.agent.spec.container import container_config
from arktos.agent.spec.env import environment
from arktos.agent.spec.facts import ConfigError, is_host_network
from arktos.agent.spec.hosts import hosts_file, writes_hosts_file
from arktos.agent.spec.security import ImageUser
from arktos.agent.volumes.volume import MountedVolume, VolumeError
from arktos.client.errors import ConnectionFailed
from arktos.model.kinds import Obj
from arktos.model.status import ApiError
from arktos.rpc import cri
from arktos.rpc.method import RpcError
from arktos.rpc.protos import cri_pb2 as pb

CREATE_WITHIN = 120.0


class NotStarted(Exception):
    """A container does not run, for a reason that its status shows. `again`: seconds until another try is worth while,
    None if an event will tell of it."""

    def __init__(self, waiting: Waiting, again: float | None) -> None:
        super().__init__(waiting.message)
        self.waiting = waiting
        self.again = again


@dataclass(frozen=True, slots=True)
class Room:
    """Where containers are started: a sandbox that is ready, as it was configured, with the pod's volumes."""

    runtime: Runtime
    sandbox_id: str
    config: pb.PodSandboxConfig
    ips: tuple[str, ...]
    volumes: Mapping[str, MountedVolume]


class Starting:
    """Starts containers of the pods of this node."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def image(
        self, runtime: Runtime, record: PodRecord, container: Obj, wake: Callable[[], None]
    ) -> Image | NotStarted:
        """The image of a container, or why there is none yet: asked for early, needed late. Raises RpcError."""
        pod, name = record.pod, container["name"]

        def tell(kind: str, reason: str, message: str) -> None:
            say = self._parts.telling.warning if kind == "Warning" else self._parts.telling.normal
            say(pod, reason, message, name)

        try:
            return await self._parts.images.ensure(runtime, pod, container, tell, wake)
        except StillPulling as pulling:
            return NotStarted(Waiting("", pulling.message), None)
        except NoImage as missing:
            return NotStarted(Waiting(missing.reason, missing.message), missing.again)
        except (ApiError, ConnectionFailed) as error:
            return NotStarted(Waiting("ErrImagePull", f"cannot read the pull secrets: {error}"), 5.0)

    async def start(self, record: PodRecord, step: Start, room: Room, image: Image, ending: Ending) -> None:
        """Starts a container and runs its postStart hook. Raises NotStarted."""
        pod, container = record.pod, step.container
        name = container["name"]
        if step.previous is None:
            logs = log_directory(self._parts.logs_dir, pod) / name
            step = replace(step, attempt=await asyncio.to_thread(runs_logged, logs))
        try:
            config = await self._config(record, step, room, image)
        except ConfigError as error:
            raise self._failed(pod, name, error.reason, error.message) from error
        except (VolumeError, ApiError, ConnectionFailed, OSError) as error:
            raise self._failed(pod, name, "CreateContainerConfigError", str(error)) from error
        question = pb.CreateContainerRequest(pod_sandbox_id=room.sandbox_id, config=config, sandbox_config=room.config)
        try:
            answer = await room.runtime.call(cri.CREATE_CONTAINER, question, within=CREATE_WITHIN)
        except RpcError as error:
            raise self._failed(pod, name, "CreateContainerError", error.message) from error
        self._parts.telling.normal(pod, "Created", f"Created container: {name}", name)
        try:
            begin = pb.StartContainerRequest(container_id=answer.container_id)
            await room.runtime.call(cri.START_CONTAINER, begin, within=CREATE_WITHIN)
        except RpcError as error:
            raise self._failed(pod, name, "RunContainerError", error.message) from error
        self._parts.telling.normal(pod, "Started", f"Started container {name}", name)
        await self._post_start(record, step, room, answer.container_id, ending)

    async def _post_start(self, record: PodRecord, step: Start, room: Room, container_id: str, ending: Ending) -> None:
        handler = (step.container.get("lifecycle") or {}).get("postStart")
        if not handler:
            return
        ip = room.ips[0] if room.ips else address(record)
        name = step.container["name"]
        try:
            await hooks.run(handler, Target(room.runtime, container_id, ip, step.container))
        except hooks.HookFailed as error:
            self._parts.telling.warning(record.pod, "FailedPostStartHook", "PostStartHook failed", name)
            seen = Container(container_id, name, step.attempt, room.sandbox_id, State.RUNNING)
            grace = float(record.pod["spec"].get("terminationGracePeriodSeconds") or 30)
            message = f"FailedPostStartHook: container {name} will be stopped"
            await ending.container(room.runtime, record, seen, grace, message)
            raise NotStarted(Waiting("PostStartHookError", str(error)), 0.0) from error

    async def _config(self, record: PodRecord, step: Start, room: Room, image: Image) -> pb.ContainerConfig:
        pod, container, parts = record.pod, step.container, self._parts
        facts = parts.facts()
        ips = room.ips or facts.ips
        sources = await parts.sources.environment(pod, container, ips)

        def skipped(sentence: str) -> None:
            parts.telling.warning(pod, "InvalidEnvironmentVariableNames", sentence, container["name"])

        variables = environment(pod, container, sources, facts, skipped=skipped)
        mounts = await parts.volumes.mounts(pod, container, room.volumes, ips)
        mounts += await asyncio.to_thread(self._own_mounts, record, step, room)
        target = container.get("targetContainerName") if step.role is Role.EPHEMERAL else None
        return container_config(
            pod,
            container,
            restart_count=step.attempt,
            image_ref=image.ref,
            image_user=ImageUser(image.uid if image.uid is not None or image.username else 0, image.username),
            environment=variables,
            mounts=mounts,
            devices=await parts.volumes.devices(pod, container, room.volumes),
            facts=facts,
            extra_groups=sorted({each.group for each in room.volumes.values() if each.group is not None}),
            target_id=record.container_id(target) if target else "",
        )

    def _own_mounts(self, record: PodRecord, step: Start, room: Room) -> list[pb.Mount]:
        """The files that a container gets from its node."""
        pod, container, directory = record.pod, step.container, self._parts.pods_dir / record.uid
        mounts = []
        if writes_hosts_file(pod, container):
            node_hosts = _node_hosts() if is_host_network(pod) else ""
            path = _write_hosts(directory, hosts_file(pod, room.ips, self._parts.facts(), node_hosts))
            mounts.append(pb.Mount(container_path="/etc/hosts", host_path=str(path)))
        words = container.get("terminationMessagePath")
        if words:
            path = _words_file(directory, container["name"])
            mounts.append(pb.Mount(container_path=words, host_path=str(path)))
        return mounts

    def _failed(self, pod: Obj, name: str, reason: str, message: str) -> NotStarted:
        self._parts.telling.warning(pod, "Failed", f"Error: {message}", name)
        return NotStarted(Waiting(reason, message), 10.0)


def runs_logged(directory: Path) -> int:
    """How many runs of a container have left logs: what its runtime no longer knows of still counts as restarts."""
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return 0
    runs = [int(matched[1]) for name in names if (matched := re.match(r"(\d+)\.log(?:\.|$)", name))]
    return max(runs, default=-1) + 1


def _node_hosts() -> str:
    try:
        return Path("/etc/hosts").read_text(errors="replace")
    except OSError:
        return ""


def _write_hosts(directory: Path, content: str) -> Path:
    """Written in place: what is mounted in containers is the file, not its name."""
    path = directory / "etc-hosts"
    directory.mkdir(parents=True, exist_ok=True, mode=0o750)
    if not path.exists() or path.read_text(errors="replace") != content:
        path.write_text(content)
    path.chmod(0o644)
    return path


def _words_file(directory: Path, name: str) -> Path:
    """An empty file for the termination message, writable for whoever the container runs as."""
    path = directory / "containers" / name / os.urandom(4).hex()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    path.touch()
    path.chmod(0o666)
    return path
