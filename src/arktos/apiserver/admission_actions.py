"""Admission of Actions: each is for a virtual machine that exists, and for the node that it runs on."""

from __future__ import annotations

from arktos.apiserver.admission import Attempt, Effects
from arktos.apiserver.encoding import decode, key_of
from arktos.model import registry
from arktos.model.kinds import Obj
from arktos.model.status import FieldError, conflict, invalid
from arktos.model.workload import is_vm
from arktos.store.records import Store

_PODS = registry.by_resource("pods")


class ActionTargets:
    """A step that fills in the node and the UID of the pod that an Action names."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def step(self, attempt: Attempt, effects: Effects) -> None:
        """Refuses what no node would ever carry out: Invalid where the pod does not exist, is no VM, or is another than
        the UID or node says; Conflict where it has no node yet. What names no pod is left to validation."""
        spec = attempt.obj.get("spec") or {}
        name = spec.get("podName")
        if attempt.operation != "create" or not isinstance(name, str) or not name:
            return
        record = self._store.get(key_of(_PODS, attempt.call.tenant, attempt.call.info.namespace, name))
        if record is None:
            raise _refused(attempt.obj, "podName", "FieldValueNotFound", f'Not found: "{name}"')
        pod = decode(record)
        if not is_vm(pod):
            raise _refused(
                attempt.obj, "podName", "FieldValueForbidden", f"Forbidden: pod {name} is not a virtual machine"
            )
        node = pod["spec"].get("nodeName")
        if not node:
            raise conflict("pods", name, "it is not on a node yet")
        for field, value in (("nodeName", node), ("podID", pod["metadata"]["uid"])):
            if spec.get(field) not in (None, "", value):
                said = f'Invalid value: "{spec[field]}": pod {name} has {value}'
                raise _refused(attempt.obj, field, "FieldValueInvalid", said)
            spec[field] = value


def _refused(action: Obj, field: str, reason: str, message: str) -> Exception:
    name = action["metadata"].get("name") or action["metadata"].get("generateName", "")
    return invalid("", "Action", name, [FieldError(f"spec.{field}", reason, message)])
