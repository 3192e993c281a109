from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Power(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    POWER_UNKNOWN: _ClassVar[Power]
    CREATED: _ClassVar[Power]
    RUNNING: _ClassVar[Power]
    PAUSED: _ClassVar[Power]
    SUSPENDED: _ClassVar[Power]
    STOPPED: _ClassVar[Power]
    CRASHED: _ClassVar[Power]
POWER_UNKNOWN: Power
CREATED: Power
RUNNING: Power
PAUSED: Power
SUSPENDED: Power
STOPPED: Power
CRASHED: Power

class VirtualMachine(_message.Message):
    __slots__ = ("id", "sandbox_id", "pod_uid", "power", "reason", "message", "changed_at", "started_at", "starts", "reboots", "guest_agent", "exit_code", "cpus", "memory_bytes", "resize_pending")
    ID_FIELD_NUMBER: _ClassVar[int]
    SANDBOX_ID_FIELD_NUMBER: _ClassVar[int]
    POD_UID_FIELD_NUMBER: _ClassVar[int]
    POWER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    CHANGED_AT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    STARTS_FIELD_NUMBER: _ClassVar[int]
    REBOOTS_FIELD_NUMBER: _ClassVar[int]
    GUEST_AGENT_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    CPUS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    RESIZE_PENDING_FIELD_NUMBER: _ClassVar[int]
    id: str
    sandbox_id: str
    pod_uid: str
    power: Power
    reason: str
    message: str
    changed_at: int
    started_at: int
    starts: int
    reboots: int
    guest_agent: bool
    exit_code: int
    cpus: int
    memory_bytes: int
    resize_pending: str
    def __init__(self, id: _Optional[str] = ..., sandbox_id: _Optional[str] = ..., pod_uid: _Optional[str] = ..., power: _Optional[_Union[Power, str]] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., changed_at: _Optional[int] = ..., started_at: _Optional[int] = ..., starts: _Optional[int] = ..., reboots: _Optional[int] = ..., guest_agent: _Optional[bool] = ..., exit_code: _Optional[int] = ..., cpus: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., resize_pending: _Optional[str] = ...) -> None: ...

class Snapshot(_message.Message):
    __slots__ = ("name", "created_at", "memory", "bytes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    created_at: int
    memory: bool
    bytes: int
    def __init__(self, name: _Optional[str] = ..., created_at: _Optional[int] = ..., memory: _Optional[bool] = ..., bytes: _Optional[int] = ...) -> None: ...

class ListRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListResponse(_message.Message):
    __slots__ = ("machines",)
    MACHINES_FIELD_NUMBER: _ClassVar[int]
    machines: _containers.RepeatedCompositeFieldContainer[VirtualMachine]
    def __init__(self, machines: _Optional[_Iterable[_Union[VirtualMachine, _Mapping]]] = ...) -> None: ...

class WatchRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchResponse(_message.Message):
    __slots__ = ("machine", "removed", "synced")
    MACHINE_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    SYNCED_FIELD_NUMBER: _ClassVar[int]
    machine: VirtualMachine
    removed: str
    synced: bool
    def __init__(self, machine: _Optional[_Union[VirtualMachine, _Mapping]] = ..., removed: _Optional[str] = ..., synced: _Optional[bool] = ...) -> None: ...

class SetPowerRequest(_message.Message):
    __slots__ = ("id", "power", "grace_seconds")
    ID_FIELD_NUMBER: _ClassVar[int]
    POWER_FIELD_NUMBER: _ClassVar[int]
    GRACE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    id: str
    power: Power
    grace_seconds: int
    def __init__(self, id: _Optional[str] = ..., power: _Optional[_Union[Power, str]] = ..., grace_seconds: _Optional[int] = ...) -> None: ...

class SetPowerResponse(_message.Message):
    __slots__ = ("machine",)
    MACHINE_FIELD_NUMBER: _ClassVar[int]
    machine: VirtualMachine
    def __init__(self, machine: _Optional[_Union[VirtualMachine, _Mapping]] = ...) -> None: ...

class RebootRequest(_message.Message):
    __slots__ = ("id", "hard", "grace_seconds")
    ID_FIELD_NUMBER: _ClassVar[int]
    HARD_FIELD_NUMBER: _ClassVar[int]
    GRACE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    id: str
    hard: bool
    grace_seconds: int
    def __init__(self, id: _Optional[str] = ..., hard: _Optional[bool] = ..., grace_seconds: _Optional[int] = ...) -> None: ...

class RebootResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CreateSnapshotRequest(_message.Message):
    __slots__ = ("id", "name")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class CreateSnapshotResponse(_message.Message):
    __slots__ = ("snapshot",)
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    snapshot: Snapshot
    def __init__(self, snapshot: _Optional[_Union[Snapshot, _Mapping]] = ...) -> None: ...

class RestoreSnapshotRequest(_message.Message):
    __slots__ = ("id", "name")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class RestoreSnapshotResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DeleteSnapshotRequest(_message.Message):
    __slots__ = ("id", "name")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class DeleteSnapshotResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListSnapshotsRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class ListSnapshotsResponse(_message.Message):
    __slots__ = ("snapshots",)
    SNAPSHOTS_FIELD_NUMBER: _ClassVar[int]
    snapshots: _containers.RepeatedCompositeFieldContainer[Snapshot]
    def __init__(self, snapshots: _Optional[_Iterable[_Union[Snapshot, _Mapping]]] = ...) -> None: ...
