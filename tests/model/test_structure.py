"""Structure: accepted as it stands, pruned, normalised, or told what is wrong and where."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arktos.model import registry, structure

POD = registry.by_resource("pods")
SECRET = registry.by_resource("secrets")
CONFIG_MAP = registry.by_resource("configmaps")
DEPLOYMENT = registry.by_resource("deployments.apps")
LEASE = registry.by_resource("leases.coordination.k8s.io")


def pod(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "labels": {"app": "web"}, "creationTimestamp": "2024-05-01T10:00:00Z"},
        "spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}], **spec},
    }


def errors(obj: dict[str, Any]) -> list[tuple[str, str]]:
    return [(error.field, error.message) for error in structure.check(POD, obj).type_errors]


def test_a_good_document_is_accepted_and_left_alone() -> None:
    obj = pod(nodeSelector={"a": "b"}, terminationGracePeriodSeconds=30, hostNetwork=False)
    before = copy.deepcopy(obj)
    assert structure.accepts(POD, obj)
    assert structure.check(POD, obj) == ([], [])
    assert obj == before


def test_a_vm_pod_is_accepted() -> None:
    machine = {"name": "vm", "image": "i", "userData": "aGk=", "resources": {"requests": {"cpu": "2"}}}
    obj = pod(virtualMachine=machine, vpc="v", nics=[{"name": "eth0", "ipv6Enabled": True}])
    del obj["spec"]["containers"]
    assert structure.accepts(POD, obj)


def test_unknown_fields_are_told_and_pruned() -> None:
    obj = pod(foo=1)
    obj["spec"]["containers"][0]["imagee"] = "x"
    obj["spec"]["volumes"] = [{"name": "v", "configMap": {"nam": "x"}}]
    obj["extra"] = {}
    found = structure.check(POD, obj)
    assert sorted(found.unknown) == [
        "extra",
        "spec.containers[0].imagee",
        "spec.foo",
        "spec.volumes[0].configMap.nam",
    ]
    assert found.type_errors == []
    assert structure.accepts(POD, obj)
    assert "foo" not in obj["spec"] and "extra" not in obj


def test_derived_fields_of_the_original_go_silently() -> None:
    obj = pod(workloadInfo=[{"name": "c"}])
    assert structure.check(POD, obj) == ([], [])
    assert "workloadInfo" not in obj["spec"]


def test_null_fields_are_absent() -> None:
    obj = pod(affinity=None)
    obj["metadata"]["creationTimestamp"] = None
    obj["status"] = None
    assert structure.check(POD, obj) == ([], [])
    assert "affinity" not in obj["spec"] and "status" not in obj and "creationTimestamp" not in obj["metadata"]


def test_null_values_of_maps_and_lists_are_empty_values() -> None:
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"key": None, "other": "x"}}
    assert structure.check(CONFIG_MAP, obj) == ([], [])
    assert obj["data"] == {"key": "", "other": "x"}
    command = pod()
    command["spec"]["containers"][0]["args"] = ["a", None]
    assert structure.check(POD, command) == ([], [])
    assert command["spec"]["containers"][0]["args"] == ["a", ""]


def test_nulls_inside_untyped_data_stay() -> None:
    revisions = registry.by_resource("controllerrevisions.apps")
    obj = {"apiVersion": "apps/v1", "kind": "ControllerRevision", "data": {"a": None}, "revision": 1}
    assert structure.check(revisions, obj) == ([], [])
    assert obj["data"] == {"a": None}


@pytest.mark.parametrize(
    ("given", "field", "message"),
    [
        (
            {"containers": "x"},
            "spec.containers",
            "json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (
            {"containers": [{"name": 1}]},
            "spec.containers[0].name",
            "json: cannot unmarshal number 1 into Go struct field Container.spec.containers.name of type string",
        ),
        (
            {"nodeSelector": {"a": True}},
            "spec.nodeSelector[a]",
            "json: cannot unmarshal bool into Go struct field PodSpec.spec.nodeSelector of type string",
        ),
        (
            {"priority": 2**31},
            "spec.priority",
            "json: cannot unmarshal number 2147483648 into Go struct field PodSpec.spec.priority of type int32",
        ),
        (
            {"priority": 1.0},
            "spec.priority",
            "json: cannot unmarshal number 1.0 into Go struct field PodSpec.spec.priority of type int32",
        ),
        (
            {"priority": True},
            "spec.priority",
            "json: cannot unmarshal bool into Go struct field PodSpec.spec.priority of type int32",
        ),
        (
            {"hostNetwork": "yes"},
            "spec.hostNetwork",
            "json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of type bool",
        ),
        (
            {"affinity": []},
            "spec.affinity",
            "json: cannot unmarshal array into Go struct field PodSpec.spec.affinity of type v1.Affinity",
        ),
        (
            {"overhead": {"cpu": "much"}},
            "spec.overhead[cpu]",
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        ({"overhead": {"cpu": "1Kk"}}, "spec.overhead[cpu]", "unable to parse quantity's suffix"),
    ],
)
def test_type_errors_are_worded_as_a_decoder_words_them(given: dict[str, Any], field: str, message: str) -> None:
    assert (field, message) in errors(pod(**given))


def test_a_wrong_root_field_names_its_type() -> None:
    obj = pod()
    obj["spec"] = "x"
    assert errors(obj) == [("spec", "json: cannot unmarshal string into Go struct field Pod.spec of type v1.PodSpec")]


def test_all_type_errors_are_told() -> None:
    found = errors(pod(containers=[{"name": 1}, {"image": 2}], vpc=3))
    assert {field for field, _message in found} == {"spec.containers[0].name", "spec.containers[1].image", "spec.vpc"}


def test_quantities_become_canonical_text() -> None:
    obj = pod(overhead={"cpu": 0.5, "memory": "1024Mi", "other": 2})
    assert structure.check(POD, obj) == ([], [])
    assert obj["spec"]["overhead"] == {"cpu": "500m", "memory": "1Gi", "other": "2"}


def test_dates_become_utc() -> None:
    obj = pod()
    obj["metadata"]["creationTimestamp"] = "2024-05-01T12:00:00.5+02:00"
    assert structure.check(POD, obj) == ([], [])
    assert obj["metadata"]["creationTimestamp"] == "2024-05-01T10:00:00Z"
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": {"renewTime": "2024-05-01T10:00:00Z"}}
    assert structure.check(LEASE, lease) == ([], [])
    assert lease["spec"] == {"renewTime": "2024-05-01T10:00:00.000000Z"}


def test_a_wrong_date_is_told() -> None:
    obj = pod()
    obj["metadata"]["creationTimestamp"] = "yesterday"
    assert errors(obj)[0][0] == "metadata.creationTimestamp"
    assert 'parsing time "yesterday"' in errors(obj)[0][1]


def test_bytes_are_base64() -> None:
    obj: dict[str, Any] = {"apiVersion": "v1", "kind": "Secret", "data": {"a": "aGVs\nbG8="}}
    assert structure.check(SECRET, obj) == ([], [])
    assert obj["data"]["a"] == "aGVsbG8="
    obj["data"]["a"] = "a*b"
    (error,) = structure.check(SECRET, obj).type_errors
    assert (error.field, error.message) == ("data[a]", "illegal base64 data at input byte 1")


def test_int_or_string() -> None:
    services = registry.by_resource("services")
    for port in (80, "http"):
        obj = {"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80, "targetPort": port}]}}
        assert structure.accepts(services, obj)
    obj = {"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80, "targetPort": 1.5}]}}
    assert len(structure.check(services, obj).type_errors) == 1


def test_options_are_checked_by_type_name() -> None:
    options = {"propagationPolicy": "Background", "gracePeriodSeconds": 1, "orphan": True}
    found = structure.check_named("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions", options)
    assert found.unknown == ["orphan"]


def test_a_document_that_is_no_object() -> None:
    found = structure.check_named("io.k8s.api.core.v1.Pod", [])  # type: ignore[arg-type]
    assert found.type_errors[0].message == "json: cannot unmarshal array into Go value of type v1.Pod"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)
KEYS = ("name", "image", "ports", "env", "resources", "limits", "containerPort", "livenessProbe", "httpGet", "port")


@given(st.dictionaries(st.sampled_from(KEYS), JSON, max_size=5), JSON)
def test_what_was_repaired_is_accepted(container: dict[str, Any], any_spec: Any) -> None:
    """After a check without type errors the document is in shape, and a second check changes nothing."""
    for obj in (pod(containers=[container]), {"kind": "Pod", "spec": any_spec}):
        if structure.check(POD, obj).type_errors:
            continue
        assert structure.accepts(POD, obj)
        before = copy.deepcopy(obj)
        assert structure.check(POD, obj) == ([], [])
        assert obj == before


@given(JSON)
def test_accepting_is_never_wider_than_checking(value: Any) -> None:
    obj = pod(securityContext=value, overhead={"cpu": value})
    if structure.accepts(POD, obj):
        assert structure.check(POD, copy.deepcopy(obj)) == ([], [])
