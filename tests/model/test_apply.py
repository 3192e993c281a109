"""Server-side apply against the real schemas: merging, giving up fields, conflicts, force, moving from client-side."""

import copy
import json
from typing import Any

import pytest

from arktos.model import apply, fieldset, managed
from arktos.model.schema import Schema, named
from arktos.model.shape import shape
from arktos.model.status import BadRequest, Conflict

Obj = dict[str, Any]
T = [f"2026-01-01T00:00:{second:02}Z" for second in range(60)]
DEPLOYMENT = named("io.k8s.api.apps.v1.Deployment")
POD = named("io.k8s.api.core.v1.Pod")
SERVICE = named("io.k8s.api.core.v1.Service")
CONFIGMAP = named("io.k8s.api.core.v1.ConfigMap")
LAST = "kubectl.kubernetes.io/last-applied-configuration"


def deployment(*containers: Obj, labels: Obj | None = None, annotations: Obj | None = None, **spec: Any) -> Obj:
    metadata: Obj = {"name": "web", "namespace": "default"}
    if labels is not None:
        metadata["labels"] = labels
    if annotations is not None:
        metadata["annotations"] = annotations
    obj: Obj = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}
    if containers:
        spec["template"] = {"spec": {"containers": list(containers)}}
    return obj


def configmap(data: Obj | None = None, **rest: Any) -> Obj:
    obj: Obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "d"}, **rest}
    if data is not None:
        obj["data"] = data
    return obj


def run(
    schema: Schema,
    live: Obj | None,
    config: Obj,
    who: str = "a",
    when: int = 1,
    *,
    force: bool = False,
    **rest: Any,
) -> Obj:
    before = copy.deepcopy((live, config))
    result = apply.apply(
        schema, live, config, manager=who, api_version=config["apiVersion"], force=force, now=T[when], **rest
    )
    assert (live, config) == before
    assert result.changed or result.obj is live
    return result.obj


def edit(schema: Schema, live: Obj | None, new: Obj, who: str, when: int, **rest: Any) -> Obj:
    new = copy.deepcopy(new)
    entries = managed.update(schema, live, new, manager=who, api_version=new["apiVersion"], now=T[when], **rest)
    new["metadata"]["managedFields"] = entries
    return new


def owners(obj: Obj, *path: str) -> list[str]:
    entries = obj["metadata"].get("managedFields", [])
    return [entry["manager"] for entry in entries if fieldset.has(entry["fieldsV1"], path)]


def content(obj: Obj) -> Obj:
    return {**obj, "metadata": {key: value for key, value in obj["metadata"].items() if key != "managedFields"}}


def test_create() -> None:
    config = deployment(
        {"name": "web", "image": "nginx", "ports": [{"containerPort": 80}]}, labels={"a": "b"}, replicas=2
    )
    obj = run(DEPLOYMENT, None, config)
    assert content(obj) == config
    assert obj["metadata"]["managedFields"] == [
        {
            "manager": "a",
            "operation": "Apply",
            "apiVersion": "apps/v1",
            "time": T[1],
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:metadata": {"f:labels": {"f:a": {}}},
                "f:spec": {
                    "f:replicas": {},
                    "f:template": {
                        "f:spec": {
                            "f:containers": {
                                'k:{"name":"web"}': {
                                    ".": {},
                                    "f:image": {},
                                    "f:name": {},
                                    "f:ports": {
                                        'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}
                                    },
                                }
                            }
                        }
                    },
                },
            },
        }
    ]


def test_applying_again_changes_nothing() -> None:
    config = deployment({"name": "web", "image": "nginx"}, labels={"a": "b"}, replicas=2)
    obj = run(DEPLOYMENT, None, config)
    defaulted = edit(DEPLOYMENT, obj, {**obj, "spec": {**obj["spec"], "paused": False}}, "default", 2)
    again = apply.apply(DEPLOYMENT, defaulted, config, manager="a", api_version="apps/v1", force=False, now=T[9])
    assert again.obj is defaulted
    assert not again.changed


