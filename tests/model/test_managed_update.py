"""managedFields over creates, updates and patches, against the real schemas."""

import copy
from typing import Any

import pytest

from arktos.model import fieldset, managed
from arktos.model.schema import Schema, named

Obj = dict[str, Any]
T = [f"2026-01-01T00:00:{second:02}Z" for second in range(60)]


@pytest.fixture(scope="module")
def deployment() -> Schema:
    return named("io.k8s.api.apps.v1.Deployment")


@pytest.fixture(scope="module")
def pod() -> Schema:
    return named("io.k8s.api.core.v1.Pod")


def make(**spec: Any) -> Obj:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default", "uid": "u", "labels": {"app": "web"}},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "nginx", "ports": [{"containerPort": 80}]}]},
            },
            **spec,
        },
    }


def write(schema: Schema, old: Obj | None, new: Obj, who: str, when: int, **rest: Any) -> Obj:
    """`new` as the server would store it."""
    new = copy.deepcopy(new)
    rest.setdefault("api_version", new["apiVersion"])
    entries = managed.update(schema, old, new, manager=who, now=T[when], **rest)
    new["metadata"].pop("managedFields", None)
    if entries:
        new["metadata"]["managedFields"] = entries
    return new


def changed(obj: Obj, **spec: Any) -> Obj:
    new = copy.deepcopy(obj)
    new["spec"].update(spec)
    return new


def entries(obj: Obj) -> list[Obj]:
    return obj["metadata"].get("managedFields", [])


def owners(obj: Obj, *path: str) -> list[str]:
    return [entry["manager"] for entry in entries(obj) if fieldset.has(entry["fieldsV1"], path)]


def test_create(deployment: Schema) -> None:
    (entry,) = entries(write(deployment, None, make(), "kubectl", 1))
    assert entry == {
        "manager": "kubectl",
        "operation": "Update",
        "apiVersion": "apps/v1",
        "time": T[1],
        "fieldsType": "FieldsV1",
        "fieldsV1": {
            "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
            "f:spec": {
                "f:replicas": {},
                "f:selector": {},
                "f:template": {
                    ".": {},
                    "f:metadata": {".": {}, "f:labels": {".": {}, "f:app": {}}},
                    "f:spec": {
                        ".": {},
                        "f:containers": {
                            ".": {},
                            'k:{"name":"web"}': {
                                ".": {},
                                "f:image": {},
                                "f:name": {},
                                "f:ports": {
                                    ".": {},
                                    'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}},
                                },
                            },
                        },
                    },
                },
            },
        },
    }


def test_a_changed_field_moves(deployment: Schema) -> None:
    first = write(deployment, None, make(), "kubectl", 1)
    second = write(deployment, first, changed(first, replicas=3), "hpa", 2)
    assert owners(second, "f:spec", "f:replicas") == ["hpa"]
    assert [(entry["manager"], entry["time"]) for entry in entries(second)] == [("kubectl", T[1]), ("hpa", T[2])]
    assert owners(first, "f:spec", "f:replicas") == ["kubectl"]


def test_a_removed_field_leaves_all(deployment: Schema) -> None:
    first = write(deployment, None, make(paused=True), "kubectl", 1)
    gone = copy.deepcopy(first)
    del gone["spec"]["paused"]
    second = write(deployment, first, gone, "other", 2)
    assert owners(second, "f:spec", "f:paused") == []
    assert [entry["manager"] for entry in entries(second)] == ["kubectl"]


def test_an_entry_that_loses_everything_goes(deployment: Schema) -> None:
    first = write(deployment, None, make(), "kubectl", 1)
    second = write(deployment, first, changed(first, replicas=3), "hpa", 2)
    third = write(deployment, second, changed(second, replicas=4), "kubectl", 3)
    assert [entry["manager"] for entry in entries(third)] == ["kubectl"]


def test_nothing_changes_nothing(deployment: Schema) -> None:
    first = write(deployment, None, make(), "kubectl", 1)
    same = copy.deepcopy(first)
    same["metadata"]["resourceVersion"] = "7"
    same["metadata"]["generation"] = 2
    assert (
        managed.update(deployment, first, same, manager="x", api_version="apps/v1", now=T[5])
        is (first["metadata"]["managedFields"])
    )


