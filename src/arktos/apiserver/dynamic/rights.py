"""Who may bind a policy to parameters: who may read them. Else a message would tell what its author may not see.

As in Kubernetes: who writes a policy must be allowed to `get` all objects of its paramKind, who writes a binding those
that it refers to.
"""

from __future__ import annotations

from arktos.apiserver.admission import Attempt, Effects
from arktos.apiserver.authz import Attributes, Authorizer
from arktos.apiserver.dynamic.configurations import (
    MUTATING_BINDINGS,
    MUTATING_POLICIES,
    VALIDATING_BINDINGS,
    VALIDATING_POLICIES,
)
from arktos.apiserver.encoding import decode
from arktos.model import registry
from arktos.model.kinds import Obj
from arktos.model.status import FieldError, invalid
from arktos.store.records import Key, Store

_POLICY_OF = {VALIDATING_BINDINGS: VALIDATING_POLICIES, MUTATING_BINDINGS: MUTATING_POLICIES}


class ParameterRights:
    """Admission steps for policies and bindings."""

    def __init__(self, store: Store, authorizer: Authorizer) -> None:
        self._store = store
        self._authorizer = authorizer

    def policy(self, attempt: Attempt, effects: Effects) -> None:
        spec = attempt.obj.get("spec") or {}
        kind = spec.get("paramKind")
        if kind is None or not _is_new(attempt, "paramKind"):
            return
        if not self._may_get(attempt, kind, "", ""):
            shown = f"(kind={kind.get('kind')}, apiVersion={kind.get('apiVersion')})"
            why = f'must have "get" permission on all objects of the referenced paramKind {shown}'
            raise _refused(attempt, "spec.paramKind", why)

    def binding(self, attempt: Attempt, effects: Effects) -> None:
        spec = attempt.obj.get("spec") or {}
        ref = spec.get("paramRef")
        if ref is None or not (_is_new(attempt, "paramRef") or _is_new(attempt, "policyName")):
            return
        resource = _POLICY_OF[attempt.kind.resource]
        record = self._store.get(Key(resource, attempt.call.tenant, "", spec.get("policyName") or ""))
        kind = None if record is None else (decode(record).get("spec") or {}).get("paramKind")
        # Of a policy that is not there yet, nobody knows the kind: then all kinds are meant.
        if not self._may_get(attempt, kind, ref.get("namespace") or "", ref.get("name") or ""):
            why = 'does not have "get" permission on the object being referenced'
            raise _refused(attempt, "spec.paramRef", why)

    def _may_get(self, attempt: Attempt, kind: Obj | None, namespace: str, name: str) -> bool:
        group, resource = "*", "*"
        if kind is not None:
            version = kind.get("apiVersion") or ""
            group = version.rpartition("/")[0]
            found = registry.by_gvk(version, kind.get("kind") or "")
            resource = found.plural if found is not None else "*"
        call = attempt.call
        asked = Attributes(call.user, "get", call.tenant, group, resource, "", namespace, name)
        return self._authorizer.authorize(asked).allowed


def _is_new(attempt: Attempt, field: str) -> bool:
    if attempt.operation == "delete":
        return False
    old = (attempt.old or {}).get("spec") or {}
    return bool(attempt.obj["spec"].get(field) != old.get(field))


def _refused(attempt: Attempt, field: str, why: str) -> Exception:
    cause = FieldError(field, "FieldValueForbidden", f"Forbidden: user {attempt.call.user.name} {why}")
    return invalid(attempt.kind.group, attempt.kind.kind, attempt.obj["metadata"].get("name") or "", [cause])
