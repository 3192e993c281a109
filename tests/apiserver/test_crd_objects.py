"""Custom resources through the API: defined, created, changed, pruned, defaulted, validated, shown."""

from __future__ import annotations

from typing import Any

import pytest

Obj = dict[str, Any]
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SCHEMA: Obj = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["schedule"],
            "properties": {
                "schedule": {"type": "string", "pattern": r"^(\d+|\*)(/\d+)?$"},
                "image": {"type": "string", "default": "bb", "maxLength": 20},
                "replicas": {"type": "integer", "minimum": 1, "maximum": 10, "default": 1},
                "policy": {"type": "string", "enum": ["Always", "Never"]},
                "note": {"type": "string", "nullable": True},
                "port": {"x-kubernetes-int-or-string": True},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "steps": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {"name": {"type": "string"}, "value": {"type": "integer"}},
                    },
                },
                "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            },
        },
        "status": {
            "type": "object",
            "properties": {
                "replicas": {"type": "integer"},
                "selector": {"type": "string"},
                "phase": {"type": "string"},
            },
        },
    },
}


def definition(plural: str = "crontabs", group: str = "stable.example.com", **more: Any) -> Obj:
    """A definition of one version with everything switched on; `more` goes into its version."""
    kind = plural[:-1].capitalize()
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": SCHEMA},
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        },
        "additionalPrinterColumns": [
            {"name": "Schedule", "type": "string", "jsonPath": ".spec.schedule"},
            {"name": "Step", "type": "integer", "jsonPath": '.spec.steps[?(@.name=="b")].value'},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ],
        "selectableFields": [{"jsonPath": ".spec.policy"}],
        **more,
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind, "shortNames": [plural[:2]], "categories": ["all"]},
            "versions": [version],
        },
    }


TABS = "/apis/stable.example.com/v1/namespaces/default/crontabs"


def tab(name: str = "t", **spec: Any) -> Obj:
    return {
        "apiVersion": "stable.example.com/v1",
        "kind": "Crontab",
        "metadata": {"name": name},
        "spec": {"schedule": "*/5", **spec},
    }


@pytest.fixture
async def tabs(api: Any) -> Any:
    (await api.post(CRDS, definition())).ok(201)
    return api


async def test_a_definition_is_established_in_its_own_commit(api: Any) -> None:
    made = (await api.post(CRDS, definition())).ok(201)
    names = made["spec"]["names"]
    assert (names["singular"], names["listKind"]) == ("crontab", "CrontabList")
    status = made["status"]
    assert status["acceptedNames"] == {**names}
    assert status["storedVersions"] == ["v1"]
    assert [(c["type"], c["status"], c["reason"]) for c in status["conditions"]] == [
        ("NamesAccepted", "True", "NoConflicts"),
        ("Established", "True", "InitialNamesAccepted"),
    ]
    assert made["metadata"]["generation"] == 1
    assert (await api.get(TABS)).ok()["items"] == []


async def test_an_object_lives(tabs: Any) -> None:
    made = (await tabs.post(TABS, tab(extra=1, free={"a": {"b": 1}}))).ok(201)
    assert made["spec"] == {"schedule": "*/5", "free": {"a": {"b": 1}}, "image": "bb", "replicas": 1}
    assert made["metadata"]["generation"] == 1
    read = (await tabs.get(f"{TABS}/t")).ok()
    assert read == made
    listed = (await tabs.get(TABS)).ok()
    assert (listed["kind"], listed["apiVersion"]) == ("CrontabList", "stable.example.com/v1")
    changed = (await tabs.patch(f"{TABS}/t", {"spec": {"image": "alpine"}})).ok()
    assert (changed["spec"]["image"], changed["metadata"]["generation"]) == ("alpine", 2)
    changed["spec"]["policy"] = "Always"
    changed = (await tabs.put(f"{TABS}/t", changed)).ok()
    assert (await tabs.get(TABS, fieldSelector="spec.policy=Always")).names == ["t"]
    assert (await tabs.get(TABS, fieldSelector="spec.policy=Never")).names == []
    (await tabs.get(TABS, fieldSelector="spec.image=x")).refused(400, "field label not supported: spec.image")
    gone = (await tabs.delete(f"{TABS}/t")).ok()
    assert gone["details"]["kind"] == "crontabs"
    (await tabs.get(f"{TABS}/t")).refused(404, 'crontabs.stable.example.com "t" not found')


