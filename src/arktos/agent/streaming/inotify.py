"""Changes in folders, told by the kernel (inotify(7)) through the event loop."""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
from collections.abc import Callable
from pathlib import Path

_MODIFY, _CLOSE_WRITE, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x2, 0x8, 0x40, 0x80, 0x100, 0x200
_WATCHED = _MODIFY | _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE
_OVERFLOW, _IGNORED = 0x4000, 0x8000
_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC
_HEAD = struct.Struct("iIII")

Changed = Callable[[bool], None]
"""Told of a change: whether a file was closed by whoever wrote to it."""

_libc = ctypes.CDLL(None, use_errno=True)


class Folders:
    """Watches of folders, on one kernel object for all. For one event loop; `close` when done."""

    def __init__(self) -> None:
        """Raises OSError where the kernel has no more of these."""
        self._fd = _libc.inotify_init1(_FLAGS)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1: " + os.strerror(ctypes.get_errno()))
        self._watchers: dict[int, list[Changed]] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._readable)

    def watch(self, folder: Path, changed: Changed) -> Callable[[], None]:
        """Calls `changed` when anything in `folder` is written, made, renamed or removed, until what is returned is
        called. Raises OSError, for a folder that is not there among other things."""
        number = _libc.inotify_add_watch(self._fd, os.fsencode(folder), _WATCHED)
        if number < 0:
            raise OSError(ctypes.get_errno(), f"inotify: {folder}: {os.strerror(ctypes.get_errno())}")
        self._watchers.setdefault(number, []).append(changed)

        def stop() -> None:
            watchers = self._watchers.get(number, [])
            if changed in watchers:
                watchers.remove(changed)
            if not watchers and self._watchers.pop(number, None) is not None and self._fd >= 0:
                _libc.inotify_rm_watch(self._fd, number)

        return stop

    def close(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, 64 * 1024)
        except BlockingIOError:
            return
        at = 0
        changed: dict[int, bool] = {}
        while at < len(data):
            number, mask, _, size = _HEAD.unpack_from(data, at)
            at += _HEAD.size + size
            if mask & _OVERFLOW:
                changed = dict.fromkeys(self._watchers, True)
            else:
                changed[number] = changed.get(number, False) or bool(mask & _CLOSE_WRITE)
            if mask & _IGNORED:
                # The folder is gone: its watchers are told once, and find out.
                changed.pop(number, None)
                for call in self._watchers.pop(number, []):
                    call(True)
        for number, closed in changed.items():
            for call in list(self._watchers.get(number, ())):
                call(closed)
