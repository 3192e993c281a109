"""Label, field and range selectors: parsed once, evaluated against headers, with hints for indexes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class OwnerRef(Protocol):
    @property
    def kind(self) -> str: ...
    @property
    def uid(self) -> str: ...
    @property
    def hash_key(self) -> int: ...


class Selectable(Protocol):
    """What a stored header offers to selectors (`store.records.Header` is one)."""

    @property
    def uid(self) -> str: ...
    @property
    def hash_key(self) -> int: ...
    @property
    def labels(self) -> Mapping[str, str]: ...
    @property
    def fields(self) -> Mapping[str, str]: ...
    @property
    def owners(self) -> Sequence[OwnerRef]: ...


class Selector:
    """A conjunction of a label selector, a field selector (with `;` for OR) and a shard selector."""

    def matches(self, tenant: str, namespace: str, name: str, header: Selectable) -> bool:
        raise NotImplementedError

    def exact(self, label: str) -> str | None:
        """The one value that every match has for this field label (an index hint), None if there is no such value."""
        raise NotImplementedError

    def ranges(self, label: str) -> Sequence[tuple[int, int]] | None:
        """Inclusive integer ranges that cover every match's value for `label` (`metadata.hashkey` or an owner's), None
        if unbounded."""
        raise NotImplementedError
