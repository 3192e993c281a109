"""What goes wrong in the runtime, with gRPC's name for it. The caller sees the text."""

from __future__ import annotations

from arktos.rpc.method import RpcError


class NotFound(RpcError):
    def __init__(self, what: str, name: str) -> None:
        super().__init__("NOT_FOUND", f"there is no {what} {name!r}")


class AlreadyExists(RpcError):
    def __init__(self, message: str) -> None:
        super().__init__("ALREADY_EXISTS", message)


class Invalid(RpcError):
    """The request is wrong in itself; `field` says where."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__("INVALID_ARGUMENT", f"{field}: {problem}")


class WrongState(RpcError):
    def __init__(self, message: str) -> None:
        super().__init__("FAILED_PRECONDITION", message)


class CalledOff(RpcError):
    """It was under way when something came that goes before it."""

    def __init__(self, message: str) -> None:
        super().__init__("ABORTED", message)


class Failed(RpcError):
    """The outside world did not do what it should: QEMU, qemu-img, a disk, CNI."""

    def __init__(self, message: str) -> None:
        super().__init__("UNKNOWN", message)


class NoSpace(RpcError):
    def __init__(self, message: str) -> None:
        super().__init__("RESOURCE_EXHAUSTED", message)


class TooLate(RpcError):
    def __init__(self, message: str) -> None:
        super().__init__("DEADLINE_EXCEEDED", message)
