"""What Helm 4 sends for install, upgrade, rollback and uninstall, request by request.

Helm keeps its releases in Secrets, which its typed client sends in protobuf; the chart's objects are applied on the
server's side, with strict validation, in the order of their kinds.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from arktos.wire import protobuf

PROTOBUF = "application/vnd.kubernetes.protobuf"
BOTH = f"{PROTOBUF},application/json"
SECRETS = "/api/v1/namespaces/default/secrets"
Obj = dict[str, Any]


def release(version: int, status: str, manifest: str) -> Obj:
    """A release as its Secret."""
    labels = {"modifiedAt": "1", "name": "web", "owner": "helm", "status": status, "version": str(version)}
    packed = base64.b64encode(base64.b64encode(manifest.encode())).decode()
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"sh.helm.release.v1.web.v{version}", "labels": labels},
        "type": "helm.sh/release.v1",
        "data": {"release": packed},
    }


class Helm:
    def __init__(self, api: Any) -> None:
        self._api = api

    async def keep(self, body: Obj, method: str = "POST") -> Obj:
        target = SECRETS if method == "POST" else f"{SECRETS}/{body['metadata']['name']}"
        answer = await self._api(method, target, protobuf.encode(body), type=PROTOBUF, accept=BOTH)
        assert answer.code in (200, 201), answer.body
        return protobuf.decode(answer.body)

    async def history(self, **labels: str) -> list[Obj]:
        wanted = ",".join(f"{name}={value}" for name, value in {"name": "web", "owner": "helm", **labels}.items())
        answer = await self._api.get(SECRETS, accept=BOTH, labelSelector=wanted)
        assert answer.content_type == PROTOBUF
        return list(protobuf.decode(answer.body).get("items", []))

    async def apply(self, obj: Obj, dry: bool = False) -> Obj:
        more = {"dryRun": "All"} if dry else {}
        found = await self._api.apply(path_of(obj), obj, "helm", fieldValidation="Strict", force="false", **more)
        assert found.code in (200, 201), found.body
        return dict(found.obj)


def path_of(obj: Obj) -> str:
    plural = {"ConfigMap": "configmaps", "Deployment": "deployments", "Service": "services", "Job": "jobs"}[obj["kind"]]
    root = "/api/v1" if obj["apiVersion"] == "v1" else f"/apis/{obj['apiVersion']}"
    return f"{root}/namespaces/default/{plural}/{obj['metadata']['name']}"


def chart(api: Any, image: str) -> list[Obj]:
    marks = {"app.kubernetes.io/managed-by": "Helm"}
    notes = {"meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "default"}
    settings = api.config_map("web", image=image)
    deployment = api.deployment("web", 2)
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] = image
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]},
    }
    found = [settings, service, deployment]
    for obj in found:
        obj["metadata"] |= {"labels": marks, "annotations": notes, "namespace": "default"}
    return found


async def test_a_release_from_install_to_uninstall(api: Any) -> None:
    helm = Helm(api)
    assert (await api.get("/version")).ok()["gitVersion"].startswith("v1.36")
    assert await helm.history() == []

    # install: nothing of it is there, a dry run, the release's secret, a hook, the objects, the wait
    first = chart(api, "nginx:1.27")
    for obj in first:
        (await api.get(path_of(obj))).refused(404)
        await helm.apply(obj, dry=True)
        (await api.get(path_of(obj))).refused(404)
    await helm.keep(release(1, "pending-install", json.dumps(first)))
    hook = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "before", "namespace": "default", "annotations": {"helm.sh/hook": "pre-install"}},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox"}]}}},
    }
    await helm.apply(hook)
    watch = await api.watch("/apis/batch/v1/namespaces/default/jobs?fieldSelector=metadata.name%3Dbefore")
    finished = {"status": {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]}}
    (await api.patch(f"{path_of(hook)}/status", finished)).ok()
    await watch.next()
    assert (await watch.next())["object"]["status"]["succeeded"] == 1
    (await api.delete(path_of(hook), {"propagationPolicy": "Background"})).ok()
    for obj in first:
        applied = await helm.apply(obj)
        assert [entry["manager"] for entry in applied["metadata"]["managedFields"]] == ["helm"]
    await helm.keep(release(1, "deployed", json.dumps(first)), "PUT")

    # upgrade: the last one is read, the new one kept, the objects applied, the old one superseded
    (current,) = await helm.history(status="deployed")
    assert json.loads(base64.b64decode(base64.b64decode(current["data"]["release"]))) == first
    second = chart(api, "nginx:1.28")
    await helm.keep(release(2, "pending-upgrade", json.dumps(second)))
    for obj in second:
        await helm.apply(obj)
    old = release(1, "superseded", json.dumps(first))
    await helm.keep(old, "PUT")
    await helm.keep(release(2, "deployed", json.dumps(second)), "PUT")
    stored = (await api.get(path_of(second[2]))).ok()
    assert stored["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:1.28"
    wrong = {**second[0], "dataa": {}}
    refused = await api.apply(path_of(wrong), wrong, "helm", fieldValidation="Strict")
    refused.refused(400, 'unknown field "dataa"')

    # rollback, then uninstall: what the release had goes, and its secrets with it
    for obj in chart(api, "nginx:1.27"):
        await helm.apply(obj)
    await helm.keep(release(3, "deployed", json.dumps(first)))
    assert [item["metadata"]["labels"]["version"] for item in await helm.history()] == ["1", "2", "3"]
    for obj in reversed(first):
        (await api.delete(path_of(obj), {"propagationPolicy": "Background"})).ok()
    for item in await helm.history():
        gone = await api.delete(f"{SECRETS}/{item['metadata']['name']}", accept=BOTH)
        assert protobuf.decode(gone.body)["status"] == "Success"
    assert await helm.history() == []


async def test_a_field_of_somebody_elses_is_not_helms(api: Any) -> None:
    helm = Helm(api)
    deployment = chart(api, "nginx:1.27")[2]
    await helm.apply(deployment)
    (await api.patch(path_of(deployment), {"spec": {"replicas": 5}}, fieldManager="hpa")).ok()
    refused = await api.apply(path_of(deployment), deployment, "helm", fieldValidation="Strict", force="false")
    refused.refused(409, ".spec.replicas")
    forced = await api.apply(path_of(deployment), deployment, "helm", fieldValidation="Strict", force="true")
    assert forced.ok()["spec"]["replicas"] == 2
