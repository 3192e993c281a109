"""PodSecurity: which level of the Pod Security Standards holds for a pod.

A namespace says so by Kubernetes' labels (`pod-security.kubernetes.io/enforce`, `warn`). Beneath that lies a floor that
no tenant can lower: pods of a tenant share machines with those of others, so for every tenant but `system` it is
`baseline`, unless the operator has put the label `enforce` on the Tenant itself.
"""

from __future__ import annotations

import msgspec

from arktos.apiserver.admission import Attempt, Effects
from arktos.apiserver.encoding import tenant_key
from arktos.apiserver.lifecycle import namespace_key
from arktos.model import podsecurity
from arktos.model.kinds import SYSTEM_TENANT
from arktos.model.status import forbidden
from arktos.store.records import Key, Store

ENFORCE = "pod-security.kubernetes.io/enforce"
WARN = "pod-security.kubernetes.io/warn"
FLOOR = "baseline"

_MOST = 4096


class _Meta(msgspec.Struct):
    labels: dict[str, str] | None = None


class _Labelled(msgspec.Struct):
    metadata: _Meta


_decoder = msgspec.json.Decoder(_Labelled)


class PodSecurity:
    """A step for pods."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._labels: dict[tuple[str, int], dict[str, str]] = {}

    def step(self, attempt: Attempt, effects: Effects) -> None:
        if attempt.operation == "delete" or attempt.subresource not in ("", "ephemeralcontainers"):
            return
        spec = attempt.obj.get("spec") or {}
        annotations = attempt.obj["metadata"].get("annotations")
        if attempt.old is not None and (attempt.old.get("spec") or {}) == spec:
            before = attempt.old["metadata"].get("annotations")
            if podsecurity.profiles(before) == podsecurity.profiles(annotations):
                return
        tenant, namespace = attempt.call.tenant, attempt.call.info.namespace
        own = self._of(namespace_key(tenant, namespace))
        level = podsecurity.stricter(self.floor(tenant), own.get(ENFORCE, "privileged"))
        if level != "privileged" and (found := podsecurity.violations(level, spec, annotations)):
            name = attempt.obj["metadata"].get("name") or attempt.obj["metadata"].get("generateName", "")
            raise forbidden("pods", name, f'violates PodSecurity "{level}:latest": {", ".join(found)}')
        warned = own.get(WARN, "privileged")
        if warned not in ("privileged", level) and (found := podsecurity.violations(warned, spec, annotations)):
            attempt.call.warnings.append(f'would violate PodSecurity "{warned}:latest": {", ".join(found)}')

    def floor(self, tenant: str) -> str:
        """The level beneath which no namespace of a tenant can go."""
        return "privileged" if tenant == SYSTEM_TENANT else self._of(tenant_key(tenant)).get(ENFORCE, FLOOR)

    def _of(self, key: Key) -> dict[str, str]:
        """The labels of a namespace or tenant, read once per revision."""
        record = self._store.get(key)
        if record is None:
            return {}
        mark = (record.header.uid, record.revision)
        found = self._labels.get(mark)
        if found is None:
            if len(self._labels) >= _MOST:
                self._labels.clear()
            found = self._labels[mark] = _decoder.decode(record.body).metadata.labels or {}
        return found
