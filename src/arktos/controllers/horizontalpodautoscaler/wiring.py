"""From a clock and events to keys, and from proposals to the scale of the target."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote

from arktos.client import Cached, Key
from arktos.controllers import conditions
from arktos.controllers.actions import FAILURES, Patch, perform
from arktos.controllers.context import Context, Sharing, Unit
from arktos.controllers.freshness import OwnWrites
from arktos.controllers.horizontalpodautoscaler import behavior, metrics
from arktos.controllers.horizontalpodautoscaler.behavior import Memory, Step
from arktos.controllers.horizontalpodautoscaler.measuring import Away, Measuring
from arktos.controllers.horizontalpodautoscaler.metrics import Proposal, World
from arktos.controllers.horizontalpodautoscaler.replicas import TOLERANCE, Tolerances, Unmeasured
from arktos.model import dates, quantity, registry, selectors
from arktos.model.kinds import Obj
from arktos.model.status import NotFound

NAME = "horizontalpodautoscaler"
AUTOSCALER = registry.by_resource("horizontalpodautoscalers.autoscaling")
PERIOD = 15.0
"""Seconds between looks."""
_NO_SCALE = "the HPA controller was unable to get the target's current scale"


class Target(NamedTuple):
    """The scale of what is scaled: where it is, and what it says."""

    path: str
    shown: str
    scale: Obj

    @property
    def current(self) -> int:
        return int(self.scale["spec"].get("replicas") or 0)

    @property
    def selector(self) -> str:
        return str((self.scale.get("status") or {}).get("selector") or "")


class Stop(Exception):
    """Nothing can be decided. The condition, reason and message that say why, and what to tell."""

    def __init__(self, condition: str, reason: str, message: str, event: str = "") -> None:
        super().__init__(message)
        self.condition, self.reason, self.message, self.event = condition, reason, message, event or reason


class _Autoscalers:
    def __init__(self, context: Context) -> None:
        self.context = context
        self.autoscalers = context.mirror(AUTOSCALER.resource)
        self.pods = context.mirror("pods")
        self.recorder = context.recorder("horizontal-pod-autoscaler")
        self.writes = OwnWrites(self.autoscalers)
        self._memories: dict[str, Memory] = {}
        self._away = Away()

    async def reconcile(self, key: Key) -> float | None:
        cached = self.autoscalers.get(*key)
        if cached is None:
            self.writes.forget(key)
            return None
        if cached.deleting or not self.writes.seen(key):
            return None
        autoscaler = cached.obj()
        now = self.context.wall()
        report = _Report(autoscaler, dates.rfc3339(dates.from_unix(now)))
        try:
            await self._scale(cached, autoscaler, report, now)
        except Stop as stop:
            report.put(stop.condition, "False", stop.reason, stop.message)
            self.recorder.event(autoscaler, "Warning", stop.event, stop.message)
        await self._write(cached, autoscaler, report.status)
        return PERIOD

    async def _scale(self, cached: Cached, autoscaler: Obj, report: _Report, now: float) -> None:
        target = await self._target(cached, autoscaler)
        report.put(
            "AbleToScale", "True", "SucceededGetScale", "the HPA controller was able to get the target's current scale"
        )
        report.status["currentReplicas"] = report.status["desiredReplicas"] = target.current
        spec = autoscaler["spec"]
        least = 1 if spec.get("minReplicas") is None else int(spec["minReplicas"])
        most = int(spec["maxReplicas"])
        memory = self._memories.setdefault(cached.uid, Memory([(now, target.current)]))
        if target.current == 0 and least != 0:
            said = "scaling is disabled since the replica count of the target is zero"
            report.put("ScalingActive", "False", "ScalingDisabled", said)
            return
        wanted, reason = await self._wanted(cached, autoscaler, target, report, memory, (least, most), now)
        report.status["desiredReplicas"] = wanted
        if wanted == target.current:
            return
        await self._rescale(autoscaler, target, wanted, reason, report)
        memory.changes.append((now, wanted - target.current))
        report.status["lastScaleTime"] = report.text

    async def _wanted(
        self,
        cached: Cached,
        autoscaler: Obj,
        target: Target,
        report: _Report,
        memory: Memory,
        bounds: tuple[int, int],
        now: float,
    ) -> tuple[int, str]:
        """How many replicas there shall be now, and why."""
        least, most = bounds
        if target.current > most:
            return most, "Current number of replicas above Spec.MaxReplicas"
        if target.current < least:
            return least, "Current number of replicas below Spec.MinReplicas"
        best, entries = await self._best(cached, autoscaler, target, now)
        report.status["currentMetrics"] = entries
        said = f"the HPA was able to successfully calculate a replica count from {best.name}"
        report.put("ScalingActive", "True", "ValidMetricFound", said)
        step = behavior.step(autoscaler, memory, target.current, best.replicas, least, most, now)
        report.limits(step)
        above = f"{best.name} above target"
        return step.replicas, above if step.replicas > target.current else "All metrics below target"

    async def _target(self, cached: Cached, autoscaler: Obj) -> Target:
        reference = autoscaler["spec"]["scaleTargetRef"]
        version, kind_name, name = reference.get("apiVersion") or "v1", reference["kind"], reference["name"]
        kind = registry.by_gvk(version, kind_name) or self.context.custom.by_owner(cached.tenant, version, kind_name)
        shown = f"{kind_name}/{cached.namespace}/{name}"
        if kind is None:
            raise Stop("AbleToScale", "FailedGetScale", f'{_NO_SCALE}: no matches for kind "{kind_name}"')
        root = f"apis/{kind.group}/{version.rpartition('/')[2]}" if kind.group else f"api/{kind.version}"
        path = (
            f"/tenants/{cached.tenant}/{root}/namespaces/{cached.namespace}/{kind.plural}/{quote(name, safe='')}/scale"
        )
        try:
            return Target(path, shown, await self.context.client.request("GET", path))
        except FAILURES as error:
            raise Stop("AbleToScale", "FailedGetScale", f"{_NO_SCALE}: {error}") from error

    async def _best(self, cached: Cached, autoscaler: Obj, target: Target, now: float) -> tuple[Proposal, list[Obj]]:
        """The largest proposal, and the entries of all that could be had. Stop where there is none, or where one that
        is missing might have kept what the others would take away."""
        if not target.selector:
            said = "the HPA target's scale is missing a selector"
            raise Stop("ScalingActive", "InvalidSelector", said, "SelectorRequired")
        matches = selectors.parse_labels(target.selector).matches_labels
        around = self.pods.by_index("namespace", f"{cached.tenant}/{cached.namespace}")
        pods = [pod.obj() for pod in around if matches(pod.labels)]
        measuring = Measuring(self.context.client, cached.tenant, cached.namespace, self._away)
        world = World(measuring, pods, target.selector, target.current, _tolerances(autoscaler), now)
        told = autoscaler["spec"].get("metrics") or ()
        found: list[Proposal] = []
        first: Stop | None = None
        missing = 0
        for metric in told:
            try:
                found.append(await metrics.propose(metric, world))
            except Unmeasured as error:
                missing += 1
                reason = metrics.REASONS.get(metric["type"], "InvalidMetricSourceType")
                first = first or Stop("ScalingActive", reason, _failed(metric, error))
        best = max(found, key=lambda each: each.replicas, default=None)
        if best is None or (first is not None and best.replicas < target.current):
            if first is None:
                raise Stop("ScalingActive", "InvalidMetricSourceType", "the HPA has no metrics")
            said = f"invalid metrics ({missing} invalid out of {len(told)}), first error is: {first.message}"
            self.recorder.event(autoscaler, "Warning", "FailedComputeMetricsReplicas", said)
            raise first
        return best, [each.status for each in found]

    async def _rescale(self, autoscaler: Obj, target: Target, wanted: int, reason: str, report: _Report) -> None:
        scale = {**target.scale, "spec": {**target.scale["spec"], "replicas": wanted}}
        said = f"New size: {wanted}; reason: {reason}"
        try:
            await self.context.client.request("PUT", target.path, scale)
        except FAILURES as error:
            text = f"the HPA controller was unable to update the target scale: {error}"
            report.put("AbleToScale", "False", "FailedUpdateScale", text)
            self.recorder.event(autoscaler, "Warning", "FailedRescale", f"{said}; error: {error}")
            raise
        text = f"the HPA controller was able to update the target scale to {wanted}"
        report.put("AbleToScale", "True", "SucceededRescale", text)
        self.recorder.event(autoscaler, "Normal", "SuccessfulRescale", said)

    async def _write(self, cached: Cached, autoscaler: Obj, status: Obj) -> None:
        old = autoscaler.get("status") or {}
        if all((old.get(name) or None) == (value or None) for name, value in status.items()):
            return
        meta = {"uid": cached.uid, "resourceVersion": cached.resource_version}
        try:
            patch = Patch(AUTOSCALER, cached.key, {"metadata": meta, "status": status}, subresource="status")
            self.writes.wrote(cached.key, await perform(self.context.client, patch))
        except NotFound:
            return

    def forget(self, old: Cached | None, new: Cached | None) -> None:
        """An autoscaler that has gone takes its memory along."""
        if new is None and old is not None:
            self._memories.pop(old.uid, None)


class _Report:
    """The status that is being made."""

    def __init__(self, autoscaler: Obj, text: str) -> None:
        self.text = text
        self.status: Obj = dict(autoscaler.get("status") or {})

    def put(self, type: str, value: str, reason: str, message: str) -> None:
        put = conditions.put(self.status.get("conditions"), type, value, reason, message, self.text)
        self.status["conditions"] = put

    def limits(self, step: Step) -> None:
        """What the rules for speed and steadiness made of a proposal."""
        if step.steadied == "ScaleUpStabilized":
            said = "recent recommendations were lower than current one, applying the lowest recent recommendation"
            self.put("AbleToScale", "True", step.steadied, said)
        elif step.steadied:
            said = "recent recommendations were higher than current one, applying the highest recent recommendation"
            self.put("AbleToScale", "True", step.steadied, said)
        else:
            self.put("AbleToScale", "True", "ReadyForNewScale", "recommended size matches current size")
        if step.limited is None:
            said = "the desired count is within the acceptable range"
            self.put("ScalingLimited", "False", "DesiredWithinRange", said)
        else:
            self.put("ScalingLimited", "True", *step.limited)


def _failed(metric: Obj, error: Unmeasured) -> str:
    what = {
        "Resource": lambda: f"{metric['resource']['name']} resource utilization",
        "ContainerResource": lambda: f"{metric['containerResource']['name']} container resource utilization",
        "Pods": lambda: f"pods metric {metric['pods']['metric']['name']}",
        "Object": lambda: f"object metric {metric['object']['metric']['name']}",
        "External": lambda: f"external metric {metric['external']['metric']['name']}",
    }
    name = what[metric["type"]]() if metric["type"] in what else metric["type"]
    return f"the HPA was unable to compute the replica count: failed to get {name}: {error}"


def _tolerances(autoscaler: Obj) -> Tolerances:
    def told(direction: str) -> float:
        rule = (autoscaler["spec"].get("behavior") or {}).get(direction) or {}
        return quantity.parse(str(rule["tolerance"])).milli / 1000 if rule.get("tolerance") is not None else TOLERANCE

    return Tolerances(told("scaleUp"), told("scaleDown"))


def _settings_changed(old: Cached | None, new: Cached | None) -> bool:
    # Our own statuses are no reason to look again before it is time.
    return old is None or new is None or old.obj()["spec"] != new.obj()["spec"]


def build(context: Context) -> Unit:
    work = _Autoscalers(context)
    controller = context.controller(NAME, work.reconcile, workers=16)
    controller.watches(work.autoscalers, when=_settings_changed).needs(work.pods)
    work.autoscalers.add_handler(work.forget)

    def refresh() -> None:
        for autoscaler in work.autoscalers.items():
            controller.enqueue(autoscaler.key)

    parts = [work.autoscalers]
    return Unit([controller], refresh=refresh, sharing=Sharing.KEYS, primary=work.autoscalers, parts=parts)