def test_what_is_no_longer_applied_goes() -> None:
    obj = run(CONFIGMAP, None, configmap({"x": "1", "y": "2"}))
    obj = run(CONFIGMAP, obj, configmap({"x": "1"}), when=2)
    assert obj["data"] == {"x": "1"}
    assert obj["metadata"]["managedFields"][0]["time"] == T[2]
    obj = run(CONFIGMAP, obj, configmap(), when=3)
    assert "data" not in obj
    assert "managedFields" not in obj["metadata"]
    assert obj["metadata"]["name"] == "c"


def test_what_others_own_stays() -> None:
    obj = run(CONFIGMAP, None, configmap({"x": "1", "y": "2"}))
    obj = run(CONFIGMAP, obj, configmap({"y": "2"}), "b", 2)
    assert owners(obj, "f:data", "f:y") == ["a", "b"]
    obj = run(CONFIGMAP, obj, configmap({"x": "1"}), "a", 3)
    assert obj["data"] == {"x": "1", "y": "2"}
    assert owners(obj, "f:data", "f:y") == ["b"]
    obj = run(CONFIGMAP, obj, configmap(immutable=True), "b", 4)
    assert obj["data"] == {"x": "1"}


def test_what_nobody_owns_stays() -> None:
    obj = run(DEPLOYMENT, None, deployment({"name": "web", "image": "nginx"}, replicas=1))
    obj["spec"]["paused"] = True
    obj = run(DEPLOYMENT, obj, deployment({"name": "web", "image": "nginx"}), when=2)
    assert obj["spec"] == {"paused": True, "template": {"spec": {"containers": [{"name": "web", "image": "nginx"}]}}}


def test_an_element_goes_with_what_nobody_owns_in_it() -> None:
    one, two = {"name": "one", "image": "x"}, {"name": "two", "image": "y"}
    obj = run(DEPLOYMENT, None, deployment(one, two))
    obj["spec"]["template"]["spec"]["containers"][1]["imagePullPolicy"] = "Always"
    obj = run(DEPLOYMENT, obj, deployment(one), when=2)
    assert obj["spec"]["template"]["spec"]["containers"] == [one]


def test_an_element_stays_for_the_field_that_another_owns() -> None:
    one, two = {"name": "one", "image": "x"}, {"name": "two", "image": "y"}
    obj = run(DEPLOYMENT, None, deployment(one, two))
    obj = run(DEPLOYMENT, obj, deployment({"name": "two", "tty": True}), "b", 2)
    obj = run(DEPLOYMENT, obj, deployment(one), "a", 3)
    assert obj["spec"]["template"]["spec"]["containers"] == [one, {"name": "two", "tty": True}]


def test_a_conflict() -> None:
    obj = run(DEPLOYMENT, None, deployment(replicas=1), "a")
    with pytest.raises(Conflict) as caught:
        run(DEPLOYMENT, obj, deployment(replicas=2), "b", 2)
    status = caught.value.status()
    assert status["message"] == 'Apply failed with 1 conflict: conflict with "a": .spec.replicas'
    assert (status["code"], status["reason"]) == (409, "Conflict")
    assert status["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "a"', "field": ".spec.replicas"}
    ]


def test_conflicts_name_who_and_what() -> None:
    obj = edit(DEPLOYMENT, None, deployment({"name": "w", "image": "x"}, replicas=1), "kubectl-client-side-apply", 1)
    obj = run(DEPLOYMENT, obj, deployment(labels={"l": "1"}), "a", 2)
    config = deployment({"name": "w", "image": "y"}, labels={"l": "2"}, replicas=3)
    with pytest.raises(Conflict) as caught:
        run(DEPLOYMENT, obj, config, "b", 3)
    assert caught.value.message == (
        'Apply failed with 3 conflicts: conflicts with "a":\n'
        "- .metadata.labels.l\n"
        'conflicts with "kubectl-client-side-apply" using apps/v1:\n'
        "- .spec.replicas\n"
        '- .spec.template.spec.containers[name="w"].image'
    )


