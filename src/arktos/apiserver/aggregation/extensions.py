"""Which extension answers for which group-version of which tenant: an index of the stored APIServices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from arktos.apiserver.aggregation.local import RESOURCE
from arktos.apiserver.encoding import decode
from arktos.model.kinds import Obj
from arktos.store.records import Query, Record, Store, WatchEvent

GroupVersion = tuple[str, str]


@dataclass(slots=True)
class Extension:
    """An APIService that names a service. `available` is what the last check found; `resources` is the APIResourceList
    that it answered, None before the first."""

    record: Record
    tenant: str
    group: str
    version: str
    namespace: str
    service: str
    port: int
    ca: bytes
    insecure: bool
    priority: tuple[int, int]
    available: bool = False
    resources: Obj | None = field(default=None)
    openapi: str = ""
    """Where it serves its OpenAPI v3, "" where it does not."""

    @property
    def name(self) -> str:
        return self.record.key.name

    @property
    def server_name(self) -> str:
        """What its certificate has to name."""
        return f"{self.service}.{self.namespace}.svc"

    @property
    def url(self) -> str:
        """What messages call it."""
        return f"https://{self.server_name}:{self.port}/apis/{self.group}/{self.version}"


class Extensions:
    """All of them. `changed` is told of each that came, changed or went (None)."""

    def __init__(self, store: Store, changed: Callable[[Extension | None], None]) -> None:
        self._tenants: dict[str, dict[GroupVersion, Extension]] = {}
        self._changed = changed
        self.generation = 0
        """Changes whenever any of them does."""
        for record in store.list(Query(RESOURCE, None)).records:
            self._take(record)
        self._subscription = store.subscribe(Query(RESOURCE, None), self._deliver)

    def close(self) -> None:
        self._subscription.close()

    def of(self, tenant: str) -> dict[GroupVersion, Extension]:
        """A tenant's extensions; mostly there are none."""
        return self._tenants.get(tenant, _NONE)

    def all(self) -> list[Extension]:
        return [extension for found in self._tenants.values() for extension in found.values()]

    def note(self) -> None:
        """What is known of one of them has changed."""
        self.generation += 1

    def _deliver(self, events: Sequence[WatchEvent], revision: int) -> None:
        for event in events:
            if event.type == "DELETED":
                self._drop(event.record)
            else:
                self._take(event.record)

    def _take(self, record: Record) -> None:
        extension = _read(record)
        if extension is None:
            self._drop(record)
            return
        found = self._tenants.setdefault(extension.tenant, {})
        known = found.get((extension.group, extension.version))
        if known is not None and _spec(known) == _spec(extension):
            known.record = record
            return
        found[extension.group, extension.version] = extension
        self.generation += 1
        self._changed(extension)

    def _drop(self, record: Record) -> None:
        version, _, group = record.key.name.partition(".")
        found = self._tenants.get(record.key.tenant, {})
        if found.pop((group, version), None) is not None:
            self.generation += 1
            self._changed(None)
        if not found:
            self._tenants.pop(record.key.tenant, None)


_NONE: dict[GroupVersion, Extension] = {}


def _spec(extension: Extension) -> tuple[object, ...]:
    where = (extension.namespace, extension.service, extension.port)
    return *where, extension.ca, extension.insecure, extension.priority, extension.record.header.uid


def _read(record: Record) -> Extension | None:
    spec = decode(record).get("spec") or {}
    service = spec.get("service")
    if not service:
        return None
    return Extension(
        record,
        record.key.tenant,
        spec.get("group") or "",
        spec.get("version") or "",
        service.get("namespace") or "",
        service.get("name") or "",
        service.get("port") or 443,
        str(spec.get("caBundle") or "").encode(),
        bool(spec.get("insecureSkipTLSVerify")),
        (spec.get("groupPriorityMinimum") or 0, spec.get("versionPriority") or 0),
    )
