"""What a VM runtime is told of a pod's machine. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

from arktos.agent.spec import labels
from arktos.agent.spec.container import container_annotations, log_path
from arktos.agent.spec.facts import ConfigError, NodeFacts
from arktos.agent.spec.resources import linux_resources
from arktos.agent.spec.sandbox import pod_labels
from arktos.model.kinds import Obj
from arktos.rpc.protos import cri_pb2 as pb
from arktos.wire import json, yaml

BOOT_DATA = "arktos.io/virtual-machine"
ROOT_SIZE = "arktos.io/root-size"
"""An annotation of a pod: how large its machine's root disk is to be, as a quantity."""

_INVALID = "InvalidUserData"
_KNOWN_STARTS = (b"#", b"Content-Type:", b"MIME-Version:", b"From ", b"\x1f\x8b")


def machine_config(
    pod: Obj,
    *,
    image_ref: str,
    mounts: Iterable[pb.Mount],
    devices: Iterable[pb.Device],
    facts: NodeFacts,
    hostname: str,
) -> pb.ContainerConfig:
    """The machine of a pod, as CRI has it: a container with a terminal, whose console is its log. `mounts` and
    `devices` become disks."""
    machine = pod["spec"]["virtualMachine"]
    annotations = container_annotations(pod, machine, 0)
    config = pb.ContainerConfig(
        metadata=pb.ContainerMetadata(name=machine["name"], attempt=0),
        image=pb.ImageSpec(image=image_ref, user_specified_image=machine.get("image", "")),
        mounts=[*mounts, *(_disk(device) for device in devices)],
        labels={**pod_labels(pod), labels.CONTAINER_NAME: machine["name"]},
        annotations={**annotations, BOOT_DATA: boot_data(pod, hostname)},
        log_path=log_path(machine["name"], 0),
        stdin=True,
        tty=True,
    )
    config.linux.resources.CopyFrom(linux_resources(pod, machine, facts))
    return config


def boot_data(pod: Obj, hostname: str) -> str:
    """What the guest is told at its first boot, as JSON."""
    machine, meta = pod["spec"]["virtualMachine"], pod["metadata"]
    key = str(machine.get("publicKey") or "").strip()
    told: dict[str, object] = {
        "userData": base64.b64encode(user_data(machine)).decode(),
        "script": machine.get("cloudInitUserDataScript") or "",
        "sshKeys": [key] if key else [],
        "hostname": hostname,
        "instanceId": meta["uid"],
        "bootVolume": boot_path(machine),
    }
    size = (meta.get("annotations") or {}).get(ROOT_SIZE)
    if size:
        told["rootSize"] = size
    return json.encode(told).decode()


def boot_path(machine: Obj) -> str:
    """Where the volume that it shall boot from is mounted, "" for none. Raises ConfigError for one that is not."""
    name = machine.get("bootVolume")
    if not name:
        return ""
    for part, place in (("volumeDevices", "devicePath"), ("volumeMounts", "mountPath")):
        for each in machine.get(part) or ():
            if each.get("name") == name:
                path = str(each.get(place) or "")
                # As mounts have it.
                return path if path.startswith("/") or part == "volumeDevices" else f"/{path}"
    said = f'spec.virtualMachine.bootVolume: "{name}" is in neither volumeDevices nor volumeMounts'
    raise ConfigError(said, "InvalidBootVolume")


def user_data(machine: Obj) -> bytes:
    """The machine's user data. The original wanted it encoded twice: where what is found inside once is base64 again,
    of something that is user data while the outside is not, that is meant."""
    once = base64.b64decode(machine.get("userData") or "")
    if once.lstrip().startswith(_KNOWN_STARTS):
        return once
    try:
        twice = base64.b64decode(b"".join(once.split()), validate=True)
    except binascii.Error:
        return once
    return twice if twice.lstrip().startswith(_KNOWN_STARTS) else once


def check_user_data(machine: Obj) -> None:
    """ConfigError for cloud-config that is none: cloud-init would ignore it, and the guest come up without what its
    owner relies on. Takes milliseconds for as much as is allowed; call it in a thread."""
    data = user_data(machine)
    if data.split(b"\n", 1)[0].strip() != b"#cloud-config":
        return
    said = 'spec.virtualMachine.userData begins with "#cloud-config", but is not'
    try:
        found = yaml.decode(data)
    except json.DecodeError as error:
        raise ConfigError(f"{said} YAML: {error}", _INVALID) from None
    if found is not None and not isinstance(found, dict):
        raise ConfigError(f"{said} a YAML mapping", _INVALID)


def _disk(device: pb.Device) -> pb.Mount:
    readonly = "w" not in (device.permissions or "w")
    return pb.Mount(container_path=device.container_path, host_path=device.host_path, readonly=readonly)
