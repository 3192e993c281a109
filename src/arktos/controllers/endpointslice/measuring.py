"""The numbers of slices, under Kubernetes' names."""

from __future__ import annotations

from collections.abc import Sequence

from arktos.client import Key
from arktos.controllers.endpointslice.content import Group
from arktos.controllers.endpointslice.reconcile import PER_SLICE, Plan
from arktos.controllers.metrics import Metrics

_COUNTS = tuple(float(2**power) for power in range(1, 16))


class Measures:
    """Of one manager: `prefix` is `endpoint_slice_controller` or `endpoint_slice_mirroring_controller`."""

    def __init__(self, declare: Metrics, prefix: str) -> None:
        self._held: dict[Key, tuple[int, int, int]] = {}
        self._totals = [0, 0, 0]
        self._changes = declare.counter(f"{prefix}_changes", "Number of EndpointSlice changes", "operation")
        self._added = declare.histogram(
            f"{prefix}_endpoints_added_per_sync", "Number of endpoints added on each Service sync", bounds=_COUNTS
        )
        self._removed = declare.histogram(
            f"{prefix}_endpoints_removed_per_sync", "Number of endpoints removed on each Service sync", bounds=_COUNTS
        )
        self._gauges = [
            declare.gauge(f"{prefix}_endpoints_desired", "Number of endpoints desired"),
            declare.gauge(f"{prefix}_num_endpoint_slices", "Number of EndpointSlices"),
            declare.gauge(
                f"{prefix}_desired_endpoint_slices",
                "Number of EndpointSlices that would exist with perfect endpoint allocation",
            ),
        ]

    def synced(self, key: Key, wanted: Sequence[Group], before: int, plan: Plan) -> None:
        """One service was brought to what is wanted; it had so many slices before."""
        for operation, done in (("create", plan.create), ("update", plan.update), ("delete", plan.delete)):
            if done:
                self._changes.add(operation, by=len(done))
        self._added.add(plan.added)
        self._removed.add(plan.removed)
        endpoints = sum(len(group.endpoints) for group in wanted)
        best = sum(-(-len(group.endpoints) // PER_SLICE) for group in wanted)
        slices = before + len(plan.create) - len(plan.delete)
        self._hold(key, (endpoints, slices, best or min(slices, 1)))

    def forget(self, key: Key) -> None:
        if key in self._held:
            self._hold(key, (0, 0, 0))
            del self._held[key]

    def _hold(self, key: Key, now: tuple[int, int, int]) -> None:
        before = self._held.get(key, (0, 0, 0))
        self._held[key] = now
        for place, gauge in enumerate(self._gauges):
            self._totals[place] += now[place] - before[place]
            gauge.set(self._totals[place])
