"""The runtimes of a node: which there are, and which one a pod runs on.

Several of each type may be named, as `name,type,endpoint` triples joined by `;`; a lone endpoint is a container
runtime of the name `default` (ARKTOS 4.1). A pod takes the runtime that its annotation `arktos.io/runtime` names, then
one whose name is the handler of its RuntimeClass, then the first of its type.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from arktos.model.kinds import Obj
from arktos.model.workload import is_vm
from arktos.rpc.method import Answer, Method, Question, call, connect, stream

RuntimeType = Literal["container", "vm"]

_TYPES: dict[str, RuntimeType] = {"container": "container", "vm": "vm"}

RUNTIME_ANNOTATION = "arktos.io/runtime"

USUAL_TIMEOUT = 15.0
"""Seconds for a call that only asks or that works on what is local."""

Observe = Callable[[str, float, bool], None]
"""Takes a method's name, the seconds that a call of it took, and whether it failed."""


class NoRuntime(Exception):
    """No runtime of this node can run the pod; the text says which was asked for."""


@dataclass(frozen=True, slots=True)
class RuntimeSpec:
    """One runtime as configured; `endpoint` is the path or `unix://` URL of its CRI socket."""

    name: str
    type: RuntimeType
    endpoint: str


def parse(text: str) -> list[RuntimeSpec]:
    """The runtimes that a flag names. Raises ValueError, saying what is malformed."""
    found: list[RuntimeSpec] = []
    for entry in filter(None, (part.strip() for part in text.split(";"))):
        parts = [part.strip() for part in entry.split(",")]
        if len(parts) == 1:
            parts = ["default", "container", parts[0]]
        if len(parts) != 3 or not all(parts):
            raise ValueError(f"malformed runtime {entry!r}: want name,type,endpoint")
        name, kind, endpoint = parts
        if kind not in _TYPES:
            raise ValueError(f"malformed runtime {entry!r}: type {kind!r} is neither container nor vm")
        if any(other.name == name for other in found):
            raise ValueError(f"two runtimes have the name {name!r}")
        found.append(RuntimeSpec(name, _TYPES[kind], endpoint))
    return found


class Runtime:
    """One runtime, called over its socket. Connects on the first call, and again after the runtime was restarted."""

    def __init__(self, spec: RuntimeSpec, observe: Observe | None = None) -> None:
        self.spec = spec
        self.name = spec.name
        self.type = spec.type
        self._channel = connect(spec.endpoint)
        self._observe = observe

    async def call(
        self, method: Method[Question, Answer], question: Question, *, within: float = USUAL_TIMEOUT
    ) -> Answer:
        """Raises `arktos.rpc.method.RpcError`, after `within` seconds at the latest."""
        began, error = time.perf_counter(), True
        try:
            answer = await call(self._channel, method, question, within=within)
            error = False
            return answer
        finally:
            if self._observe is not None:
                self._observe(method.name, time.perf_counter() - began, error)

    def stream(self, method: Method[Question, Answer], question: Question) -> AsyncIterator[Answer]:
        """Raises `arktos.rpc.method.RpcError` when the stream breaks."""
        return stream(self._channel, method, question)

    async def aclose(self) -> None:
        await self._channel.close()


class Runtimes:
    """All runtimes of a node, in the order in which they were named. `observe` is told of every call that ended."""

    def __init__(self, specs: Sequence[RuntimeSpec], observe: Observe | None = None) -> None:
        self._by_name = {spec.name: Runtime(spec, observe) for spec in specs}

    def __iter__(self) -> Iterator[Runtime]:
        return iter(self._by_name.values())

    def get(self, name: str) -> Runtime | None:
        return self._by_name.get(name)

    def of_type(self, kind: RuntimeType) -> list[Runtime]:
        return [runtime for runtime in self if runtime.type == kind]

    def choose(self, pod: Obj, handler: str = "") -> Runtime:
        """The runtime for a pod; `handler` is what its RuntimeClass names. Raises NoRuntime."""
        kind: RuntimeType = "vm" if is_vm(pod) else "container"
        wanted = (pod["metadata"].get("annotations") or {}).get(RUNTIME_ANNOTATION, "")
        if wanted:
            named = self._by_name.get(wanted)
            if named is None or named.type != kind:
                raise NoRuntime(f"this node has no {kind} runtime {wanted!r}")
            return named
        by_handler = self._by_name.get(handler)
        if by_handler is not None and by_handler.type == kind:
            return by_handler
        for runtime in self.of_type(kind):
            return runtime
        raise NoRuntime(f"this node has no {kind} runtime")

    async def aclose(self) -> None:
        for runtime in self:
            await runtime.aclose()
