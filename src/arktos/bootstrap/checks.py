"""The doctor's checks: each looks at one thing and says what it found and what to do about it."""

from __future__ import annotations

import enum
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from arktos.bootstrap import credentials
from arktos.bootstrap.components import Settings, components
from arktos.bootstrap.layout import Layout
from arktos.bootstrap.process import recorded
from arktos.bootstrap.readiness import unready

OLDEST_KUBECTL = 20
LITTLE_SPACE = 1 << 30


class Level(enum.IntEnum):
    OK = 0
    WARN = 1
    BAD = 2

    @property
    def label(self) -> str:
        return {Level.OK: " ok ", Level.WARN: "warn", Level.BAD: "bad "}[self]


@dataclass(frozen=True, slots=True)
class Finding:
    name: str
    level: Level
    text: str
    advice: str = ""


def run(data_dir: Path) -> Iterator[Finding]:
    layout = Layout(data_dir)
    settings = Settings.load(layout)
    yield _python()
    yield _kubectl()
    yield _space(data_dir)
    yield _clock(layout)
    yield from _ports(settings or Settings(str(data_dir)))
    if settings is None:
        yield Finding("installation", Level.OK, f"nothing was started in {data_dir} yet", "arktos up")
        return
    yield from _server(settings)
    yield from _processes(settings)


def _python() -> Finding:
    found = sys.version.split()[0]
    return Finding("python", Level.OK, found)


def _kubectl() -> Finding:
    path = shutil.which("kubectl")
    if path is None:
        return Finding("kubectl", Level.WARN, "not on PATH", "apt-get install kubernetes-client, or any kubectl")
    command = [path, "version", "--client", "--output=json"]
    try:
        printed = subprocess.run(command, capture_output=True, timeout=20, check=False).stdout
        version = json.loads(printed)["clientVersion"]
        minor = int(version["minor"].rstrip("+"))
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        return Finding("kubectl", Level.WARN, f"{path} does not tell its version")
    if minor < OLDEST_KUBECTL:
        return Finding("kubectl", Level.WARN, version["gitVersion"], f"1.{OLDEST_KUBECTL} or newer is tested")
    return Finding("kubectl", Level.OK, f"{version['gitVersion']} at {path}")


def _space(data_dir: Path) -> Finding:
    there = data_dir
    while not there.exists():
        there = there.parent
    if not os.access(there, os.W_OK):
        return Finding("data directory", Level.BAD, f"{there} is not writable", "choose another with --data-dir")
    free = shutil.disk_usage(there).free
    text = f"{data_dir}, {free >> 20} MiB free"
    if free < LITTLE_SPACE:
        return Finding("data directory", Level.WARN, text, "free some space: a full disk stops all writes")
    return Finding("data directory", Level.OK, text)


def _clock(layout: Layout) -> Finding:
    """Certificates and revisions both read the clock; one that went back shows in the files it wrote."""
    if layout.ca.exists() and layout.ca.stat().st_mtime > time.time() + 300:
        return Finding("clock", Level.BAD, "is behind the files of this installation", "set the machine's clock")
    return Finding("clock", Level.OK, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))


def _ports(settings: Settings) -> Iterator[Finding]:
    for component in components(settings):
        if recorded(settings.layout.process(component.name)) is not None or not component.port:
            continue
        address = settings.address if component.name == "apiserver" else "127.0.0.1"
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, component.port))
            except OSError as error:
                text = f"{component.port} ({component.name}): {error.strerror}"
                yield Finding("port", Level.BAD, text, "stop what holds it, or choose others with --port")
                continue
        yield Finding("port", Level.OK, f"{component.port} is free for the {component.name}")


def _server(settings: Settings) -> Iterator[Finding]:
    """What the API server would say of its files if it were started now: certificates, keys, tokens, every record of
    its store. Not asked of a running one, which has said it."""
    layout = settings.layout
    if recorded(layout.process("apiserver")) is not None:
        yield Finding("store", Level.OK, f"{layout.store}, in use")
        return
    try:
        credentials.require_whole(layout)
    except (credentials.Damaged, OSError) as damaged:
        yield Finding("certificates", Level.BAD, str(damaged))
        return
    if not layout.server_certificate.exists() or not layout.ca.exists():
        yield Finding("certificates", Level.WARN, "are missing", "arktos up makes what is missing")
        return
    command = [*components(settings)[0].command, "--check"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    if checked.returncode == 0:
        yield Finding("store", Level.OK, f"{layout.store}, every record is whole")
        yield Finding("certificates", Level.OK, "whole")
        return
    for line in checked.stdout.splitlines() or [checked.stderr.strip().rpartition("\n")[2]]:
        of_store = str(layout.store) in line
        advice = "restore a copy of the data directory; nothing in it was touched" if of_store else ""
        yield Finding("store" if of_store else "settings", Level.BAD, line, advice)


def _processes(settings: Settings) -> Iterator[Finding]:
    for component in components(settings):
        if recorded(settings.layout.process(component.name)) is None:
            yield Finding(component.name, Level.WARN, "not running", "arktos up")
            continue
        problem = unready(settings, component)
        log = settings.layout.log(component.name)
        if problem is None:
            yield Finding(component.name, Level.OK, "ready")
        else:
            yield Finding(component.name, Level.BAD, problem, f"see {log}")
