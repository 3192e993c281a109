"""Resources in the kernel's units."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.spec.pods import FACTS, container, pod, resources
from arktos.agent.spec.resources import (
    linux_resources,
    oom_score_adj,
    overhead_resources,
    pod_resources,
    quota,
    shares,
    shares_of,
    weight,
)

MILLI = st.integers(0, 10_000_000)


@given(MILLI, MILLI)
def test_shares_grow_with_cpu_within_the_kernels_bounds(one: int, other: int) -> None:
    assert 2 <= shares(one) <= 262_144
    if one <= other:
        assert shares(one) <= shares(other)
    if 2 <= one <= 256_000:
        assert abs(shares(one) - one * 1.024) < 1


@given(MILLI, st.integers(1000, 1_000_000))
def test_quotas_are_exact_down_to_a_millisecond(milli: int, period: int) -> None:
    found = quota(milli, period)
    assert (found == 0) == (milli == 0)
    if milli:
        assert found == max(1000, milli * period // 1000)


@given(st.integers(-5, 300_000))
def test_weights_cover_their_range(given_shares: int) -> None:
    assert 1 <= weight(given_shares) <= 10_000
    assert weight(given_shares) <= weight(given_shares + 1)


@given(st.integers(1, 10_000))
def test_shares_of_a_weight_have_that_weight(given_weight: int) -> None:
    assert weight(shares_of(given_weight)) == given_weight
    assert given_weight == 1 or weight(shares_of(given_weight) - 1) == given_weight - 1


def test_known_conversions() -> None:
    assert [shares(milli) for milli in (0, 1, 2, 100, 1000, 1500)] == [2, 2, 2, 102, 1024, 1536]
    assert [quota(milli) for milli in (0, 1, 5, 10, 500, 1000, 2500)] == [0, 1000, 1000, 1000, 50_000, 100_000, 250_000]
    assert [weight(value) for value in (2, 1024, 262_144)] == [1, 39, 10_000]


def test_a_container_with_requests_and_limits() -> None:
    holder = container(**resources({"cpu": "250m", "memory": "64Mi"}, {"cpu": "1", "memory": "128Mi"}))
    made = linux_resources(pod(holder), holder, FACTS)
    assert (made.cpu_shares, made.cpu_quota, made.cpu_period) == (256, 100_000, 100_000)
    assert made.memory_limit_in_bytes == 128 << 20
    assert made.oom_score_adj == 1000 - 1000 * (64 << 20) // (8 << 30)
    assert not made.unified and not made.memory_swap_limit_in_bytes


def test_a_limit_stands_for_a_request_that_is_not_there() -> None:
    holder = container(resources={"limits": {"cpu": "2"}})
    assert linux_resources(pod(holder), holder, FACTS).cpu_shares == 2048


def test_version_2_and_swap_and_huge_pages() -> None:
    holder = container(resources={"limits": {"memory": "1Gi", "hugepages-2Mi": "4Mi"}})
    facts = replace(FACTS, cgroup_v2=True, swap_limits=True, huge_page_sizes=("2Mi", "1Gi"))
    made = linux_resources(pod(holder), holder, facts)
    assert made.unified == {"memory.oom.group": "1"}
    assert made.memory_swap_limit_in_bytes == made.memory_limit_in_bytes == 1 << 30
    assert [(each.page_size, each.limit) for each in made.hugepage_limits] == [("2MB", 4 << 20), ("1GB", 0)]


def test_the_pods_resources_decide_what_a_container_leaves_open() -> None:
    whole = {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"cpu": "2", "memory": "4Gi"}}
    one, two = container("one"), container("two", **resources({"memory": "1Gi"}, {"cpu": "500m"}))
    described = pod(one, two, resources=whole)
    bare = linux_resources(described, one, FACTS)
    assert (bare.cpu_shares, bare.cpu_quota, bare.memory_limit_in_bytes) == (1024, 200_000, 4 << 30)
    own = linux_resources(described, two, FACTS)
    assert (own.cpu_quota, own.memory_limit_in_bytes) == (50_000, 4 << 30)
    # 1 GiB is asked for beyond the containers' own: half of it for each.
    assert own.oom_score_adj == 1000 - 1000 * ((1 << 30) + (1 << 29)) // (8 << 30)


GUARANTEED: dict[str, Any] = resources({"cpu": "1", "memory": "1Gi"}, {"cpu": "1", "memory": "1Gi"})


@pytest.mark.parametrize(
    ("described", "score"),
    [
        (pod(container(**GUARANTEED)), -997),
        (pod(container()), 1000),
        (pod(container(**resources({"memory": "8Gi"}))), 3),
        (pod(container(**resources({"memory": "1"}))), 999),
        (pod(container(**resources({"memory": "4Gi"}))), 500),
        (pod(container(), priority=2_000_001_000), -997),
    ],
)
def test_oom_scores(described: dict[str, Any], score: int) -> None:
    assert oom_score_adj(described, described["spec"]["containers"][0], FACTS) == score


def test_a_sidecar_is_not_killed_before_those_it_serves() -> None:
    sidecar = container("proxy", restartPolicy="Always")
    described = pod(container(**resources({"memory": "4Gi"})), initContainers=[sidecar])
    assert oom_score_adj(described, sidecar, FACTS) == 500


def test_a_score_that_the_kernel_refuses_is_clamped() -> None:
    holder = container(**GUARANTEED)
    assert linux_resources(pod(holder), holder, replace(FACTS, lowest_oom_score_adj=0)).oom_score_adj == 0


def test_a_vm_has_what_it_states_or_the_runtimes_default() -> None:
    bare = {"metadata": {"name": "v", "uid": "u"}, "spec": {"virtualMachine": {"name": "v", "image": "i"}}}
    made = linux_resources(bare, bare["spec"]["virtualMachine"], FACTS)
    assert (made.cpu_quota, made.memory_limit_in_bytes) == (100_000, 1 << 30)
    machine = {"name": "v", **resources({"cpu": "2", "memory": "3Gi"}, {"memory": "4Gi"})}
    stated = {"metadata": {"name": "v", "uid": "u"}, "spec": {"virtualMachine": machine}}
    made = linux_resources(stated, machine, FACTS)
    assert (made.cpu_quota, made.memory_limit_in_bytes) == (200_000, 4 << 30)


def test_the_sandbox_has_the_sum_and_the_overhead_apart() -> None:
    each = resources({"cpu": "100m"}, {"cpu": "200m", "memory": "64Mi"})
    described = pod(container("a", **each), container("b", **each), overhead={"cpu": "50m", "memory": "16Mi"})
    total = pod_resources(described)
    assert (total.cpu_shares, total.cpu_quota, total.memory_limit_in_bytes) == (204, 40_000, 128 << 20)
    overhead = overhead_resources(described)
    assert overhead is not None and (overhead.cpu_quota, overhead.memory_limit_in_bytes) == (5000, 16 << 20)
    assert overhead_resources(pod()) is None
