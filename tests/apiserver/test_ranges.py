"""Tenures on the hash ring: ranges stay apart whoever writes them, and no write outlives its tenure."""

from __future__ import annotations

import asyncio
import itertools
import random
from typing import Any

import pytest

from arktos.model.hashkey import LARGEST
from arktos.model.hashranges import held

CIS = "/api/v1/controllerinstances"
CMS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"


def instance(name: str, start: int | None, end: int, **more: Any) -> dict[str, Any]:
    body = {"metadata": {"name": name}, "controllerType": "ReplicaSet", "controllerKey": end, "workloadNum": 0, **more}
    return body if start is None else {**body, "rangeStart": start}


def under(made: dict[str, Any], key: int | None = None, **changed: Any) -> dict[str, str]:
    """The header of a write by an instance."""
    said = {
        "type": made["controllerType"],
        "instance": made["metadata"]["name"],
        "uid": made["metadata"]["uid"],
        "epoch": made["epoch"],
        "range": f"{made['rangeStart']}-{made['controllerKey']}",
        "key": made["rangeStart"] if key is None else key,
        **changed,
    }
    return {"arktos-range": ";".join(f"{name}={value}" for name, value in said.items())}


async def test_ranges_of_one_type_stay_apart(api: Any) -> None:
    made = (await api.post(CIS, instance("a", 0, 100))).ok(201)
    assert made["epoch"] == 1
    (await api.post(CIS, instance("b", 100, 200))).refused(409, "overlaps 0-100, which a holds")
    (await api.post(CIS, instance("b", 101, 200))).ok(201)
    (await api.patch(f"{CIS}/b", {"rangeStart": 50})).refused(409, "overlaps")
    (await api.post(CIS, {**instance("d", 0, LARGEST), "controllerType": "Deployment"})).ok(201)
    (await api.post(CIS, instance("c", 0, LARGEST, isLocked=True))).ok(201)
    (await api.patch(f"{CIS}/c", {"isLocked": False})).refused(409, "overlaps")
    (await api.post(CIS, instance("e", 300, 250))).refused(422, "rangeStart")
    (await api.delete(f"{CIS}/a")).ok()
    (await api.delete(f"{CIS}/b")).ok()
    assert (await api.patch(f"{CIS}/c", {"isLocked": False})).ok()["epoch"] == 1


async def test_instances_that_name_no_start_are_as_before(api: Any) -> None:
    for name in "ab":
        (await api.post(CIS, instance(name, None, LARGEST))).ok(201)
    one = (await api.get(f"{CIS}/a")).ok()
    (await api.put(f"{CIS}/a", {**one, "controllerKey": 5})).ok()


async def test_epochs_count_losses_and_nobody_else_counts_them(api: Any) -> None:
    (await api.post(CIS, instance("a", 100, 200, epoch=77))).ok(201)

    async def epoch(**change: Any) -> int:
        return int((await api.patch(f"{CIS}/a", change)).ok()["epoch"])

    assert await epoch(workloadNum=7) == 1
    assert await epoch(rangeStart=50) == 1
    assert await epoch(controllerKey=300, epoch=9) == 1
    assert await epoch(controllerKey=299) == 2
    assert await epoch(isLocked=True) == 3
    assert await epoch(isLocked=False, rangeStart=0) == 3
    assert await epoch(rangeStart=1000, controllerKey=2000) == 4


VERBS = ["create", "update", "patch", "status", "delete", "collection", "binding", "scale", "eviction", "cast"]


