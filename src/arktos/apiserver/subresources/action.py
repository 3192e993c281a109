"""pods/action: an imperative on a pod (reboot, snapshot, stop, ...) becomes an Action object (ARKTOS 6.2).

One of power also becomes what the pod wants (`powerSpec`), before the Action: the node would undo it otherwise. The
Action then tells when it has come true.
"""

from __future__ import annotations

from arktos.apiserver.bodies import read_object
from arktos.apiserver.call import Call
from arktos.apiserver.encoding import decode, dumps, key_of
from arktos.apiserver.identifiers import random_suffix
from arktos.apiserver.ranges import conditions
from arktos.apiserver.subresources.kinds import CUSTOM_ACTION
from arktos.apiserver.writes import Writer
from arktos.model import registry
from arktos.model.actions import BY_NAME, Operation
from arktos.model.kinds import Obj
from arktos.model.status import BadRequest, FieldError, conflict, invalid, not_found
from arktos.model.workload import is_vm
from arktos.store.records import Key
from arktos.wire.http import Response


async def act(call: Call, writer: Writer) -> Response:
    """POST of a CustomAction. 201 with a Status that names the Action; 400 for an unknown operation; Invalid for a pod
    that is no VM; Conflict where the machine is not in a state for it, or the pod has no node or is being deleted."""
    body = read_object(call, CUSTOM_ACTION)
    pod_name = call.info.name
    word = body.get("operation") or ""
    operation = BY_NAME.get(word)
    if operation is None:
        raise BadRequest(f"Unsupported operation '{word}' for Pod '{pod_name}'")
    record = writer.reader.get(key_of(registry.by_resource("pods"), call.tenant, call.info.namespace, pod_name))
    if record is None:
        raise not_found("pods", pod_name)
    pod = decode(record)
    if not is_vm(pod):
        cause = FieldError("operation", "FieldValueForbidden", f"Forbidden: pod {pod_name} is not a virtual machine")
        raise invalid("", "CustomAction", pod_name, [cause])
    _check_state(pod, operation)
    action: Obj = {
        "kind": "Action",
        "apiVersion": "v1",
        # The original's names, `<operation>-<seconds>`, collide within a second: a suffix makes them unique.
        "metadata": {"name": f"{word}-{int(writer.clock())}-{random_suffix()}"},
        "spec": {
            "nodeName": pod["spec"].get("nodeName", ""),
            "podName": pod_name,
            "podID": pod["metadata"]["uid"],
            operation.action: body.get(operation.params) or {},
        },
    }
    actions = registry.by_resource("actions")
    inner = Call(call.request, call.info, actions, call.user, call.tenant, call.params, call.accept)
    locate_action(inner, action)
    if operation.power_spec:
        await _want_power(call, writer, record.key, operation.power_spec)
    created = (await writer.create(inner, action)).record
    return Response(
        201,
        dumps(
            {
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {"resourceVersion": str(created.revision)},
                "status": "Success",
                "message": f"Created action '{word}' for Pod '{pod_name}'",
                "details": {"name": created.key.name, "kind": "actions", "uid": created.header.uid},
                "code": 201,
            }
        ),
    )


def locate_action(call: Call, action: Obj) -> None:
    """Puts the Action beside its pod. The call's path names the pod, not the Action."""
    action["metadata"] |= {"namespace": call.info.namespace, "tenant": call.tenant}


def _check_state(pod: Obj, operation: Operation) -> None:
    name = pod["metadata"]["name"]
    if pod["metadata"].get("deletionTimestamp"):
        raise conflict("pods", name, "it is being deleted")
    if not pod["spec"].get("nodeName"):
        raise conflict("pods", name, "it is not on a node yet")
    power = ((pod.get("status") or {}).get("virtualMachineStatus") or {}).get("powerState") or "nostate"
    if operation.from_power and power not in operation.from_power:
        raise conflict("pods", name, f"cannot {operation.name} a virtual machine whose power state is {power}")


async def _want_power(call: Call, writer: Writer, key: Key, power: str) -> None:
    def change(pod: Obj) -> Obj:
        machine = pod["spec"]["virtualMachine"]
        if machine.get("powerSpec") != power:
            machine["powerSpec"] = power
            pod["metadata"]["generation"] = int(pod["metadata"].get("generation") or 0) + 1
        return pod

    fence = conditions(call, writer.reader.store)
    await writer.amend(key, registry.by_resource("pods"), change, conditions=fence, dry_run=call.dry_run)
