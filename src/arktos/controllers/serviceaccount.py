"""Every namespace has a ServiceAccount `default`, in every tenant, for as long as it lives."""

from __future__ import annotations

import contextlib

from arktos.client import Cached, Key
from arktos.controllers.actions import Create, into_the_ending, perform
from arktos.controllers.context import Context, Sharing, Unit
from arktos.model import registry
from arktos.model.status import AlreadyExists, Forbidden, NotFound

NAME = "serviceaccount"
DEFAULT = "default"
SERVICE_ACCOUNT = registry.by_resource("serviceaccounts")


def reconcile(namespace: Cached | None, account: Cached | None) -> list[Create]:
    """What a namespace still needs."""
    if namespace is None or namespace.deleting or account is not None:
        return []
    metadata = {"name": DEFAULT, "namespace": namespace.name, "tenant": namespace.tenant}
    return [Create(SERVICE_ACCOUNT, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})]


def build(context: Context) -> Unit:
    namespaces, accounts = context.mirror("namespaces"), context.mirror("serviceaccounts")

    async def work(key: Key) -> None:
        tenant, _, name = key
        for action in reconcile(namespaces.get(tenant, "", name), accounts.get(tenant, name, DEFAULT)):
            with contextlib.suppress(AlreadyExists, NotFound):
                try:
                    await perform(context.client, action)
                except Forbidden as error:
                    if not into_the_ending(error):
                        raise

    controller = context.controller(NAME, work, workers=32)
    controller.watches(namespaces, when=lambda old, new: new is not None and not new.deleting)
    controller.watches(
        accounts,
        lambda account: ((account.tenant, "", account.namespace),) if account.name == DEFAULT else (),
        when=lambda old, new: new is None,
    )

    def refresh() -> None:
        for namespace in namespaces.items():
            controller.enqueue(namespace.key)

    return Unit([controller], refresh=refresh, sharing=Sharing.KEYS, primary=namespaces, parts=[accounts])
