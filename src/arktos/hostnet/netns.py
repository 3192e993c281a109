"""Network namespaces that outlive the process which made them: a file under /run/netns to which one is bound, as
ip-netns(8) has them. Everything here blocks for milliseconds; call it in a thread.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

_T = TypeVar("_T")

FOLDER = Path("/run/netns")
CLONE_NEWNET = 0x40000000

_MS_BIND, _MS_REC, _MS_SHARED = 0x1000, 0x4000, 0x100000
_MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_void_p,
)
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)
_libc.setns.argtypes = (ctypes.c_int, ctypes.c_int)
_libc.unshare.argtypes = (ctypes.c_int,)


class NoNamespace(OSError):
    """There is no network namespace at the path."""


def create(name: str) -> Path:
    """Makes a namespace, its loopback device up, and gives its path. One that is there already is left as it is.

    Raises OSError, PermissionError without CAP_SYS_ADMIN among them; nothing is left behind then.
    """
    if not name or "/" in name or name in (".", ".."):
        raise ValueError(f"{name!r} cannot name a network namespace")
    path = FOLDER / name
    if exists(path):
        return path
    _share_folder()
    path.touch(mode=0o444)
    try:
        _in_fresh_thread(lambda: _bind_new(path))
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise
    return path


def remove(path: str | Path) -> None:
    """Takes the file away, and with it the namespace once nothing lives in it. One that is not there is fine."""
    name = os.fsencode(path)
    while _libc.umount2(name, _MNT_DETACH) == 0:
        pass
    with suppress(FileNotFoundError):
        os.unlink(name)


def exists(path: str | Path) -> bool:
    """Whether a network namespace is bound there; a left-over empty file is none."""
    try:
        with open(path, "rb") as file:
            return _is_namespace(file.fileno())
    except OSError:
        return False


def identity(path: str | Path) -> tuple[int, int]:
    """Device and inode, equal for two paths of one namespace. Raises NoNamespace."""
    with opened(path) as number:
        status = os.fstat(number)
        return status.st_dev, status.st_ino


def run_in(path: str | Path, function: Callable[[], _T]) -> _T:
    """What `function` gives when called in the namespace at `path`, in a thread of its own that ends with it.

    Only the network namespace differs; sockets that are opened keep it. Raises NoNamespace, and what `function` raises.
    """

    def body() -> _T:
        enter(path)
        return function()

    return _in_fresh_thread(body)


def enter(path: str | Path) -> None:
    """Puts the calling thread into the namespace, for good: for threads made for that. Raises NoNamespace."""
    with opened(path) as number:
        _check(_libc.setns(number, CLONE_NEWNET), str(path))


@contextmanager
def opened(path: str | Path) -> Iterator[int]:
    """A file descriptor of the namespace. Raises NoNamespace."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise NoNamespace(error.errno, f"no network namespace: {os.strerror(error.errno or 0)}", str(path)) from error
    try:
        if not _is_namespace(number):
            raise NoNamespace(0, "no network namespace: the file is not bound to one", str(path))
        yield number
    finally:
        os.close(number)


def _is_namespace(number: int) -> bool:
    # All namespaces are files of one internal file system, whose device nothing else has.
    return os.fstat(number).st_dev == os.stat("/proc/self/ns/net").st_dev


def _in_fresh_thread(function: Callable[[], _T]) -> _T:
    """A thread that changed its namespace must not be used for anything else, so it is never one of a pool."""
    outcome: list[_T] = []
    failure: list[BaseException] = []

    def body() -> None:
        try:
            outcome.append(function())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=body, name="netns")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def _bind_new(path: Path) -> None:
    # Not before the thread runs: pyroute2 takes a fifth of a second to import, and not every caller needs it.
    from arktos.hostnet.links import Links

    _check(_libc.unshare(CLONE_NEWNET), "unshare")
    own = f"/proc/self/task/{threading.get_native_id()}/ns/net"
    _check(_libc.mount(own.encode(), os.fsencode(path), b"none", _MS_BIND, None), str(path))
    try:
        with Links() as links:
            links.up("lo")
    except BaseException:
        _libc.umount2(os.fsencode(path), _MNT_DETACH)
        raise


def _share_folder() -> None:
    """Mounts made in the folder reach other mount namespaces, and so do their ends: else one that a container
    happened to copy would keep a namespace alive for ever."""
    FOLDER.mkdir(mode=0o755, parents=True, exist_ok=True)
    name = os.fsencode(FOLDER)
    if _libc.mount(b"", name, b"none", _MS_SHARED | _MS_REC, None) == 0:
        return
    _check(_libc.mount(name, name, b"none", _MS_BIND | _MS_REC, None), str(FOLDER))
    _check(_libc.mount(b"", name, b"none", _MS_SHARED | _MS_REC, None), str(FOLDER))


def _check(answer: int, subject: str) -> None:
    if answer != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), subject)
