"""The definitions that `system` shares, in every tenant: readable, not writable. A source for `reader.Reader`."""

from __future__ import annotations

from collections.abc import Iterator

from arktos.apiserver.custom.definitions import RESOURCE
from arktos.model import selectors
from arktos.model.custom.names import SHARED
from arktos.model.kinds import SYSTEM_TENANT
from arktos.store.records import Key, Query, Record, Store

_SHARED = selectors.parse_labels(f"{SHARED}=true")


class SharedDefinitions:
    """Definitions stored in `system` with the label `arktos.io/shared=true`. They keep `metadata.tenant: system`."""

    resources = frozenset({RESOURCE})
    renewed = False

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, key: Key) -> Record | None:
        if key.tenant == SYSTEM_TENANT:
            return None
        record = self._store.get(key._replace(tenant=SYSTEM_TENANT))
        return record if record is not None and record.header.labels.get(SHARED) == "true" else None

    def list(self, query: Query) -> Iterator[Record]:
        other = self.borrowed(query)
        if other is not None:
            yield from self._store.list(other).records

    def borrowed(self, query: Query) -> Query | None:
        """Only what is shared, whatever is selected: the other definitions of `system` are nobody else's business."""
        if query.tenant is None or query.tenant == SYSTEM_TENANT:
            return None
        selector = _SHARED if query.selector is None else query.selector.labelled(_SHARED)
        return Query(query.resource, SYSTEM_TENANT, None, selector)
