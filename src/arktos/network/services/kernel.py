"""What the kernel has, read and changed through `nft` and `conntrack`. Each call is a process; none blocks the loop."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from typing import Any

from arktos.network.embedded.nft import run as nft
from arktos.network.provider import NetworkFailure
from arktos.network.services.routes import Backend, Entry
from arktos.network.services.rules import MAPS, SETS, TABLE
from arktos.wire import logs

_log = logs.get_logger(__name__)


async def apply(commands: str) -> None:
    """One transaction. Raises NetworkFailure, and then nothing has changed."""
    await nft(["-f", "-"], commands)


async def read() -> tuple[dict[Entry, str], set[str]]:
    """The elements of all maps and sets but the learnt ones, and the names of the chains. Raises NetworkFailure."""
    elements: dict[Entry, str] = {}
    for name in (*MAPS, *SETS):
        kind = "map" if name in MAPS else "set"
        document = json.loads(await nft(["-j", "list", kind, "ip", TABLE, name]))
        for key, value in _elements(document):
            elements[name, key] = value
    listed = json.loads(await nft(["-j", "list", "chains", "ip"]))["nftables"]
    chains = [entry["chain"] for entry in listed if "chain" in entry]
    return elements, {chain["name"] for chain in chains if chain["table"] == TABLE}


async def forget_affinity(stays: Callable[[int, Backend], bool]) -> int:
    """Forgets which clients went to endpoints that their mark no longer leads to; how many. Raises NetworkFailure."""
    document = json.loads(await nft(["-j", "list", "map", "ip", TABLE, "affinity"]))
    stale = []
    for key, value in _elements(document):
        mark, (address, port) = int(key.rpartition(" . ")[2]), value.split(" . ")
        if not stays(mark, (address, int(port))):
            stale.append(key)
    # One by one: an element may end by itself meanwhile, and a transaction with it would fail as a whole.
    for key in stale:
        try:
            await apply(f"delete element ip {TABLE} affinity {{ {key} }}\n")
        except NetworkFailure:
            continue
    return len(stale)


async def forget_flows(mark: int, backend: Backend) -> None:
    """Ends UDP flows with a mark to an endpoint: there is no end of a connection that would."""
    await _conntrack("--mark", str(mark), "--reply-src", backend[0], "--reply-port-src", str(backend[1]))


async def forget_port(port: int) -> None:
    """Ends UDP flows to a port of the node that became a service's: they would stay with whom they were before."""
    await _conntrack("--orig-port-dst", str(port), "--mark", "0")


async def _conntrack(*what: str) -> None:
    if shutil.which("conntrack") is None:
        return
    process = await asyncio.create_subprocess_exec(
        "conntrack",
        "-D",
        "-p",
        "udp",
        *what,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    # It fails where there is nothing to delete.
    if process.returncode and b"0 flow entries" not in said:
        _log.warning("flows_not_ended", reason=said.decode(errors="replace").strip())


def _elements(document: Any) -> list[tuple[str, str]]:
    found = []
    for entry in document["nftables"]:
        for element in (entry.get("map") or entry.get("set") or {}).get("elem", ()):
            key, value = element if isinstance(element, list) else (element, "")
            found.append((_written(key), _written(value)))
    return found


def _written(part: Any) -> str:
    """A key or value as `table` writes it."""
    if not isinstance(part, dict):
        return str(part)
    if "elem" in part:
        return _written(part["elem"]["val"])
    if "concat" in part:
        return " . ".join(_written(each) for each in part["concat"])
    if "goto" in part:
        return f"goto {part['goto']['target']}"
    return str(next(iter(part)))
