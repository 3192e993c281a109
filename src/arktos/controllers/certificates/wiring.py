"""From events to requests, and from steps to writes."""

from __future__ import annotations

from pathlib import Path

from arktos.client import Cached, Key
from arktos.controllers.actions import Delete, Replace, perform
from arktos.controllers.certificates.authority import Authority
from arktos.controllers.certificates.reconcile import node_name, step
from arktos.controllers.context import Context, Sharing, Unit
from arktos.model import registry
from arktos.model.status import Conflict, NotFound

NAME = "certificates"
REQUEST = registry.by_resource("certificatesigningrequests.certificates.k8s.io")
NODE = registry.by_resource("nodes")


def build(context: Context) -> Unit:
    """Without the CA's key (`Settings`) requests are approved and cleaned up, and signed by whoever has it."""
    requests = context.mirror(REQUEST.resource)
    settings = context.settings
    authority = None
    if settings.cluster_signing_cert_file and settings.cluster_signing_key_file:
        authority = Authority(Path(settings.cluster_signing_cert_file), Path(settings.cluster_signing_key_file))

    async def work(key: Key) -> float | None:
        cached = requests.get(*key)
        if cached is None or cached.deleting:
            return None
        csr = cached.obj()
        next_step = step(csr, await _node(node_name(csr)), authority, context.wall())
        try:
            if next_step.remove:
                await perform(context.client, Delete(REQUEST, key, uid=cached.uid))
            elif next_step.status is not None:
                csr["status"] = next_step.status
                await perform(context.client, Replace(REQUEST, csr, next_step.subresource))
        except (Conflict, NotFound):
            return None  # somebody was quicker: the event of what they did brings it back
        return next_step.after

    async def _node(name: str) -> dict[str, object] | None:
        if not name:
            return None
        try:
            return await context.client.get(NODE, name)
        except NotFound:
            return None

    controller = context.controller(NAME, work, workers=4)
    controller.watches(requests, when=lambda old, new: new is not None and not new.deleting)

    def refresh() -> None:
        for request in requests.items():
            controller.enqueue(_key(request))

    return Unit([controller], refresh=refresh, sharing=Sharing.KEYS, primary=requests, parts=[])


def _key(request: Cached) -> Key:
    return request.key