def test_a_conflict_with_a_subresource_says_so() -> None:
    obj = edit(DEPLOYMENT, None, deployment(replicas=1), "hpa", 1, subresource="scale")
    with pytest.raises(Conflict, match=r'conflict with "hpa" with subresource "scale" using apps/v1: \.spec\.replicas'):
        run(DEPLOYMENT, obj, deployment(replicas=2), "b", 2)


def test_equal_values_are_shared_without_conflict() -> None:
    obj = run(DEPLOYMENT, None, deployment(replicas=1), "a")
    obj = run(DEPLOYMENT, obj, deployment(replicas=1), "b", 2)
    assert owners(obj, "f:spec", "f:replicas") == ["a", "b"]
    assert [entry["time"] for entry in obj["metadata"]["managedFields"]] == [T[1], T[2]]


def test_force_takes_over() -> None:
    obj = run(DEPLOYMENT, None, deployment(replicas=1, paused=True), "a")
    obj = run(DEPLOYMENT, obj, deployment(replicas=2), "b", 2, force=True)
    assert obj["spec"] == {"replicas": 2, "paused": True}
    assert owners(obj, "f:spec", "f:replicas") == ["b"]
    assert owners(obj, "f:spec", "f:paused") == ["a"]


def test_an_update_takes_over_from_an_applier() -> None:
    obj = run(DEPLOYMENT, None, deployment(replicas=1, paused=True), "a")
    obj = edit(DEPLOYMENT, obj, {**obj, "spec": {**obj["spec"], "replicas": 5}}, "hpa", 2)
    assert owners(obj, "f:spec", "f:replicas") == ["hpa"]
    with pytest.raises(Conflict):
        run(DEPLOYMENT, obj, deployment(replicas=1, paused=True), "a", 3)
    given_up = run(DEPLOYMENT, obj, deployment(paused=True), "a", 3)
    assert given_up["spec"]["replicas"] == 5


def test_an_untracked_object_is_owned_before_the_first_apply() -> None:
    live = deployment(replicas=1, paused=True)
    live["status"] = {"replicas": 1}
    with pytest.raises(Conflict, match=r'"before-first-apply" using apps/v1: \.spec\.replicas'):
        run(DEPLOYMENT, live, deployment(replicas=2), "a", 2, ignored=("status",))
    obj = run(DEPLOYMENT, live, deployment(replicas=2), "a", 2, force=True, ignored=("status",))
    assert owners(obj, "f:spec", "f:paused") == ["before-first-apply"]
    assert owners(obj, "f:status", "f:replicas") == []


def test_status_is_not_applied_through_the_main_resource() -> None:
    live = run(DEPLOYMENT, None, deployment(replicas=1))
    live["status"] = {"replicas": 1}
    config = {**deployment(replicas=1), "status": {"replicas": 9}}
    assert run(DEPLOYMENT, live, config, when=2, ignored=("status",)) is live
    obj = run(DEPLOYMENT, live, config, when=2, subresource="status", ignored=("spec",), force=True)
    assert obj["status"] == {"replicas": 9}
    assert [(e["manager"], e.get("subresource")) for e in obj["metadata"]["managedFields"]] == [
        ("a", None),
        ("a", "status"),
    ]


REFUSED: list[tuple[Obj, str]] = [
    ({**deployment(), "apiVersion": "apps/v2"}, "Specified patch version: apps/v2, expected: apps/v1"),
    ({**deployment(), "metadata": {"name": "x", "managedFields": []}}, "metadata.managedFields must be nil"),
    ({**deployment(), "metadata": "x"}, "metadata must be an object"),
    (
        deployment({"name": "w"}, {"name": "w"}),
        "failed to create typed patch object (default/web; apps/v1, Kind=Deployment): .spec.template.spec.containers: "
        'duplicate entries for key [name="w"]',
    ),
    (
        deployment({"name": "w", "env": [{"name": "X"}, {"name": "X"}], "ports": [{"name": "p"}, 3]}),
        "errors:\n"
        '  .spec.template.spec.containers[name="w"].env: duplicate entries for key [name="X"]\n'
        '  .spec.template.spec.containers[name="w"].ports: element 1: '
        "associative list with keys may not have non-map elements",
    ),
    (deployment({"image": "x"}), "element 0: associative list with keys has an element that omits all key fields"),
    (
        {**deployment(), "metadata": {"name": "x", "finalizers": ["a", "a"]}},
        '.metadata.finalizers: duplicate entries for key [="a"]',
    ),
]


