"""Equal parts of headers and keys held once: a hundred pods of one ReplicaSet share labels, owner and namespace."""

from __future__ import annotations

from sys import intern

from arktos.store.records import Header, Key, Owner, Record

_POOL_LIMIT = 8192
_NONE: dict[str, str] = {}


class Pool:
    """Gives back an equal value with shared parts. Bounded: when full it forgets, which costs sharing, nothing else."""

    def __init__(self) -> None:
        self._maps: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
        self._owners: dict[tuple[Owner, ...], tuple[Owner, ...]] = {}

    def key(self, key: Key, previous: Record | None = None) -> Key:
        if previous is not None:
            return previous.key
        resource, tenant, namespace, name = key
        return Key(intern(resource), intern(tenant), intern(namespace), name)

    def header(self, header: Header, previous: Record | None = None) -> Header:
        old = None if previous is None else previous.header
        if old is not None and header == old:
            return old
        return Header(
            old.uid if old is not None and old.uid == header.uid else header.uid,
            old.hash_key if old is not None and old.hash_key == header.hash_key else header.hash_key,
            old.labels if old is not None and old.labels == header.labels else self._map(header.labels),
            old.fields if old is not None and old.fields == header.fields else self._map(header.fields),
            old.owners if old is not None and old.owners == header.owners else self._owner_list(header.owners),
            header.deleting,
        )

    def _map(self, entries: dict[str, str]) -> dict[str, str]:
        if not entries:
            return _NONE
        content = tuple(entries.items())
        found = self._maps.get(content)
        if found is None:
            if len(self._maps) >= _POOL_LIMIT:
                self._maps.clear()
            found = self._maps[content] = {intern(label): value for label, value in content}
        return found

    def _owner_list(self, owners: tuple[Owner, ...]) -> tuple[Owner, ...]:
        if not owners:
            return ()
        found = self._owners.get(owners)
        if found is None:
            if len(self._owners) >= _POOL_LIMIT:
                self._owners.clear()
            found = self._owners[owners] = tuple(Owner(intern(kind), uid, hash_key) for kind, uid, hash_key in owners)
        return found
