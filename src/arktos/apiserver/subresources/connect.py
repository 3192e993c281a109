"""pods/log, exec, attach and portforward: passed on to the agent of the pod's node.

What is asked is checked here, as Kubernetes checks it; the agent does the work. An upgrade is a tunnel: SPDY and
WebSocket pass through this server as bytes, and end in the agent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl, quote, urlencode

from arktos.apiserver.call import Call
from arktos.apiserver.encoding import decode, key_of
from arktos.apiserver.kubelets import Kubelets
from arktos.apiserver.reader import Reader
from arktos.apiserver.subresources.podlog import log_query
from arktos.model import registry
from arktos.model.kinds import Obj
from arktos.model.status import BadRequest, not_found
from arktos.model.workload import workloads
from arktos.wire.http import Reply, Response

STREAMS = {"stdin": "input", "stdout": "output", "stderr": "error"}
"""The streams of PodExecOptions, and what an agent calls them."""
_TEXT = "text/plain"
_TRUE = frozenset({"true", "1", "t", "T", "TRUE", "True"})


class PodConnections:
    """Answers the subresources of pods that an agent serves."""

    def __init__(self, reader: Reader, kubelets: Kubelets) -> None:
        self._reader = reader
        self._kubelets = kubelets
        self._answers: dict[str, Callable[[Call, Obj], Awaitable[Reply]]] = {
            "log": self._log,
            "exec": self._exec,
            "attach": self._attach,
            "portforward": self._port_forward,
        }

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._answers)

    async def answer(self, call: Call) -> Reply:
        """NotFound, BadRequest, Forbidden; ServiceUnavailable where the agent cannot be reached."""
        name = call.info.subresource
        if name != "log":
            # A WebSocket begins with a GET, but what it does is no reading.
            call.require("create")
        record = self._reader.get(
            key_of(registry.by_resource("pods"), call.tenant, call.info.namespace, call.info.name)
        )
        if record is None:
            raise not_found("pods", call.info.name)
        return await self._answers[name](call, decode(record))

    async def _log(self, call: Call, pod: Obj) -> Reply:
        query = log_query(call.params, call.info.name)
        container = choose_container(pod, call.params.get("container", ""))
        if not _node_of(pod):
            return Response(200, b"", _TEXT)
        return await self._pass_on(call, pod, "containerLogs", container, query)

    async def _exec(self, call: Call, pod: Obj) -> Reply:
        return await self._command(call, pod, "exec")

    async def _attach(self, call: Call, pod: Obj) -> Reply:
        return await self._command(call, pod, "attach")

    async def _command(self, call: Call, pod: Obj, what: str) -> Reply:
        container = choose_container(pod, call.params.get("container", ""))
        _require_node(pod)
        return await self._pass_on(call, pod, what, container, command_query(call.request.query, what))

    async def _port_forward(self, call: Call, pod: Obj) -> Reply:
        _require_node(pod)
        asked = parse_qsl(call.request.query)
        ports = [port for name, value in asked if name == "ports" for port in value.split(",") if port]
        for port in ports:
            if not port.isdecimal() or not 0 < int(port[:6]) < 65536:
                raise BadRequest(f"unable to parse {port!r} as a port")
        return await self._pass_on(call, pod, "portForward", "", urlencode({"port": ",".join(ports)} if ports else {}))

    async def _pass_on(self, call: Call, pod: Obj, what: str, container: str, query: str) -> Reply:
        parts = [what, call.tenant, call.info.namespace, call.info.name, *([container] if container else ())]
        path = "/" + "/".join(quote(part, safe="") for part in parts)
        return await self._kubelets.forward(_node_of(pod), call.request, f"{path}?{query}" if query else path)


def command_query(query: str, what: str) -> str:
    """The agent's query for PodExecOptions or PodAttachOptions. Without any stream, kubelet's refusal follows."""
    asked = parse_qsl(query, keep_blank_values=True)
    values: dict[str, str] = {}
    for name, value in asked:
        values.setdefault(name, value)
    # Of an attach, stdout and stderr are wanted unless it is said that they are not.
    usual = {"stdout": "true", "stderr": "true"} if what == "attach" else {}
    found = [(STREAMS[name], "1") for name in STREAMS if values.get(name, usual.get(name, "")) in _TRUE]
    if values.get("tty", "") in _TRUE:
        found.append(("tty", "1"))
    if what == "exec":
        found += [("command", value) for name, value in asked if name == "command"]
    return urlencode(found)


def choose_container(pod: Obj, asked: str) -> str:
    """The container that is meant, where its name may be left out if there is but one. Raises BadRequest."""
    name, spec = pod["metadata"]["name"], pod.get("spec") or {}
    usual = [each["name"] for each in workloads(pod)]
    init = [each["name"] for each in spec.get("initContainers") or ()]
    ephemeral = [each["name"] for each in spec.get("ephemeralContainers") or ()]
    if asked:
        if asked not in (*usual, *init, *ephemeral):
            raise BadRequest(f"container {asked} is not valid for pod {name}")
        return asked
    if len(usual) == 1:
        return str(usual[0])
    message = f"a container name must be specified for pod {name}"
    if usual:
        message += f", choose one of: [{' '.join(usual)}]"
        message += f" or one of the init containers: [{' '.join(init)}]" if init else ""
        message += f" or one of the ephemeral containers: [{' '.join(ephemeral)}]" if ephemeral else ""
    raise BadRequest(message)


def _node_of(pod: Obj) -> str:
    return str((pod.get("spec") or {}).get("nodeName") or "")


def _require_node(pod: Obj) -> None:
    if not _node_of(pod):
        raise BadRequest(f"pod {pod['metadata']['name']} does not have a host assigned")
