"""What an installation is made of: ports, certificates, the store, its processes."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator

from arktos.bootstrap import credentials
from arktos.bootstrap.checks.finding import Finding, Level
from arktos.bootstrap.components import Settings, components
from arktos.bootstrap.process import recorded
from arktos.bootstrap.readiness import unready


def ports(settings: Settings) -> Iterator[Finding]:
    """Whether those that nobody serves yet are free to be served."""
    for component in components(settings):
        if recorded(settings.layout.process(component.name)) is not None:
            continue
        if component.port:
            local = "127.0.0.1"
            yield _port(component.name, settings.address if component.name == "apiserver" else local, component.port)
        if component.name == "agent" and settings.node:
            yield _port("agent's API", "0.0.0.0", settings.node.agent_port, "--agent-port")


def _port(name: str, address: str, port: int, option: str = "--port") -> Finding:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            text = f"{port} ({name}): {error.strerror}"
            return Finding("port", Level.BAD, text, f"stop what holds it, or choose others with {option}")
    return Finding("port", Level.OK, f"{port} is free for the {name}")


def server(settings: Settings) -> Iterator[Finding]:
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


def processes(settings: Settings) -> Iterator[Finding]:
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