@pytest.mark.parametrize(("config", "message"), REFUSED)
def test_refused(config: Obj, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        apply.apply(DEPLOYMENT, None, config, manager="a", api_version="apps/v1", force=True, now=T[1])
    assert message in caught.value.message


def test_ports_merge_by_port_and_protocol() -> None:
    def service(*ports: Obj) -> Obj:
        return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": list(ports)}}

    live = run(SERVICE, None, service({"port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}))
    obj = run(SERVICE, live, service({"port": 80, "targetPort": 8080}, {"port": 53, "name": "tcp"}), "b", 2)
    assert obj["spec"]["ports"] == [
        {"port": 80, "protocol": "TCP", "targetPort": 8080},
        {"port": 53, "protocol": "UDP"},
        {"port": 53, "name": "tcp"},
    ]


def test_nics_merge_by_name() -> None:
    def pod(*nics: Obj) -> Obj:
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"nics": list(nics)}}

    obj = run(POD, None, pod({"name": "eth0", "subnetName": "s"}))
    obj = run(POD, obj, pod({"name": "eth0", "portId": "p"}, {"name": "eth1"}), "neutron", 2)
    assert obj["spec"]["nics"] == [{"name": "eth0", "subnetName": "s", "portId": "p"}, {"name": "eth1"}]
    assert owners(obj, "f:spec", "f:nics", 'k:{"name":"eth0"}', "f:portId") == ["neutron"]


def test_atomic_values_are_one_field() -> None:
    obj = run(DEPLOYMENT, None, deployment(selector={"matchLabels": {"a": "b"}}))
    with pytest.raises(Conflict, match=r"\.spec\.selector$"):
        run(DEPLOYMENT, obj, deployment(selector={"matchLabels": {"c": "d"}}), "b", 2)
    obj = run(DEPLOYMENT, obj, deployment(selector={"matchLabels": {"c": "d"}}), "b", 2, force=True)
    assert obj["spec"]["selector"] == {"matchLabels": {"c": "d"}}


def test_null_clears_and_is_owned() -> None:
    obj = run(DEPLOYMENT, None, deployment(replicas=1, paused=True))
    cleared = run(DEPLOYMENT, obj, deployment(replicas=None, paused=True), when=2)
    assert cleared["spec"] == {"paused": True}
    assert run(DEPLOYMENT, cleared, deployment(replicas=None, paused=True), when=3) is cleared
    with pytest.raises(Conflict):
        run(DEPLOYMENT, obj, deployment(replicas=None), "b", 2)


def test_empty_maps_are_owned() -> None:
    volume = {"name": "v", "emptyDir": {}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"volumes": [volume]}}
    obj = run(POD, None, pod)
    assert owners(obj, "f:spec", "f:volumes", 'k:{"name":"v"}', "f:emptyDir") == ["a"]
    switched = copy.deepcopy(pod)
    switched["spec"]["volumes"][0] = {"name": "v", "hostPath": {"path": "/"}}
    obj = run(POD, obj, switched, when=2)
    assert obj["spec"]["volumes"] == [{"name": "v", "hostPath": {"path": "/"}}]


ORDERS = [
    ("abc", "ca", "bca"),
    ("ab", "xa", "xab"),
    ("sa", "xa", "sxa"),
    ("acz", "ca", "cza"),
    ("", "ab", "ab"),
    ("ab", "", "ab"),
    ("abc", "cba", "cba"),
    ("ab", "cd", "abcd"),
    ("axb", "abc", "axbc"),
]


@pytest.mark.parametrize(("live", "config", "expected"), ORDERS)
def test_order_of_merged_elements(live: str, config: str, expected: str) -> None:
    node = shape(POD).field("spec")[1].field("containers")[1]
    merged = apply.merge(node, [{"name": n} for n in live], [{"name": n} for n in config])
    assert "".join(item["name"] for item in merged) == expected


def test_one_applied_element_replaces_duplicates() -> None:
    node = shape(POD).field("spec")[1].field("containers")[1]
    live = [{"name": "a", "image": "1"}, {"name": "b"}, {"name": "a", "image": "2"}]
    assert apply.merge(node, live, [{"name": "c"}]) == [live[0], live[2], live[1], {"name": "c"}]
    assert apply.merge(node, live, [{"name": "a", "tty": True}]) == [{"name": "a", "tty": True}, {"name": "b"}]


def test_what_does_not_change_is_shared() -> None:
    obj = run(DEPLOYMENT, None, deployment({"name": "web", "image": "nginx"}, replicas=1))
    new = run(DEPLOYMENT, obj, deployment({"name": "web", "image": "nginx"}, replicas=2), when=2)
    assert new["spec"]["template"] is obj["spec"]["template"]


def client_side(config: Obj, when: int = 1) -> Obj:
    live = copy.deepcopy(config)
    live["metadata"].setdefault("annotations", {})[LAST] = json.dumps(config)
    return edit(DEPLOYMENT, None, live, "kubectl-client-side-apply", when)


def test_kubectl_moves_from_client_side_apply_without_conflict() -> None:
    live = client_side(deployment({"name": "web", "image": "nginx:1"}, replicas=1))
    config = deployment({"name": "web", "image": "nginx:2"}, replicas=1)
    obj = run(DEPLOYMENT, live, config, "kubectl", 2)
    path = ("f:spec", "f:template", "f:spec", "f:containers", 'k:{"name":"web"}', "f:image")
    assert owners(obj, *path) == ["kubectl"]
    assert json.loads(obj["metadata"]["annotations"][LAST]) == {
        **config,
        "metadata": {**config["metadata"], "annotations": {}},
    }
    with pytest.raises(Conflict):
        run(DEPLOYMENT, live, config, "helm", 2)


def test_kubectl_does_conflict_where_another_changed_what_was_applied() -> None:
    live = client_side(deployment(replicas=1, paused=True))
    live = edit(DEPLOYMENT, live, {**live, "spec": {"replicas": 7, "paused": True}}, "hpa", 2)
    with pytest.raises(Conflict, match=r'1 conflict: conflict with "hpa" using apps/v1: \.spec\.replicas'):
        run(DEPLOYMENT, live, deployment(replicas=2, paused=False), "kubectl", 3)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"spec": {"template": {"spec": {"containers": [1]}}}}'])
