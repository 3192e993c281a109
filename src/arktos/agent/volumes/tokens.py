"""Tokens of service accounts for pods (TokenRequest, KEP-1205): asked for, kept, renewed before they end."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from arktos.agent.spec.volume_sources import TokenKey
from arktos.agent.volumes.volume import VolumeError
from arktos.client import Client, ConnectionFailed
from arktos.model import dates, registry
from arktos.model.kinds import Obj
from arktos.model.status import ApiError
from arktos.wire import logs

_log = logs.get_logger(__name__)
_ACCOUNTS = registry.by_resource("serviceaccounts")
_LONGEST_USE = 24 * 3600.0
_PART_USED = 0.8
_JITTER = 10.0
_AGAIN = (30.0, 60.0)
"""Seconds until a renewal that failed is tried again."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token, and when (in seconds since the epoch) it is to be replaced and when it ends."""

    text: str
    renew_at: float
    expires_at: float


def renewal(issued: float, expires: float, jitter: float = 0.0) -> float:
    """When to ask for the next token: after four fifths of this one's life, after a day at the latest."""
    return issued + min((expires - issued) * _PART_USED - jitter, _LONGEST_USE)


class Tokens:
    """The tokens of the pods of this node, by pod and key. For one event loop."""

    def __init__(self, client: Client, clock: Callable[[], float] = time.time) -> None:
        self._client = client
        self._clock = clock
        self._held: dict[str, dict[TokenKey, Token]] = {}

    async def get(self, pod: Obj, key: TokenKey) -> Token:
        """A token that is good for now: the one we have until it is due, or while no other is to be had. Raises
        VolumeError."""
        uid, now = pod["metadata"]["uid"], self._clock()
        known = self._held.get(uid, {}).get(key)
        if known is not None and now < known.renew_at:
            return known
        try:
            token = await self._ask(pod, key, now)
        except (ApiError, ConnectionFailed) as error:
            if known is None:
                raise VolumeError(f"failed to fetch token: {error}") from error
            if now >= known.expires_at:
                raise VolumeError(f"token expired and refresh failed: {error}") from error
            _log.warning("token_not_renewed", uid=uid, error=str(error))
            token = replace(known, renew_at=now + random.uniform(*_AGAIN))
        self._held.setdefault(uid, {})[key] = token
        return token

    def next_renewal(self, uid: str) -> float | None:
        """When the first token of a pod is due, None if it has none."""
        return min((token.renew_at for token in self._held.get(uid, {}).values()), default=None)

    def forget(self, uid: str) -> None:
        self._held.pop(uid, None)

    async def _ask(self, pod: Obj, key: TokenKey, now: float) -> Token:
        meta, account = pod["metadata"], pod["spec"].get("serviceAccountName") or "default"
        asked = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "metadata": {"name": account, "namespace": meta.get("namespace", "")},
            "spec": {
                "audiences": [key.audience] if key.audience else [],
                "expirationSeconds": key.seconds,
                "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]},
            },
        }
        answer = await self._client.create(
            _ACCOUNTS,
            asked,
            name=account,
            namespace=meta.get("namespace", ""),
            tenant=meta.get("tenant", ""),
            subresource="token",
        )
        status = answer.get("status") or {}
        expires = dates.unix(status["expirationTimestamp"])
        return Token(status["token"], renewal(now, expires, random.uniform(0, min(_JITTER, key.seconds / 60))), expires)
