"""Bootstrap tokens: how a machine that has nothing else asks for its first certificate.

Secrets of type `bootstrap.kubernetes.io/token` in `kube-system` of `system`, as in Kubernetes ("Authenticating with
Bootstrap Tokens"): token `ID.SECRET`, user `system:bootstrap:ID`. Read at every use, so deleting the secret ends it.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import time
from collections.abc import Callable
from datetime import datetime

import msgspec

from arktos.apiserver.identity import User
from arktos.apiserver.membership import authenticated
from arktos.model.kinds import SYSTEM_TENANT
from arktos.store.records import Key, Store

_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")
_BOOTSTRAPPERS = "system:bootstrappers"


class _Secret(msgspec.Struct):
    type: str = ""
    data: dict[str, str] | None = None


_secrets = msgspec.json.Decoder(_Secret)


class BootstrapTokens:
    """Finds the user of a bootstrap token. `now` gives unix seconds."""

    def __init__(self, store: Store, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now

    def user(self, token: str) -> User | None:
        """The user whose token this is, None if it is none, or not good any more."""
        matched = _TOKEN.fullmatch(token)
        if matched is None:
            return None
        token_id, secret = matched.groups()
        key = Key("secrets", SYSTEM_TENANT, "kube-system", f"bootstrap-token-{token_id}")
        record = self._store.get(key)
        if record is None or record.header.deleting:
            return None
        try:
            stored = _secrets.decode(record.body)
            data = {name: base64.b64decode(value).decode() for name, value in (stored.data or {}).items()}
        except (msgspec.DecodeError, binascii.Error, UnicodeDecodeError):
            return None
        if stored.type != "bootstrap.kubernetes.io/token" or data.get("usage-bootstrap-authentication") != "true":
            return None
        if data.get("token-id") != token_id or not hmac.compare_digest(
            data.get("token-secret", "").encode(), secret.encode()
        ):
            return None
        groups = [group.strip() for group in data.get("auth-extra-groups", "").split(",") if group.strip()]
        if self._expired(data.get("expiration", "")) or not all(map(_GROUP.fullmatch, groups)):
            return None
        name = f"system:bootstrap:{token_id}"
        return User(name, SYSTEM_TENANT, authenticated(SYSTEM_TENANT, groups, (_BOOTSTRAPPERS,)))

    def _expired(self, expiration: str) -> bool:
        """Whether it is past the time given; one that cannot be read is past."""
        if not expiration:
            return False
        try:
            moment = datetime.fromisoformat(expiration)
        except ValueError:
            return True
        return moment.tzinfo is None or self._now() >= moment.timestamp()
