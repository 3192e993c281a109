"""Asking the runtimes how they are: versions, conditions, handlers, images."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from arktos.agent.node.conditions import RuntimeState
from arktos.agent.runtimes import Runtime
from arktos.model.kinds import Obj
from arktos.rpc import cri
from arktos.rpc.method import RpcError
from arktos.rpc.protos import cri_pb2 as pb

_RUNTIME_READY, _NETWORK_READY = "RuntimeReady", "NetworkReady"
_PATIENCE = 5.0
"""Seconds for an answer: a runtime that takes longer counts as down until it is quick again."""

_WORDS = {
    _RUNTIME_READY: "container runtime not ready",
    _NETWORK_READY: "container runtime network not ready",
}

Images = list[tuple[tuple[str, ...], int]]


async def states(runtimes: Iterable[Runtime]) -> list[RuntimeState]:
    """The state of each runtime, asked at once. Never raises: silence is a state."""
    return list(await asyncio.gather(*(_state(runtime) for runtime in runtimes)))


async def _state(runtime: Runtime) -> RuntimeState:
    try:
        version = await runtime.call(cri.VERSION, pb.VersionRequest(), within=_PATIENCE)
        answer = await runtime.call(cri.STATUS, pb.StatusRequest(), within=_PATIENCE)
    except RpcError as error:
        return RuntimeState(runtime.name, runtime.type, (f"container runtime is down: {error}",))
    return RuntimeState(
        runtime.name,
        runtime.type,
        problems(answer.status.conditions),
        f"{version.runtime_name}://{version.runtime_version}",
        tuple(_handler(handler) for handler in answer.runtime_handlers),
    )


def problems(conditions: Sequence[pb.RuntimeCondition]) -> tuple[str, ...]:
    """Why a runtime with these conditions cannot run pods, in kubelet's words. Pure."""
    known = {condition.type: condition for condition in conditions}
    found: list[str] = []
    for name, words in _WORDS.items():
        condition = known.get(name)
        if condition is None:
            found.append(f"{words}: condition {name} is not set")
        elif not condition.status:
            found.append(f"{words}: {name}=false reason:{condition.reason} message:{condition.message}")
    return tuple(found)


def _handler(handler: pb.RuntimeHandler) -> Obj:
    return {
        "name": handler.name,
        "features": {
            "recursiveReadOnlyMounts": handler.features.recursive_read_only_mounts,
            "userNamespaces": handler.features.user_namespaces,
        },
    }


async def images(runtimes: Iterable[Runtime]) -> Images:
    """The images of all runtimes that answer: names (with digest first) and sizes in bytes."""
    found: Images = []
    for answer in await asyncio.gather(*(_images(runtime) for runtime in runtimes)):
        found += [((*image.repo_digests, *image.repo_tags), image.size) for image in answer]
    return found


async def _images(runtime: Runtime) -> Sequence[pb.Image]:
    try:
        answer = await runtime.call(cri.LIST_IMAGES, pb.ListImagesRequest(), within=_PATIENCE)
    except RpcError:
        return ()
    return answer.images
