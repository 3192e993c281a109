"""From rules to the kernel: by difference, one transaction for all that was asked for meanwhile, one process each.

What the kernel has is read when the process starts and after a refusal, else remembered. Nothing is ever flushed that
would be missed for a moment: a transaction replaces rules at once, and connections are tracked apart from them.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from typing import Any

from arktos.network.embedded import rules
from arktos.network.embedded.rules import TABLE, Elements, Fixed, Place, State
from arktos.network.provider import NetworkFailure
from arktos.wire import logs

_log = logs.get_logger(__name__)
_TIMEOUT = 20.0


class Nft:
    """Makes the kernel's tables as `rules` has them for a state that others change in place.

    `observe`, if given, is told the seconds of each transaction.
    """

    def __init__(self, fixed: Fixed, state: State, observe: Callable[[float], None] | None = None) -> None:
        self._fixed = fixed
        self._state = state
        self._observe = observe
        self._known: Elements | None = None
        self._under_way = asyncio.Lock()
        self._asked = 0
        self._done = 0

    async def apply(self) -> None:
        """Returns when the kernel has the state as it was when this was called, or newer. Raises NetworkFailure."""
        self._asked += 1
        mine = self._asked
        async with self._under_way:
            if self._done >= mine:
                return
            answered = self._asked
            await self._bring(rules.elements(self._state))
            self._done = answered

    async def renew(self) -> None:
        """The same, from what the kernel has in truth: rules anew, elements compared."""
        async with self._under_way:
            self._known = None
            await self._bring(rules.elements(self._state))

    async def _bring(self, wanted: Elements) -> None:
        before = self._known
        if before is None:
            await self._run(rules.base(self._fixed))
            before = await self._read()
        commands = rules.difference(before, wanted)
        if not commands:
            self._known = wanted
            return
        self._known = None
        try:
            await self._run("\n".join(commands))
        except NetworkFailure as failure:
            # Somebody else has been at our tables: once more, from what is there.
            _log.warning("rules_refused", reason=str(failure))
            await self._run(rules.base(self._fixed))
            await self._run("\n".join(rules.difference(await self._read(), wanted)))
        self._known = wanted

    async def _read(self) -> Elements:
        found: Elements = {}
        for family in ("bridge", "inet"):
            text = await run(["-j", "list", "table", family, TABLE])
            found.update(await asyncio.to_thread(read_elements, text))
        return found

    async def _run(self, commands: str) -> None:
        began = time.perf_counter()
        await run(["-f", "-"], commands)
        if self._observe is not None:
            self._observe(time.perf_counter() - began)


async def run(arguments: list[str], commands: str = "") -> str:
    """What `nft` prints. Raises NetworkFailure."""
    # From a file: what ends before it has read its pipe would end us, in some event loops.
    source = os.memfd_create("nft", os.MFD_CLOEXEC)
    try:
        os.write(source, commands.encode())
        os.lseek(source, 0, os.SEEK_SET)
        process = await asyncio.create_subprocess_exec(
            "nft", *arguments, stdin=source, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
    except OSError as error:
        raise NetworkFailure(f"cannot run nft: {error.strerror}; is the package nftables installed?") from error
    finally:
        os.close(source)
    try:
        async with asyncio.timeout(_TIMEOUT):
            out, complaint = await process.communicate()
    except TimeoutError:
        raise NetworkFailure(f"nft did not finish in {_TIMEOUT:g} s", again=True) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        lines = complaint.decode(errors="replace").strip().splitlines()
        raise NetworkFailure(f"nft refused: {' '.join(lines[:3])}")
    return out.decode()


def read_elements(text: str) -> Elements:
    """The elements in what `nft -j list table` prints, written as `rules` writes them."""
    found: Elements = {}
    for entry in json.loads(text)["nftables"]:
        described = entry.get("set") or entry.get("map")
        if not described:
            continue
        place: Place = (described["family"], described["name"])
        if not rules.is_ours(place):
            continue
        kinds = described["type"] if isinstance(described["type"], list) else [described["type"]]
        found[place] = frozenset(_written(element, kinds) for element in described.get("elem", ()))
    return found


def _written(element: Any, kinds: list[str]) -> str:
    if isinstance(element, list):
        key, value = element
        return f"{_written(key, kinds)} : {_value(value)}"
    parts = element["concat"] if isinstance(element, dict) and "concat" in element else [element]
    return " . ".join(_part(part, kind) for part, kind in zip(parts, kinds, strict=True))


def _part(part: Any, kind: str) -> str:
    return f'"{part}"' if kind == "ifname" else str(part)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        if "concat" in value:
            return " . ".join(str(part) for part in value["concat"])
        if "jump" in value:
            return f"jump {value['jump']['target']}"
    return str(value)
