"""Slices of devices: their taints say since when they are there."""

from __future__ import annotations

from typing import Any

SLICES = "/apis/resource.k8s.io/v1/resourceslices"


def a_slice(*taints: dict[str, str], **meta: Any) -> dict[str, Any]:
    device = {"name": "gpu-0", "taints": [{"effect": "NoSchedule", **taint} for taint in taints]}
    pool = {"name": "n1", "generation": 1, "resourceSliceCount": 1}
    spec = {"driver": "gpus.example.com", "nodeName": "n1", "pool": pool, "devices": [device]}
    return {"metadata": {"name": "s", **meta}, "spec": spec}


def times(stored: dict[str, Any]) -> dict[str, str]:
    return {taint["key"]: taint["timeAdded"] for taint in stored["spec"]["devices"][0]["taints"]}


async def test_a_taint_gets_its_time_once(api: Any) -> None:
    told = "2026-01-01T00:00:00Z"
    hot, old = {"key": "example.com/hot"}, {"key": "example.com/old", "timeAdded": told}
    made = (await api.post(SLICES, a_slice(hot, old))).ok(201)
    first = times(made)
    assert first["example.com/old"] == told and first["example.com/hot"] == made["metadata"]["creationTimestamp"]
    again = a_slice(hot, {"key": "example.com/old"}, resourceVersion=made["metadata"]["resourceVersion"])
    same = (await api.put(f"{SLICES}/s", again)).ok()
    assert times(same) == first and same["metadata"]["generation"] == 1
    more = (await api.put(f"{SLICES}/s", a_slice(hot, {"key": "example.com/new"}))).ok()
    assert set(times(more)) == {"example.com/hot", "example.com/new"}
    assert times(more)["example.com/hot"] == first["example.com/hot"] and times(more)["example.com/new"] > told
