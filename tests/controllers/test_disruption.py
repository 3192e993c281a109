"""What a disruption budget allows, case by case."""

from __future__ import annotations

from typing import Any

import pytest

from arktos.controllers.disruption.reconcile import count, differs, disrupted, needs_scale, status_of
from arktos.controllers.pods import PodView
from arktos.model import dates

NOW = dates.unix("2026-01-01T00:10:00Z")
TEXT = "2026-01-01T00:10:00Z"
Obj = dict[str, Any]


def budget(disrupted: dict[str, str] | None = None, **spec: Any) -> Obj:
    return {"metadata": {"name": "b", "generation": 2}, "spec": spec, "status": {"disruptedPods": disrupted or {}}}


def pod(name: str, ready: bool = True, **facts: Any) -> PodView:
    return PodView(name, f"u-{name}", {}, phase="Running", ready_at=NOW - 60 if ready else None, **facts)


@pytest.mark.parametrize(
    ("spec", "pods", "scale", "counted"),
    [
        ({"minAvailable": 2}, 5, 0, (5, 2)),
        ({}, 5, 0, (5, 1)),
        ({"minAvailable": "50%"}, 3, 5, (5, 3)),
        ({"maxUnavailable": 1}, 3, 5, (5, 4)),
        ({"maxUnavailable": "30%"}, 3, 10, (10, 7)),
        ({"maxUnavailable": "100%"}, 3, 10, (10, 0)),
        ({"maxUnavailable": 7}, 3, 5, (5, 0)),
    ],
)
def test_how_many_must_stay(spec: Obj, pods: int, scale: int, counted: tuple[int, int]) -> None:
    found = count(budget(**spec), pods, scale)
    assert (found.wanted, found.healthy) == counted
    assert needs_scale(budget(**spec)) == bool(scale)


def allowed(pods: list[PodView], going: dict[str, str] | None = None, **spec: Any) -> Obj:
    owner = budget(**spec)
    return status_of(owner, pods, count(owner, len(pods), len(pods)), going or {}, TEXT)


def test_healthy_pods_beyond_what_must_stay_may_go() -> None:
    found = allowed([pod("a"), pod("b"), pod("c", ready=False)], minAvailable=1)
    assert (found["disruptionsAllowed"], found["currentHealthy"], found["expectedPods"]) == (1, 2, 3)
    assert found["conditions"][0]["reason"] == "SufficientPods"
    none = allowed([pod("a"), pod("b", deleting=True)], minAvailable=1)
    assert none["disruptionsAllowed"] == 0 and none["conditions"][0]["reason"] == "InsufficientPods"
    assert allowed([], maxUnavailable=1)["disruptionsAllowed"] == 0


def test_an_evicted_pod_counts_no_longer_and_is_remembered_until_it_goes() -> None:
    at = "2026-01-01T00:09:00Z"
    pods = [pod("a"), pod("b"), pod("c", deleting=True)]
    told = {"a": at, "c": at, "gone": at, "b": "2026-01-01T00:07:00Z"}
    going, stayed, again = disrupted(budget(told), pods, NOW)
    assert going == {"a": at} and stayed == ["b"] and again == 60
    assert allowed(pods, going, minAvailable=0)["currentHealthy"] == 1


def test_a_status_is_written_when_it_says_something_new() -> None:
    found = allowed([pod("a")], minAvailable=1)
    assert differs({}, found) and not differs(found, found)
