"""One container of a pod, as its runtime is asked to make it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence

from arktos.agent.spec import labels
from arktos.agent.spec.expansion import expand_all
from arktos.agent.spec.facts import NodeFacts
from arktos.agent.spec.resources import linux_resources
from arktos.agent.spec.sandbox import pod_labels
from arktos.agent.spec.security import ImageUser, container_context
from arktos.model.kinds import Obj
from arktos.rpc.protos import cri_pb2 as pb

DEFAULT_GRACE_PERIOD = 30
_HASHED = ("name", "image")


def container_hash(container: Obj) -> str:
    """Changes with what can only be had by making the container anew (its image), and with nothing else."""
    kept = {name: container[name] for name in _HASHED if container.get(name)}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:8]


def log_path(container_name: str, restart_count: int) -> str:
    """The log of one run of a container, below the pod's log directory."""
    return f"{container_name}/{restart_count}.log"


def container_config(
    pod: Obj,
    container: Obj,
    *,
    restart_count: int,
    image_ref: str,
    image_user: ImageUser,
    environment: Sequence[tuple[str, str]],
    mounts: Iterable[pb.Mount],
    devices: Iterable[pb.Device] = (),
    facts: NodeFacts,
    extra_groups: Sequence[int] = (),
    target_id: str = "",
    annotations: dict[str, str] | None = None,
) -> pb.ContainerConfig:
    """The container for its `restart_count`-th restart. `image_ref` is what the image was pulled as, `target_id` the
    container that an ephemeral one looks at. Command and arguments are expanded here, with `environment`. Raises
    ConfigError, with the reason for the container's waiting state."""
    variables = dict(environment)
    config = pb.ContainerConfig(
        metadata=pb.ContainerMetadata(name=container["name"], attempt=restart_count),
        image=pb.ImageSpec(image=image_ref, user_specified_image=container.get("image", "")),
        command=expand_all(container.get("command"), variables),
        args=expand_all(container.get("args"), variables),
        working_dir=container.get("workingDir") or "",
        envs=[pb.KeyValue(key=name, value=value) for name, value in environment],
        mounts=mounts,
        devices=devices,
        labels={**pod_labels(pod), labels.CONTAINER_NAME: container["name"]},
        annotations={**container_annotations(pod, container, restart_count), **(annotations or {})},
        log_path=log_path(container["name"], restart_count),
        stdin=bool(container.get("stdin")),
        stdin_once=bool(container.get("stdinOnce")),
        tty=bool(container.get("tty")),
    )
    signal = (container.get("lifecycle") or {}).get("stopSignal")
    if signal:
        config.stop_signal = getattr(pb, signal, pb.RUNTIME_DEFAULT)
    config.linux.resources.CopyFrom(linux_resources(pod, container, facts))
    config.linux.security_context.CopyFrom(
        container_context(pod, container, image_user, facts, extra_groups=extra_groups, target_id=target_id)
    )
    return config


def container_annotations(pod: Obj, container: Obj, restart_count: int) -> dict[str, str]:
    """What is needed to end a container properly when nothing but the runtime remembers it."""
    spec = pod["spec"]
    grace = spec.get("terminationGracePeriodSeconds")
    found = {
        labels.CONTAINER_HASH: container_hash(container),
        labels.RESTART_COUNT: str(restart_count),
        labels.TERMINATION_MESSAGE_PATH: container.get("terminationMessagePath") or "",
        labels.TERMINATION_MESSAGE_POLICY: container.get("terminationMessagePolicy") or "File",
        labels.GRACE_PERIOD: str(DEFAULT_GRACE_PERIOD if grace is None else grace),
    }
    handler = (container.get("lifecycle") or {}).get("preStop")
    if handler:
        found[labels.PRE_STOP_HANDLER] = json.dumps({"preStop": handler}, separators=(",", ":"))
    if container.get("ports"):
        found[labels.CONTAINER_PORTS] = json.dumps(container["ports"], separators=(",", ":"))
    return found
