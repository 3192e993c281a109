"""The current state in memory, found by key, by scope in key order, by field value, by owner and by hash range.

Costs: `get` O(1); a scope's list O(its objects); a selector with an exact field, a name or a hash range only visits
what that hint finds. Names and namespaces stand in plain sorted lists: inserting moves 8 bytes per later name, which
stays in the microseconds up to hundreds of thousands of names, and reading a range is a slice.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from sys import intern

from arktos.model.selectors import Selector
from arktos.model.selectors_fields import HASH_KEY, OWNER_HASH_KEY, UNOWNED
from arktos.store.postings import HashRanges, Postings
from arktos.store.records import Header, Key, Query, Record

_CHUNK = 512
_MAX_COUNTED = 1024
"""Above this many namespaces `Index.page` doesn't count what a limit left out."""

Space = tuple[str, str]
"""Tenant and namespace."""


class _Bucket:
    """The objects of one resource in one namespace."""

    __slots__ = ("names", "records")

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.names: list[str] = []

    def slice(self, start: int, stop: int | None = None) -> list[Record]:
        return list(map(self.records.__getitem__, self.names[start:stop]))

    def walk(self, start: int) -> Iterator[Record]:
        for at in range(start, len(self.names), _CHUNK):
            yield from self.slice(at, at + _CHUNK)


class _Resource:
    """All objects of one resource, and its secondary indexes."""

    __slots__ = ("buckets", "count", "exact", "hashes", "owner_kinds", "spaces")

    def __init__(self, labels: Iterable[str]) -> None:
        self.count = 0
        self.buckets: dict[Space, _Bucket] = {}
        self.spaces: list[Space] = []
        self.exact: dict[str, Postings[str]] = {intern(label): Postings() for label in labels}
        self.hashes: dict[str, HashRanges] = {}
        self.owner_kinds: set[str] = set()

    def records(self) -> Iterator[Record]:
        for bucket in self.buckets.values():
            yield from bucket.records.values()

    def hash_ranges(self, label: str) -> HashRanges:
        """The hash index of `label`, built at its first use."""
        found = self.hashes.get(label)
        if found is None:
            found = self.hashes[label] = HashRanges()
            found.load(
                [(value, record.key) for record in self.records() for value in _hash_values(label, record.header)]
            )
        return found

    def scope(self, tenant: str | None, namespace: str | None, after: Key | None = None) -> Sequence[Space]:
        """The spaces of a scope in order, from the one of `after` on."""
        if tenant is not None and namespace is not None:
            space = (tenant, namespace)
            if space not in self.buckets or (after is not None and space < (after.tenant, after.namespace)):
                return ()
            return (space,)
        first, last = 0, len(self.spaces)
        if tenant is not None:
            first = bisect_left(self.spaces, (tenant, ""))
            last = bisect_left(self.spaces, (tenant + "\0", ""), first)
        if after is not None:
            first = max(first, bisect_left(self.spaces, (after.tenant, after.namespace)))
        spaces = self.spaces[first:last]
        return spaces if namespace is None else [space for space in spaces if space[1] == namespace]

    def position(self, space: Space, after: Key | None) -> int:
        """Where in the space's names to go on after `after`."""
        if after is None or space != (after.tenant, after.namespace):
            return 0
        return bisect_right(self.buckets[space].names, after.name)


