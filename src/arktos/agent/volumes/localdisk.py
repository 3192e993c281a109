"""Local volumes: a directory of the node, or a block device with a filesystem on it. Blocks: call it in a thread."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

from arktos.agent.volumes import mounting
from arktos.agent.volumes.volume import VolumeError

_DEFAULT_FILESYSTEM = "ext4"
_NOTHING_FOUND = 2
_TIMEOUT = 300.0


def set_up(source: str, target: Path, filesystem: str, options: tuple[str, ...]) -> str:
    """The path at which the volume's content lies: `source` itself if it is a directory; for a device `target`, where
    it is mounted, with a filesystem made first if there is nothing on it. VolumeError, OSError."""
    try:
        mode = os.stat(source).st_mode
    except FileNotFoundError as error:
        raise VolumeError(f'path "{source}" does not exist') from error
    if stat.S_ISDIR(mode):
        return source
    if not stat.S_ISBLK(mode):
        raise VolumeError(f'path "{source}" is neither a directory nor a block device')
    target.mkdir(parents=True, exist_ok=True)
    if not mounting.is_mount_point(target):
        _format_if_blank(source, filesystem or _DEFAULT_FILESYSTEM)
        _run("mount", "-t", filesystem or _DEFAULT_FILESYSTEM, *_as_arguments(options), "--", source, str(target))
    return str(target)


def device(source: str) -> str:
    """`source`, if it is a block device. VolumeError."""
    try:
        is_device = stat.S_ISBLK(os.stat(source).st_mode)
    except FileNotFoundError as error:
        raise VolumeError(f'path "{source}" does not exist') from error
    if not is_device:
        raise VolumeError(f'path "{source}" is not a block device')
    return source


def _format_if_blank(source: str, filesystem: str) -> None:
    if not filesystem.isalnum():
        raise VolumeError(f"unknown filesystem {filesystem!r}")
    probe = _call("blkid", "-p", "-s", "TYPE", "-s", "PTTYPE", "-o", "export", source)
    # Only a device of which blkid is sure that it holds nothing is written to: 2 is "nothing found".
    if probe.returncode == _NOTHING_FOUND and not probe.stdout.strip():
        quick = ["-F", "-m0"] if filesystem.startswith("ext") else []
        _run(f"mkfs.{filesystem}", *quick, source)
    elif probe.returncode != 0:
        raise VolumeError(f"cannot tell what is on {source}: {probe.stderr.strip() or probe.stdout.strip()}")


def _as_arguments(options: tuple[str, ...]) -> list[str]:
    return ["-o", ",".join(options)] if options else []


def _run(*command: str) -> None:
    done = _call(*command)
    if done.returncode != 0:
        raise VolumeError(f"{command[0]} failed: {(done.stderr or done.stdout).strip()}")


def _call(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    except FileNotFoundError as error:
        raise VolumeError(f"this node lacks the program {command[0]}") from error
    except subprocess.TimeoutExpired as error:
        raise VolumeError(f"{command[0]} did not end within {_TIMEOUT:.0f} s") from error
