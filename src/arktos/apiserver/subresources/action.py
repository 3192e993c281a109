"""pods/action: an imperative on a pod (reboot, snapshot, restore) becomes an Action object (ARKTOS 6.2)."""

from __future__ import annotations

from arktos.apiserver.bodies import read_object
from arktos.apiserver.call import Call
from arktos.apiserver.encoding import decode, dumps, key_of
from arktos.apiserver.subresources.kinds import CUSTOM_ACTION
from arktos.apiserver.writes import Writer, random_suffix
from arktos.model import registry
from arktos.model.kinds import Obj
from arktos.model.status import BadRequest, FieldError, invalid, not_found
from arktos.model.workload import is_vm
from arktos.wire.http import Response

_PARAMS = {
    "reboot": ("rebootParams", "rebootAction"),
    "snapshot": ("snapshotParams", "snapshotAction"),
    "restore": ("restoreParams", "restoreAction"),
}
"""Operation: the field of CustomAction that carries its parameters, and the field of Action.spec that they become."""


async def act(call: Call, writer: Writer) -> Response:
    """POST of a CustomAction. 201 with a Status that names the Action; 400 for an unknown operation; Invalid for a pod
    that is no VM, since only VMs can be rebooted, snapshotted and restored."""
    body = read_object(call, CUSTOM_ACTION)
    pod_name = call.info.name
    operation = body.get("operation") or ""
    if operation not in _PARAMS:
        raise BadRequest(f"Unsupported operation '{operation}' for Pod '{pod_name}'")
    record = writer.reader.get(key_of(registry.by_resource("pods"), call.tenant, call.info.namespace, pod_name))
    if record is None:
        raise not_found("pods", pod_name)
    pod = decode(record)
    if not is_vm(pod):
        cause = FieldError("operation", "FieldValueForbidden", f"Forbidden: pod {pod_name} is not a virtual machine")
        raise invalid("", "CustomAction", pod_name, [cause])
    given, field = _PARAMS[operation]
    action: Obj = {
        "kind": "Action",
        "apiVersion": "v1",
        # The original's names, `<operation>-<seconds>`, collide within a second: a suffix makes them unique.
        "metadata": {"name": f"{operation}-{int(writer.clock())}-{random_suffix()}"},
        "spec": {
            "nodeName": pod["spec"].get("nodeName", ""),
            "podName": pod_name,
            "podID": pod["metadata"]["uid"],
            field: body.get(given) or {},
        },
    }
    actions = registry.by_resource("actions")
    inner = Call(call.request, call.info, actions, call.user, call.tenant, call.params, call.accept)
    locate_action(inner, action)
    created = (await writer.create(inner, action)).record
    return Response(
        201,
        dumps(
            {
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {"resourceVersion": str(created.revision)},
                "status": "Success",
                "message": f"Created action '{operation}' for Pod '{pod_name}'",
                "details": {"name": created.key.name, "kind": "actions", "uid": created.header.uid},
                "code": 201,
            }
        ),
    )


def locate_action(call: Call, action: Obj) -> None:
    """Puts the Action beside its pod. The call's path names the pod, not the Action."""
    action["metadata"] |= {"namespace": call.info.namespace, "tenant": call.tenant}