def test_a_broken_annotation_says_nothing(text: str) -> None:
    live = client_side(deployment(replicas=1))
    live["metadata"]["annotations"][LAST] = text
    with pytest.raises(Conflict):
        run(DEPLOYMENT, live, deployment(replicas=2), "kubectl", 2)
    obj = run(DEPLOYMENT, live, deployment(replicas=2), "kubectl", 2, force=True)
    assert json.loads(obj["metadata"]["annotations"][LAST])["spec"] == {"replicas": 2}


def test_an_annotation_that_does_not_fit_is_emptied() -> None:
    live = client_side(deployment(replicas=1))
    config = deployment(replicas=1, annotations={"big": "x" * (200 << 10)})
    obj = run(DEPLOYMENT, live, config, "kubectl", 2)
    assert obj["metadata"]["annotations"][LAST] == ""
    assert obj["metadata"]["annotations"]["big"] == "x" * (200 << 10)


def test_a_configuration_nested_too_deeply_is_refused() -> None:
    deep: Any = {}
    for _ in range(5000):
        deep = {"a": deep}
    config = {**configmap(), "data": {"x": [deep]}}
    live = run(CONFIGMAP, None, configmap({"x": "1"}))
    with pytest.raises(BadRequest, match="too deeply"):
        run_raw(live, config)


def run_raw(live: Obj, config: Obj) -> None:
    apply.apply(CONFIGMAP, live, config, manager="a", api_version="v1", force=True, now=T[1])
