"""DaemonSets, StatefulSets, Jobs and CronJobs against a real API server; the test plays scheduler and nodes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from arktos.client import Client
from arktos.controllers.daemonset.placing import meant_for
from arktos.model import dates, registry
from arktos.model.kinds import Scope
from arktos.model.status import ApiError, TooManyRequests

Obj = dict[str, Any]
Until = Callable[..., Awaitable[None]]
POD, NODE = registry.by_resource("pods"), registry.by_resource("nodes")
DAEMONSET, STATEFULSET = registry.by_resource("daemonsets.apps"), registry.by_resource("statefulsets.apps")
JOB, CRONJOB = registry.by_resource("jobs.batch"), registry.by_resource("cronjobs.batch")
REPLICATION = registry.by_resource("replicationcontrollers")
AUTOSCALER = registry.by_resource("horizontalpodautoscalers.autoscaling")
VOLUME = registry.by_resource("persistentvolumes")
CLASS = registry.by_resource("storageclasses.storage.k8s.io")
ROLE, SECRET = registry.by_resource("clusterroles.rbac.authorization.k8s.io"), registry.by_resource("secrets")
BUDGET = registry.by_resource("poddisruptionbudgets.policy")
CLAIM = registry.by_resource("persistentvolumeclaims")
DEVICE_CLAIM = registry.by_resource("resourceclaims.resource.k8s.io")
DEVICE_TEMPLATE = registry.by_resource("resourceclaimtemplates.resource.k8s.io")


@pytest.fixture
async def admin(running: Path) -> AsyncIterator[Client]:
    async with Client.from_kubeconfig(running / "admin.kubeconfig") as client:
        yield client


def template(app: str, image: str = "a", **spec: Any) -> Obj:
    return {"metadata": {"labels": {"app": app}}, "spec": {"containers": [{"name": "c", "image": image}], **spec}}


def owner(kind: Any, name: str, **spec: Any) -> Obj:
    whole = {"selector": {"matchLabels": {"app": name}}, "template": template(name), **spec}
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": whole,
    }


async def pods_of(client: Client, app: str) -> list[Obj]:
    return (await client.list(POD, namespace="default", label_selector=f"app={app}")).items


def ready_status(pod: Obj) -> Obj:
    now = dates.rfc3339(dates.parse(pod["metadata"]["creationTimestamp"]))
    return {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now}]}


@asynccontextmanager
async def nodes_play(client: Client, app: str, status: Callable[[Obj], Obj | None] = ready_status) -> Any:
    """Meanwhile pods are bound where they may go, get a status once, and go when they are deleted."""

    async def play() -> None:
        while True:
            for pod in await pods_of(client, app):
                with suppress(ApiError):
                    await act(pod)
            await asyncio.sleep(0.02)

    async def act(pod: Obj) -> None:
        name = pod["metadata"]["name"]
        if "deletionTimestamp" in pod["metadata"]:
            await client.delete(POD, name, namespace="default", grace_period=0)
            return
        if not pod["spec"].get("nodeName"):
            target = {"apiVersion": "v1", "kind": "Node", "name": meant_for(pod) or "anywhere"}
            body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target}
            await client.request("POST", f"/api/v1/namespaces/default/pods/{name}/binding", body=body)
        wanted = status(pod)
        if wanted and (pod.get("status") or {}).get("phase") == "Pending":
            await client.patch(POD, name, {"status": wanted}, namespace="default", subresource="status")

    playing = asyncio.create_task(play())
    try:
        yield
    finally:
        playing.cancel()
        await asyncio.wait([playing])
        assert playing.cancelled(), playing.exception()


async def a_node(client: Client, name: str) -> None:
    """One that is ready: daemons wait for that."""
    await client.create(NODE, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
    now = dates.rfc3339(dates.from_unix(time.time()))
    ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": now, "lastTransitionTime": now, "reason": "up"}
    await client.patch(NODE, name, {"status": {"conditions": [ready]}}, subresource="status")


async def test_a_daemon_is_on_every_node_and_rolls(admin: Client, until: Until) -> None:
    for name in ("d1", "d2"):
        await a_node(admin, name)
    await admin.create(DAEMONSET, owner(DAEMONSET, "log"))

    async def status(**wanted: int) -> bool:
        found = (await admin.get(DAEMONSET, "log", namespace="default")).get("status", {})
        return all(found.get(name, 0) == value for name, value in wanted.items())

    async with nodes_play(admin, "log"):
        await until(lambda: status(desiredNumberScheduled=2, numberAvailable=2, updatedNumberScheduled=2))
        assert {pod["spec"]["nodeName"] for pod in await pods_of(admin, "log")} == {"d1", "d2"}
        await a_node(admin, "d3")
        await until(lambda: status(desiredNumberScheduled=3, numberAvailable=3))
        body = {"spec": {"template": template("log", "b")}}
        await admin.patch(DAEMONSET, "log", body, namespace="default")
        await until(lambda: status(observedGeneration=2, updatedNumberScheduled=3, numberAvailable=3))
        assert {pod["spec"]["containers"][0]["image"] for pod in await pods_of(admin, "log")} == {"b"}
        revisions = await admin.list(registry.by_resource("controllerrevisions.apps"), namespace="default")
        assert sorted(each["revision"] for each in revisions.items) == [1, 2]
        await admin.patch(DAEMONSET, "log", {"spec": {"template": template("log", "a")}}, namespace="default")
        await until(lambda: status(observedGeneration=3, updatedNumberScheduled=3, numberAvailable=3))
        revisions = await admin.list(registry.by_resource("controllerrevisions.apps"), namespace="default")
        assert sorted(each["revision"] for each in revisions.items) == [2, 3]
        await admin.delete(NODE, "d3")
        await until(lambda: status(desiredNumberScheduled=2, currentNumberScheduled=2))


async def test_a_stateful_set_comes_in_order_and_keeps_its_claims(admin: Client, until: Until) -> None:
    data = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
    kept = {"whenScaled": "Delete"}
    wanted = owner(
        STATEFULSET,
        "db",
        replicas=3,
        serviceName="dbs",
        volumeClaimTemplates=[data],
        persistentVolumeClaimRetentionPolicy=kept,
    )
    await admin.create(STATEFULSET, wanted)

    async def status(**wanted: int) -> bool:
        found = (await admin.get(STATEFULSET, "db", namespace="default")).get("status", {})
        return all(found.get(name, 0) == value for name, value in wanted.items())

    async def claims() -> list[str]:
        return sorted(each["metadata"]["name"] for each in (await admin.list(CLAIM, namespace="default")).items)

    async def only_one() -> bool:
        return await claims() == ["data-db-0"]

    async with nodes_play(admin, "db"):
        await until(lambda: status(replicas=3, availableReplicas=3, currentReplicas=3, updatedReplicas=3))
        pods = sorted(await pods_of(admin, "db"), key=lambda pod: pod["metadata"]["resourceVersion"])
        made = [pod["metadata"]["creationTimestamp"] for pod in sorted(pods, key=lambda pod: pod["metadata"]["name"])]
        assert made == sorted(made)
        assert await claims() == ["data-db-0", "data-db-1", "data-db-2"]
        await admin.patch(STATEFULSET, "db", {"spec": {"template": template("db", "b")}}, namespace="default")
        await until(lambda: status(observedGeneration=2, updatedReplicas=3, availableReplicas=3, currentReplicas=3))
        assert {pod["spec"]["containers"][0]["image"] for pod in await pods_of(admin, "db")} == {"b"}
        await admin.patch(STATEFULSET, "db", {"spec": {"replicas": 1}}, namespace="default")
        await until(lambda: status(replicas=1, availableReplicas=1))
        await until(only_one)


def a_job(name: str, **spec: Any) -> Obj:
    found = owner(JOB, name, **spec)
    del found["spec"]["selector"]
    found["spec"]["template"] = template(name, restartPolicy="Never")
    return found


def ended_status(pod: Obj) -> Obj:
    """The first pod of index 1 fails, all others succeed."""
    annotations = pod["metadata"].get("annotations") or {}
    index = annotations.get("batch.kubernetes.io/job-completion-index")
    before = annotations.get("batch.kubernetes.io/job-index-failure-count")
    return {"phase": "Failed" if (index, before) == ("1", "0") else "Succeeded"}


async def test_a_job_runs_to_its_end(admin: Client, until: Until) -> None:
    await admin.create(JOB, a_job("sums", completions=7, parallelism=3))

    async def conditions(name: str) -> set[str]:
        found = (await admin.get(JOB, name, namespace="default")).get("status", {}).get("conditions", ())
        return {each["type"] for each in found if each["status"] == "True"}

    async def complete(name: str) -> bool:
        return "Complete" in await conditions(name)

    async def failed(name: str) -> bool:
        return "Failed" in await conditions(name)

    async with nodes_play(admin, "sums", ended_status):
        await until(lambda: complete("sums"))
        status = (await admin.get(JOB, "sums", namespace="default"))["status"]
        assert status["succeeded"] == 7 and status["uncountedTerminatedPods"] == {} and status["completionTime"]
        pods = await pods_of(admin, "sums")
        assert len(pods) == 7 and not any(pod["metadata"].get("finalizers") for pod in pods)
    spec = {"completions": 3, "parallelism": 3, "completionMode": "Indexed", "backoffLimitPerIndex": 0}
    await admin.create(JOB, a_job("parts", **spec))
    async with nodes_play(admin, "parts", ended_status):
        await until(lambda: failed("parts"))
    status = (await admin.get(JOB, "parts", namespace="default"))["status"]
    assert (status["completedIndexes"], status["failedIndexes"], status["failed"]) == ("0,2", "1", 1)
    await admin.create(JOB, a_job("gone", completions=2, parallelism=2))
    await until(lambda: pods_of(admin, "gone"))
    await admin.delete(JOB, "gone", namespace="default", propagation="Background")
    async with nodes_play(admin, "gone", lambda _: None):

        async def none_left() -> bool:
            return not await pods_of(admin, "gone")

        await until(none_left)


async def test_a_cron_job_makes_jobs_and_forgets_them(admin: Client, until: Until) -> None:
    spec = {
        "schedule": "@every 1s",
        "successfulJobsHistoryLimit": 1,
        "jobTemplate": {"spec": {"template": template("tick", restartPolicy="Never")}},
    }
    meta = {"name": "tick", "namespace": "default"}
    await admin.create(CRONJOB, {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": meta, "spec": spec})

    async def succeeded() -> bool:
        return bool((await admin.get(CRONJOB, "tick", namespace="default")).get("status", {}).get("lastSuccessfulTime"))

    async with nodes_play(admin, "tick", lambda _: {"phase": "Succeeded"}):
        await until(succeeded)
        body = {"spec": {"suspend": True, "successfulJobsHistoryLimit": 0}}
        await admin.patch(CRONJOB, "tick", body, namespace="default")

        async def none_left() -> bool:
            jobs = (await admin.list(JOB, namespace="default")).items
            return not [each for each in jobs if each["metadata"]["name"].startswith("tick-")]

        await until(none_left)
    short = a_job("short", ttlSecondsAfterFinished=0)
    await admin.create(JOB, short)
    async with nodes_play(admin, "short", lambda _: {"phase": "Succeeded"}):

        async def gone() -> bool:
            return "short" not in [
                each["metadata"]["name"] for each in (await admin.list(JOB, namespace="default")).items
            ]

        await until(gone)


async def test_a_replication_controller_keeps_its_number(admin: Client, until: Until) -> None:
    wanted = owner(REPLICATION, "old", replicas=2, selector={"app": "old"})
    await admin.create(REPLICATION, wanted)

    async def ready() -> bool:
        status = (await admin.get(REPLICATION, "old", namespace="default")).get("status", {})
        return (status.get("replicas"), status.get("readyReplicas")) == (2, 2)

    async with nodes_play(admin, "old"):
        await until(ready)
        first = (await pods_of(admin, "old"))[0]["metadata"]["name"]
        await admin.delete(POD, first, namespace="default")

        async def replaced() -> bool:
            names = [each["metadata"]["name"] for each in await pods_of(admin, "old")]
            return len(names) == 2 and first not in names

        await until(replaced)


async def test_a_budget_allows_what_its_workload_can_spare(admin: Client, until: Until) -> None:
    await admin.create(STATEFULSET, owner(STATEFULSET, "web", replicas=3, podManagementPolicy="Parallel"))
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}}
    meta = {"name": "web", "namespace": "default"}
    await admin.create(
        BUDGET, {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": meta, "spec": spec}
    )

    async def allows(number: int) -> bool:
        status = (await admin.get(BUDGET, "web", namespace="default")).get("status", {})
        return (status.get("disruptionsAllowed"), status.get("expectedPods")) == (number, 3)

    async def evict(name: str) -> None:
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": "default"}}
        await admin.request("POST", f"/api/v1/namespaces/default/pods/{name}/eviction", body=body)

    async with nodes_play(admin, "web"):
        await until(lambda: allows(1))
        await evict("web-0")
        with pytest.raises(TooManyRequests, match="disruption budget"):
            await evict("web-1")
        await until(lambda: allows(1))


async def test_an_autoscaler_keeps_its_bounds_and_says_what_it_misses(admin: Client, until: Until) -> None:
    await admin.create(STATEFULSET, owner(STATEFULSET, "busy", replicas=5, podManagementPolicy="Parallel"))
    target = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "busy"}
    utilization = {"type": "Utilization", "averageUtilization": 50}
    spec = {
        "scaleTargetRef": target,
        "minReplicas": 1,
        "maxReplicas": 2,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": utilization}}],
    }
    meta = {"name": "busy", "namespace": "default"}
    kind = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler"}
    await admin.create(AUTOSCALER, {**kind, "metadata": meta, "spec": spec})

    async def scaled() -> bool:
        return bool((await admin.get(STATEFULSET, "busy", namespace="default"))["spec"]["replicas"] == 2)

    await until(scaled)
    await admin.patch(AUTOSCALER, "busy", {"spec": {"maxReplicas": 3}}, namespace="default")

    async def reasons() -> bool:
        status = (await admin.get(AUTOSCALER, "busy", namespace="default")).get("status", {})
        found = {each["type"]: each["reason"] for each in status.get("conditions", ())}
        return found.get("ScalingActive") == "FailedGetResourceMetric" and status["currentReplicas"] == 2

    await until(reasons)


def whole(kind: Any, name: str, **fields: Any) -> Obj:
    """An object, in the namespace `default` where its kind has namespaces."""
    meta = {"name": name} | ({"namespace": "default"} if kind.scope is Scope.NAMESPACE else {})
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": meta, **fields}


async def test_claims_find_volumes_and_neither_goes_while_it_is_in_use(admin: Client, until: Until) -> None:
    await pods_may_come(admin, until)
    modes = {"accessModes": ["ReadWriteOnce"], "storageClassName": "by-hand"}
    for name, size in (("small", "1Gi"), ("large", "5Gi")):
        spec = {**modes, "capacity": {"storage": size}, "hostPath": {"path": f"/mnt/{name}"}}
        await admin.create(
            VOLUME, {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}
        )
    spec = {**modes, "resources": {"requests": {"storage": "2Gi"}}}
    await admin.create(CLAIM, whole(CLAIM, "files", spec=spec))

    async def phase(kind: Any, name: str, wanted: str) -> bool:
        namespace = "default" if kind is CLAIM else ""
        return bool((await admin.get(kind, name, namespace=namespace)).get("status", {}).get("phase") == wanted)

    await until(lambda: phase(CLAIM, "files", "Bound"))
    await until(lambda: phase(VOLUME, "large", "Bound"))
    found = await admin.get(CLAIM, "files", namespace="default")
    assert found["spec"]["volumeName"] == "large" and found["status"]["capacity"] == {"storage": "5Gi"}
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "files"}}]
    user = {"containers": [{"name": "c", "image": "a"}], "volumes": volumes}
    labels = {"name": "user", "namespace": "default", "labels": {"app": "user"}}
    await admin.create(POD, {"apiVersion": "v1", "kind": "Pod", "metadata": labels, "spec": user})

    async def protected() -> bool:
        finalizers = (await admin.get(CLAIM, "files", namespace="default"))["metadata"].get("finalizers", ())
        return "kubernetes.io/pvc-protection" in finalizers

    await until(protected)
    await admin.delete(CLAIM, "files", namespace="default")
    assert "deletionTimestamp" in (await admin.get(CLAIM, "files", namespace="default"))["metadata"]
    await admin.delete(POD, "user", namespace="default", grace_period=0)
    await until(lambda: phase(VOLUME, "large", "Released"))
    assert await phase(VOLUME, "small", "Available")


async def test_a_volume_is_made_for_a_claim_and_goes_with_it(admin: Client, until: Until) -> None:
    await a_node(admin, "p1")
    spec = {
        "provisioner": "arktos.io/local-path",
        "volumeBindingMode": "WaitForFirstConsumer",
        "reclaimPolicy": "Delete",
    }
    await admin.create(
        CLASS, {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "here"}, **spec}
    )
    told = {"accessModes": ["ReadWriteOnce"], "storageClassName": "here", "resources": {"requests": {"storage": "1Gi"}}}
    meta = {"name": "made", "namespace": "default"}
    made = await admin.create(
        CLAIM, {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": told}
    )
    chosen = {"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "p1"}}}
    await admin.patch(CLAIM, "made", chosen, namespace="default")
    name = f"pvc-{made['metadata']['uid']}"

    async def bound() -> bool:
        return bool((await admin.get(CLAIM, "made", namespace="default"))["spec"].get("volumeName") == name)

    await until(bound)
    await admin.delete(CLAIM, "made", namespace="default")

    async def gone() -> bool:
        return name not in [each["metadata"]["name"] for each in (await admin.list(VOLUME)).items]

    await until(gone)


async def pods_may_come(client: Client, until: Until) -> None:
    """They need their namespace's service account."""

    async def account() -> bool:
        return bool((await client.list(registry.by_resource("serviceaccounts"), namespace="default")).items)

    await until(account)