def test_the_same_manager_keeps_one_entry_per_version_and_subresource(deployment: Schema) -> None:
    obj = write(deployment, None, make(), "ctl", 1)
    obj = write(deployment, obj, changed(obj, replicas=2), "ctl", 2)
    assert len(entries(obj)) == 1
    assert entries(obj)[0]["time"] == T[2]
    with_status = copy.deepcopy(obj)
    with_status["status"] = {"replicas": 1}
    obj = write(deployment, obj, with_status, "ctl", 3, subresource="status", ignored=("spec",))
    assert [(e.get("subresource"), e["time"]) for e in entries(obj)] == [(None, T[2]), ("status", T[3])]
    assert entries(obj)[1]["fieldsV1"] == {"f:status": {".": {}, "f:replicas": {}}}


def test_ignored_fields_are_never_owned(deployment: Schema) -> None:
    new = make()
    new["status"] = {"replicas": 4}
    obj = write(deployment, None, new, "kubectl", 1, ignored=("status",))
    assert "f:status" not in entries(obj)[0]["fieldsV1"]
    both = changed(obj, replicas=9)
    both["status"] = {"replicas": 5}
    both["metadata"]["labels"] = {"app": "other"}
    obj = write(deployment, obj, both, "kubelet", 2, subresource="status", ignored=("spec", "metadata.labels"))
    assert entries(obj)[1]["fieldsV1"] == {"f:status": {"f:replicas": {}}}
    assert owners(obj, "f:spec", "f:replicas") == ["kubectl"]


def test_what_names_the_object_is_never_owned(pod: Schema) -> None:
    new = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "p",
            "namespace": "n",
            "tenant": "acme",
            "uid": "u",
            "hashKey": 1,
            "generateName": "p-",
            "creationTimestamp": T[0],
            "resourceVersion": "1",
            "generation": 1,
            "selfLink": "/",
            "finalizers": ["a", "b"],
            "ownerReferences": [{"uid": "o", "name": "rs", "kind": "ReplicaSet", "apiVersion": "apps/v1"}],
        },
    }
    (entry,) = entries(write(pod, None, new, "rs", 1))
    assert entry["fieldsV1"] == {
        "f:metadata": {
            "f:finalizers": {".": {}, 'v:"a"': {}, 'v:"b"': {}},
            "f:ownerReferences": {".": {}, 'k:{"uid":"o"}': {}},
        }
    }


def test_an_untracked_object_stays_so(deployment: Schema) -> None:
    obj = make()
    assert managed.update(deployment, obj, changed(obj, replicas=2), manager="x", api_version="apps/v1", now=T[1]) == []


@pytest.mark.parametrize("reset", [[], [{}]])
def test_a_client_resets(deployment: Schema, reset: Any) -> None:
    obj = write(deployment, None, make(), "kubectl", 1)
    new = changed(obj, replicas=2)
    new["metadata"]["managedFields"] = reset
    assert managed.update(deployment, obj, new, manager="x", api_version="apps/v1", now=T[2]) == []


def test_a_client_sends_entries_of_its_own(deployment: Schema) -> None:
    """What `kubectl apply --server-side` does to move a client-side applied object: one JSON patch of managedFields."""
    obj = write(deployment, None, make(), "kubectl-client-side-apply", 1)
    new = copy.deepcopy(obj)
    new["metadata"]["managedFields"][0].update(manager="kubectl", operation="Apply")
    stored = write(deployment, obj, new, "kubectl", 2)
    assert [(e["manager"], e["operation"], e["time"]) for e in entries(stored)] == [("kubectl", "Apply", T[1])]


