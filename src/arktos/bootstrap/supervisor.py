"""Keeps the processes of one installation running: starts them, waits for them, starts again what died.

The processes are recorded on disk and live in sessions of their own. A supervisor that comes after one that was killed
adopts what still runs; nothing goes down with it. It watches by pidfd, so it also sees the end of processes that are
not its children. `keeper`, one of the supervised processes, starts the supervisor again when that dies.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from arktos.bootstrap.components import Component, Settings, components
from arktos.bootstrap.process import Process, born, reap, record, recorded, spawn
from arktos.wire import logs

log = logs.get_logger(__name__)

FIRST_DELAY, LONGEST_DELAY = 0.05, 5.0
"""Seconds before a process that died is started again; doubled each time, forgotten after `CALM` seconds of life."""

CALM = 10.0
STOP_SECONDS = 10.0


def keeper(settings: Settings) -> Component:
    """The process that starts this one again. Not the `arktos` command: it must be small."""
    script = Path(__file__).with_name("keeper.py")
    return Component("keeper", (str(script), settings.data_dir))


def command_of(component: Component) -> list[str]:
    if component.name == "keeper":
        return [sys.executable, "-I", "-S", *component.arguments]
    return component.command


class Locked(Exception):
    """Another supervisor has this data directory."""


class Supervisor:
    """Runs until stopped by SIGTERM or SIGINT. `kept`: have a keeper (not in the foreground, where somebody else
    is)."""

    def __init__(self, settings: Settings, *, kept: bool) -> None:
        self.settings = settings
        self._components: Sequence[Component] = components(settings)
        if kept:
            self._components = [keeper(settings), *self._components]
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        layout = self.settings.layout
        layout.run.mkdir(parents=True, exist_ok=True, mode=0o700)
        with layout.lock.open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Locked(f"another supervisor runs in {layout.root}") from None
            me = os.getpid()
            record(layout.process("supervisor"), _self(), sys.argv)
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._stopping.set)
            loop.add_signal_handler(signal.SIGCHLD, reap)
            log.info("supervising", pid=me, data_dir=str(layout.root))
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._keep(component)) for component in self._components]
                await self._stopping.wait()
                for task in tasks:
                    task.cancel()
            await self._stop_all()
            layout.process("supervisor").unlink(missing_ok=True)

    async def _keep(self, component: Component) -> None:
        """Has the component's process running, for ever."""
        loop = asyncio.get_running_loop()
        path = self.settings.layout.process(component.name)
        command = command_of(component)
        delay = FIRST_DELAY
        while True:
            process = recorded(path, command)
            if process is None:
                old = recorded(path)
                if old is not None:  # started with other settings: the new ones win
                    old.send(signal.SIGTERM)
                    await asyncio.to_thread(old.wait_gone, STOP_SECONDS)
                process = spawn(command, self.settings.layout.log(component.name))
                record(path, process, command)
                log.info("started", component=component.name, pid=process.pid)
            else:
                log.info("adopted", component=component.name, pid=process.pid)
            started = loop.time()
            await _ended(process)
            reap()
            delay = FIRST_DELAY if loop.time() - started > CALM else min(delay * 2, LONGEST_DELAY)
            log.warning("died", component=component.name, pid=process.pid, restart_in=delay)
            await asyncio.sleep(delay)

    async def _stop_all(self) -> None:
        """Stops the components in the reverse order of their start: nobody loses the server that it needs to stop
        well."""
        layout = self.settings.layout
        keepers = [c for c in self._components if c.name == "keeper"]
        for component in [*keepers, *reversed([c for c in self._components if c.name != "keeper"])]:
            path = layout.process(component.name)
            process = recorded(path)
            if process is not None:
                process.send(signal.SIGTERM)
                if not await asyncio.to_thread(process.wait_gone, STOP_SECONDS):
                    log.warning("killed", component=component.name, pid=process.pid)
                    process.send(signal.SIGKILL)
                log.info("stopped", component=component.name, pid=process.pid)
            path.unlink(missing_ok=True)


def _self() -> Process:
    return Process(os.getpid(), born(os.getpid()))


async def _ended(process: Process) -> None:
    """Returns when the process has ended."""
    loop = asyncio.get_running_loop()
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        if process.alive():
            await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
