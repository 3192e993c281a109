"""Stopping an installation, in whatever state it is: also when the supervisor was killed, or is being started again."""

from __future__ import annotations

import asyncio
import signal

from arktos.bootstrap.components import Component, Settings, components, keeper, supervisor
from arktos.bootstrap.process import Process, recorded, running
from arktos.rpc.method import RpcError

SUPERVISOR_SECONDS = 60.0
"""A supervisor stops its components one after the other, each with time to finish."""
COMPONENT_SECONDS = 15.0


class StillRunning(Exception):
    """A process does not stop."""


def stop(settings: Settings) -> bool:
    """Stops everything; says whether anything ran. Raises StillRunning."""
    found = False
    # A keeper may start a supervisor, and a supervisor a keeper, until both are gone.
    while True:
        process = _of(settings, supervisor(settings))
        if process is not None:
            found = True
            process.send(signal.SIGTERM)
            if not process.wait_gone(SUPERVISOR_SECONDS):
                raise StillRunning(f"the supervisor (process {process.pid}) does not stop")
        elif not _end(settings, keeper(settings)):
            break
        found = True
    for component in reversed(components(settings)):
        found = _end(settings, component) or found
    for component in (supervisor(settings), keeper(settings), *components(settings)):
        settings.layout.process(component.name).unlink(missing_ok=True)
    return found


def stop_workloads(settings: Settings) -> int:
    """Ends all pods of this machine's node, and what would start them again; the rest runs on. How many pods there
    were. Raises StillRunning."""
    # Killed, not stopped: a supervisor that stops takes the runtimes with it, which are needed yet.
    while (process := _of(settings, supervisor(settings))) or (process := _of(settings, keeper(settings))):
        process.send(signal.SIGKILL)
        if not process.wait_gone(COMPONENT_SECONDS):
            raise StillRunning(f"process {process.pid} does not end")
    _end_named(settings, "agent")
    try:
        return asyncio.run(_end_workloads(settings))
    except RpcError as error:
        raise StillRunning(f"a runtime does not end its pods: {error}") from error
    except OSError as error:
        raise StillRunning(f"something of the pods is left: {error}") from error


async def _end_workloads(settings: Settings) -> int:
    from arktos.bootstrap.workloads import clear, end_containers, end_machines

    containers, machines = await asyncio.gather(end_containers(settings.layout), end_machines(settings.layout))
    await asyncio.to_thread(_end_named, settings, "vmruntime")
    await clear(settings.layout, settings.node.cgroup_root if settings.node else "")
    return containers + machines


def _end_named(settings: Settings, name: str) -> None:
    for component in components(settings):
        if component.name == name:
            _end(settings, component)


def _end(settings: Settings, component: Component) -> bool:
    """Ends a process that has no supervisor any more. Whether there was one."""
    process = _of(settings, component)
    if process is None:
        return False
    process.send(signal.SIGTERM)
    if not process.wait_gone(COMPONENT_SECONDS):
        process.send(signal.SIGKILL)
        if not process.wait_gone(COMPONENT_SECONDS):
            raise StillRunning(f"the {component.name} (process {process.pid}) does not stop")
    return True


def _of(settings: Settings, component: Component) -> Process | None:
    return recorded(settings.layout.process(component.name)) or running(component.command)