async def test_what_must_be_there_to_update(tabs: Any) -> None:
    made = (await tabs.post(TABS, tab())).ok(201)
    del made["metadata"]["resourceVersion"]
    (await tabs.put(f"{TABS}/t", made)).refused(422, "metadata.resourceVersion: Invalid value: 0")


async def test_unknown_fields_are_told_as_the_client_asks(tabs: Any) -> None:
    refused = await tabs.post(TABS, tab(imagee="x"), fieldValidation="Strict")
    refused.refused(400, 'strict decoding error: unknown field "spec.imagee"')
    warned = await tabs.post(TABS, tab(imagee="x"))
    assert warned.headers["warning"] == '299 - "unknown field \\"spec.imagee\\""'
    (await tabs.post(TABS, tab("u", imagee="x"), fieldValidation="Ignore")).ok(201)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"replicas": "3"},
            'spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string"',
        ),
        (
            {"replicas": 0},
            "spec.replicas: Invalid value: 0: spec.replicas in body should be greater than or equal to 1",
        ),
        (
            {"replicas": 11},
            "spec.replicas: Invalid value: 11: spec.replicas in body should be less than or equal to 10",
        ),
        (
            {"schedule": "x"},
            r"""spec.schedule: Invalid value: "x": spec.schedule in body should match '^(\d+|\*)(/\d+)?$'""",
        ),
        ({"image": "x" * 21}, "spec.image: Too long: may not be more than 20 bytes"),
        ({"policy": "x"}, 'spec.policy: Unsupported value: "x": supported values: "Always", "Never"'),
        (
            {"labels": {"a": 1}},
            'spec.labels.a: Invalid value: "integer": spec.labels.a in body must be of type string: "integer"',
        ),
        ({"steps": [{"value": 1}]}, "spec.steps[0].name: Required value"),
        ({"steps": [{"name": "a"}, {"name": "a"}]}, 'spec.steps[1]: Duplicate value: {"name":"a"}'),
        ({"tags": ["a", "a"]}, 'spec.tags[1]: Duplicate value: "a"'),
        (
            {"port": True},
            'spec.port: Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean"',
        ),
    ],
)
async def test_values_are_validated_in_kubernetes_words(tabs: Any, spec: Obj, message: str) -> None:
    refused = (await tabs.post(TABS, tab(**spec))).refused(422)
    assert refused["message"] == f'Crontab.stable.example.com "t" is invalid: {message}'
    assert refused["details"]["causes"][0]["field"] == message.partition(":")[0]


async def test_nulls(tabs: Any) -> None:
    made = (await tabs.post(TABS, tab(note=None, image=None, policy=None))).ok(201)
    assert made["spec"] == {"schedule": "*/5", "note": None, "image": "bb", "replicas": 1}


async def test_status_is_apart(tabs: Any) -> None:
    made = (await tabs.post(TABS, {**tab(), "status": {"phase": "x"}})).ok(201)
    assert "status" not in made
    made["status"], made["spec"]["replicas"], made["metadata"]["labels"] = {"phase": "Up"}, 9, {"a": "b"}
    put = (await tabs.put(f"{TABS}/t/status", made)).ok()
    assert (put["status"], put["spec"]["replicas"]) == ({"phase": "Up"}, 1)
    assert put["metadata"]["generation"] == 1 and "labels" not in put["metadata"]
    plain = (await tabs.patch(f"{TABS}/t", {"status": {"phase": "no"}, "spec": {"replicas": 2}})).ok()
    assert (plain["status"], plain["metadata"]["generation"]) == ({"phase": "Up"}, 2)
    wrong = await tabs.patch(f"{TABS}/t/status", {"status": {"phase": 1}})
    wrong.refused(422, "status.phase in body must be of type string")


async def test_scale(tabs: Any) -> None:
    (await tabs.post(TABS, tab(replicas=3))).ok(201)
    (await tabs.patch(f"{TABS}/t/status", {"status": {"replicas": 2, "selector": "a=b"}})).ok()
    scale = (await tabs.get(f"{TABS}/t/scale")).ok()
    assert (scale["spec"], scale["status"]) == ({"replicas": 3}, {"replicas": 2, "selector": "a=b"})
    scale["spec"]["replicas"] = 5
    (await tabs.put(f"{TABS}/t/scale", scale)).ok()
    (await tabs.patch(f"{TABS}/t/scale", {"spec": {"replicas": 6}})).ok()
    assert (await tabs.get(f"{TABS}/t")).ok()["spec"]["replicas"] == 6
    (await tabs.patch(f"{TABS}/t/scale", {"spec": {"replicas": 11}})).refused(422, "less than or equal to 10")


