"""The parts of a pod that a hollow node reads, typed; and what of them decides how its status looks. Pure."""

from __future__ import annotations

from typing import Any

import msgspec


class Container(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    image: str = ""
    restart_policy: str | None = None

    @property
    def is_sidecar(self) -> bool:
        return self.restart_policy == "Always"


class VirtualMachine(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    image: str | None = ""
    power_spec: str | None = "Running"


class Gate(msgspec.Struct, frozen=True, rename="camel"):
    condition_type: str = ""


class Condition(msgspec.Struct, frozen=True, rename="camel"):
    type: str = ""
    status: str = ""
    last_transition_time: str | None = None


class _State(msgspec.Struct, frozen=True):
    running: dict[str, Any] | None = None
    waiting: dict[str, Any] | None = None
    terminated: dict[str, Any] | None = None


class ContainerStatus(msgspec.Struct, frozen=True, rename="camel"):
    restart_count: int = 0
    state: _State = _State()


class MachineStatus(msgspec.Struct, frozen=True, rename="camel"):
    state: str = ""
    power_state: str = ""
    restart_count: int = 0


class Meta(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    uid: str
    namespace: str = ""
    tenant: str = ""
    generation: int = 0
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None


class Spec(msgspec.Struct, frozen=True, rename="camel"):
    node_name: str = ""
    restart_policy: str = "Always"
    host_network: bool | None = False
    containers: tuple[Container, ...] | None = ()
    init_containers: tuple[Container, ...] | None = ()
    virtual_machine: VirtualMachine | None = None
    readiness_gates: tuple[Gate, ...] | None = ()


class Status(msgspec.Struct, frozen=True, rename="camel"):
    phase: str = "Pending"
    pod_ip: str = msgspec.field(name="podIP", default="")
    start_time: str | None = None
    conditions: tuple[Condition, ...] | None = ()
    container_statuses: tuple[ContainerStatus, ...] | None = ()
    virtual_machine_status: MachineStatus | None = None


class PodView(msgspec.Struct, frozen=True):
    """A pod as the watch tells of it."""

    metadata: Meta
    spec: Spec
    status: Status = Status()


class Look(msgspec.Struct, frozen=True):
    """What is the same in the statuses of all pods of one template."""

    containers: tuple[Container, ...]
    inits: tuple[Container, ...]
    machine: VirtualMachine | None
    host_network: bool
    restart_policy: str

    @classmethod
    def of(cls, spec: Spec) -> Look:
        machine = spec.virtual_machine
        return cls(
            (spec.containers or ()) if machine is None else (),
            (spec.init_containers or ()) if machine is None else (),
            None if machine is None else VirtualMachine(machine.name, machine.image, ""),
            bool(spec.host_network),
            spec.restart_policy,
        )


_DECODER = msgspec.json.Decoder(PodView)


def decode(raw: bytes) -> PodView:
    """Raises `msgspec.DecodeError` for what is no pod."""
    return _DECODER.decode(raw)
