"""Answers CNI calls that come over the shim's socket, with a `Provider`."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from arktos.network.cni import messages
from arktos.network.cni.messages import CniFault, Question
from arktos.network.provider import NetworkFailure, PodIdentity, Provider, Wish
from arktos.wire import logs

_log = logs.get_logger(__name__)

POD_WAIT = 10.0
"""Seconds that ADD waits for the pod to be seen: the runtime may be told of it a moment earlier than we."""
_CALL_SECONDS = 50.0
_LARGEST = 1 << 20
_READ_SECONDS = 10.0


class Pods(Protocol):
    """Where a pod's identity is known."""

    async def find(self, uid: str) -> tuple[PodIdentity, Mapping[str, str]] | None:
        """A pod of this node and its annotations; None if it does not show up in time."""
        ...


class CniDaemon:
    """Serves `socket_path` while used as an async context manager. `observe` is told command, outcome (ok or an error
    code) and seconds."""

    def __init__(
        self,
        provider: Provider,
        pods: Pods,
        socket_path: Path,
        observe: Callable[[str, str, float], None] | None = None,
    ) -> None:
        self._provider = provider
        self._pods = pods
        self._path = socket_path
        self._observe = observe
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> CniDaemon:
        await asyncio.to_thread(self._path.parent.mkdir, parents=True, exist_ok=True)
        # Bound under another name first, so that the old socket is replaced at once, and never open to others.
        fresh = self._path.with_suffix(".new")
        await asyncio.to_thread(fresh.unlink, missing_ok=True)
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, fresh, limit=_LARGEST)
        finally:
            os.umask(before)
        await asyncio.to_thread(fresh.rename, self._path)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await asyncio.to_thread(self._path.unlink, missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_READ_SECONDS):
                text = await reader.read(_LARGEST)
                while not reader.at_eof() and len(text) < _LARGEST:
                    text += await reader.read(_LARGEST)
            writer.write(msgspec.json.encode(await self.answer(text)))
            await writer.drain()
        except (OSError, TimeoutError) as error:
            _log.debug("cni_caller_gone", error=str(error))
        finally:
            writer.close()

    async def answer(self, text: bytes) -> dict[str, Any]:
        """What the shim prints and exits with. Never raises."""
        began = time.perf_counter()
        try:
            document = msgspec.json.decode(text)
        except msgspec.DecodeError:
            document = None
        version = messages.version_of(document)
        command, outcome = "", "ok"
        try:
            asked = messages.question(document)
            command = asked.command
            async with asyncio.timeout(_CALL_SECONDS):
                output = await self._act(asked)
            return {"status": 0, "output": output}
        except CniFault as fault:
            outcome = str(fault.code)
            _log.warning("cni_refused", command=command, code=fault.code, error=str(fault), details=fault.details)
            return {"status": 1, "output": fault.message(version)}
        except NetworkFailure as failure:
            code = messages.TRY_AGAIN if failure.again else messages.FAILED
            outcome = str(code)
            _log.warning("cni_failed", command=command, code=code, error=str(failure))
            return {"status": 1, "output": CniFault(code, str(failure)).message(version)}
        except TimeoutError:
            outcome = str(messages.TRY_AGAIN)
            late = CniFault(messages.TRY_AGAIN, f"{command} did not finish in {_CALL_SECONDS:g} s")
            return {"status": 1, "output": late.message(version)}
        except OSError as error:
            outcome = str(messages.IO_FAILURE)
            _log.error("cni_failed", command=command, code=messages.IO_FAILURE, error=str(error))
            return {"status": 1, "output": CniFault(messages.IO_FAILURE, str(error)).message(version)}
        finally:
            if self._observe is not None:
                self._observe(command, outcome, time.perf_counter() - began)

    async def _act(self, asked: Question) -> Any:
        if asked.command == "STATUS":
            if problem := self._provider.unready():
                raise CniFault(messages.UNAVAILABLE, problem)
            return None
        if asked.command == "DEL":
            await self._provider.detach(asked.container_id, asked.ifname)
            return None
        if problem := self._provider.unready():
            raise CniFault(messages.TRY_AGAIN, problem)
        if asked.command == "GC":
            await self._provider.keep_only(asked.attachments)
            return None
        if asked.command == "CHECK":
            await self._provider.check(asked.container_id, asked.ifname, asked.netns)
            return None
        return await self._add(asked)

    async def _add(self, asked: Question) -> Any:
        if not asked.pod_uid:
            raise CniFault(messages.BAD_ENVIRONMENT, "CNI_ARGS has no K8S_POD_UID, by which the pod is known")
        found = await self._pods.find(asked.pod_uid)
        if found is None:
            raise CniFault(messages.TRY_AGAIN, f"no pod with uid {asked.pod_uid} is bound to this node")
        pod, annotations = found
        named = (asked.pod_namespace or pod.namespace, asked.pod_name or pod.name)
        if named != (pod.namespace, pod.name):
            raise CniFault(messages.BAD_ENVIRONMENT, f"uid {pod.uid} is the pod {pod}, not {'/'.join(named)}")
        wish = Wish(
            pod, asked.container_id, asked.netns, asked.ifname, asked.ports, annotations, asked.address, asked.mac
        )
        attached = await self._provider.attach(wish)
        _log.info("pod_attached", tenant=pod.tenant, namespace=pod.namespace, pod=pod.name, address=attached.address)
        return messages.result(asked.version, attached)
