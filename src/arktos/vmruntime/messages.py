"""Between the messages of CRI and what is kept of them. Pure."""

from __future__ import annotations

from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message

from arktos.rpc.protos import cri_pb2 as pb
from arktos.rpc.protos import vm_pb2 as vm
from arktos.vmruntime import growth
from arktos.vmruntime.power import ACTIVE, Power
from arktos.vmruntime.records import MachineRecord, SandboxRecord


def as_json(message: Message) -> dict[str, Any]:
    """A message as it is kept in a record."""
    found: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return found


def sandbox_config(record: SandboxRecord) -> pb.PodSandboxConfig:
    return ParseDict(record.config, pb.PodSandboxConfig(), ignore_unknown_fields=True)


def container_config(record: MachineRecord) -> pb.ContainerConfig:
    return ParseDict(record.config, pb.ContainerConfig(), ignore_unknown_fields=True)


def container_state(record: MachineRecord) -> pb.ContainerState:
    """CRI has three: what has no process but had one has exited, suspended machines, too."""
    power = record.condition.power
    if power is Power.CREATED:
        return pb.CONTAINER_CREATED
    return pb.CONTAINER_RUNNING if power in ACTIVE else pb.CONTAINER_EXITED


def sandbox_state(record: SandboxRecord) -> pb.PodSandboxState:
    return pb.SANDBOX_READY if record.ready else pb.SANDBOX_NOTREADY


def pod_sandbox(record: SandboxRecord) -> pb.PodSandbox:
    config = sandbox_config(record)
    return pb.PodSandbox(
        id=record.id,
        metadata=config.metadata,
        state=sandbox_state(record),
        created_at=record.created_at,
        labels=config.labels,
        annotations=config.annotations,
        runtime_handler=record.runtime_handler,
    )


def pod_sandbox_status(record: SandboxRecord) -> pb.PodSandboxStatus:
    config = sandbox_config(record)
    return pb.PodSandboxStatus(
        id=record.id,
        metadata=config.metadata,
        state=sandbox_state(record),
        created_at=record.created_at,
        network=pb.PodSandboxNetworkStatus(ip=record.address.partition("/")[0]),
        linux=pb.LinuxPodSandboxStatus(
            namespaces=pb.Namespace(options=config.linux.security_context.namespace_options)
        ),
        labels=config.labels,
        annotations=config.annotations,
        runtime_handler=record.runtime_handler,
    )


def container(record: MachineRecord) -> pb.Container:
    config = container_config(record)
    return pb.Container(
        id=record.id,
        pod_sandbox_id=record.sandbox_id,
        metadata=config.metadata,
        image=config.image,
        image_ref=record.image_id,
        image_id=record.image_id,
        state=container_state(record),
        created_at=record.created_at,
        labels=config.labels,
        annotations=config.annotations,
    )


def container_status(record: MachineRecord, log_path: str) -> pb.ContainerStatus:
    config = container_config(record)
    condition = record.condition
    return pb.ContainerStatus(
        id=record.id,
        metadata=config.metadata,
        state=container_state(record),
        created_at=record.created_at,
        started_at=condition.started_at,
        finished_at=condition.finished_at,
        exit_code=condition.exit_code,
        image=config.image,
        image_ref=record.image_id,
        image_id=record.image_id,
        reason=condition.reason,
        message=condition.message,
        labels=config.labels,
        annotations=config.annotations,
        mounts=config.mounts,
        log_path=log_path,
        resources=pb.ContainerResources(linux=config.linux.resources),
    )


def virtual_machine(record: MachineRecord, pod_uid: str, guest_agent: bool, taken: int) -> vm.VirtualMachine:
    """`taken` are the bytes of its memory device that its guest has taken."""
    condition, hardware = record.condition, record.hardware
    cpus, memory, later = 0, 0, ""
    if hardware is not None and condition.power in ACTIVE:
        cpus, memory = hardware.cpus, (hardware.memory_mib << 20) + taken
        later = growth.plan(hardware, record.cpus, record.memory_mib).later
    return vm.VirtualMachine(
        id=record.id,
        sandbox_id=record.sandbox_id,
        pod_uid=pod_uid,
        power=condition.power.value,
        reason=condition.reason,
        message=condition.message,
        changed_at=condition.changed_at,
        started_at=condition.started_at,
        starts=condition.starts,
        reboots=condition.reboots,
        guest_agent=guest_agent,
        exit_code=condition.exit_code,
        cpus=cpus,
        memory_bytes=memory,
        resize_pending=later,
    )
