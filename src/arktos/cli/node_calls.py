"""What `arktos node cordon`, `uncordon` and `drain` ask of the API server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from arktos.cli.node_pods import Rules, choose, controller, name_of, said
from arktos.client.client import Client
from arktos.client.errors import ConnectionFailed
from arktos.model import registry
from arktos.model.kinds import ALL_TENANTS, Obj
from arktos.model.status import ApiError, Conflict, Forbidden, NotFound, TooManyRequests

NODES, PODS = registry.by_resource("nodes"), registry.by_resource("pods")
DAEMON_SETS = registry.by_resource("daemonsets.apps")

AT_ONCE = 32
"""Evictions that are asked for at the same time."""
AGAIN = 5.0
"""Seconds after which an eviction that a budget forbids is asked for again; kubectl's."""
LOOK = 1.0
"""Seconds between two looks at which pods are gone."""

Say = Callable[[str], None]


class NotDrained(Exception):
    """A drain that could not begin, or did not come to its end; the message is for people."""


@dataclass(frozen=True, slots=True)
class Drain:
    """How a node is drained. `grace` in seconds, negative for the pods' own; `timeout` in seconds, 0 for none.
    Without `evict` pods are deleted, whatever budgets say."""

    rules: Rules = field(default_factory=Rules)
    selector: str = ""
    grace: int = -1
    timeout: float = 0.0
    evict: bool = True
    dry_run: bool = False


async def cordon(client: Client, name: str, wanted: bool, say: Say, *, dry_run: bool = False) -> None:
    """Has a node take no more pods, or take them again. Raises ApiError, ConnectionFailed."""
    word = "cordoned" if wanted else "uncordoned"
    node = await client.get(NODES, name)
    if bool((node.get("spec") or {}).get("unschedulable")) is wanted:
        say(f"node/{name} already {word}")
        return
    await client.patch(NODES, name, {"spec": {"unschedulable": wanted or None}}, dry_run=dry_run)
    say(f"node/{name} {word}{' (server dry run)' if dry_run else ''}")


async def drain(client: Client, name: str, how: Drain, say: Say, warn: Say) -> None:
    """Cordons a node, and evicts its pods, of all tenants, until all are gone. Raises NotDrained, ApiError,
    ConnectionFailed."""
    await cordon(client, name, True, say, dry_run=how.dry_run)
    found = await _pods(client, name, how.selector)
    kept = await _daemon_sets(client, found)
    choice = choose(found, how.rules, lambda pod: _daemon_set_of(pod) in kept)
    if choice.refusals:
        raise NotDrained(f"unable to drain node {name!r}: {said(choice.refusals)}")
    if choice.warnings:
        warn(f"Warning: {said(choice.warnings)}")
    if how.dry_run:
        for pod in choice.leaving:
            say(f"evicting pod {name_of(pod)} (server dry run)")
        return
    try:
        async with asyncio.timeout(how.timeout or None):
            await _empty(client, name, how, choice.leaving, say, warn)
    except TimeoutError:
        raise NotDrained(f"unable to drain node {name!r}: drain did not complete within {how.timeout:g}s") from None
    say(f"node/{name} drained")


async def _empty(client: Client, name: str, how: Drain, leaving: Iterable[Obj], say: Say, warn: Say) -> None:
    """Has the pods go, and waits until they have."""
    waiting = {pod["metadata"]["uid"]: pod for pod in leaving}
    slots = asyncio.Semaphore(AT_ONCE)
    try:
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(_remove(client, pod, how, slots, say, warn)) for pod in waiting.values()]
            while waiting:
                there = {pod["metadata"]["uid"] for pod in await _pods(client, name, how.selector)}
                for uid in waiting.keys() - there:
                    say(f"pod/{name_of(waiting.pop(uid))} {'evicted' if how.evict else 'deleted'}")
                if waiting:
                    await asyncio.sleep(LOOK)
            for task in asking:
                task.cancel()
    except* (ApiError, ConnectionFailed) as errors:
        raise _first(errors) from None


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """One for all: they rarely differ."""
    found: BaseException = errors
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


async def _remove(client: Client, pod: Obj, how: Drain, slots: asyncio.Semaphore, say: Say, warn: Say) -> None:
    """Has one pod go: asked for, not waited for. As often as its budget refuses; until cancelled, when it is gone."""
    say(f"{'evicting' if how.evict else 'deleting'} pod {name_of(pod)}")
    while True:
        try:
            async with slots:
                await _ask(client, pod, how)
            return
        except NotFound:
            return
        except (TooManyRequests, Conflict, Forbidden) as error:
            if isinstance(error, Forbidden) and not _is_terminating(error):
                raise
            warn(f"error when evicting pods/{pod['metadata']['name']} (will retry after {AGAIN:g}s): {error.message}")
        await asyncio.sleep(AGAIN)


async def _ask(client: Client, pod: Obj, how: Drain) -> None:
    meta = pod["metadata"]
    where = {"namespace": meta.get("namespace", ""), "tenant": meta.get("tenant", "")}
    grace = how.grace if how.grace >= 0 else None
    if not how.evict:
        await client.delete(PODS, meta["name"], uid=meta["uid"], grace_period=grace, **where)
        return
    options: Obj = {"preconditions": {"uid": meta["uid"]}}
    if grace is not None:
        options["gracePeriodSeconds"] = grace
    named = {"name": meta["name"], "namespace": meta.get("namespace", "")}
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": named, "deleteOptions": options}
    await client.create(PODS, body, subresource="eviction", **where)


def _is_terminating(error: ApiError) -> bool:
    """Whether the namespace goes away: its pods will, too."""
    return any(cause.reason == "NamespaceTerminating" for cause in error.causes)


async def _pods(client: Client, node: str, selector: str) -> list[Obj]:
    fields = f"spec.nodeName={node}"
    found = await client.list(PODS, tenant=ALL_TENANTS, field_selector=fields, label_selector=selector, limit=500)
    return found.items


async def _daemon_sets(client: Client, pods: Iterable[Obj]) -> set[tuple[str, str, str]]:
    """Of the DaemonSets that are said to manage these pods, those that are there."""
    named = {key for pod in pods if (key := _daemon_set_of(pod)) is not None}
    found = set()
    for tenant, namespace, name in sorted(named):
        try:
            await client.get(DAEMON_SETS, name, namespace=namespace, tenant=tenant)
        except NotFound:
            continue
        found.add((tenant, namespace, name))
    return found


def _daemon_set_of(pod: Obj) -> tuple[str, str, str] | None:
    owner, meta = controller(pod), pod["metadata"]
    if owner is None or owner.get("kind") != "DaemonSet":
        return None
    return meta.get("tenant", ""), meta.get("namespace", ""), owner.get("name", "")
