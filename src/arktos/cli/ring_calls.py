"""What `arktos ring` asks of the API server, and what of the answer it shows."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import click
import msgspec

from arktos.client.client import Client
from arktos.client.errors import ConnectionFailed
from arktos.client.kubeconfig import ConfigError
from arktos.model import registry
from arktos.model.hashkey import LARGEST
from arktos.model.hashranges import held
from arktos.model.kinds import Obj
from arktos.model.status import ApiError
from arktos.ring.records import HOLDER

_INSTANCES = registry.by_resource("controllerinstances")


class Shown(msgspec.Struct, rename="camel"):
    """One instance. `share` is the part of the ring that it owns, 0 to 1; `start` and `end` are hash keys, None for one
    that owns nothing."""

    type: str
    share: float
    start: int | None
    end: int | None
    load: int
    epoch: int
    process: str
    instance: str


def shown(instance: Obj) -> Shown:
    place = held(instance)
    return Shown(
        instance.get("controllerType", ""),
        0.0 if place is None else (place.end - place.start + 1) / (LARGEST + 1),
        None if place is None else place.start,
        None if place is None else place.end,
        int(instance.get("workloadNum") or 0),
        int(instance.get("epoch") or 0),
        (instance["metadata"].get("annotations") or {}).get(HOLDER, ""),
        instance["metadata"]["name"],
    )


def tenures(kubeconfig: Path, type: str) -> list[Shown]:
    """The instances of a type, or of all types: by type, in ring order, those that wait last. ClickException."""

    async def run() -> list[Obj]:
        async with Client.from_kubeconfig(kubeconfig) as client:
            selector = f"controllerType={type}" if type else ""
            return (await client.list(_INSTANCES, field_selector=selector)).items

    try:
        found = map(shown, asyncio.run(run()))
    except ApiError as error:
        raise click.ClickException(error.message) from error
    except ConfigError as error:
        raise click.ClickException(str(error)) from error
    except ConnectionFailed as error:
        raise click.ClickException(f"the API server does not answer ({error}); `arktos status` tells more") from error
    return sorted(found, key=lambda each: (each.type.lower(), each.start is None, each.start or 0, each.instance))


def as_json(found: list[Shown]) -> str:
    return json.dumps([msgspec.to_builtins(each) for each in found], indent=2)


def by_process(found: list[Shown]) -> list[tuple[str, ...]]:
    """A line for each process: of how many rings it owns something, in how many it waits, how busy it is in all."""
    mine: dict[str, list[Shown]] = {}
    for each in found:
        mine.setdefault(each.process, []).append(each)
    lines: list[tuple[str, ...]] = []
    for process, instances in sorted(mine.items()):
        owning = sum(each.start is not None for each in instances)
        load = sum(each.load for each in instances)
        lines.append((process, str(owning), str(len(instances) - owning), str(load)))
    return lines


def row(each: Shown) -> tuple[str, ...]:
    """A line of the table. Hash keys are shown as 16 hexadecimal digits, so that they line up."""
    waits = each.start is None or each.end is None
    return (
        each.type,
        "-" if waits else f"{each.share:.1%}",
        "-" if each.start is None else f"{each.start:016x}",
        "-" if each.end is None else f"{each.end:016x}",
        str(each.load),
        str(each.epoch),
        each.process,
        each.instance,
    )