async def test_lists_are_shown_by_the_definition_s_columns(tabs: Any) -> None:
    (await tabs.post(TABS, tab(steps=[{"name": "a", "value": 1}, {"name": "b", "value": 2}]))).ok(201)
    table = (await tabs.get(TABS, accept=tabs.TABLE)).ok()
    assert [c["name"] for c in table["columnDefinitions"]] == ["Name", "Schedule", "Step", "Age"]
    assert table["rows"][0]["cells"][:3] == ["t", "*/5", 2]


async def test_server_side_apply_knows_the_topology(tabs: Any) -> None:
    (await tabs.apply(f"{TABS}/t", tab(steps=[{"name": "a", "value": 1}], free={"x": 1}), manager="one")).ok(201)
    other = {**tab(steps=[{"name": "b", "value": 2}], free={"y": 2})}
    del other["spec"]["schedule"]
    made = (await tabs.apply(f"{TABS}/t", other, manager="two")).ok()
    assert [step["name"] for step in made["spec"]["steps"]] == ["a", "b"]
    assert made["spec"]["free"] == {"x": 1, "y": 2}
    clash = (await tabs.apply(f"{TABS}/t", tab(schedule="1"), manager="two")).refused(409)
    assert clash["details"]["causes"][0]["field"] == ".spec.schedule"
    (await tabs.patch(f"{TABS}/t", {}, type=tabs.STRATEGIC)).refused(
        415, "application/merge-patch+json, application/apply"
    )


async def test_ratcheting(tabs: Any) -> None:
    """What was stored may stay as it is, even where a stricter schema has come since (KEP-4008)."""
    (await tabs.post(TABS, tab(image="long-enough", replicas=9))).ok(201)
    stricter = definition()
    found = (await tabs.get(f"{CRDS}/crontabs.stable.example.com")).ok()
    found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["image"][
        "maxLength"
    ] = 3
    (await tabs.put(f"{CRDS}/{stricter['metadata']['name']}", found)).ok()
    (await tabs.patch(f"{TABS}/t", {"spec": {"replicas": 8}})).ok()
    (await tabs.patch(f"{TABS}/t", {"spec": {"image": "four"}})).refused(422, "spec.image: Too long")


async def test_older_objects_are_read_by_the_newest_schema(tabs: Any) -> None:
    (await tabs.post(TABS, tab(policy="Never"))).ok(201)
    found = (await tabs.get(f"{CRDS}/crontabs.stable.example.com")).ok()
    fields = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    del fields["policy"]
    found["spec"]["versions"][0]["selectableFields"] = None
    fields["color"] = {"type": "string", "default": "red"}
    (await tabs.put(f"{CRDS}/crontabs.stable.example.com", found)).ok()
    read = (await tabs.get(f"{TABS}/t")).ok()
    assert read["spec"] == {"schedule": "*/5", "image": "bb", "replicas": 1, "color": "red"}
    assert (await tabs.get(TABS)).items == [read]
    again = (await tabs.patch(f"{TABS}/t", {})).ok()
    assert again["metadata"]["resourceVersion"] != read["metadata"]["resourceVersion"]


async def test_a_watch_tells_of_objects(tabs: Any) -> None:
    watch = await tabs.watch(TABS)
    (await tabs.post(TABS, tab())).ok(201)
    (await tabs.delete(f"{TABS}/t")).ok()
    assert await watch.take(2) == [("ADDED", "t"), ("DELETED", "t")]


async def test_no_protobuf(tabs: Any) -> None:
    refused = await tabs.post(TABS, b"k8s\0", type="application/vnd.kubernetes.protobuf")
    refused.refused(415, "accepted media types include: application/json, application/yaml")
    assert (await tabs.get(TABS, accept="application/vnd.kubernetes.protobuf")).code == 406
    (await tabs.get(TABS, accept="application/vnd.kubernetes.protobuf,application/json")).ok()
