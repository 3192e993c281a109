"""Asks a runtime over the Container Runtime Interface what it has."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, TypeVar

from arktos.agent.pods.last_words import last_words
from arktos.agent.pods.observed import Container, Observed, Sandbox, State
from arktos.agent.runtimes import Runtime
from arktos.agent.spec import labels
from arktos.rpc import cri
from arktos.rpc.method import RpcError
from arktos.rpc.protos import cri_pb2 as pb

_STATES = {
    pb.CONTAINER_CREATED: State.CREATED,
    pb.CONTAINER_RUNNING: State.RUNNING,
    pb.CONTAINER_EXITED: State.EXITED,
}
_NANO = 1e9
_T = TypeVar("_T")


class Observer:
    """Reads a pod's sandboxes and containers. What can no longer change (an exited container) is asked for once."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._ended: dict[str, Container] = {}

    async def observe(self, uid: str, before: Observed) -> Observed:
        """Everything that the runtime has of a pod. `before` is what was seen last. Raises RpcError."""
        selector = {labels.POD_UID: uid}
        sandboxes, containers = await asyncio.gather(
            self._runtime.call(
                cri.LIST_POD_SANDBOX, pb.ListPodSandboxRequest(filter=pb.PodSandboxFilter(label_selector=selector))
            ),
            self._runtime.call(
                cri.LIST_CONTAINERS, pb.ListContainersRequest(filter=pb.ContainerFilter(label_selector=selector))
            ),
        )
        found = await asyncio.gather(
            *(self._sandbox(each, before) for each in sandboxes.items),
            *(self._container(each, before) for each in containers.containers),
        )
        present = {each.id for each in containers.containers}
        self.forget(each.id for each in before.containers if each.id not in present)
        return Observed(
            _newest_first(each for each in found if isinstance(each, Sandbox)),
            _newest_first(each for each in found if isinstance(each, Container)),
        )

    def forget(self, container_ids: Iterable[str]) -> None:
        """Drops what is remembered of containers that are gone."""
        for container_id in container_ids:
            self._ended.pop(container_id, None)

    async def _sandbox(self, listed: Any, before: Observed) -> Sandbox | None:
        for seen in before.sandboxes:
            # Beyond its state nothing of a sandbox changes once it has its addresses.
            if seen.id == listed.id and seen.ips:
                return replace(seen, ready=listed.state == pb.SANDBOX_READY)
        answer = await self._unless_gone(cri.POD_SANDBOX_STATUS, pb.PodSandboxStatusRequest(pod_sandbox_id=listed.id))
        if answer is None:
            return None
        status = answer.status
        ips = [status.network.ip, *(each.ip for each in status.network.additional_ips)]
        return Sandbox(
            listed.id,
            listed.metadata.attempt,
            status.state == pb.SANDBOX_READY,
            status.created_at / _NANO,
            tuple(ip for ip in ips if ip),
            status.linux.namespaces.options.network == pb.NODE,
        )

    async def _container(self, listed: Any, before: Observed) -> Container | None:
        known = self._ended.get(listed.id)
        if known is not None:
            return known
        for seen in before.containers:
            # What a running container is asked for was told when it began to run.
            if seen.id == listed.id and seen.state is State.RUNNING and listed.state == pb.CONTAINER_RUNNING:
                return seen
        answer = await self._unless_gone(cri.CONTAINER_STATUS, pb.ContainerStatusRequest(container_id=listed.id))
        if answer is None:
            return None
        seen = container_of(answer.status, listed)
        if seen.state is State.EXITED and seen.finished_at > 0:
            seen = await asyncio.to_thread(_with_message, seen, list(answer.status.mounts))
            self._ended[listed.id] = seen
        return seen

    async def _unless_gone(self, method: Any, question: Any) -> Any:
        try:
            return await self._runtime.call(method, question)
        except RpcError as error:
            if error.code == "NOT_FOUND":
                return None
            raise


async def list_uids(runtime: Runtime) -> dict[str, dict[str, str]]:
    """The uids of the pods that a runtime has anything of, with the labels that say whose they are, and the grace
    period that their containers carry. Raises RpcError."""
    sandboxes, containers = await asyncio.gather(
        runtime.call(cri.LIST_POD_SANDBOX, pb.ListPodSandboxRequest()),
        runtime.call(cri.LIST_CONTAINERS, pb.ListContainersRequest()),
    )
    found: dict[str, dict[str, str]] = {}
    for sandbox in sandboxes.items:
        found.setdefault(sandbox.labels.get(labels.POD_UID, ""), {}).update(sandbox.labels)
    for container in containers.containers:
        told = found.setdefault(container.labels.get(labels.POD_UID, ""), {})
        told.update(container.labels)
        if labels.GRACE_PERIOD in container.annotations:
            told[labels.GRACE_PERIOD] = container.annotations[labels.GRACE_PERIOD]
    found.pop("", None)
    return found


def container_of(status: Any, listed: Any) -> Container:
    """What a runtime says of a container, its status and its row in a list (messages of CRI), as it is worked with."""
    return Container(
        id=status.id,
        name=status.metadata.name,
        attempt=status.metadata.attempt,
        sandbox_id=listed.pod_sandbox_id,
        state=_STATES.get(status.state, State.UNKNOWN),
        created_at=status.created_at / _NANO,
        started_at=status.started_at / _NANO,
        finished_at=status.finished_at / _NANO,
        exit_code=status.exit_code,
        reason=status.reason,
        message=status.message,
        image=status.image.image,
        image_ref=status.image_ref,
        log_path=status.log_path,
        annotations=dict(status.annotations),
    )


def _with_message(seen: Container, mounts: Iterable[Any]) -> Container:

    paths = {mount.container_path: mount.host_path for mount in mounts}
    said = last_words(seen, paths)
    return replace(seen, message=said) if said else seen


def _newest_first(items: Iterable[_T]) -> tuple[_T, ...]:
    def age(item: Any) -> tuple[int, float]:
        return (item.attempt, item.created_at)

    return tuple(sorted((item for item in items), key=age, reverse=True))