class Index:
    """See the module. Unknown resources are taken in, without field indexes."""

    def __init__(self, resources: Mapping[str, Sequence[str]]) -> None:
        """`resources` names the field labels that are indexed, by group-resource."""
        self._labels = {resource: tuple(labels) for resource, labels in resources.items()}
        self._resources: dict[str, _Resource] = {}
        self._buckets: dict[tuple[str, ...], _Bucket] = {}
        self._owners: Postings[str] = Postings()

    def get(self, key: Key) -> Record | None:
        bucket = self._buckets.get(key[:3])
        return None if bucket is None else bucket.records.get(key[3])

    def labels(self, resource: str) -> Sequence[str]:
        """The indexed field labels of a resource."""
        return self._labels.get(resource, ())

    def counts(self) -> dict[str, int]:
        """Objects by resource."""
        return {name: resource.count for name, resource in self._resources.items() if resource.count}

    def count(self, resource: str, tenant: str | None, namespace: str | None) -> int:
        """Objects of a scope; of one of very many namespaces, those of the first."""
        found = self._resources.get(resource)
        if found is None:
            return 0
        if tenant is None and namespace is None:
            return found.count
        return sum(len(found.buckets[space].names) for space in found.scope(tenant, namespace)[:_MAX_COUNTED])

    def records(self) -> Iterator[Record]:
        """All, in no order."""
        for resource in self._resources.values():
            yield from resource.records()

    def by_owner(self, uid: str) -> list[Record]:
        """The objects of all resources with an ownerReference to `uid`, in no order."""
        return self._existing(self._owners.find(uid))

    def load(self, records: Iterable[Record]) -> None:
        """Takes the first content, in any order: cheaper than `replace` one by one."""
        for record in records:
            self._bucket(record.key).records[record.key.name] = record
            self._enter(self._resources[record.key.resource], record)
        for resource in self._resources.values():
            resource.spaces.sort()
            resource.count = 0
            for bucket in resource.buckets.values():
                bucket.names = sorted(bucket.records)
                resource.count += len(bucket.names)

    def replace(self, key: Key, old: Record | None, new: Record | None) -> None:
        """`old` is what `get` answers now (None: nothing), `new` what it shall answer."""
        if new is None:
            if old is not None:
                self._remove(key, old)
        elif old is None:
            bucket = self._bucket(key, ordered=True)
            bucket.records[key.name] = new
            insort(bucket.names, key.name)
            resource = self._resources[key.resource]
            resource.count += 1
            self._enter(resource, new)
        else:
            self._buckets[key[:3]].records[key.name] = new
            if new.header is not old.header:
                self._move(self._resources[key.resource], key, old.header, new.header)

    def page(self, query: Query, after: Key | None, limit: int) -> tuple[list[Record], int]:
        """The first `limit` (0 = all) objects of the query's scope after `after`, its selector aside, and how many were
        left out (-1: not counted)."""
        resource = self._resources.get(query.resource)
        if resource is None:
            return [], 0
        spaces = resource.scope(query.tenant, query.namespace, after)
        found: list[Record] = []
        for number, space in enumerate(spaces):
            bucket = resource.buckets[space]
            start = resource.position(space, after)
            stop = start + limit - len(found) if limit else None
            found += bucket.slice(start, stop)
            if limit and len(found) == limit:
                further = spaces[number + 1 :]
                if len(further) > _MAX_COUNTED:
                    return found, -1
                rest = len(bucket.names) - (stop or 0)
                return found, rest + sum(len(resource.buckets[other].names) for other in further)
        return found, 0

    def walk(self, query: Query, after: Key | None) -> Iterator[Record]:
        """Objects of the query's scope in key order after `after`: a superset of those that its selector matches,
        narrowed by the cheapest of its hints. Must be consumed before the next change."""
        resource = self._resources.get(query.resource)
        if resource is None:
            return
        narrowed = None if query.selector is None else self._narrow(resource, query, query.selector)
        if narrowed is not None:
            yield from sorted((r for r in narrowed if after is None or r.key > after), key=_by_key)
            return
        for space in resource.scope(query.tenant, query.namespace, after):
            yield from resource.buckets[space].walk(resource.position(space, after))

    # -- hints

    def _narrow(self, resource: _Resource, query: Query, selector: Selector) -> list[Record] | None:
        """What the best hint finds within the query's scope; None if no hint beats a scan."""
        namespace = query.namespace
        if namespace is None:
            namespace = selector.exact("metadata.namespace")
        name = selector.exact("metadata.name")
        if name is not None:
            spaces = resource.scope(query.tenant, namespace)
            return [record for space in spaces if (record := resource.buckets[space].records.get(name)) is not None]
        if query.tenant is None and namespace is None:
            cost = resource.count
        else:
            spaces = resource.scope(query.tenant, namespace)
            cost = sum(len(resource.buckets[space].names) for space in spaces[:_MAX_COUNTED])
        best: Callable[[], Iterable[Key]] | None = None
        for label, postings in resource.exact.items():
            value = selector.exact(label)
            if value is not None:
                keys = postings.find(value)
                if len(keys) < cost:
                    cost, best = len(keys), _constant(keys)
        for label in (HASH_KEY, *[OWNER_HASH_KEY + kind for kind in resource.owner_kinds]):
            ranges = selector.ranges(label)
            if ranges is not None:
                hashes = resource.hash_ranges(label)
                width = hashes.width(ranges)
                if width < cost:
                    cost, best = width, _in_ranges(hashes, ranges)
        if best is None:
            return None if namespace == query.namespace else self._existing_in(resource, query.tenant, namespace)
        return [r for r in self._existing(set(best())) if in_scope(r.key, query.tenant, namespace)]

    def _existing_in(self, resource: _Resource, tenant: str | None, namespace: str | None) -> list[Record]:
        return [r for space in resource.scope(tenant, namespace) for r in resource.buckets[space].records.values()]

    def _existing(self, keys: Iterable[Key]) -> list[Record]:
        return [record for key in keys if (record := self.get(key)) is not None]

    # -- upkeep

    def _bucket(self, key: Key, *, ordered: bool = False) -> _Bucket:
        bucket = self._buckets.get(key[:3])
        if bucket is None:
            bucket = self._buckets[key[:3]] = _Bucket()
            resource = self._resources.get(key.resource)
            if resource is None:
                resource = self._resources[key.resource] = _Resource(self._labels.get(key.resource, ()))
            space = (key.tenant, key.namespace)
            resource.buckets[space] = bucket
            if ordered:
                insort(resource.spaces, space)
            else:
                resource.spaces.append(space)
        return bucket

    def _remove(self, key: Key, old: Record) -> None:
        bucket = self._buckets[key[:3]]
        resource = self._resources[key.resource]
        del bucket.records[key.name]
        del bucket.names[bisect_left(bucket.names, key.name)]
        resource.count -= 1
        if not bucket.names:
            space = (key.tenant, key.namespace)
            del self._buckets[key[:3]]
            del resource.buckets[space]
            del resource.spaces[bisect_left(resource.spaces, space)]
        self._leave(resource, key, old.header)

    def _enter(self, resource: _Resource, record: Record) -> None:
        key, header = record.key, record.header
        for label, postings in resource.exact.items():
            postings.add(header.fields.get(label, ""), key)
        for owner in header.owners:
            self._owners.add(owner.uid, key)
            resource.owner_kinds.add(owner.kind)
        for label, hashes in resource.hashes.items():
            for value in _hash_values(label, header):
                hashes.add(value, key)

    def _leave(self, resource: _Resource, key: Key, header: Header) -> None:
        for label, postings in resource.exact.items():
            postings.discard(header.fields.get(label, ""), key)
        for owner in header.owners:
            self._owners.discard(owner.uid, key)
        for label, hashes in resource.hashes.items():
            for value in _hash_values(label, header):
                hashes.discard(value, key)

    def _move(self, resource: _Resource, key: Key, old: Header, new: Header) -> None:
        if old.fields is not new.fields:
            for label, postings in resource.exact.items():
                before, now = old.fields.get(label, ""), new.fields.get(label, "")
                if before != now:
                    postings.discard(before, key)
                    postings.add(now, key)
        owned_alike = old.owners is new.owners or old.owners == new.owners
        if not owned_alike:
            for owner in old.owners:
                self._owners.discard(owner.uid, key)
            for owner in new.owners:
                self._owners.add(owner.uid, key)
                resource.owner_kinds.add(owner.kind)
        if not owned_alike or old.hash_key != new.hash_key:
            for label, hashes in resource.hashes.items():
                for value in _hash_values(label, old):
                    hashes.discard(value, key)
                for value in _hash_values(label, new):
                    hashes.add(value, key)


def in_scope(key: Key, tenant: str | None, namespace: str | None) -> bool:
    return (tenant is None or key.tenant == tenant) and (namespace is None or key.namespace == namespace)


def _by_key(record: Record) -> Key:
    return record.key


def _hash_values(label: str, header: Header) -> Iterable[int]:
    if label == HASH_KEY:
        return (header.hash_key,)
    kind = label[len(OWNER_HASH_KEY) :]
    return {owner.hash_key for owner in header.owners if owner.kind == kind} or (UNOWNED,)


def _constant(keys: Collection[Key]) -> Callable[[], Iterable[Key]]:
    return lambda: keys


def _in_ranges(hashes: HashRanges, ranges: Sequence[tuple[int, int]]) -> Callable[[], Iterable[Key]]:
    return lambda: hashes.find(ranges)
