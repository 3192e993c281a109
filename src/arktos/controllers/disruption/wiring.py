"""From events to keys, and from a budget's pods to its status."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from arktos.client import Cached, Key
from arktos.client.cached import Owner
from arktos.controllers.actions import FAILURES, Patch, perform
from arktos.controllers.context import Context, Sharing, Unit
from arktos.controllers.disruption import reconcile
from arktos.controllers.freshness import OwnWrites
from arktos.controllers.pods import view
from arktos.model import dates, registry, selectors
from arktos.model.kinds import Obj
from arktos.model.status import Conflict, NotFound

NAME = "disruption"
BUDGET = registry.by_resource("poddisruptionbudgets.policy")


class Unreckonable(Exception):
    """A pod's workload wants no number of pods."""


class _Budgets:
    def __init__(self, context: Context) -> None:
        self.context = context
        self.budgets = context.mirror(BUDGET.resource)
        self.pods = context.mirror("pods")
        self.replicasets = context.mirror("replicasets.apps")
        self.recorder = context.recorder("controllermanager")
        self.writes = OwnWrites(self.budgets)

    def of_pod(self, pod: Cached) -> Iterable[Key]:
        """The budgets that a pod counts for."""
        for budget in self.budgets.by_index("namespace", f"{pod.tenant}/{pod.namespace}"):
            selector = (budget.obj().get("spec") or {}).get("selector")
            if selector is not None and selectors.from_label_selector(selector).matches_labels(pod.labels):
                yield budget.key

    async def reconcile(self, key: Key) -> float | None:
        cached = self.budgets.get(*key)
        if cached is None:
            self.writes.forget(key)
            return None
        if cached.deleting or not self.writes.seen(key):
            return None
        budget = cached.obj()
        matches = selectors.from_label_selector(budget["spec"].get("selector")).matches_labels
        covered = [pod for pod in self._pods(cached) if "selector" in budget["spec"] and matches(pod.labels)]
        views = [view(pod) for pod in covered]
        now = self.context.wall()
        text = dates.rfc3339(dates.from_unix(now))
        going, stayed, again = reconcile.disrupted(budget, views, now)
        for name in stayed:
            said = f"Pod was expected by PDB {key[1]}/{key[2]} to be deleted but it wasn't"
            self.recorder.event(next(pod for pod in covered if pod.name == name), "Warning", "NotDeleted", said)
        try:
            scale = await self._scale(covered) if reconcile.needs_scale(budget) else 0
        except Unreckonable as error:
            said = f"Failed to calculate the number of expected pods: {error}"
            self.recorder.event(budget, "Warning", "CalculateExpectedPodCountFailed", said)
            await self._report(cached, budget, reconcile.failed_status(budget, str(error), text))
            return again
        if not covered:
            self.recorder.event(budget, "Normal", "NoPods", "No matching pods found")
        counted = reconcile.count(budget, len([pod for pod in views if not pod.ended]), scale)
        alive = [pod for pod in views if not pod.ended]
        await self._report(cached, budget, reconcile.status_of(budget, alive, counted, going, text))
        return again

    def _pods(self, budget: Cached) -> list[Cached]:
        return self.pods.by_index("namespace", f"{budget.tenant}/{budget.namespace}")

    async def _scale(self, pods: Iterable[Cached]) -> int:
        """How many pods the workloads of these want. Unreckonable if one has no workload that says so."""
        found: dict[str, int] = {}
        for pod in pods:
            owner, place = pod.controller, (pod.tenant, pod.namespace)
            if owner is None:
                raise Unreckonable(f'found no controller ref for pod "{pod.name}"')
            if owner.uid in found:
                continue
            above = self._above(owner, place)
            if above.uid not in found:
                found[above.uid] = await self._wants(above, place)
            if above.uid != owner.uid:
                found[owner.uid] = 0
        return sum(found.values())

    def _above(self, owner: Owner, place: tuple[str, str]) -> Owner:
        """What decides: a ReplicaSet's Deployment, where it has one."""
        if owner.kind != "ReplicaSet":
            return owner
        replicaset = self.replicasets.get(*place, owner.name)
        managing = replicaset.controller if replicaset is not None else None
        return managing if managing is not None and managing.kind == "Deployment" else owner

    async def _wants(self, owner: Owner, place: tuple[str, str]) -> int:
        kind = registry.by_gvk(owner.api_version, owner.kind)
        tenant, namespace = place
        try:
            if kind is not None and "scale" in kind.subresources:
                told = await self.context.client.get(kind, owner.name, tenant=tenant, namespace=namespace)
                replicas = told["spec"].get("replicas")
                return 1 if replicas is None else int(replicas)
            if kind is None:
                return await self._custom_scale(owner, place)
        except NotFound:
            return 0
        raise Unreckonable(f"{owner.kind} {owner.name} does not implement the scale subresource")

    async def _custom_scale(self, owner: Owner, place: tuple[str, str]) -> int:
        tenant, namespace = place
        group, _, version = owner.api_version.rpartition("/")
        kind = self.context.custom.by_owner(tenant, owner.api_version, owner.kind)
        if kind is None:
            raise Unreckonable(f"{owner.kind} {owner.name} does not implement the scale subresource")
        name = quote(owner.name, safe="")
        path = f"/tenants/{tenant}/apis/{group}/{version}/namespaces/{namespace}/{kind.plural}/{name}/scale"
        try:
            scale = await self.context.client.request("GET", path)
        except FAILURES as error:
            raise Unreckonable(f"{owner.kind} {owner.name} does not implement the scale subresource") from error
        return int(scale["spec"].get("replicas") or 0)

    async def _report(self, cached: Cached, budget: Obj, status: Obj) -> None:
        if not reconcile.differs(budget.get("status"), status):
            return
        # An eviction that was allowed meanwhile has changed the status: then this one was reckoned without it.
        meta = {"uid": cached.uid, "resourceVersion": cached.resource_version}
        gone = dict.fromkeys((budget.get("status") or {}).get("disruptedPods") or {})
        body = {"metadata": meta, "status": {**status, "disruptedPods": {**gone, **status.get("disruptedPods", {})}}}
        try:
            patch = Patch(BUDGET, cached.key, body, subresource="status")
            self.writes.wrote(cached.key, await perform(self.context.client, patch))
        except NotFound:
            return
        except Conflict:
            # What changed it comes by our mirror, and with it the next try.
            return


def build(context: Context) -> Unit:
    work = _Budgets(context)
    controller = context.controller(NAME, work.reconcile)
    controller.watches(work.budgets)
    controller.watches(work.pods, work.of_pod)
    controller.needs(work.replicasets)

    def refresh() -> None:
        for budget in work.budgets.items():
            controller.enqueue(budget.key)

    parts = [work.budgets]
    return Unit([controller], refresh=refresh, sharing=Sharing.KEYS, primary=work.budgets, parts=parts)
