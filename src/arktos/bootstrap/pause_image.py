"""The image that every sandbox of containers runs: one process that does nothing but hold the pod's namespaces.

Made here, byte by byte, so that a node needs neither a compiler nor a registry for it.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from arktos.bootstrap.oci_image import Image, build, save

_BASE = 0x400000
_HEADERS = 64 + 56
_SIG_IGN = 1


def write(path: Path, reference: str) -> None:
    """Writes the pause image as a tar file that `ctr images import` takes in under the name `reference`; atomic."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save(pause_image(), unfinished, reference)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def pause_image() -> Image:
    """The image, for linux/amd64."""
    return build({"pause": (pause_program(), 0o755)}, {"Env": ["PATH=/"], "Entrypoint": ["/pause"]})


def pause_program() -> bytes:
    """A static x86-64 ELF executable that sleeps for ever and leaves no zombie among its children.

    As the first process of a process namespace that containers share, it inherits their orphans. It ignores SIGCHLD,
    for then the kernel reaps them (wait(2)).
    """
    prologue = 25
    loop = bytes.fromhex("b822000000 0f05 ebf7")  # again: mov eax, pause; syscall; jmp again
    action_at = _BASE + _HEADERS + prologue + len(loop)
    ignore_children = (
        bytes.fromhex("b80d000000 bf11000000 be")  # mov eax, rt_sigaction; mov edi, SIGCHLD; mov esi, action
        + struct.pack("<I", action_at)
        + bytes.fromhex("31d2 41ba08000000 0f05")  # xor edx, edx; mov r10d, 8; syscall
    )
    assert len(ignore_children) == prologue
    action = struct.pack("<QQQQ", _SIG_IGN, 0, 0, 0)
    return _elf(ignore_children + loop + action)


def _elf(text: bytes) -> bytes:
    size = _HEADERS + len(text)
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header = ident + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    read_and_execute = 5
    segment = struct.pack("<IIQQQQQQ", 1, read_and_execute, 0, _BASE, _BASE, size, size, 0x1000)
    return header + segment + text