def test_a_client_creates_with_entries_of_its_own(deployment: Schema) -> None:
    fields = {"f:spec": {"f:replicas": {}}}
    sent = {
        "manager": "m",
        "operation": "Update",
        "apiVersion": "apps/v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }
    new = make()
    new["metadata"]["managedFields"] = [sent, {**sent, "manager": "restored", "operation": "Apply"}]
    (stored,) = entries(write(deployment, None, new, "m", 1))
    assert stored["fieldsV1"] == entries(write(deployment, None, make(), "m", 1))[0]["fieldsV1"]


@pytest.mark.parametrize(
    "broken",
    [
        "x",
        [1],
        [{"manager": "x"}],
        [{"operation": "Grab", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {}}],
        [{"operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": {}}],
        [{"operation": "Update", "apiVersion": "v1", "fieldsType": "V2", "fieldsV1": {}}],
        [{"operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"bad": {}}}],
        [{"operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "manager": 3, "fieldsV1": {}}],
    ],
)
def test_broken_entries_are_ignored(deployment: Schema, broken: Any) -> None:
    obj = write(deployment, None, make(), "kubectl", 1)
    new = copy.deepcopy(obj)
    new["metadata"]["managedFields"] = broken
    assert entries(write(deployment, obj, new, "x", 2)) == entries(obj)


def test_a_subresource_cannot_send_entries(deployment: Schema) -> None:
    obj = write(deployment, None, make(), "kubectl", 1)
    new = copy.deepcopy(obj)
    new["metadata"]["managedFields"] = []
    assert entries(write(deployment, obj, new, "x", 2, subresource="status")) == entries(obj)


def test_the_oldest_updaters_are_merged(deployment: Schema) -> None:
    obj = write(deployment, None, make(), "m00", 0)
    for number in range(1, 15):
        new = copy.deepcopy(obj)
        new["metadata"].setdefault("annotations", {})[f"a{number}"] = "x"
        obj = write(deployment, obj, new, f"m{number:02}", number)
    assert len(entries(obj)) == managed.MAX_UPDATE_MANAGERS
    oldest = entries(obj)[0]
    assert (oldest["manager"], oldest["time"]) == ("ancient-changes", T[5])
    assert owners(obj, "f:spec", "f:replicas") == ["ancient-changes"]
    assert [entry["manager"] for entry in entries(obj)[1:]] == [f"m{number:02}" for number in range(6, 15)]
    for number in range(1, 15):
        assert owners(obj, "f:metadata", "f:annotations", f"f:a{number}") == [
            "ancient-changes" if number < 6 else f"m{number:02}"
        ]


def test_appliers_are_never_merged_away(deployment: Schema) -> None:
    fields = {"f:spec": {"f:replicas": {}}}
    every = [managed.Entry(f"m{n}", "Apply", "apps/v1", "", T[n], fields) for n in range(20)]
    kept = {entry.key: entry for entry in every}
    assert managed.capped(kept) is kept


def test_order_of_entries() -> None:
    every = [
        managed.Entry("b", "Update", "v1", "", T[1], {"f:a": {}}),
        managed.Entry("a", "Update", "v1", "", T[2], {"f:a": {}}),
        managed.Entry("a", "Update", "v1", "status", T[1], {"f:a": {}}),
        managed.Entry("z", "Apply", "v1", "", T[9], {"f:a": {}}),
    ]
    order = [(e["manager"], e["time"]) for e in managed.encode({entry.key: entry for entry in every})]
    assert order == [("z", T[9]), ("a", T[1]), ("b", T[1]), ("a", T[2])]


def test_duplicates_in_a_list_are_owned_as_one(pod: Schema) -> None:
    def with_env(*values: str) -> Obj:
        env = [{"name": "X", "value": value} for value in values]
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {"containers": [{"name": "c", "env": env}]}}

    path = ("f:spec", "f:containers", 'k:{"name":"c"}', "f:env", 'k:{"name":"X"}')
    one = write(pod, None, with_env("1"), "a", 1)
    two = write(pod, one, {**with_env("1", "2"), "metadata": one["metadata"]}, "b", 2)
    assert owners(one, *path, "f:value") == ["a"]
    assert owners(two, *path) == ["b"]
    assert owners(two, *path, "f:value") == []
    back = write(pod, two, {**with_env("2"), "metadata": two["metadata"]}, "c", 3)
    assert owners(back, *path) == owners(back, *path, "f:value") == ["c"]


def test_arbitrary_values_of_a_wrong_type_do_not_break_it(pod: Schema) -> None:
    bad = {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {"containers": {"a": 1}, "nodeName": ["x"]}}
    good = {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {"containers": [{"name": "a"}]}}
    obj = write(pod, None, bad, "a", 1)
    assert owners(obj, "f:spec", "f:containers") == ["a"]
    assert owners(write(pod, obj, {**good, "metadata": obj["metadata"]}, "b", 2), "f:spec", "f:containers") == ["b"]
    named_ones = write(pod, None, good, "a", 1)
    nameless = {**good, "spec": {"containers": ["x"]}, "metadata": named_ones["metadata"]}
    assert entries(write(pod, named_ones, nameless, "b", 2)) == entries(named_ones)
