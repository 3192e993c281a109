"""A node at work: whether its runtimes answer, images can be got, and the API thinks well of it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from arktos.bootstrap.checks.finding import Finding, Level
from arktos.bootstrap.components import Settings
from arktos.bootstrap.nodes import NodeSettings
from arktos.client import Client, ConnectionFailed
from arktos.client.kubeconfig import ConfigError
from arktos.model import registry
from arktos.model.status import ApiError
from arktos.rpc import cri
from arktos.rpc.method import RpcError, call, connect
from arktos.rpc.protos import cri_pb2 as pb

_RUNTIME_WITHIN = 1.5
_SERVER_WITHIN = 1.5
_API_WITHIN = 2.0
_PORTS = {"http": 80, "https": 443, "oci": 443, "": 443}


def runtimes(settings: Settings) -> Iterator[Finding]:
    """Each runtime by what it says of itself; the network's settings, which both wait for."""
    node, layout = settings.node, settings.layout
    if node is None:
        return
    asked = [("containerd", layout.containerd_socket)] if node.containers else []
    asked += [("vmruntime", layout.vmruntime_socket)] if node.vms else []
    reachable = []
    for name, path in asked:
        refused = _closed(f"{name} socket", path)
        if refused is None:
            reachable.append((name, path))
        else:
            yield refused
    yield from asyncio.run(_ask_all(reachable))
    written = sorted(path.name for path in layout.cni_conf.glob("*.conflist")) if layout.cni_conf.is_dir() else []
    if written:
        yield Finding("pod network", Level.OK, f"configured: {written[0]}")
    else:
        text = f"{layout.cni_conf} has no configuration: the node has no addresses for pods yet"
        yield Finding("pod network", Level.BAD, text, f"see {layout.log('network')}")


async def _ask_all(asked: Iterable[tuple[str, Path]]) -> list[Finding]:
    return list(await asyncio.gather(*(_ask(name, socket) for name, socket in asked)))


def _closed(title: str, path: Path) -> Finding | None:
    """Why a socket cannot even be tried."""
    if not path.exists():
        if not os.access(path.parent, os.X_OK):
            return Finding(title, Level.WARN, f"{path} is not for this user", "sudo arktos doctor")
        return Finding(title, Level.BAD, f"{path} is missing: it does not run", "arktos up")
    if not os.access(path, os.W_OK):
        return Finding(title, Level.WARN, f"{path} is not for this user", "sudo arktos doctor")
    return None


async def _ask(name: str, path: Path) -> Finding:
    title = f"{name} socket"
    channel = connect(str(path))
    try:
        version = await call(channel, cri.VERSION, pb.VersionRequest(), within=_RUNTIME_WITHIN)
        status = await call(channel, cri.STATUS, pb.StatusRequest(), within=_RUNTIME_WITHIN)
    except RpcError as error:
        advice = f"see its log; if it hangs, end it: it is started again ({path.parent / (name + '.json')} has its pid)"
        return Finding(title, Level.BAD, f"{path} does not answer: {error}", advice)
    finally:
        await channel.close()
    problems = [
        f"{each.type} is false: {each.reason}: {each.message}" for each in status.status.conditions if not each.status
    ]
    if problems:
        return Finding(title, Level.BAD, "; ".join(problems), "see the logs of containerd, vmruntime and network")
    return Finding(title, Level.OK, f"{version.runtime_name} {version.runtime_version} answers")


def image_servers(settings: Settings) -> list[Finding]:
    """Whether the servers that the node was told of take connections."""
    servers = sorted(configured(settings.node)) if settings.node else []
    if not servers:
        return []
    with ThreadPoolExecutor(len(servers)) as pool:
        return list(pool.map(_reach, servers))


def configured(node: NodeSettings) -> set[tuple[str, int]]:
    """Host and port of each mirror and registry. Pure."""
    urls = [mirror.partition("=")[2] for mirror in (*node.registry_mirrors, *node.image_mirrors)]
    found = {_server(url) for url in urls} | {_server(f"http://{registry}") for registry in node.insecure_registries}
    return {each for each in found if each[0]}


def _server(url: str) -> tuple[str, int]:
    parts = urlsplit(url if "://" in url else f"https://{url}")
    try:
        return parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 443)
    except ValueError:
        return "", 0


def _reach(server: tuple[str, int]) -> Finding:
    host, port = server
    try:
        with socket.create_connection(server, timeout=_SERVER_WITHIN):
            return Finding("image server", Level.OK, f"{host}:{port} takes connections")
    except OSError as error:
        text = f"{host}:{port} cannot be reached ({error}): images that it has are not pulled, or slowly"
        return Finding("image server", Level.WARN, text, "start it, or change the mirrors given to arktos up")


def node(settings: Settings) -> Iterator[Finding]:
    """What the API says of this node."""
    if settings.node is None:
        return
    kubeconfig = settings.layout.component_kubeconfig("agent")
    if not os.access(kubeconfig, os.R_OK):
        yield Finding("node", Level.WARN, f"{kubeconfig} cannot be read", "sudo arktos doctor")
        return
    try:
        found = asyncio.run(_read(kubeconfig, settings.node.name))
    except (ApiError, ConnectionFailed, ConfigError, OSError, TimeoutError) as error:
        text = f"{settings.node.name}: the API does not tell: {error or type(error).__name__}"
        yield Finding("node", Level.BAD, text, "arktos status; then see the logs of apiserver and agent")
        return
    yield from judged(found)


async def _read(kubeconfig: Path, name: str) -> dict[str, Any]:
    async with asyncio.timeout(_API_WITHIN), Client.from_kubeconfig(kubeconfig) as client:
        return await client.get(registry.by_resource("nodes"), name)


def judged(node: dict[str, Any]) -> Iterator[Finding]:
    """What a node's conditions come to. Pure."""
    name = node["metadata"]["name"]
    conditions = {each["type"]: each for each in (node.get("status") or {}).get("conditions") or ()}
    ready = conditions.pop("Ready", {"status": "Unknown", "message": "its agent has not said anything yet"})
    if ready["status"] == "True":
        yield Finding("node", Level.OK, f"{name} is Ready")
    else:
        text = f"{name} is not Ready: {ready.get('message') or ready.get('reason') or ready['status']}"
        yield Finding("node", Level.BAD, text, f"kubectl describe node {name}; see the agent's log")
    for kind, each in sorted(conditions.items()):
        good = "True" if kind.endswith("Ready") else "False"
        if each["status"] != good:
            text = f"{name}: {kind} is {each['status']}: {each.get('message') or each.get('reason') or ''}"
            yield Finding("node", Level.WARN, text, f"kubectl describe node {name}")
    if (node.get("spec") or {}).get("unschedulable"):
        yield Finding("node", Level.WARN, f"{name} takes no new pods", f"kubectl uncordon {name}")