async def test_small_loops(admin: Client, until: Until) -> None:
    await pods_may_come(admin, until)
    template = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}}
    volumes = [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}]
    user = {"containers": [{"name": "c", "image": "a"}], "volumes": volumes}
    await admin.create(POD, whole(POD, "short-lived", spec=user))
    made = {"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"part": "yes"}}]}, "rules": []}
    await admin.create(ROLE, whole(ROLE, "sum", **made))
    part = whole(ROLE, "part", rules=[{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}])
    part["metadata"]["labels"] = {"part": "yes"}
    await admin.create(ROLE, part)
    secret = whole(SECRET, "bootstrap-token-abcdef", type="bootstrap.kubernetes.io/token")
    secret["metadata"]["namespace"] = "kube-system"
    told = {"token-id": "abcdef", "token-secret": "0123456789abcdef", "expiration": "2020-01-01T00:00:00Z"}
    await admin.create(SECRET, secret | {"stringData": told})

    async def done() -> bool:
        claims = [each["metadata"]["name"] for each in (await admin.list(CLAIM, namespace="default")).items]
        rules = (await admin.get(ROLE, "sum")).get("rules")
        tokens = [each["metadata"]["name"] for each in (await admin.list(SECRET, namespace="kube-system")).items]
        return "short-lived-scratch" in claims and bool(rules) and "bootstrap-token-abcdef" not in tokens

    await until(done)


async def test_a_claim_that_is_not_the_pods_is_in_its_ephemeral_volumes_way(admin: Client, until: Until) -> None:
    await pods_may_come(admin, until)
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    await admin.create(CLAIM, whole(CLAIM, "taken-scratch", spec=spec))
    volumes = [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": spec}}}]
    user = {"containers": [{"name": "c", "image": "a"}], "volumes": volumes}
    pod = await admin.create(POD, whole(POD, "taken", spec=user))
    said = (
        "ephemeral volume scratch: PVC default/taken-scratch was not created for pod default/taken (pod is not owner)"
    )

    async def told() -> bool:
        events = (await admin.list(registry.by_resource("events"), namespace="default")).items
        return ("FailedBinding", said) in [(each["reason"], each["message"]) for each in events]

    await until(told)
    await admin.delete(CLAIM, "taken-scratch", namespace="default")

    async def its_own() -> bool:
        for claim in (await admin.list(CLAIM, namespace="default")).items:
            owners = claim["metadata"].get("ownerReferences") or ()
            if claim["metadata"]["name"] == "taken-scratch" and owners:
                return bool(owners[0]["uid"] == pod["metadata"]["uid"])
        return False

    await until(its_own)


async def test_a_pod_gets_its_device_claims_and_gives_them_back(admin: Client, until: Until) -> None:
    await pods_may_come(admin, until)
    exactly = {"deviceClassName": "gpus", "count": 1, "allocationMode": "ExactCount"}
    wanted = {"devices": {"requests": [{"name": "one", "exactly": exactly}]}}
    shape = {"metadata": {"labels": {"a": "b"}}, "spec": wanted}
    await admin.create(DEVICE_TEMPLATE, whole(DEVICE_TEMPLATE, "gpu", spec=shape))
    await admin.create(DEVICE_CLAIM, whole(DEVICE_CLAIM, "shared", spec=wanted))
    used = [
        {"name": "own", "resourceClaimTemplateName": "gpu"},
        {"name": "ours", "resourceClaimName": "shared"},
        {"name": "more", "resourceClaimTemplateName": "gpu"},
    ]
    user = {"containers": [{"name": "c", "image": "a"}], "resourceClaims": used, "nodeName": "anywhere"}
    pod = await admin.create(POD, whole(POD, "render", spec=user))

    async def claims() -> dict[str, Obj]:
        return {each["metadata"]["name"]: each for each in (await admin.list(DEVICE_CLAIM, namespace="default")).items}

    async def statuses() -> dict[str, str]:
        found = (await admin.get(POD, "render", namespace="default"))["status"].get("resourceClaimStatuses", ())
        return {each["name"]: each["resourceClaimName"] for each in found}

    async def recorded() -> bool:
        return set(await statuses()) == {"own", "more"}

    await until(recorded)
    names, found = await statuses(), await claims()
    assert set(found) == {"shared", *names.values()} and names["own"].startswith("render-own-")
    made = found[names["own"]]["metadata"]
    assert made["labels"] == {"a": "b"} and made["ownerReferences"][0]["uid"] == pod["metadata"]["uid"]

    async def allocate(name: str) -> None:
        """What the scheduler does."""
        claim = (await claims())[name]
        claim["metadata"]["finalizers"] = ["resource.kubernetes.io/delete-protection"]
        claim = await admin.update(DEVICE_CLAIM, claim)
        result = {"request": "one", "driver": "gpus.example.com", "pool": "anywhere", "device": "g0"}
        claim["status"] = {"allocation": {"devices": {"results": [result]}}}
        await admin.update(DEVICE_CLAIM, claim, subresource="status")

    async def reserved() -> bool:
        found = await claims()
        return all(
            [each["uid"] for each in found[name].get("status", {}).get("reservedFor", ())] == [pod["metadata"]["uid"]]
            for name in ("shared", names["own"])
        )

    for name in ("shared", names["own"]):
        await allocate(name)
    await until(reserved)
    await admin.patch(POD, "render", {"status": {"phase": "Succeeded"}}, namespace="default", subresource="status")

    async def given_back() -> bool:
        found = await claims()
        return set(found) == {"shared"} and "finalizers" not in found["shared"]["metadata"]

    await until(given_back)
    assert not (await claims())["shared"].get("status", {})
    await admin.delete(POD, "render", namespace="default", grace_period=0)


async def test_a_pod_waits_for_the_template_of_its_claim_and_says_so(admin: Client, until: Until) -> None:
    await pods_may_come(admin, until)
    used = [{"name": "own", "resourceClaimTemplateName": "late"}]
    spec = {"containers": [{"name": "c", "image": "a"}], "resourceClaims": used}
    await admin.create(POD, whole(POD, "early", spec=spec))
    events = registry.by_resource("events")

    async def told() -> bool:
        found = await admin.list(
            events, namespace="default", field_selector="involvedObject.name=early,reason=FailedResourceClaimCreation"
        )
        said = 'PodResourceClaim own: resource claim template "late": resourceclaimtemplates.resource.k8s.io "late" '
        return any(each["type"] == "Warning" and said in each["message"] for each in found.items)

    async def recorded() -> bool:
        return bool((await admin.get(POD, "early", namespace="default"))["status"].get("resourceClaimStatuses"))

    await until(told)
    await admin.create(DEVICE_TEMPLATE, whole(DEVICE_TEMPLATE, "late", spec={"spec": {}}))
    await until(recorded)
    await admin.delete(POD, "early", namespace="default", grace_period=0)

    async def gone() -> bool:
        claims = (await admin.list(DEVICE_CLAIM, namespace="default")).items
        return not any(each["metadata"]["name"].startswith("early-") for each in claims)

    await until(gone)
