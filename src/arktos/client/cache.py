"""The cache of an informer: objects by key and by index. Pure.

Two steps, so that every handler sees the cache as of the change it is told: `diff_*` say what is to change, `apply`
does it. The chain of changes of one key is gapless: `old` is the very `Cached` that was `new` before, so what a
handler added up on coming it can subtract on going. An object that was deleted and made again under its name
(another uid) goes, then comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from arktos.client.cached import Cached, ObjectKey

Change = tuple[Cached | None, Cached | None]
"""(old, new): None before what came, None after what went."""
IndexFn = Callable[[Cached], Iterable[str]]


def by_namespace(cached: Cached) -> Iterable[str]:
    """Index values `tenant/namespace`."""
    return (f"{cached.tenant}/{cached.namespace}",)


def by_owner(cached: Cached) -> Iterable[str]:
    """Index values: the uids of all owners."""
    return [owner.uid for owner in cached.owners]


def by_controller(cached: Cached) -> Iterable[str]:
    """Index values: the uid of the managing owner."""
    managing = cached.controller
    return (managing.uid,) if managing else ()


class _Index:
    """Objects by the values of one function. The values are remembered: the function is called once per object, and
    what it says about an old object can't matter later."""

    __slots__ = ("_keys", "_values", "fn")

    def __init__(self, fn: IndexFn) -> None:
        self.fn = fn
        self._keys: dict[str, dict[ObjectKey, Cached]] = {}
        self._values: dict[ObjectKey, tuple[str, ...]] = {}

    def find(self, value: str) -> list[Cached]:
        found = self._keys.get(value)
        return list(found.values()) if found else []

    def put(self, key: ObjectKey, cached: Cached) -> None:
        values = tuple(self.fn(cached))
        before = self._values.get(key, ())
        if before and before != values:
            self._drop(key, before)
        if values:
            self._values[key] = values
            for value in values:
                self._keys.setdefault(value, {})[key] = cached
        else:
            self._values.pop(key, None)

    def remove(self, key: ObjectKey) -> None:
        self._drop(key, self._values.pop(key, ()))

    def _drop(self, key: ObjectKey, values: tuple[str, ...]) -> None:
        for value in values:
            group = self._keys.get(value)
            if group is not None:
                group.pop(key, None)
                if not group:
                    del self._keys[value]


class Cache:
    """Objects of one kind."""

    def __init__(self, indexes: Mapping[str, IndexFn] | None = None) -> None:
        self.objects: dict[ObjectKey, Cached] = {}
        self._indexes = {name: _Index(fn) for name, fn in (indexes or {}).items()}

    def by_index(self, name: str, value: str) -> list[Cached]:
        """KeyError for an index that does not exist."""
        return self._indexes[name].find(value)

    def add_index(self, name: str, fn: IndexFn) -> None:
        """ValueError if another function has the name."""
        known = self._indexes.get(name)
        if known is None:
            index = self._indexes[name] = _Index(fn)
            for key, cached in self.objects.items():
                index.put(key, cached)
        elif known.fn != fn:
            raise ValueError(f"there is another index {name!r}")

    def diff_put(self, cached: Cached) -> list[Change]:
        """What the arrival of this state changes: nothing if it is known already."""
        old = self.objects.get(cached.key)
        if old is None:
            return [(None, cached)]
        if old.uid != cached.uid:
            return [(old, None), (None, cached)]
        return [] if same_state(old, cached) else [(old, cached)]

    def diff_remove(self, key: ObjectKey) -> list[Change]:
        old = self.objects.get(key)
        return [] if old is None else [(old, None)]

    def diff_all(self, state: Mapping[ObjectKey, Cached]) -> list[Change]:
        """From here to the complete `state`: what went first, then what came or changed."""
        changes: list[Change] = [(old, None) for key, old in self.objects.items() if key not in state]
        for cached in state.values():
            changes += self.diff_put(cached)
        return changes

    def apply(self, change: Change) -> None:
        old, new = change
        if new is not None:
            key = new.key
            self.objects[key] = new
            for index in self._indexes.values():
                index.put(key, new)
        elif old is not None:
            key = old.key
            self.objects.pop(key, None)
            for index in self._indexes.values():
                index.remove(key)


def same_state(one: Cached, other: Cached) -> bool:
    """Whether both are the same revision of the same object."""
    return one.resource_version == other.resource_version and one.uid == other.uid
