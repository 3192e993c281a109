"""What programs do with the official client: typed and dynamic, patches, apply, watches, errors, custom resources.

    kubernetes_client.py kubeconfig namespace [pod]

With the name of a running pod, also its logs and a command in it.
"""

from __future__ import annotations

import sys
from typing import Any

from kubernetes import client, config, dynamic, watch
from kubernetes.client.rest import ApiException
from kubernetes.stream import stream


def config_map(name: str, **data: str) -> client.V1ConfigMap:
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels={"app": "k8s"}), data=data)


def deployment(name: str) -> client.V1Deployment:
    labels = {"app": name}
    container = client.V1Container(name="main", image="nginx:1.27")
    return client.V1Deployment(
        metadata=client.V1ObjectMeta(name=name),
        spec=client.V1DeploymentSpec(
            replicas=2,
            selector=client.V1LabelSelector(match_labels=labels),
            template=client.V1PodTemplateSpec(
                metadata=client.V1ObjectMeta(labels=labels), spec=client.V1PodSpec(containers=[container])
            ),
        ),
    )


def typed(core: client.CoreV1Api, namespace: str) -> None:
    made = core.create_namespaced_config_map(namespace, config_map("a", key="1"))
    assert made.metadata.uid and made.data == {"key": "1"}
    core.create_namespaced_config_map(namespace, config_map("b", key="2"))
    listed = core.list_namespaced_config_map(namespace, label_selector="app=k8s")
    assert [item.metadata.name for item in listed.items] == ["a", "b"] and listed.metadata.resource_version
    first = core.list_namespaced_config_map(namespace, label_selector="app=k8s", limit=1)
    rest = core.list_namespaced_config_map(namespace, label_selector="app=k8s", _continue=first.metadata._continue)
    assert [item.metadata.name for item in (*first.items, *rest.items)] == ["a", "b"]
    patched = core.patch_namespaced_config_map("a", namespace, {"data": {"more": "x"}})
    assert patched.data == {"key": "1", "more": "x"}
    stale = core.read_namespaced_config_map("a", namespace)
    stale.data = {"key": "3"}
    assert core.replace_namespaced_config_map("a", namespace, stale).data == {"key": "3"}
    refused(409, "Conflict", lambda: core.replace_namespaced_config_map("a", namespace, stale))
    refused(404, "NotFound", lambda: core.read_namespaced_config_map("nobody", namespace))
    refused(422, "Invalid", lambda: core.create_namespaced_config_map(namespace, config_map("Not_A_Name")))
    core.delete_namespaced_config_map("b", namespace)
    core.delete_collection_namespaced_config_map(namespace, label_selector="app=k8s")
    assert core.list_namespaced_config_map(namespace, label_selector="app=k8s").items == []


def refused(code: int, reason: str, act: Any) -> None:
    try:
        act()
    except ApiException as error:
        assert error.status == code and reason in error.body, error
    else:
        raise AssertionError(f"{reason} did not come")


def workloads(core: client.CoreV1Api, namespace: str) -> None:
    apps = client.AppsV1Api()
    apps.create_namespaced_deployment(namespace, deployment("web"))
    assert scaled(apps, namespace, 1).spec.replicas == 1
    image = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "nginx:1.28"}]}}}}
    (container,) = apps.patch_namespaced_deployment("web", namespace, image).spec.template.spec.containers
    assert container.image == "nginx:1.28" and container.name == "main"
    pod = client.V1Pod(
        metadata=client.V1ObjectMeta(name="one"),
        spec=client.V1PodSpec(containers=[client.V1Container(name="c", image="busybox")]),
    )
    assert core.create_namespaced_pod(namespace, pod).status.phase == "Pending"
    assert core.delete_namespaced_pod("one", namespace).metadata.name == "one"
    assert apps.delete_namespaced_deployment("web", namespace)["status"] == "Success"
    account = core.read_namespaced_service_account("default", namespace)
    wanted = client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=600))
    token = core.create_namespaced_service_account_token(account.metadata.name, namespace, wanted)
    assert token.status.token
    review = client.V1SelfSubjectAccessReview(
        spec=client.V1SelfSubjectAccessReviewSpec(
            resource_attributes=client.V1ResourceAttributes(verb="get", resource="pods", namespace=namespace)
        )
    )
    assert client.AuthorizationV1Api().create_self_subject_access_review(review).status.allowed


def scaled(apps: client.AppsV1Api, namespace: str, replicas: int) -> Any:
    """Reads and writes a scale; again, where the controllers have written in between."""
    while True:
        scale = apps.read_namespaced_deployment_scale("web", namespace)
        scale.spec.replicas = replicas
        try:
            return apps.replace_namespaced_deployment_scale("web", namespace, scale)
        except ApiException as error:
            if error.status != 409:
                raise


