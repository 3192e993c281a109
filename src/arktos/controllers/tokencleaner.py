"""Bootstrap tokens go when their time is over: secrets of `kube-system` that say when that is."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

from arktos.client import Cached, Key
from arktos.controllers.actions import Delete, perform
from arktos.controllers.context import Context, Sharing, Unit
from arktos.model import dates, registry
from arktos.model.kinds import SYSTEM_TENANT, Obj
from arktos.model.status import NotFound

NAME = "tokencleaner"
SECRET = registry.by_resource("secrets")
_PREFIX = "bootstrap-token-"


def ends_at(secret: Obj) -> float | None:
    """When a token's time is over, in seconds since the epoch; None for what is no token, or has no end that can be
    read: who cannot be sure must not delete."""
    if secret.get("type") != "bootstrap.kubernetes.io/token":
        return None
    told = (secret.get("data") or {}).get("expiration")
    if not told:
        return None
    try:
        return dates.unix(base64.b64decode(told, validate=True).decode())
    except (binascii.Error, ValueError):
        return None


def _is_token(secret: Cached) -> bool:
    place = (secret.tenant, secret.namespace)
    return place == (SYSTEM_TENANT, "kube-system") and secret.name.startswith(_PREFIX)


def _tokens(secret: Cached) -> Iterable[Key]:
    return (secret.key,) if _is_token(secret) else ()


def build(context: Context) -> Unit:
    secrets = context.mirror("secrets")

    async def reconcile(key: Key) -> float | None:
        if secrets.get(*key) is None:
            return None
        try:
            # Mirrors hold no content of secrets.
            secret = await context.client.get(SECRET, key[2], tenant=key[0], namespace=key[1])
        except NotFound:
            return None
        at = ends_at(secret)
        if at is None:
            return None
        now = context.wall()
        if at > now:
            return at - now
        meta = secret["metadata"]
        try:
            await perform(
                context.client, Delete(SECRET, key, uid=meta["uid"], resource_version=meta["resourceVersion"])
            )
        except NotFound:
            return None
        return None

    controller = context.controller(NAME, reconcile)
    controller.watches(secrets, _tokens)

    def refresh() -> None:
        for secret in secrets.items():
            for key in _tokens(secret):
                controller.enqueue(key)

    return Unit([controller], refresh=refresh, sharing=Sharing.KEYS, primary=secrets, parts=[])
