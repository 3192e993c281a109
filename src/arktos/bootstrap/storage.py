"""The storage class that an installation with a node starts with: volumes on the node of their pod."""

from __future__ import annotations

import asyncio

from arktos.bootstrap.layout import Layout

NAME = "local-path"


def ensure_class(layout: Layout) -> None:
    """Makes the class `local-path`, every tenant's default, once in an installation's life: who deletes it has deleted
    it. Raises as `Client` does; the API server must be ready."""
    made = layout.node / "storage-class"
    if made.exists():
        return
    asyncio.run(_make(layout))
    made.parent.mkdir(parents=True, exist_ok=True)
    made.touch()


async def _make(layout: Layout) -> None:
    from arktos.client import Client
    from arktos.model import registry
    from arktos.model.status import AlreadyExists

    kind = registry.by_resource("storageclasses.storage.k8s.io")
    wanted = {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": NAME, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "arktos.io/local-path",
        "volumeBindingMode": "WaitForFirstConsumer",
        "reclaimPolicy": "Delete",
        "allowVolumeExpansion": True,
        "parameters": {"path": str(layout.node / "local-volumes")},
    }
    async with Client.from_kubeconfig(layout.admin_kubeconfig) as client:
        try:
            await client.create(kind, wanted)
        except AlreadyExists:
            return
