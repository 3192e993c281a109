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

from arktos.bootstrap.components import Component, Settings, components, keeper, renewal, supervisor
from arktos.bootstrap.process import Process, reap, record, recorded, running, spawn
from arktos.processes import born
from arktos.wire import logs

log = logs.get_logger(__name__)

FIRST_DELAY, LONGEST_DELAY = 0.05, 5.0
"""Seconds before a process that died is started again; doubled each time, forgotten after `CALM` seconds of life."""

CALM = 10.0
STOP_SECONDS = 10.0
RECORD_AGAIN = 2.0
AFTER_AGAIN = 0.2
CERTIFICATES_EVERY = 6 * 3600.0
"""Seconds between two looks at how long certificates last. They are replaced weeks before they expire."""


class Locked(Exception):
    """Another supervisor has this data directory."""


class Supervisor:
    """Runs until stopped by SIGTERM or SIGINT. `kept`: have a keeper (not in the foreground, where somebody else
    is). `parts` are what it keeps running."""

    def __init__(self, settings: Settings, *, kept: bool, parts: Sequence[Component] | None = None) -> None:
        self.settings = settings
        self._components: Sequence[Component] = components(settings) if parts is None else parts
        if kept:
            self._components = [keeper(settings), *self._components]
        self._stopping = asyncio.Event()
        self._playing: dict[str, Process] = {}
        # What tells one in the foreground, without a keeper, from one that has or will have a keeper.
        self._command = supervisor(settings).command if kept else sys.argv

    async def run(self) -> None:
        layout = self.settings.layout
        layout.run.mkdir(parents=True, exist_ok=True, mode=0o700)
        with layout.lock.open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Locked(f"another supervisor runs in {layout.root}") from None
            me = Process(os.getpid(), born(os.getpid()))
            record(layout.process("supervisor"), me, self._command)
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._stopping.set)
            loop.add_signal_handler(signal.SIGCHLD, reap)
            log.info("supervising", pid=me.pid, data_dir=str(layout.root))
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._keep(component)) for component in self._components]
                tasks.append(group.create_task(self._renew()))
                await self._stopping.wait()
                for task in tasks:
                    task.cancel()
            await self._stop_all()
            layout.process("supervisor").unlink(missing_ok=True)

    async def _renew(self) -> None:
        """Has certificates replaced long before they expire. By a process of its own, for that takes much that this
        one does without."""
        while True:
            await asyncio.sleep(CERTIFICATES_EVERY)
            try:
                spawn(renewal(self.settings).command, self.settings.layout.log("supervisor"))
            except OSError as error:
                log.warning("certificates_not_renewed", error=str(error))

    async def _keep(self, component: Component) -> None:
        """Has the component's process running, for ever."""
        loop = asyncio.get_running_loop()
        delay = FIRST_DELAY
        while True:
            started = loop.time()
            try:
                process = await self._cast(component)
            except OSError as error:  # no memory, no process numbers: perhaps later
                event, fields = "not_started", {"error": str(error)}
            else:
                after = asyncio.create_task(self._after(component))
                try:
                    await self._end_of(component, process)
                finally:
                    after.cancel()
                reap()
                event, fields = "died", {"pid": str(process.pid)}
            delay = FIRST_DELAY if loop.time() - started > CALM else min(delay * 2, LONGEST_DELAY)
            log.warning(event, of=component.name, restart_in=delay, **fields)
            await asyncio.sleep(delay)

    async def _cast(self, component: Component) -> Process:
        """The process that plays the component's part: the one that runs already, or a new one."""
        path, command = self.settings.layout.process(component.name), component.command
        process = recorded(path, command) or running(command)
        if process is not None:
            log.info("adopted", of=component.name, pid=process.pid)
        else:
            old = recorded(path)
            if old is not None:  # started with other settings: the new ones win
                old.send(signal.SIGTERM)
                await asyncio.to_thread(old.wait_gone, STOP_SECONDS)
            process = spawn(command, self.settings.layout.log(component.name))
            log.info("started", of=component.name, pid=process.pid)
        self._playing[component.name] = process
        self._record(component)
        return process

    async def _after(self, component: Component) -> None:
        """Does what a component needs done once it runs, until that succeeds."""
        while component.after is not None:
            try:
                await asyncio.to_thread(component.after, self.settings.layout)
            except Exception as error:
                log.info("not_prepared", of=component.name, error=str(error))
                await asyncio.sleep(AFTER_AGAIN)
            else:
                return

    def _record(self, component: Component) -> None:
        """Notes on disk who plays a part. On a full disk that fails, which is no reason to stop the player."""
        try:
            record(self.settings.layout.process(component.name), self._playing[component.name], component.command)
        except OSError as error:
            log.warning("not_recorded", of=component.name, error=str(error))

    async def _end_of(self, component: Component, process: Process) -> None:
        """Returns when the process has ended. Until it is recorded, that is tried again."""
        path = self.settings.layout.process(component.name)
        while recorded(path) != process and process.alive():
            try:
                async with asyncio.timeout(RECORD_AGAIN):
                    await ended(process)
            except TimeoutError:
                self._record(component)
        await ended(process)

    async def _stop_all(self) -> None:
        """Stops the components in the reverse order of their start: nobody loses the server that it needs to stop
        well. The keeper goes first."""
        layout = self.settings.layout
        keepers = [component for component in self._components if component.name == "keeper"]
        others = [component for component in self._components if component.name != "keeper"]
        for component in [*keepers, *reversed(others)]:
            process = self._playing.get(component.name)
            if process is not None:
                process.send(signal.SIGTERM)
                if not await asyncio.to_thread(process.wait_gone, STOP_SECONDS):
                    log.warning("killed", of=component.name, pid=process.pid)
                    process.send(signal.SIGKILL)
                    await asyncio.to_thread(process.wait_gone, STOP_SECONDS)
                log.info("stopped", of=component.name, pid=process.pid)
            layout.process(component.name).unlink(missing_ok=True)


async def ended(process: Process) -> None:
    """Returns when the process has ended."""
    loop = asyncio.get_running_loop()
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    done = asyncio.Event()
    loop.add_reader(descriptor, done.set)
    try:
        if process.alive():
            await done.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
