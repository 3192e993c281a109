"""Objects are counted as they come, change and go."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from arktos.client import Cached, Informer
from arktos.controllers.context import Context
from arktos.controllers.measures import Measures
from arktos.controllers.persistentvolume.measuring import Measuring, claim_labels, plugin_of, volume_labels
from arktos.controllers.population import Population
from arktos.model import registry

VOLUME = registry.by_resource("persistentvolumes")


class Mirror:
    """Tells its handler what it is told."""

    def __init__(self) -> None:
        self.known: dict[str, Cached] = {}
        self.handler: Any = None

    def add_handler(self, handler: Any) -> None:
        self.handler = handler

    def put(self, name: str, phase: str) -> None:
        body = {"metadata": {"name": name, "tenant": "t"}, "spec": {}, "status": {"phase": phase}}
        new = Cached.from_raw(VOLUME, msgspec.json.encode(body))
        self.handler(self.known.get(name), new)
        self.known[name] = new

    def drop(self, name: str) -> None:
        if name in self.known:
            self.handler(self.known.pop(name), None)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["Bound", "Available", ""]))))
def test_the_count_is_what_is_there(steps: list[tuple[str, str]]) -> None:
    mirror = Mirror()
    counted = Population(cast(Informer, mirror), volume_labels)
    for name, phase in steps:
        if phase:
            mirror.put(name, phase)
        else:
            mirror.drop(name)
    left = [each.obj()["status"]["phase"] for each in mirror.known.values()]
    bound, unbound = left.count("Bound"), left.count("Available")
    assert sum(count for _, count in counted.of("bound")) == bound
    assert dict(counted.of("unbound")) == ({("",): unbound} if unbound else {})


def test_what_volumes_and_claims_count_as() -> None:
    volume = {"metadata": {}, "spec": {"csi": {"driver": "d"}, "storageClassName": "fast", "volumeMode": "Block"}}
    assert list(volume_labels(volume)) == [("unbound", ("fast",)), ("total", ("kubernetes.io/csi:d", "Block"))]
    assert plugin_of({"spec": {"hostPath": {}}}) == "N/A"
    claim = {
        "metadata": {"namespace": "ns"},
        "spec": {"storageClassName": "fast", "volumeAttributesClassName": "gold"},
        "status": {"phase": "Bound"},
    }
    assert list(claim_labels(claim)) == [("bound", ("ns", "fast", "gold"))]


async def test_only_who_is_at_work_tells_how_many_there_are() -> None:
    claims, volumes, measures = Mirror(), Mirror(), Measures()
    context = cast(Context, SimpleNamespace(metrics=measures))
    measuring = Measuring(context, cast(Informer, claims), cast(Informer, volumes))
    volumes.put("a", "Bound")

    def told() -> dict[str, float]:
        return {sample.name: sample.value for each in measures.declared() for sample in each.samples}

    assert not told()
    work = asyncio.create_task(measuring.run())
    await asyncio.sleep(0)
    assert told() == {"pv_collector_bound_pv_count": 1.0, "pv_collector_total_pv_count": 1.0}
    measuring.began("provision", "x")
    measuring.ended("provision", "x", "p")
    measuring.ended("provision", "never-began", "p")
    measuring.failed("delete", "p")
    found = told()
    assert found["volume_operation_total_seconds_count"] == 1.0 and found["volume_operation_total_errors"] == 1.0
    work.cancel()
    await asyncio.wait([work])
    assert "pv_collector_bound_pv_count" not in told()
