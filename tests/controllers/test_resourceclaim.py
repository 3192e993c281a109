"""Claims to devices: what pods and claims mean to each other."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arktos.controllers.resourceclaim import facts

Obj = dict[str, Any]
RESULT = {"devices": {"results": [{"request": "one", "driver": "d", "pool": "p", "device": "g0"}]}}


def a_pod(uid: str = "p1", phase: str = "Pending", node: str = "", deleting: bool = False) -> Obj:
    meta = {"name": "web", "namespace": "default", "tenant": "acme", "uid": uid}
    if deleting:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    used = [{"name": "own", "resourceClaimTemplateName": "gpu"}, {"name": "ours", "resourceClaimName": "shared"}]
    spec = {"resourceClaims": used} | ({"nodeName": node} if node else {})
    return {"metadata": meta, "spec": spec, "status": {"phase": phase}}


def a_claim(*consumers: str, allocated: bool = True, protected: bool = True, deleting: bool = False) -> Obj:
    meta: Obj = {"name": "shared"}
    if protected:
        meta["finalizers"] = ["other", facts.FINALIZER]
    if deleting:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    status: Obj = {"allocation": RESULT} if allocated else {}
    if consumers:
        status["reservedFor"] = [{"resource": "pods", "name": each, "uid": each} for each in consumers]
    return {"metadata": meta, "status": status}


def test_a_pod_uses_the_claims_that_it_names_and_those_that_were_made_for_it() -> None:
    pod = a_pod()
    assert list(facts.named(pod)) == ["shared"]
    pod["status"]["resourceClaimStatuses"] = [{"name": "own", "resourceClaimName": "web-own-x"}]
    pod["status"]["extendedResourceClaimStatus"] = {"resourceClaimName": "web-extended"}
    assert list(facts.named(pod)) == ["web-own-x", "shared", "web-extended"]
    pod["status"]["resourceClaimStatuses"] = [{"name": "own"}]
    assert facts.recorded(pod) == {"own": None}


@pytest.mark.parametrize(
    ("pod", "is_done"),
    [
        (a_pod(), False),
        (a_pod(phase="Running", node="n", deleting=True), False),
        (a_pod(deleting=True), True),
        (a_pod(phase="Succeeded", node="n"), True),
        (a_pod(phase="Failed"), True),
    ],
)
def test_a_pod_is_done_when_it_has_ended_or_was_deleted_without_a_node(pod: Obj, is_done: bool) -> None:
    assert facts.done(pod) is is_done


@given(st.text("abc-", min_size=1, max_size=253), st.text("abc-", min_size=1, max_size=63))
def test_a_name_leaves_room_for_what_is_drawn(pod: str, claim: str) -> None:
    made = facts.generate_name(pod, claim)
    assert len(made) <= 57 and pod[:1] == made[:1]
    assert made == f"{pod}-{claim}-" or len(f"{pod}-{claim}-") > 57


def test_a_template_makes_a_claim_that_is_found_again() -> None:
    shape = {"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}, "spec": {"devices": {}}}
    claim = facts.from_template(a_pod(), "own", {"spec": shape})
    assert claim["metadata"]["generateName"] == "web-own-" and claim["spec"] == {"devices": {}}
    assert claim["metadata"]["labels"] == {"a": "b"}
    assert claim["metadata"]["annotations"] == {"c": "d", "resource.kubernetes.io/pod-claim-name": "own"}
    claim["metadata"]["name"] = "web-own-x"
    assert facts.owner(claim) == ("web", "p1")
    assert facts.made_for([claim], "p1", "own") == "web-own-x"
    assert facts.made_for([claim], "p1", "more") is None and facts.made_for([claim], "p2", "own") is None


def test_a_claim_is_reserved_once_and_only_when_it_is_allocated() -> None:
    reserved = facts.reserved_for(a_claim("p0"), a_pod())
    assert reserved is not None and [each["uid"] for each in facts.consumers(reserved)] == ["p0", "p1"]
    assert facts.reserved_for(a_claim("p1"), a_pod()) is None
    assert facts.reserved_for(a_claim(allocated=False), a_pod()) is None
    assert facts.reserved_for(a_claim(*map(str, range(256))), a_pod()) is None


def test_with_the_last_consumer_the_allocation_goes() -> None:
    claim = a_claim("a", "b")
    assert facts.released(claim, facts.consumers(claim)) is None
    fewer = facts.released(claim, facts.consumers(claim)[:1])
    assert fewer is not None and fewer["status"]["allocation"] == RESULT
    none = facts.released(claim, [])
    assert none is not None and none["status"] == {}
    foreign = facts.released(a_claim("a", protected=False), [])
    assert foreign is not None and foreign["status"] == {"allocation": RESULT}
    assert facts.released(a_claim(), []) is None, "what nobody has used yet stays allocated"
    deleted = facts.released(a_claim(deleting=True), [])
    assert deleted is not None and deleted["status"] == {}


def test_the_finalizer_goes_with_the_allocation() -> None:
    free = facts.unprotected(a_claim(allocated=False), left=True)
    assert free is not None and free["metadata"]["finalizers"] == ["other"]
    assert facts.unprotected(a_claim(allocated=False), left=False) is None
    assert facts.unprotected(a_claim(allocated=False, deleting=True), left=False) is not None
    assert facts.unprotected(a_claim("a"), left=True) is None
    assert facts.unprotected(a_claim(allocated=False, protected=False), left=True) is None


def test_what_a_claim_counts_as() -> None:
    claim = a_claim()
    assert facts.counted_as(claim) == ("true", "false", "")
    exactly = {"deviceClassName": "gpus", "adminAccess": True}
    claim = {**a_claim(allocated=False), "spec": {"devices": {"requests": [{"name": "r", "exactly": exactly}]}}}
    claim["metadata"]["annotations"] = {facts.POD_CLAIM: "own"}
    assert facts.counted_as(claim) == ("false", "true", "resource_claim_template")
    claim["metadata"]["annotations"] = {facts.EXTENDED: "true"}
    assert facts.counted_as(claim)[2] == "extended_resource"