@pytest.mark.parametrize("verb", VERBS)
async def test_every_verb_is_fenced(api: Any, verb: str) -> None:
    made = (await api.post(CIS, instance("a", 0, 100))).ok(201)
    (await api.post(CMS, api.config_map("one", k="v"))).ok(201)
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    (await api.post(PODS, pod)).ok(201)
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod["spec"]}
    workload = {"metadata": {"name": "w"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}
    (await api.post("/apis/apps/v1/namespaces/default/replicasets", workload)).ok(201)

    alike = {"metadata": {"generateName": "alike-"}, "spec": pod["spec"]}
    for _ in range(3):
        (await api.post(PODS, alike)).ok(201)

    posted = {
        "binding": (f"{PODS}/p/binding", {"target": {"kind": "Node", "name": "n"}}),
        "eviction": (f"{PODS}/p/eviction", {"metadata": {"name": "p"}}),
        "cast": (PODS, alike),
    }

    async def write(headers: dict[str, str]) -> Any:
        match verb:
            case "create":
                return await api.post(CMS, {"metadata": {"generateName": "x-"}}, headers=headers)
            case "update":
                return await api.put(f"{CMS}/one", api.config_map("one", k=str(random.random())), headers=headers)
            case "patch":
                return await api.patch(f"{CMS}/one", {"data": {"k": str(random.random())}}, headers=headers)
            case "status":
                body = {"status": {"message": str(random.random())}}
                return await api.patch(f"{PODS}/p/status", body, headers=headers)
            case "delete":
                return await api.delete(f"{CMS}/one", headers=headers)
            case "collection":
                return await api.delete(CMS, headers=headers, labelSelector="!absent")
            case "binding" | "eviction" | "cast":
                path, body = posted[verb]
                return await api.post(path, body, headers=headers)
            case _:
                path = "/apis/apps/v1/namespaces/default/replicasets/w/scale"
                return await api.patch(path, {"spec": {"replicas": random.randrange(1000)}}, headers=headers)

    for stale in (
        under(made, epoch=2),
        under(made, uid="somebody"),
        under(made, instance="b"),
        under(made, type="Deployment"),
        under(made, range="0-101"),
    ):
        answer = await write(stale)
        answer.refused(409, "is over")
        assert answer.reason == "StaleRange"
    (await write({"arktos-range": "key=1"})).refused(400, "Arktos-Range")
    (await write(under(made, key=101))).refused(400, "within")
    assert (await write(under(made))).code < 300


async def test_an_instance_stays_on_its_ring(api: Any) -> None:
    """Its range is compared with those of its own ring only when it grows."""
    for kind in ("ReplicaSet", "Deployment"):
        (await api.post(CIS, {**instance(kind.lower(), 0, LARGEST), "controllerType": kind})).ok(201)
    (await api.patch(f"{CIS}/deployment", {"controllerType": "ReplicaSet"})).refused(422, "controllerType")


async def test_a_namesake_inherits_no_tenure(api: Any) -> None:
    made = (await api.post(CIS, instance("a", 0, 100))).ok(201)
    (await api.delete(f"{CIS}/a")).ok()
    again = (await api.post(CIS, instance("a", 0, 100))).ok(201)
    assert again["epoch"] == made["epoch"]
    (await api.post(CMS, api.config_map("one"), headers=under(made))).refused(409, "is over")
    (await api.post(CMS, api.config_map("one"), headers=under(again))).ok(201)


async def test_a_dry_run_is_fenced(api: Any) -> None:
    made = (await api.post(CIS, instance("a", 0, 100))).ok(201)
    path = f"{CMS}?dryRun=All"
    (await api.post(path, api.config_map("one"), headers=under(made, epoch=2))).refused(409, "is over")
    (await api.post(path, api.config_map("one"), headers=under(made))).ok(201)


async def test_a_tenure_ends_with_the_lock_the_loss_and_the_instance(api: Any) -> None:
    made = (await api.post(CIS, instance("a", 0, 100))).ok(201)
    write = lambda: api.post(CMS, {"metadata": {"generateName": "x-"}}, headers=under(made))  # noqa: E731
    (await api.patch(f"{CIS}/a", {"controllerKey": 200})).ok()
    (await write()).ok(201)
    (await api.patch(f"{CIS}/a", {"rangeStart": 1})).ok()
    (await write()).refused(409, "is over")
    made = (await api.get(f"{CIS}/a")).ok()
    (await write()).ok(201)
    (await api.patch(f"{CIS}/a", {"isLocked": True})).ok()
    (await write()).refused(409, "is over")
    made = (await api.patch(f"{CIS}/a", {"isLocked": False})).ok()
    (await write()).ok(201)
    (await api.delete(f"{CIS}/a")).ok()
    (await api.post(CIS, instance("a", 0, LARGEST))).ok(201)
    (await write()).refused(409, "is over")


async def test_tenants_have_no_part_in_it_and_learn_nothing(api: Any) -> None:
    made = (await api.post(CIS, instance("a", 0, 100))).ok(201)
    await api.tenant("acme")
    acme = api.admin_of("acme")
    answers = [
        (await api.post(CMS, api.config_map("x"), user=acme, headers=headers)).refused(403, "only users of the tenant")
        for headers in (under(made), under(made, instance="none"), {"arktos-range": "?"})
    ]
    assert answers[0] == answers[1] == answers[2]


async def test_many_claim_at_once_and_writes_race_with_losses(api: Any) -> None:
    """Whatever order the store takes them in: ranges apart, and no write under a tenure after its end."""
    chance = random.Random(5)
    for name in "abcd":
        (await api.post(CIS, instance(name, 0, 0, isLocked=True))).ok(201)

    async def claim(name: str) -> None:
        start = chance.randrange(0, 90)
        change = {"isLocked": chance.random() < 0.3, "rangeStart": start, "controllerKey": start + chance.randrange(20)}
        await api.patch(f"{CIS}/{name}", change)

    async def write(seen: dict[str, Any]) -> tuple[dict[str, Any], int]:
        answer = await api.post(CMS, {"metadata": {"generateName": "x-"}}, headers=under(seen))
        revision = int(answer.rv) if answer.code == 201 else 0
        return seen, revision

    for _ in range(30):
        seen = [each for each in (await api.get(CIS)).items if held(each) is not None]
        results = await asyncio.gather(*(claim(name) for name in "abcdabcd"), *map(write, seen))
        places = sorted(place for each in (await api.get(CIS)).items if (place := held(each)) is not None)
        assert all(one.end < other.start for one, other in itertools.pairwise(places))
        for result in results:
            if result is not None and result[1]:
                before, revision = result
                after = (await api.get(f"{CIS}/{before['metadata']['name']}")).ok()
                ended = after["epoch"] != before["epoch"]
                assert not ended or revision < int(after["metadata"]["resourceVersion"])
