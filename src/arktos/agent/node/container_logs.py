"""Keeping the logs of containers in bounds: rotated while they are written, gone with their pod."""

from __future__ import annotations

import asyncio
import gzip
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from arktos.agent.node.log_rotation import TEMPORARY, LogFolder, Rotation, attempt_of, of_past_starts, rotation
from arktos.agent.node.options import NodeOptions
from arktos.agent.pods.table import Pods
from arktos.agent.runtimes import Runtime
from arktos.rpc import cri
from arktos.rpc.method import RpcError
from arktos.rpc.protos import cri_pb2 as pb
from arktos.wire import logs

UID, CONTAINER = "io.kubernetes.pod.uid", "io.kubernetes.container.name"
_SWEEP_EVERY = 6
"""Turns of the watch on sizes for one look for what was left behind."""

_log = logs.get_logger(__name__)

Running = Mapping[tuple[str, str, int], tuple[Runtime, str]]
"""Runtime and container id by pod uid, container name and attempt."""


class ContainerLogs:
    """Watches the folder of pod logs. `synced` says whether `pods` is complete yet: before that nothing is removed."""

    def __init__(
        self, runtimes: Iterable[Runtime], pods: Pods, options: NodeOptions, synced: Callable[[], bool]
    ) -> None:
        self._runtimes = runtimes
        self._pods = pods
        self._options = options
        self._synced = synced

    async def run(self) -> None:
        """Until cancelled. What fails is logged and tried again at the next turn."""
        turn = 0
        while True:
            try:
                await self.rotate()
                if turn % _SWEEP_EVERY == 0:
                    await self.sweep()
            except (RpcError, OSError) as error:
                _log.warning("container_logs_not_tended", error=str(error))
            turn += 1
            await asyncio.sleep(self._options.log_period)

    async def rotate(self) -> int:
        """Rotates the logs of running containers that have become too large. How many. Raises RpcError, OSError."""
        folders = await asyncio.to_thread(lambda: list(read(self._options.pod_logs_dir)))
        large = [(folder, name) for folder in folders for name in folder.too_large(self._options.log_max_size)]
        if not large:
            return 0
        running = await self._containers(pb.CONTAINER_RUNNING)
        done = 0
        for folder, name in large:
            attempt = attempt_of(name)
            found = running.get((folder.uid, folder.container, attempt if attempt is not None else -1))
            if found is not None:
                done += await self._rotate(folder, name, *found)
        return done

    async def _rotate(self, folder: LogFolder, name: str, runtime: Runtime, container: str) -> int:
        names = [other for other, _ in folder.files]
        wanted = rotation(name, names, self._options.log_max_files, datetime.now(UTC))
        place = Path(folder.path)
        try:
            await asyncio.to_thread(prepare, place, wanted)
            await asyncio.to_thread(os.replace, place / name, place / wanted.rename)
        except OSError as error:
            _log.warning("container_log_not_rotated", log=str(place / name), error=str(error))
            return 0
        try:
            question = pb.ReopenContainerLogRequest(container_id=container)
            await runtime.call(cri.REOPEN_CONTAINER_LOG, question)
        except RpcError as error:
            await asyncio.to_thread(_put_back, place / wanted.rename, place / name)
            _log.warning("container_log_not_rotated", log=str(place / name), error=str(error))
            return 0
        return 1

    async def sweep(self) -> list[str]:
        """Removes logs of pods that are gone from here and of containers that their runtime has forgotten. Which
        folders of pods went. Raises RpcError, OSError."""
        if not self._synced():
            return []
        # Listed before the runtimes are asked: what begins after that is not looked at.
        folders = await asyncio.to_thread(lambda: list(read(self._options.pod_logs_dir)))
        pods = await asyncio.to_thread(lambda: list(_pod_folders(self._options.pod_logs_dir)))
        existing = await self._containers(None)
        sandboxes = await self._sandboxed()
        gone = [path for uid, path in pods if uid not in self._pods and uid not in sandboxes]
        for path in gone:
            await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)
            _log.info("pod_logs_removed", folder=path.name)
        attempts: dict[tuple[str, str], set[int]] = {}
        for uid, container, attempt in existing:
            attempts.setdefault((uid, container), set()).add(attempt)
        for folder in folders:
            known = attempts.get((folder.uid, folder.container))
            if known:
                names = [name for name, _ in folder.files]
                for name in of_past_starts(names, frozenset(known), max(known)):
                    await asyncio.to_thread(_unlink, Path(folder.path) / name)
        return [path.name for path in gone]

    async def _containers(self, state: pb.ContainerState | None) -> Running:
        only = None if state is None else pb.ContainerFilter(state=pb.ContainerStateValue(state=state))
        found: dict[tuple[str, str, int], tuple[Runtime, str]] = {}
        for runtime in self._runtimes:
            answer = await runtime.call(cri.LIST_CONTAINERS, pb.ListContainersRequest(filter=only))
            for each in answer.containers:
                name = each.labels.get(CONTAINER) or each.metadata.name
                found[each.labels.get(UID, ""), name, each.metadata.attempt] = (runtime, each.id)
        return found

    async def _sandboxed(self) -> set[str]:
        found: set[str] = set()
        for runtime in self._runtimes:
            answer = await runtime.call(cri.LIST_POD_SANDBOX, pb.ListPodSandboxRequest())
            found.update(sandbox.metadata.uid for sandbox in answer.items)
        return found


def _pod_folders(root: Path) -> Iterator[tuple[str, Path]]:
    """Log folders of pods by uid. They are named TENANT_NAMESPACE_NAME_UID; an underscore is in none of these."""
    try:
        entries = [entry for entry in root.iterdir() if entry.name.count("_") == 3 and entry.is_dir()]
    except FileNotFoundError:
        return
    for entry in entries:
        yield entry.name.rpartition("_")[2], entry


def read(root: Path) -> Iterator[LogFolder]:
    """All log folders with the sizes of their files. Blocking. What goes meanwhile is left out."""
    for uid, pod in _pod_folders(root):
        try:
            containers = [entry for entry in pod.iterdir() if entry.is_dir() and not entry.is_symlink()]
        except OSError:
            continue
        for container in containers:
            yield LogFolder(uid, container.name, str(container), tuple(_sizes(container)))


def _sizes(folder: Path) -> Iterator[tuple[str, int]]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        try:
            if entry.is_file(follow_symlinks=False):
                yield entry.name, entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue


def prepare(folder: Path, wanted: Rotation) -> None:
    """Drops and compresses what a rotation names. Blocking. Raises OSError."""
    for name in wanted.drop:
        _unlink(folder / name)
    for name in wanted.compress:
        _compress(folder / name)


def _compress(path: Path) -> None:
    """`path` becomes `path.gz`, at once or not at all."""
    temporary, target = path.with_name(path.name + TEMPORARY), path.with_name(path.name + ".gz")
    try:
        with path.open("rb") as plain, temporary.open("wb") as packed:
            os.fchmod(packed.fileno(), os.fstat(plain.fileno()).st_mode & 0o777)
            # No name and no time inside, and the fast level: this runs beside the node's work.
            with gzip.GzipFile("", "wb", compresslevel=3, fileobj=packed, mtime=0) as stream:
                shutil.copyfileobj(plain, stream, 1 << 20)
        temporary.replace(target)
    except BaseException:
        _unlink(temporary)
        raise
    _unlink(path)


def _put_back(rotated: Path, current: Path) -> None:
    """Undoes a rename after which nobody began a new file."""
    if not current.exists():
        os.replace(rotated, current)


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)
