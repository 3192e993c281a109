"""What goes wrong with images, with gRPC's name for it."""

from __future__ import annotations

import errno

from arktos.rpc.method import RpcError
from arktos.vmruntime.errors import NoSpace


class Unfit(RpcError):
    """The reference, or what it led to, is not an image that a machine may have. Trying again does not help."""

    def __init__(self, message: str) -> None:
        super().__init__("INVALID_ARGUMENT", message)


class Absent(RpcError):
    """The server says that there is no such image."""

    def __init__(self, message: str) -> None:
        super().__init__("NOT_FOUND", message)


class Denied(RpcError):
    """The server wants other credentials."""

    def __init__(self, message: str) -> None:
        super().__init__("PERMISSION_DENIED", message)


class Unreachable(RpcError):
    """The server cannot be reached, breaks off or is overloaded. Trying again may help."""

    def __init__(self, message: str) -> None:
        super().__init__("UNAVAILABLE", message)


class Corrupt(RpcError):
    """The bytes are not those that were promised."""

    def __init__(self, message: str) -> None:
        super().__init__("DATA_LOSS", message)


def too_large(what: str, most: int) -> NoSpace:
    """Something exceeds a bound of the policy."""
    return NoSpace(f"{what} is larger than the {most} bytes that this node takes")


def from_os(error: OSError, doing: str) -> RpcError:
    """The fault of a failed write to the store."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace(f"{doing}: the disk of the image store is full")
    return RpcError("INTERNAL", f"{doing}: {error.strerror or error}")
