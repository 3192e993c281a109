"""pods/binding: the scheduler's one write. Sets the node once, and the PodScheduled condition with it."""

from __future__ import annotations

from arktos.apiserver.bodies import read_object
from arktos.apiserver.call import Call
from arktos.apiserver.encoding import dumps, key_of, stamp
from arktos.apiserver.ranges import conditions
from arktos.apiserver.subresources.kinds import BINDING
from arktos.apiserver.verbs.create import locate
from arktos.apiserver.writes import Writer
from arktos.model import registry
from arktos.model.kinds import Obj
from arktos.model.status import FieldError, conflict, invalid
from arktos.store.records import Key
from arktos.wire.http import Response

_CREATED = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


async def bind(call: Call, writer: Writer) -> Response:
    """POST of a Binding to `pods/{name}/binding` or to `bindings`. Conflict for a pod that has a node or is going."""
    binding = read_object(call, BINDING)
    locate(call, BINDING, binding)
    target = binding.get("target") or {}
    node = target.get("name") or ""
    name = call.info.name or binding["metadata"].get("name") or ""
    causes = [] if name else [FieldError("metadata.name", "FieldValueRequired", "Required value")]
    if target.get("kind") not in {None, "", "Node"}:
        supported = f'Unsupported value: "{target["kind"]}": supported values: "Node", "<empty>"'
        causes.append(FieldError("target.kind", "FieldValueNotSupported", supported))
    if not node:
        causes.append(FieldError("target.name", "FieldValueRequired", "Required value"))
    if causes:
        raise invalid("", "Binding", name, causes)
    pods = registry.by_resource("pods")
    binding = await writer.admit_body(call, pods, BINDING, binding)
    node = (binding.get("target") or {}).get("name") or node
    key = key_of(pods, call.tenant, call.info.namespace, name)
    await writer.amend(
        key,
        pods,
        lambda pod: _bound(key, pod, binding, node, writer.clock()),
        conditions=conditions(call, writer.reader.store),
        dry_run=call.dry_run,
    )
    return Response(201, dumps(_CREATED))


def _bound(key: Key, pod: Obj, binding: Obj, node: str, now: float) -> Obj:
    meta, spec = pod["metadata"], pod["spec"]
    wanted = binding["metadata"]
    if wanted.get("uid") and wanted["uid"] != meta["uid"]:
        raise conflict(
            key.resource,
            key.name,
            f"Precondition failed: UID in precondition: {wanted['uid']}, UID in object meta: {meta['uid']}",
        )
    if wanted.get("resourceVersion") and wanted["resourceVersion"] != meta["resourceVersion"]:
        raise conflict(
            key.resource, key.name, "the object has been modified; please apply your changes to the latest version"
        )
    if "deletionTimestamp" in meta:
        raise conflict(key.resource, key.name, f"pod {key.name} is being deleted, cannot be assigned to a host")
    if spec.get("nodeName"):
        raise conflict(key.resource, key.name, f"pod {key.name} is already assigned to node {spec['nodeName']!r}")
    if spec.get("schedulingGates"):
        raise conflict(key.resource, key.name, f"pod {key.name} has non-empty .spec.schedulingGates")
    spec["nodeName"] = node
    if wanted.get("annotations"):
        meta["annotations"] = {**(meta.get("annotations") or {}), **wanted["annotations"]}
    status = pod.setdefault("status", {})
    conditions = [c for c in status.get("conditions") or () if c.get("type") != "PodScheduled"]
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": stamp(now)}
    status["conditions"] = [*conditions, scheduled]
    return pod
