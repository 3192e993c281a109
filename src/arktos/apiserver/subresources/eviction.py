"""pods/eviction: a delete that asks the disruption budgets first (policy/v1)."""

from __future__ import annotations

from arktos.apiserver.bodies import read_object
from arktos.apiserver.call import Call
from arktos.apiserver.encoding import decode, dumps, key_of, stamp
from arktos.apiserver.ranges import conditions
from arktos.apiserver.subresources.kinds import EVICTION
from arktos.apiserver.verbs.create import locate
from arktos.apiserver.verbs.delete import check_preconditions, parse_options, remove
from arktos.apiserver.writes import Writer
from arktos.model import registry
from arktos.model.kinds import Obj
from arktos.model.selectors import from_label_selector
from arktos.model.status import FieldError, InternalError, TooManyRequests, conflict, not_found
from arktos.store.records import Query, Record
from arktos.wire.http import Response


async def evict(call: Call, writer: Writer) -> Response:
    """Deletes the pod if its budgets allow; TooManyRequests with cause DisruptionBudget otherwise."""
    body = read_object(call, EVICTION)
    locate(call, EVICTION, body)
    pods = registry.by_resource("pods")
    key = key_of(pods, call.tenant, call.info.namespace, call.info.name)
    record = writer.reader.get(key)
    if record is None:
        raise not_found("pods", call.info.name)
    body = await writer.admit_body(call, pods, EVICTION, body)
    options = parse_options(body.get("deleteOptions") or {}, call.dry_run)
    pod = decode(record)
    check_preconditions(key, pod, options)
    if not _is_finished(pod):
        await _spend_budget(call, writer, record, options.dry_run)
    await remove(call, writer, key, options)
    return Response(
        201, dumps({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})
    )


def _is_finished(pod: Obj) -> bool:
    """Pods that no budget counts: not yet started, done, or already going."""
    phase = (pod.get("status") or {}).get("phase")
    return phase in {"Succeeded", "Failed", "Pending"} or "deletionTimestamp" in pod["metadata"]


async def _spend_budget(call: Call, writer: Writer, pod: Record, dry_run: bool) -> None:
    budgets = registry.by_resource("poddisruptionbudgets.policy")
    page = writer.reader.list(Query(budgets.resource, pod.key.tenant, pod.key.namespace))
    covering = []
    for record in page.records:
        selector = (decode(record).get("spec") or {}).get("selector")
        if selector is not None and _covers(selector, pod):
            covering.append(record)
    if len(covering) > 1:
        raise InternalError(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        )
    for record in covering:
        if dry_run:
            _spent(decode(record), pod.key.name, writer.clock())
        else:
            fence = conditions(call, writer.reader.store)
            await writer.amend(record.key, budgets, lambda b: _spent(b, pod.key.name, writer.clock()), conditions=fence)


def _covers(selector: Obj, pod: Record) -> bool:
    return from_label_selector(selector).matches(pod.key.tenant, pod.key.namespace, pod.key.name, pod.header)


def _spent(budget: Obj, pod: str, now: float) -> Obj:
    meta, status = budget["metadata"], dict(budget.get("status") or {})
    allowed = int(status.get("disruptionsAllowed") or 0)
    observed = int(status.get("observedGeneration") or 0)
    if observed < int(meta.get("generation") or 0):
        error = TooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", retry_after=10)
        why = f"The disruption budget {meta['name']} is still being processed by the server."
    elif allowed < 0:
        raise conflict("poddisruptionbudgets.policy", meta["name"], "pdb disruptions allowed is negative")
    elif len(status.get("disruptedPods") or {}) > 2000:
        raise conflict(
            "poddisruptionbudgets.policy",
            meta["name"],
            "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
        )
    elif allowed == 0:
        error = TooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.")
        needs, has = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
        why = f"The disruption budget {meta['name']} needs {needs} healthy pods and has {has} currently"
    else:
        status["disruptionsAllowed"] = allowed - 1
        status["disruptedPods"] = {**(status.get("disruptedPods") or {}), pod: stamp(now)}
        return {**budget, "status": status}
    error.causes = (FieldError("", "DisruptionBudget", why),)
    raise error
