"""Lifecycle hooks: what a container wants done right after its start, and before its end."""

from __future__ import annotations

import asyncio

from arktos.agent.probes.checks import Target, connect, execute, http_get
from arktos.agent.probes.judging import Found
from arktos.model.kinds import Obj

LONGEST = 3600.0


class HookFailed(Exception):
    """A hook did not succeed; the text says why."""


async def run(handler: Obj, target: Target) -> None:
    """Runs a hook to its end. Raises HookFailed. Cancel it when the time is over."""
    if handler.get("sleep") is not None:
        await asyncio.sleep(float(handler["sleep"].get("seconds") or 0))
        return
    if handler.get("exec"):
        command = list(handler["exec"].get("command") or ())
        found, text = await execute(command, target, LONGEST)
        what = f"Exec lifecycle hook ({command})"
    elif handler.get("httpGet"):
        found, text = await http_get(handler["httpGet"], target, LONGEST)
        what = f"HTTP lifecycle hook ({handler['httpGet'].get('path') or '/'})"
    elif handler.get("tcpSocket"):
        found, text = await connect(handler["tcpSocket"], target, LONGEST)
        what = "TCP lifecycle hook"
    else:
        raise HookFailed("invalid handler: it says nothing to do")
    if found is not Found.SUCCESS:
        raise HookFailed(f'{what} for Container "{target.container["name"]}" failed: {text}')
