"""The life of definitions: names, sharing, isolation, what becomes of objects."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

Obj = dict[str, Any]
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
GROUP = "stable.example.com"


def definition(plural: str = "crontabs", kind: str = "CronTab", group: str = GROUP, **more: Any) -> Obj:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    versions = [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}]
    spec = {"group": group, "scope": "Namespaced", "names": {"plural": plural, "kind": kind}, "versions": versions}
    return {"metadata": {"name": f"{plural}.{group}"}, "spec": {**spec, **more}}


def shared(plural: str = "crontabs") -> Obj:
    made = definition(plural)
    made["metadata"]["labels"] = {"arktos.io/shared": "true"}
    return made


def path(tenant: str, plural: str = "crontabs", group: str = GROUP) -> str:
    return f"/tenants/{tenant}/apis/{group}/v1/namespaces/default/{plural}"


def crds(tenant: str) -> str:
    return f"/tenants/{tenant}{CRDS}"


async def until(look: Callable[[], Awaitable[object]], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not await look():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


@pytest.fixture
async def two(api: Any) -> Any:
    await api.tenant("acme", "globex")
    return api


async def test_names_are_taken_within_a_group_of_a_tenant(two: Any) -> None:
    (await two.post(crds("acme"), definition())).ok(201)
    clash = (await two.post(crds("acme"), definition("tabs"))).ok(201)
    conditions = {c["type"]: (c["status"], c["reason"], c["message"]) for c in clash["status"]["conditions"]}
    assert conditions["NamesAccepted"] == ("False", "ListKindConflict", '"CronTabList" is already in use')
    assert conditions["Established"][:2] == ("False", "NotAccepted")
    (await two.get(path("acme", "tabs"))).refused(404)
    assert (await two.post(crds("globex"), definition("tabs"))).ok(201)["status"]["conditions"][0]["status"] == "True"
    (await two.delete(f"{crds('acme')}/crontabs.{GROUP}")).ok()

    async def established() -> bool:
        return (await two.get(path("acme", "tabs"))).code == 200

    await until(established)


async def test_two_that_come_at_once_do_not_both_get_a_name(two: Any) -> None:
    answers = await asyncio.gather(*(two.post(crds("acme"), definition(f"tabs{n}")) for n in range(6)))
    assert {answer.code for answer in answers} == {201}

    async def settled() -> bool:
        found = (await two.get(crds("acme"))).items
        accepted = [c["status"]["conditions"][0]["status"] for c in found]
        return accepted.count("True") == 1 and accepted.count("False") == 5

    await until(settled)


async def test_tenants_see_only_their_own(two: Any) -> None:
    acme, globex = two.admin_of("acme"), two.admin_of("globex")
    (await two.post(CRDS, definition(), user=acme)).ok(201)
    thing = {"metadata": {"name": "t"}, "spec": {"of": "acme"}}
    mine = path("acme").removeprefix("/tenants/acme")
    (await two.post(mine, thing, user=acme)).ok(201)
    assert (await two.get(mine, user=acme)).names == ["t"]
    unknown = await two.get("/apis/none.example.com/v1/namespaces/default/nones", user=globex)
    for target in (mine, f"{mine}/t"):
        assert (await two.get(target, user=globex)).obj == unknown.obj
    assert (await two.get(f"{CRDS}/crontabs.{GROUP}", user=globex)).code == 404
    assert (await two.get(CRDS, user=globex)).items == []
    for door in (path("acme"), crds("acme"), f"/tenants/acme/apis/{GROUP}/v1", "/tenants/acme/openapi/v3"):
        assert (await two.get(door, user=globex)).code == 403
    assert (await two.get(f"/apis/{GROUP}", user=globex)).code == 404
    assert GROUP in {g["name"] for g in (await two.get("/apis", user=acme)).obj["groups"]}
    assert GROUP not in {g["name"] for g in (await two.get("/apis", user=globex)).obj["groups"]}
    assert f"apis/{GROUP}/v1" in (await two.get("/openapi/v3", user=acme)).obj["paths"]
    assert f"apis/{GROUP}/v1" not in (await two.get("/openapi/v3", user=globex)).obj["paths"]


async def test_two_tenants_may_mean_different_things_by_a_name(two: Any) -> None:
    (await two.post(crds("acme"), definition())).ok(201)
    (await two.post(crds("globex"), definition(kind="Tab", scope="Cluster"))).ok(201)
    (await two.post(path("acme"), {"metadata": {"name": "t"}})).ok(201)
    theirs = f"/tenants/globex/apis/{GROUP}/v1/crontabs"
    made = (await two.post(theirs, {"metadata": {"name": "t"}})).ok(201)
    assert made["kind"] == "Tab" and "namespace" not in made["metadata"]
    every = (await two.get(f"/tenants/all/apis/{GROUP}/v1/crontabs")).ok()
    assert [(i["metadata"]["tenant"], i["kind"]) for i in every["items"]] == [("acme", "CronTab"), ("globex", "Tab")]


async def test_what_system_shares_is_everybody_s_to_use_and_nobody_s_to_change(two: Any) -> None:
    (await two.post(CRDS, shared())).ok(201)
    (await two.post(CRDS, definition("secrets", "Secret2"))).ok(201)
    acme, globex = two.admin_of("acme"), two.admin_of("globex")
    mine = path("acme").removeprefix("/tenants/acme")
    watch = await two.watch(CRDS, user=acme)
    assert await watch.take(1) == [("ADDED", f"crontabs.{GROUP}")]
    assert (await two.get(CRDS, user=acme)).names == [f"crontabs.{GROUP}"]
    (await two.post(mine, {"metadata": {"name": "t"}}, user=acme)).ok(201)
    assert (await two.get(mine, user=globex)).items == []
    name = f"{CRDS}/crontabs.{GROUP}"
    (await two.patch(name, {"metadata": {"labels": {"a": "b"}}}, user=acme)).refused(403, "which shares it")
    assert (await two.delete(name, user=acme)).code == 403
    (await two.get(mine.replace("crontabs", "secrets"), user=acme)).refused(404)
    taken_back = await two.patch(name, {"metadata": {"labels": {"arktos.io/shared": None}}})
    taken_back.refused(403, "it can be deleted, not taken back")
    (await two.post(CRDS, definition(scope="Cluster"), user=globex)).ok(201)
    assert (await two.get(f"/apis/{GROUP}/v1/crontabs", user=globex)).items == []
    (await two.delete(name)).ok()

    async def gone() -> bool:
        return (await two.get(mine, user=acme)).code == 404

    await until(gone)
    assert (await two.get(f"/apis/{GROUP}/v1/crontabs", user=globex)).items == []


async def test_a_definition_takes_its_objects_with_it(two: Any) -> None:
    (await two.post(crds("acme"), definition())).ok(201)
    for number in range(5):
        (await two.post(path("acme"), {"metadata": {"name": f"t{number}"}})).ok(201)
    held = {"metadata": {"name": "held", "finalizers": ["example.com/hold"]}}
    (await two.post(path("acme"), held)).ok(201)
    watch = await two.watch(path("acme"), resourceVersion="0")
    assert len(await watch.take(6)) == 6
    name = f"{crds('acme')}/crontabs.{GROUP}"
    going = (await two.delete(name)).ok()
    assert going["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    terminating = going["status"]["conditions"][-1]
    assert (terminating["type"], terminating["reason"]) == ("Terminating", "InstanceDeletionPending")
    refused = await two.post(path("acme"), {"metadata": {"name": "late"}})
    refused.refused(405, "create not allowed while custom resource definition is terminating")

    async def told() -> bool:
        found = (await two.get(name)).obj["status"]["conditions"][-1]
        return bool(found["reason"] == "InstanceDeletionInProgress")

    await until(told)
    assert (await two.get(path("acme"))).names == ["held"]
    (await two.patch(f"{path('acme')}/held", {"metadata": {"finalizers": None}})).ok()

    async def gone() -> bool:
        return (await two.get(name)).code == 404

    await until(gone)
    await watch.ended()
    (await two.get(path("acme"))).refused(404)
    (await two.post(crds("acme"), definition())).ok(201)
    assert (await two.get(path("acme"))).items == []


async def test_a_watch_ends_when_what_it_shows_is_defined_anew(two: Any) -> None:
    made = (await two.post(crds("acme"), definition())).ok(201)
    watch = await two.watch(path("acme"))
    (await two.post(path("acme"), {"metadata": {"name": "t"}})).ok(201)
    await watch.take(1)
    made["metadata"]["labels"] = {"a": "b"}
    made = (await two.put(f"{crds('acme')}/crontabs.{GROUP}", made)).ok()
    (await two.post(path("acme"), {"metadata": {"name": "u"}})).ok(201)
    assert await watch.take(1) == [("ADDED", "u")]
    made["spec"]["versions"][0]["additionalPrinterColumns"] = [{"name": "X", "type": "string", "jsonPath": ".x"}]
    (await two.put(f"{crds('acme')}/crontabs.{GROUP}", made)).ok()
    await watch.ended()


async def test_a_write_is_bound_to_the_newest_definition(two: Any) -> None:
    """Writes race with changes of what they are checked against, and none is checked against the past."""
    made = (await two.post(crds("acme"), definition())).ok(201)
    schema = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["required"] = ["spec"]
    change = two.put(f"{crds('acme')}/crontabs.{GROUP}", made)
    writes = [two.post(path("acme"), {"metadata": {"name": f"t{n}"}}) for n in range(20)]
    answers = await asyncio.gather(*writes[:10], change, *writes[10:])
    changed = int(answers.pop(10).ok()["metadata"]["resourceVersion"])
    for answer in answers:
        if answer.code == 201:
            assert int(answer.rv) < changed
        else:
            answer.refused(422, "spec: Required value")


async def test_versions_change_and_are_migrated(two: Any) -> None:
    made = (await two.post(crds("acme"), definition())).ok(201)
    (await two.post(path("acme"), {"metadata": {"name": "t"}, "spec": {"a": 1}})).ok(201)
    two_versions = made["spec"]["versions"] + [{**made["spec"]["versions"][0], "name": "v2"}]
    two_versions[0]["storage"] = False
    name = f"{crds('acme')}/crontabs.{GROUP}"
    made["spec"]["versions"] = two_versions
    made = (await two.put(name, made)).ok()
    assert made["status"]["storedVersions"] == ["v1", "v2"]
    newer = path("acme").replace("/v1/", "/v2/")
    for version, target in (("v1", path("acme")), ("v2", newer)):
        read = (await two.get(f"{target}/t")).ok()
        assert (read["apiVersion"], read["spec"]) == (f"{GROUP}/{version}", {"a": 1})
        assert [i["apiVersion"] for i in (await two.get(target)).items] == [f"{GROUP}/{version}"]
    before = (await two.get(f"{newer}/t")).ok()
    after = (await two.put(f"{newer}/t", before)).ok()
    assert after["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]
    same = (await two.put(f"{newer}/t", after)).ok()
    assert same["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]
    dropped = {**made, "spec": {**made["spec"], "versions": [{**two_versions[1]}]}}
    (await two.put(name, dropped)).refused(422, 'status.storedVersions[0]: Invalid value: "v1": must appear in spec')
    made["status"]["storedVersions"] = ["v2"]
    made = (await two.put(f"{name}/status", made)).ok()
    made["spec"]["versions"] = [{**two_versions[1]}]
    (await two.put(name, made)).ok()
    (await two.get(path("acme"))).refused(404)
    assert (await two.get(newer)).names == ["t"]
    groups = (await two.get(f"/tenants/acme/apis/{GROUP}")).ok()
    assert [v["version"] for v in groups["versions"]] == ["v2"]


async def test_discovery_of_a_tenant_changes_with_its_definitions(two: Any) -> None:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    etags = {t: (await two.get(f"/tenants/{t}/apis", accept=accept)).headers["etag"] for t in ("acme", "globex")}
    assert etags["acme"] == etags["globex"]
    (
        await two.post(crds("acme"), definition(names={"plural": "crontabs", "kind": "CronTab", "shortNames": ["ct"]}))
    ).ok(201)
    answer = await two.get("/tenants/acme/apis", accept=accept)
    assert answer.headers["etag"] != etags["acme"]
    assert (await two.get("/tenants/globex/apis", accept=accept)).headers["etag"] == etags["globex"]
    found = next(group for group in answer.items if group["metadata"]["name"] == GROUP)
    (resource,) = found["versions"][0]["resources"]
    assert (resource["resource"], resource["scope"], resource["shortNames"]) == ("crontabs", "Namespaced", ["ct"])
    document = (await two.get(f"/tenants/acme/openapi/v3/apis/{GROUP}/v1")).ok()
    assert "com.example.stable.v1.CronTab" in document["components"]["schemas"]
    assert f"/apis/{GROUP}/v1/namespaces/{{namespace}}/crontabs/{{name}}" in document["paths"]
    assert (await two.get(f"/tenants/globex/openapi/v3/apis/{GROUP}/v1")).code == 404


@pytest.mark.parametrize("accept", ["application/json", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"])
async def test_openapi_v2_has_the_kinds_of_a_tenant(two: Any, accept: str) -> None:
    spec = {"type": "object", "nullable": True, "minProperties": 1, "x-kubernetes-validations": [{"rule": "true"}]}
    spec["properties"] = {
        "a": {"type": "integer", "minimum": 1, "default": 2, "enum": [1, 2]},
        "b": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
        "c": {"type": "array", "maxItems": 3, "items": {"type": "string", "pattern": "a"}},
        "d": {"type": "object", "additionalProperties": {"type": "string"}},
        "e": {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "x-kubernetes-embedded-resource": True},
    }
    made = definition()
    made["spec"]["versions"][0]["schema"] = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    (await two.post(crds("acme"), made)).ok(201)
    bodies = {t: await two.get(f"/tenants/{t}/openapi/v2", accept=accept) for t in ("acme", "globex")}
    assert b"com.example.stable.v1.CronTabList" in bodies["acme"].body
    assert b"com.example.stable.v1.CronTab" not in bodies["globex"].body
    again = await two.get(
        "/tenants/acme/openapi/v2", accept=accept, headers={"if-none-match": bodies["acme"].headers["etag"]}
    )
    assert again.code == 304
    if accept == "application/json":
        document = bodies["acme"].ok()
        assert f"/apis/{GROUP}/v1/namespaces/{{namespace}}/crontabs" in document["paths"]
        shown = document["definitions"]["com.example.stable.v1.CronTab"]
        assert (
            shown["properties"]["metadata"]["$ref"] == "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
        )
        assert "io.k8s.api.core.v1.Pod" in document["definitions"]
