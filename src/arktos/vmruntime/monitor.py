"""The QMP connection to one QEMU: commands with a limit in time, jobs, events as they come."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from qemu.qmp import ConnectError, ExecInterruptedError, ExecuteError, QMPClient, QMPError, StateError

from arktos.vmruntime.errors import CalledOff, Failed, NoSpace, TooLate

_USUAL, _JOB = 30.0, 600.0
_POLL = 0.02
_MOST_EVENTS = 1000

# It reports every failed connection by itself, tracebacks included; we say what matters once.
logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL + 1)


class Unreachable(Exception):
    """The process is gone, or does not answer."""


class Monitor:
    """Made by `connect`. `events` ends with None when the connection does. An event that nobody took while a thousand
    came after it is lost; what they tell can be asked for with `status`."""

    def __init__(self, client: QMPClient, beside: socket.socket) -> None:
        self._client = client
        self._beside = beside
        """The same connection: for descriptors, which the event loop's own transport has no way to send."""
        self.events: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(_MOST_EVENTS)
        self._listening: asyncio.Task[None] | None = None
        self._jobs = 0

    @classmethod
    async def connect(cls, folder: Path, name: str) -> Monitor:
        """To the socket `name` in a folder. Raises Unreachable."""
        client = QMPClient("arktos")
        line: socket.socket | None = None
        try:
            line = await asyncio.to_thread(_dial, folder, name)
            beside = line.dup()
            await asyncio.wait_for(client.connect(line), _USUAL)
        except (ConnectError, TimeoutError, OSError) as error:
            with suppress(QMPError, EOFError, OSError):
                await client.disconnect()
            if line is not None:
                line.close()
                beside.close()
            raise Unreachable(f"the monitor does not answer: {error}") from None
        monitor = cls(client, beside)
        monitor._listening = asyncio.create_task(monitor._listen(), name="qmp-events")
        return monitor

    async def _listen(self) -> None:
        disconnected = asyncio.create_task(self._until_disconnected(), name="qmp-state")
        try:
            while not disconnected.done():
                event = asyncio.ensure_future(self._client.events.get())
                await asyncio.wait((event, disconnected), return_when=asyncio.FIRST_COMPLETED)
                if event.done():
                    self._offer(dict(event.result()))
                else:
                    event.cancel()
            while not self._client.events.empty():
                self._offer(dict(await self._client.events.get()))
        finally:
            disconnected.cancel()
            self._offer(None)

    def _offer(self, event: dict[str, Any] | None) -> None:
        if self.events.full():
            self.events.get_nowait()
        self.events.put_nowait(event)

    async def _until_disconnected(self) -> None:
        while self._client.runstate.name == "RUNNING":
            await self._client.runstate_changed()

    async def execute(self, command: str, arguments: Mapping[str, object] | None = None, within: float = _USUAL) -> Any:
        """Raises Unreachable; Failed with QEMU's words; TooLate."""
        try:
            return await asyncio.wait_for(self._client.execute(command, arguments or {}), within)
        except ExecuteError as error:
            raise _refused(str(error.error.error.desc)) from None
        except TimeoutError:
            raise TooLate(f"QEMU did not answer {command} within {within:.0f} s") from None
        except (ExecInterruptedError, StateError, OSError, EOFError) as error:
            raise Unreachable(f"QEMU is gone: {error}") from None

    async def status(self) -> str:
        """QEMU's run state: running, paused, inmigrate, postmigrate, shutdown, io-error, ..."""
        return str((await self.execute("query-status"))["status"])

    async def job(self, command: str, arguments: Mapping[str, object], within: float = _JOB) -> None:
        """A command that is a background job, until its end. Raises as `execute` does."""
        self._jobs += 1
        name = f"arktos-{self._jobs}"
        await self.execute(command, {"job-id": name, **arguments})
        deadline = asyncio.get_running_loop().time() + within
        while True:
            jobs = [job for job in await self.execute("query-jobs") if job["id"] == name]
            if not jobs or jobs[0]["status"] == "concluded":
                break
            if asyncio.get_running_loop().time() > deadline:
                raise TooLate(f"{command} took more than {within:.0f} s")
            await asyncio.sleep(_POLL)
        if jobs:
            await self.execute("job-dismiss", {"id": name})
            if jobs[0].get("error"):
                raise _refused(str(jobs[0]["error"]))

    async def snapshots(self, node: str) -> list[dict[str, Any]]:
        """Those in a disk, as QEMU has them (`SnapshotInfo`). Raises as `execute` does."""
        for found in await self.execute("query-named-block-nodes", {"flat": True}):
            if found.get("node-name") == node:
                return list(found["image"].get("snapshots", ()))
        raise Failed(f"QEMU has no disk {node!r}")

    async def give_memory(self, device: str, size: int) -> None:
        """Offers the guest so many bytes in a memory device. Raises as `execute` does."""
        path = f"/machine/peripheral/{device}"
        await self.execute("qom-set", {"path": path, "property": "requested-size", "value": size})

    async def taken_memory(self, device: str) -> int:
        """How many bytes of a memory device the guest has taken. Raises as `execute` does."""
        path = f"/machine/peripheral/{device}"
        return int(await self.execute("qom-get", {"path": path, "property": "size"}))

    async def cpus(self) -> int:
        """How many vCPUs there are. Raises as `execute` does."""
        return len(await self.execute("query-cpus-fast"))

    async def plug_cpu(self) -> None:
        """One more, at the first place that is free. Raises as `execute` does, Failed without a place."""
        places = [each for each in await self.execute("query-hotpluggable-cpus") if "qom-path" not in each]
        if not places:
            raise Failed("QEMU has no place for another vCPU")
        first = min(places, key=lambda each: sorted(each["props"].items()))
        await self.execute("device_add", {"driver": first["type"], **first["props"]})

    async def send_memory(self, descriptor: int, call_off: asyncio.Event, within: float = _JOB) -> None:
        """Writes the machine's memory to a file that is open for writing, from its beginning. The machine stands still
        already. Raises Failed, NoSpace, CalledOff once the event is set; then the machine can go on."""
        socket.send_fds(self._beside, [b" "], [descriptor])
        await self.execute("getfd", {"fdname": "memory"})
        await self.execute("migrate", {"uri": "fd:memory"})
        deadline = asyncio.get_running_loop().time() + within
        while True:
            found = await self.execute("query-migrate")
            if found.get("status") == "completed":
                return
            if found.get("status") in ("failed", "cancelled"):
                raise _refused(str(found.get("error-desc") or "memory could not be written"))
            if call_off.is_set():
                await self.execute("migrate_cancel")
                raise CalledOff("called off: the machine is being stopped")
            if asyncio.get_running_loop().time() > deadline:
                await self.execute("migrate_cancel")
                raise TooLate(f"the memory could not be written within {within:.0f} s")
            await asyncio.sleep(_POLL)

    async def close(self) -> None:
        """Idempotent."""
        with suppress(QMPError, EOFError, OSError):
            await self._client.disconnect()
        self._beside.close()
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait((self._listening,))


def _dial(folder: Path, name: str) -> socket.socket:
    """By way of a descriptor of the folder, so that the path is short, however long the folder's is."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    line = socket.socket(socket.AF_UNIX)
    try:
        line.connect(f"/proc/self/fd/{descriptor}/{name}")
        line.setblocking(False)
    except BaseException:
        line.close()
        raise
    finally:
        os.close(descriptor)
    return line


def _refused(text: str) -> Failed | NoSpace:
    said = " ".join(text.split())
    return NoSpace(f"the disk is full: {said}") if "No space left" in said else Failed(f"QEMU: {said}")
