"""Writes the schema table of the model from the published Kubernetes schemas.

    python scripts/extract_schema.py

Reads the JSON schemas of one Kubernetes minor from the installed `kubernetes-validate` wheel and writes
`src/arktos/model/kubernetes.json.gz`: for every type of a stable version its fields, types, formats, list and map
topology and merge keys. Descriptions stay in the wheel. The output is deterministic, so that a diff shows a change of
facts only.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

MINOR = "1.36"
TARGET = Path(__file__).parent.parent / "src" / "arktos" / "model" / "kubernetes.json.gz"

Node = dict[str, Any]

UNSTABLE = re.compile(r"\.v\d+(alpha|beta)\d+\.")
REF = "#/$defs/"
META = "io.k8s.apimachinery.pkg.apis.meta.v1."
CRD = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."

SPECIAL: dict[str, Node] = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"t": "int-or-string"},
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"t": "quantity"},
    "io.k8s.apimachinery.pkg.runtime.RawExtension": {"t": "any"},
    META + "FieldsV1": {"t": "any"},
    META + "Patch": {"t": "any"},
    META + "Time": {"t": "string", "f": "date-time"},
    META + "MicroTime": {"t": "string", "f": "date-time"},
    CRD + "JSON": {"t": "any"},
    CRD + "JSONSchemaPropsOrArray": {"t": "any"},
    CRD + "JSONSchemaPropsOrBool": {"t": "any"},
    CRD + "JSONSchemaPropsOrStringArray": {"t": "any"},
}
"""Types that are not what the document says of them: written differently on the wire, or left alone."""

EXTENSIONS = (
    ("x-kubernetes-list-type", "lt"),
    ("x-kubernetes-list-map-keys", "lk"),
    ("x-kubernetes-map-type", "mt"),
    ("x-kubernetes-patch-merge-key", "mk"),
)


def definitions() -> dict[str, Node]:
    spec = importlib.util.find_spec("kubernetes_validate")
    if spec is None or spec.origin is None:
        raise SystemExit("the kubernetes-validate wheel is not installed")
    root = Path(spec.origin).parent / "kubernetes-json-schema"
    document = json.loads((root / f"v{MINOR}.0-local" / "_definitions.json").read_bytes())
    found: dict[str, Node] = document["$defs"]
    return found


def single_type(node: Node) -> str:
    """The type beside null: what is optional upstream is listed as nullable."""
    declared = node["type"]
    names = [declared] if isinstance(declared, str) else [t for t in declared if t != "null"]
    if len(names) != 1:
        raise SystemExit(f"more than one type: {node}")
    return str(names[0])


def compact(node: Node) -> Node:
    """One property or element, without what is not a fact of the wire."""
    fact: Node = {}
    if "$ref" in node:
        target = node["$ref"].removeprefix(REF)
        fact.update({**SPECIAL[target], "n": target} if target in SPECIAL else {"r": target})
    elif "type" not in node:
        fact["t"] = "any"
    else:
        kind = single_type(node)
        if kind == "object":
            values = node.get("additionalProperties")
            fact["t"] = "map" if values else "any"
            if values:
                fact["i"] = compact(values)
        else:
            fact["t"] = kind
        if kind == "array":
            fact["i"] = compact(node["items"])
        if "format" in node:
            fact["f"] = node["format"]
    for source, key in EXTENSIONS:
        if source in node:
            fact[key] = node[source]
    if "x-kubernetes-patch-strategy" in node:
        fact["ms"] = node["x-kubernetes-patch-strategy"].split(",")
    return fact


def table(found: dict[str, Node]) -> dict[str, Node]:
    types: dict[str, Node] = {}
    for name in sorted(found):
        if UNSTABLE.search(name) or name in SPECIAL:
            continue
        node = found[name]
        entry: Node = {"p": {field: compact(node["properties"][field]) for field in sorted(node.get("properties", {}))}}
        if node.get("required"):
            entry["q"] = sorted(node["required"])
        if "x-kubernetes-map-type" in node:
            entry["mt"] = node["x-kubernetes-map-type"]
        types[name] = entry
    return types


def check_references(types: dict[str, Node]) -> None:
    def walk(node: Node, where: str) -> None:
        if "r" in node and node["r"] not in types:
            raise SystemExit(f"{where} refers to {node['r']}, which is not in the table")
        if "i" in node:
            walk(node["i"], where)

    for name, entry in types.items():
        for field, node in entry["p"].items():
            walk(node, f"{name}.{field}")


def main() -> None:
    types = table(definitions())
    check_references(types)
    encoded = json.dumps(types, separators=(",", ":"), sort_keys=True).encode()
    TARGET.write_bytes(gzip.compress(encoded, 9, mtime=0))
    print(f"{TARGET.name}: {len(types)} types, {len(encoded)} bytes, {TARGET.stat().st_size} compressed")


if __name__ == "__main__":
    main()
