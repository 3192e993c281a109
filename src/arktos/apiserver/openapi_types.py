"""The types of the API as OpenAPI components, in a form that both versions of the document are written from.

What upstream publishes (descriptions, formats, list and map topology) is read from the pinned `kubernetes-validate`
wheel when a document is made, and dropped after; what Arktos adds comes from the model's tables. A node is a JSON
schema whose `$ref` is a bare type name.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from arktos.apiserver import descriptions
from arktos.apiserver.version import MINOR
from arktos.model import additions, enums, registry
from arktos.model.kinds import Obj

META = "io.k8s.apimachinery.pkg.apis.meta.v1."
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
GVK = "x-kubernetes-group-version-kind"

_REF = "#/$defs/"
_FACTS = (("lt", "list-type"), ("lk", "list-map-keys"), ("mt", "map-type"), ("mk", "patch-merge-key"))


class _Wheel(msgspec.Struct, frozen=True):
    """The published definitions, each undecoded."""

    definitions: dict[str, msgspec.Raw] = msgspec.field(name="$defs")


def _wheel() -> dict[str, msgspec.Raw]:
    spec = importlib.util.find_spec("kubernetes_validate")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("kubernetes-validate is not installed", name="kubernetes_validate")
    folder = Path(spec.origin).parent / "kubernetes-json-schema" / f"v1.{MINOR}.0-local"
    return msgspec.json.decode((folder / "_definitions.json").read_bytes(), type=_Wheel).definitions


class Types:
    """Makes nodes by type name. Holds the wheel's text (some MB) for as long as it lives: make one, use it, drop it."""

    def __init__(self) -> None:
        self._published = _wheel()
        self._ours = additions.types()
        self._kinds = {kind.schema: kind for kind in registry.all_kinds()}
        self._served = {(kind.group, kind.version) for kind in registry.all_kinds()}

    def closure(self, roots: Iterable[str]) -> Iterator[tuple[str, Obj]]:
        """Every type that can be reached from the roots, by name, with its node."""
        made: dict[str, Obj] = {}
        waiting = list(roots)
        while waiting:
            name = waiting.pop()
            if name not in made:
                made[name] = self.node(name)
                waiting += _references(made[name])
        for name in sorted(made):
            yield name, made.pop(name)

    def node(self, name: str) -> Obj:
        """The component of this name. KeyError if there is no such type."""
        if name in self._ours:
            return self._added_type(name)
        published = msgspec.json.decode(self._published[name])
        node = self._plain(published)
        properties = node.get("properties", {})
        for field, found in properties.items():
            _put_enum(found, enums.values(name, field))
        for field, fact in additions.fields(name).items():
            properties[field] = _from_fact(fact)
            properties[field]["description"] = descriptions.of(name, field)
        required = [f for f in node.get("required", ()) if f not in additions.OPTIONAL.get(name, ())]
        node.pop("required", None)
        if required:
            node["required"] = required
        if properties:
            node["properties"] = dict(sorted(properties.items()))
        return node

    def _plain(self, published: Obj) -> Obj:
        """A published node without null as a type, and without the restrictions on kind and apiVersion."""
        node: Obj = {}
        for key, value in published.items():
            match key:
                case "$ref":
                    node["$ref"] = value.removeprefix(_REF)
                case "type" if isinstance(value, list):
                    node["type"] = next(t for t in value if t != "null")
                case "properties":
                    node["properties"] = {field: self._plain(found) for field, found in value.items()}
                case "items" | "additionalProperties":
                    node[key] = self._plain(value) if isinstance(value, dict) else value
                case "oneOf":
                    node["oneOf"] = [self._plain(found) for found in value]
                case "x-kubernetes-group-version-kind":
                    node[GVK] = [gvk for gvk in value if (gvk["group"], gvk["version"]) in self._served] or value[:1]
                case "enum":
                    pass
                case _:
                    node[key] = value
        return node

    def _added_type(self, name: str) -> Obj:
        facts = self._ours[name]
        properties = {}
        for field, fact in sorted(facts["p"].items()):
            node = _from_fact(fact)
            _put_enum(node, enums.values(name, field))
            node["description"] = descriptions.of(name, field)
            properties[field] = node
        node = {"description": descriptions.of(name), "type": "object", "properties": properties}
        if facts["q"]:
            node["required"] = list(facts["q"])
        kind = self._kinds.get(name) or self._kinds.get(name.removesuffix("List"))
        word = name.rpartition(".")[2]
        if kind is not None:
            node[GVK] = [{"group": kind.group, "kind": word, "version": kind.version}]
        elif "apiVersion" in properties:
            node[GVK] = [{"group": "", "kind": word, "version": "v1"}]
        return node


def _references(node: Obj) -> Iterator[str]:
    if "$ref" in node:
        yield node["$ref"]
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            yield from _references(node[key])
    for found in node.get("properties", {}).values():
        yield from _references(found)


def _put_enum(node: Obj, values: tuple[str, ...]) -> None:
    if values:
        target = node["items"] if node.get("type") == "array" else node
        target["enum"] = list(values)


def _from_fact(fact: Obj) -> Obj:
    """A field in the model's compact form as a node."""
    kind = fact.get("t", "")
    node: Obj
    if "r" in fact:
        node = {"$ref": fact["r"]}
    elif kind == "quantity":
        node = {"$ref": QUANTITY}
    elif kind == "int-or-string":
        node = {"$ref": INT_OR_STRING}
    elif fact.get("f") == "date-time":
        node = {"$ref": META + "Time"}
    elif kind == "map":
        node = {"type": "object", "additionalProperties": _from_fact(fact["i"])}
    elif kind == "array":
        node = {"type": "array", "items": _from_fact(fact["i"])}
    else:
        node = {"type": "object" if kind == "any" else kind}
        if "f" in fact:
            node["format"] = fact["f"]
    for key, extension in _FACTS:
        if key in fact:
            node[f"x-kubernetes-{extension}"] = fact[key]
    if "ms" in fact:
        node["x-kubernetes-patch-strategy"] = ",".join(fact["ms"])
    return node
