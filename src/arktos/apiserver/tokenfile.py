"""The static token file (`--token-auth-file`): CSV of token, user, uid, "group,group", tenant.

Groups and tenant may be missing; a line without a tenant is of `system`. Tokens are kept as hashes. The file is looked
at again every few seconds and read when it has changed; while it cannot be read, what was read last stands.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from arktos.apiserver.identity import User
from arktos.apiserver.membership import authenticated, is_tenant_name
from arktos.model.kinds import SYSTEM_TENANT
from arktos.wire import logs

_LOOK_AGAIN = 5.0

_log = logs.get_logger(__name__)


class BadTokenFile(ValueError):
    """A line of the token file is wrong; the message names it."""


def parse(text: str) -> dict[bytes, User]:
    """The users of a token file by the SHA-256 of their tokens. Raises `BadTokenFile`."""
    users: dict[bytes, User] = {}
    for number, row in _rows(text):
        columns = [column.strip() for column in row]
        if not 3 <= len(columns) <= 5 or not columns[0] or not columns[1]:
            raise BadTokenFile(f"line {number}: expected token,user,uid[,groups[,tenant]]")
        token, name, uid, groups, tenant = (*columns, "", "")[:5]
        tenant = tenant or SYSTEM_TENANT
        if not is_tenant_name(tenant):
            raise BadTokenFile(f"line {number}: {tenant!r} is not the name of a tenant")
        if tenant != SYSTEM_TENANT and name.startswith("system:"):
            raise BadTokenFile(f"line {number}: a tenant's user cannot have a name that starts with system:")
        digest = digest_of(token)
        if digest in users:
            raise BadTokenFile(f"line {number}: the token stands on another line already")
        claimed = (group.strip() for group in groups.split(","))
        users[digest] = User(name, tenant, authenticated(tenant, claimed), uid)
    return users


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text), skipinitialspace=True, strict=True)
    try:
        for row in reader:
            if row and any(row) and not row[0].startswith("#"):
                yield reader.line_num, row
    except csv.Error as error:
        raise BadTokenFile(f"line {reader.line_num}: {error}") from error


def digest_of(token: str) -> bytes:
    """What a token is found by: knowing where a lookup fails tells nothing about a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


class TokenFile:
    """Users by token. Opening raises OSError or `BadTokenFile`; a later change that cannot be read is logged."""

    def __init__(self, path: str | Path, now: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._now = now
        self._seen = self._stamp()
        self._users = parse(Path(path).read_text("utf-8"))
        self._looked = now()

    def user(self, digest: bytes) -> User | None:
        """The user whose token has this digest."""
        if self._now() - self._looked >= _LOOK_AGAIN:
            self._look()
        return self._users.get(digest)

    def _look(self) -> None:
        self._looked = self._now()
        try:
            stamp = self._stamp()
            if stamp == self._seen:
                return
            self._seen = stamp
            self._users = parse(Path(self._path).read_text("utf-8"))
        except (OSError, ValueError) as error:
            _log.warning("token_file_unreadable", path=str(self._path), error=str(error))
        else:
            _log.info("token_file_read", path=str(self._path), users=len(self._users))

    def _stamp(self) -> tuple[int, int, int]:
        found = os.stat(self._path)
        return found.st_mtime_ns, found.st_size, found.st_ino
