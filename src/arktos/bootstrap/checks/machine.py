"""What any machine of ours needs: Python, kubectl, space, a clock."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from arktos.bootstrap.checks.finding import Finding, Level
from arktos.bootstrap.layout import Layout

OLDEST_KUBECTL = 20
LITTLE_SPACE = 1 << 30
FEW_INODES = 50_000
"""An image of containers alone may bring ten thousand files."""


def findings(layout: Layout) -> Iterator[Finding]:
    yield Finding("python", Level.OK, sys.version.split()[0])
    yield kubectl()
    yield space(layout.root)
    yield clock(layout)


def kubectl() -> Finding:
    path = shutil.which("kubectl")
    if path is None:
        return Finding("kubectl", Level.WARN, "not on PATH", "apt-get install kubernetes-client, or any kubectl")
    command = [path, "version", "--client", "--output=json"]
    try:
        printed = subprocess.run(command, capture_output=True, timeout=3, check=False).stdout
        version = json.loads(printed)["clientVersion"]
        minor = int(version["minor"].rstrip("+"))
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        return Finding("kubectl", Level.WARN, f"{path} does not tell its version")
    if minor < OLDEST_KUBECTL:
        return Finding("kubectl", Level.WARN, version["gitVersion"], f"1.{OLDEST_KUBECTL} or newer is tested")
    return Finding("kubectl", Level.OK, f"{version['gitVersion']} at {path}")


def space(data_dir: Path) -> Finding:
    there = data_dir
    while not there.exists():
        there = there.parent
    if not os.access(there, os.W_OK):
        return Finding("data directory", Level.BAD, f"{there} is not writable", "choose another with --data-dir")
    found = os.statvfs(there)
    free = found.f_bavail * found.f_frsize
    text = f"{data_dir}, {free >> 20} MiB free"
    if free < LITTLE_SPACE:
        return Finding("data directory", Level.WARN, text, "free some space: a full disk stops all writes")
    # File systems that make inodes as they go say that they have none.
    if found.f_files and found.f_favail < FEW_INODES:
        text = f"{data_dir}, {found.f_favail} inodes free"
        return Finding("data directory", Level.WARN, text, "delete files: without inodes no image can be unpacked")
    return Finding("data directory", Level.OK, text)


def clock(layout: Layout) -> Finding:
    """Certificates and revisions both read the clock; one that went back shows in the files it wrote."""
    if layout.ca.exists() and layout.ca.stat().st_mtime > time.time() + 300:
        return Finding("clock", Level.BAD, "is behind the files of this installation", "set the machine's clock")
    return Finding("clock", Level.OK, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
