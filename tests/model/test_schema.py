"""The schema tables: shapes of upstream types, Arktos' additions, shared and recursive nodes."""

from arktos.model import additions, enums
from arktos.model.additions import METRICS_PREFIX
from arktos.model.schema import Schema, named, names

CORE = "io.k8s.api.core.v1."
META = "io.k8s.apimachinery.pkg.apis.meta.v1."
CRD = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."

TYPES = {
    "object",
    "map",
    "array",
    "string",
    "integer",
    "number",
    "boolean",
    "int-or-string",
    "quantity",
    "any",
}


def at(type_name: str, *path: str) -> Schema:
    schema = named(type_name)
    for step in path:
        if step == "[]":
            assert schema.items is not None
            schema = schema.items
        else:
            schema = schema.properties[step]
    return schema


def test_every_node_of_every_type_is_well_formed() -> None:
    seen: set[int] = set()

    def walk(schema: Schema) -> None:
        if id(schema) in seen:
            return
        seen.add(id(schema))
        assert schema.type in TYPES
        assert (schema.items is not None) == (schema.type in ("array", "map"))
        assert schema.type == "object" or not schema.properties
        assert schema.required <= set(schema.properties)
        assert bool(schema.list_map_keys) == (schema.list_type == "map")
        for below in schema.properties.values():
            walk(below)
        if schema.items is not None:
            walk(schema.items)

    for name in names():
        assert named(name).name == name
        walk(named(name))
    assert len(seen) < 2000, "leaves are shared"


def test_no_unstable_types() -> None:
    unstable = [name for name in names() if "alpha" in name or "beta" in name]
    # There is no other version of metrics.k8s.io that clients speak.
    assert all(name.startswith(METRICS_PREFIX) for name in unstable)


def test_special_types_of_the_wire() -> None:
    assert at(CORE + "ServicePort", "targetPort").type == "int-or-string"
    assert at(CORE + "ResourceRequirements", "limits", "[]").type == "quantity"
    assert at(META + "ObjectMeta", "creationTimestamp").format == "date-time"
    assert at(CORE + "Event", "eventTime").name == META + "MicroTime"
    assert at(CORE + "Secret", "data", "[]").format == "byte"
    assert at(META + "ManagedFieldsEntry", "fieldsV1").type == "any"
    assert at("io.k8s.api.apps.v1.ControllerRevision", "data").type == "any"
    assert at(CORE + "ContainerPort", "containerPort").format == "int32"


def test_merge_topology() -> None:
    containers = at(CORE + "PodSpec", "containers")
    assert containers.patch_merge_key == "name"
    assert containers.list_map_keys == ("name",)
    assert containers.patch_strategies == {"merge"}
    volumes = at(CORE + "PodSpec", "volumes")
    assert volumes.patch_strategies == {"merge", "retainKeys"}
    assert at(CORE + "ServiceSpec", "ports").list_map_keys == ("port", "protocol")
    assert at(CORE + "PodSpec", "nodeSelector").map_type == "atomic"
    assert at(META + "ObjectMeta", "finalizers").list_type == "set"
    assert at("io.k8s.api.apps.v1.DeploymentSpec", "selector").map_type == "atomic"


def test_additions_stand_in_pods_and_templates_alike() -> None:
    template = at("io.k8s.api.apps.v1.DeploymentSpec", "template", "spec")
    assert template is at(CORE + "Pod", "spec")
    assert template.required == frozenset()
    assert template.properties["virtualMachine"].properties["userData"].format == "byte"
    assert template.properties["nics"].patch_strategies == {"merge", "retainKeys"}
    assert at(META + "ObjectMeta", "hashKey").format == "int64"
    assert at(META + "OwnerReference", "hashKey").format == "int64"
    assert at(CORE + "Pod", "status", "virtualMachineStatus", "ready").type == "boolean"
    assert at(CORE + "Pod", "status", "nicStatuses", "[]", "portID").type == "string"
    assert at(additions.PREFIX + "Tenant", "spec", "quota", "[]").type == "quantity"
    assert at(additions.PREFIX + "ControllerInstance", "controllerKey").format == "int64"


def test_recursive_types_are_cycles() -> None:
    schema = named(CRD + "JSONSchemaProps")
    assert schema.properties["properties"].items is schema
    assert schema.properties["not"] is schema


def test_every_row_of_enums_names_a_string_field() -> None:
    for type_name, field in enums.declared():
        schema = named(type_name).properties[field]
        leaf = schema.items if schema.items is not None else schema
        assert leaf.type == "string"
        assert leaf.enum and list(leaf.enum) == sorted(leaf.enum), (type_name, field)