def watching(core: client.CoreV1Api, namespace: str) -> None:
    before = core.list_namespaced_config_map(namespace).metadata.resource_version
    core.create_namespaced_config_map(namespace, config_map("seen", n="0"))
    core.patch_namespaced_config_map("seen", namespace, {"data": {"n": "1"}})
    core.delete_namespaced_config_map("seen", namespace)
    told = []
    watcher = watch.Watch()
    for event in watcher.stream(
        core.list_namespaced_config_map, namespace, resource_version=before, timeout_seconds=20
    ):
        if event["object"].metadata.name == "seen":
            told.append((event["type"], event["object"].data["n"]))
        if len(told) == 3:
            watcher.stop()
    assert told == [("ADDED", "0"), ("MODIFIED", "1"), ("DELETED", "1")], told


def dynamically(api: client.ApiClient, namespace: str) -> None:
    cluster = dynamic.DynamicClient(api)
    maps = cluster.resources.get(api_version="v1", kind="ConfigMap")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"a": "1"}}
    maps.server_side_apply(body=body, namespace=namespace, field_manager="one")
    body["data"] = {"a": "2"}
    refused(409, "conflict", lambda: maps.server_side_apply(body=body, namespace=namespace, field_manager="two"))
    done = maps.server_side_apply(body=body, namespace=namespace, field_manager="two", force_conflicts=True)
    assert done.data.a == "2" and {m.manager for m in done.metadata.managedFields} == {"two"}
    maps.delete(name="applied", namespace=namespace)
    kinds = {resource.kind for group in cluster.resources.search() for resource in [group] if hasattr(resource, "kind")}
    assert {"Pod", "Deployment", "Lease", "FlowSchema", "ResourceClaim"} <= kinds


def custom(namespace: str) -> None:
    group, plural = f"{namespace}.example.com", "gadgets"
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer", "minimum": 1}}}},
    }
    definition = client.V1CustomResourceDefinition(
        metadata=client.V1ObjectMeta(name=f"{plural}.{group}"),
        spec=client.V1CustomResourceDefinitionSpec(
            group=group,
            names=client.V1CustomResourceDefinitionNames(kind="Gadget", plural=plural, singular="gadget"),
            scope="Namespaced",
            versions=[
                client.V1CustomResourceDefinitionVersion(
                    name="v1",
                    served=True,
                    storage=True,
                    schema=client.V1CustomResourceValidation(open_apiv3_schema=schema),
                )
            ],
        ),
    )
    definitions, objects = client.ApiextensionsV1Api(), client.CustomObjectsApi()
    definitions.create_custom_resource_definition(definition)
    try:
        for event in watch.Watch().stream(
            definitions.list_custom_resource_definition,
            field_selector=f"metadata.name={plural}.{group}",
            timeout_seconds=20,
        ):
            conditions = event["object"].status.conditions if event["object"].status else None
            if any(c.type == "Established" and c.status == "True" for c in conditions or ()):
                break
        body = {"apiVersion": f"{group}/v1", "kind": "Gadget", "metadata": {"name": "g"}, "spec": {"size": 3}}
        where = (group, "v1", namespace, plural)
        assert objects.create_namespaced_custom_object(*where, body)["spec"] == {"size": 3}
        wrong = {**body, "metadata": {"name": "h"}, "spec": {"size": 0}}
        refused(422, "size", lambda: objects.create_namespaced_custom_object(*where, wrong))
        changed = objects.patch_namespaced_custom_object(*where, "g", {"spec": {"size": 5}})
        assert changed["spec"]["size"] == 5
        assert [item["metadata"]["name"] for item in objects.list_namespaced_custom_object(*where)["items"]] == ["g"]
        objects.delete_namespaced_custom_object(*where, "g")
    finally:
        definitions.delete_custom_resource_definition(f"{plural}.{group}")


def running(core: client.CoreV1Api, namespace: str, pod: str) -> None:
    assert "hello" in core.read_namespaced_pod_log(pod, namespace)
    told = stream(
        core.connect_get_namespaced_pod_exec,
        pod,
        namespace,
        command=["sh", "-c", "echo out; echo err >&2; exit 3"],
        stdout=True,
        stderr=True,
        stdin=False,
        tty=False,
        _preload_content=False,
    )
    told.run_forever(timeout=30)
    assert (told.read_stdout().strip(), told.read_stderr().strip(), told.returncode) == ("out", "err", 3)


def main(kubeconfig: str, namespace: str, pod: str = "") -> None:
    config.load_kube_config(kubeconfig)
    core = client.CoreV1Api()
    if pod:
        running(core, namespace, pod)
        return
    assert client.VersionApi().get_code().minor == "36"
    assert core.read_namespace(namespace).status.phase == "Active"
    typed(core, namespace)
    workloads(core, namespace)
    watching(core, namespace)
    dynamically(client.ApiClient(), namespace)
    custom(namespace)


if __name__ == "__main__":
    main(*sys.argv[1:])
