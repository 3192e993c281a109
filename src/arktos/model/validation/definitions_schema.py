"""What makes a schema of a custom resource structural, and what else may not stand in one (apiextensions.k8s.io/v1).

One walk over the schema, in document order. Below `allOf`, `anyOf`, `oneOf` and `not` there are values only: what they
speak of must be declared outside of them.
"""

from __future__ import annotations

from typing import Any

from arktos.model.custom import values
from arktos.model.custom.patterns import PatternError, search
from arktos.model.custom.schema import Node, prune
from arktos.model.kinds import Obj
from arktos.model.validation.causes import Errors, duplicate, forbidden, invalid, not_supported, required
from arktos.model.validation.definitions_rules import check_rules

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_SCALARS = ("boolean", "integer", "number", "string")
_JUNCTORS = ("allOf", "anyOf", "oneOf")
_UNSUPPORTED = {
    "$ref": "$ref is not supported",
    "additionalItems": "additionalItems is not supported",
    "definitions": "definitions is not supported",
    "dependencies": "dependencies is not supported",
    "id": "id is not supported",
    "patternProperties": "patternProperties is not supported",
}
_STRUCTURE_ONLY = {
    "title": "must be empty to be structural",
    "description": "must be empty to be structural",
    "default": "must be undefined to be structural",
    "additionalProperties": "must be undefined to be structural",
    "nullable": "must be false to be structural",
    "x-kubernetes-preserve-unknown-fields": "must be false to be structural",
    "x-kubernetes-embedded-resource": "must be false to be structural",
    "x-kubernetes-int-or-string": "must be false to be structural",
    "x-kubernetes-list-map-keys": "must be empty to be structural",
    "x-kubernetes-list-type": "must be undefined to be structural",
    "x-kubernetes-map-type": "must be undefined to be structural",
    "x-kubernetes-validations": "must be empty to be structural",
}
_EMPTY_TYPE = {
    "root": "must not be empty at the root",
    "item": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}
_METADATA = "must not specify anything other than name and generateName, but metadata is implicitly specified"
_KEY = "this property is in x-kubernetes-list-map-keys, so it"
_DEPTH = 100


def check_schema(errs: Errors, path: str, schema: Obj) -> None:
    """Reports what is wrong with the schema of a version."""
    _Walk(errs).node(path, schema, "root", 0, "")


class _Walk:
    def __init__(self, errs: Errors) -> None:
        self.errs = errs

    def node(self, path: str, schema: Obj, level: str, depth: int, unrelated: str) -> None:
        """`unrelated` is the list above whose elements cannot be told from one another."""
        if depth > _DEPTH:
            self.errs.append(forbidden(path, f"must not be nested deeper than {_DEPTH} levels"))
            return
        before = len(self.errs)
        self._facts(path, schema)
        self._type(path, schema, level)
        self._lists(path, schema)
        self._metadata(path, schema, level)
        for name, found in (schema.get("properties") or {}).items():
            self.node(f"{path}.properties[{name}]", found, "field", depth + 1, unrelated)
        extra = schema.get("additionalProperties")
        if isinstance(extra, dict):
            self.node(f"{path}.additionalProperties", extra, "field", depth + 1, unrelated)
        items = schema.get("items")
        if isinstance(items, dict):
            apart = unrelated or ("" if schema.get("x-kubernetes-list-type") == "map" else path)
            self.node(f"{path}.items", items, "item", depth + 1, apart)
        for place, nested in _nested(path, schema):
            self._values(place, nested, schema, path, depth + 1)
        if schema.get("x-kubernetes-validations") and len(self.errs) == before:
            whole = level == "root" or bool(schema.get("x-kubernetes-embedded-resource"))
            check_rules(self.errs, path, schema, whole=whole, unrelated=unrelated)
        if "default" in schema and len(self.errs) == before:
            self._default(f"{path}.default", schema)

    def _facts(self, path: str, schema: Obj) -> None:
        for name, why in _UNSUPPORTED.items():
            if schema.get(name):
                self.errs.append(forbidden(f"{path}.{name}", why))
        if schema.get("uniqueItems"):
            why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
            self.errs.append(forbidden(f"{path}.uniqueItems", why))
        if schema.get("additionalProperties") is False:
            self.errs.append(forbidden(f"{path}.additionalProperties", "additionalProperties cannot be set to false"))
        if schema.get("additionalProperties") is not None and schema.get("properties"):
            why = "additionalProperties and properties are mutual exclusive"
            self.errs.append(forbidden(f"{path}.additionalProperties", why))
        if isinstance(schema.get("items"), list):
            self.errs.append(forbidden(f"{path}.items", "items must be a schema object and not an array"))
        if schema.get("x-kubernetes-preserve-unknown-fields") is False:
            field = f"{path}.x-kubernetes-preserve-unknown-fields"
            self.errs.append(invalid(field, False, "must be true or undefined"))
        pattern = schema.get("pattern")
        if pattern:
            try:
                search(pattern)
            except PatternError as error:
                detail = f"must be a valid regular expression, but isn't: {error}"
                self.errs.append(invalid(f"{path}.pattern", pattern, detail))

    def _type(self, path: str, schema: Obj, level: str) -> None:
        kind, field = schema.get("type") or "", f"{path}.type"
        either, kept = schema.get("x-kubernetes-int-or-string"), schema.get("x-kubernetes-preserve-unknown-fields")
        if schema.get("x-kubernetes-embedded-resource"):
            self._embedded(path, schema, kind)
        elif not kind and not either and not (kept and level != "root"):
            self.errs.append(required(field, _EMPTY_TYPE[level]))
        if kind == "null":
            self.errs.append(forbidden(field, "type cannot be set to null, use nullable as an alternative"))
        elif kind and kind not in _TYPES:
            self.errs.append(not_supported(field, kind, _TYPES))
        elif kind and level == "root" and kind != "object":
            self.errs.append(invalid(field, kind, "must be object at the root"))
        elif kind and either:
            self.errs.append(invalid(field, kind, "must be empty if x-kubernetes-int-or-string is true"))
        elif kind and kept and kind not in ("object", "array"):
            why = "must be object if x-kubernetes-preserve-unknown-fields is true"
            self.errs.append(invalid(field, kind, why))
        if kind == "array" and not schema.get("items") and not kept:
            self.errs.append(required(f"{path}.items", "must be specified"))
        if schema.get("nullable") and level == "root":
            self.errs.append(forbidden(f"{path}.nullable", "nullable cannot be true at the root"))

    def _embedded(self, path: str, schema: Obj, kind: str) -> None:
        why = "must be object if x-kubernetes-embedded-resource is true"
        if not kind:
            self.errs.append(required(f"{path}.type", why))
        elif kind != "object":
            self.errs.append(invalid(f"{path}.type", kind, why))
        if schema.get("additionalProperties") is not None:
            detail = "must not be used if x-kubernetes-embedded-resource is set"
            self.errs.append(forbidden(f"{path}.additionalProperties", detail))
        if not schema.get("properties") and not schema.get("x-kubernetes-preserve-unknown-fields"):
            detail = "must not be empty if x-kubernetes-embedded-resource is true without "
            self.errs.append(required(f"{path}.properties", detail + "x-kubernetes-preserve-unknown-fields"))

    def _metadata(self, path: str, schema: Obj, level: str) -> None:
        if level != "root" and not schema.get("x-kubernetes-embedded-resource"):
            return
        found = (schema.get("properties") or {}).get("metadata")
        if found is None:
            return
        place = f"{path}.properties[metadata]"
        declared = found.get("properties") or {}
        known = {name: value for name, value in found.items() if name not in ("type", "description", "properties")}
        if known or not declared.keys() <= {"name", "generateName"}:
            self.errs.append(forbidden(place, _METADATA))
        elif found.get("type") not in (None, "object"):
            self.errs.append(invalid(f"{place}.type", found["type"], "must be object"))

    def _lists(self, path: str, schema: Obj) -> None:
        kind, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys") or []
        place = f"{path}.x-kubernetes-list-type"
        if kind is not None:
            if kind not in ("atomic", "map", "set"):
                self.errs.append(not_supported(place, kind, ("atomic", "map", "set")))
            elif schema.get("type") != "array":
                detail = "must be array if x-kubernetes-list-type is specified"
                self.errs.append(invalid(f"{path}.type", schema.get("type", ""), detail))
        if keys and kind != "map":
            self.errs.append(required(place, "must be map if x-kubernetes-list-map-keys is non-empty"))
        if kind == "map":
            self._map(path, schema, keys)
        elif kind == "set":
            self._set(path, schema)
        topology = schema.get("x-kubernetes-map-type")
        if topology is not None:
            if topology not in ("atomic", "granular"):
                self.errs.append(not_supported(f"{path}.x-kubernetes-map-type", topology, ("atomic", "granular")))
            elif schema.get("type") != "object":
                detail = "must be object if x-kubernetes-map-type is specified"
                self.errs.append(invalid(f"{path}.type", schema.get("type", ""), detail))

    def _map(self, path: str, schema: Obj, keys: list[str]) -> None:
        place = f"{path}.x-kubernetes-list-map-keys"
        if not keys:
            self.errs.append(required(place, "must not be empty if x-kubernetes-list-type is map"))
        items = schema.get("items")
        if not isinstance(items, dict):
            return
        if items.get("type") != "object":
            detail = "must be object if parent array's x-kubernetes-list-type is map"
            self.errs.append(invalid(f"{path}.items.type", items.get("type", ""), detail))
        declared, mandatory = items.get("properties") or {}, items.get("required") or ()
        for index, key in enumerate(keys):
            found, field = declared.get(key), f"{path}.items.properties[{key}]"
            if key in keys[:index]:
                self.errs.append(duplicate(f"{place}[{index}]", key))
            elif found is None:
                self.errs.append(invalid(f"{place}[{index}]", key, "entries must all be names of item properties"))
            else:
                if found.get("type") not in _SCALARS:
                    detail = "must be a scalar type if parent array's x-kubernetes-list-type is map"
                    self.errs.append(invalid(f"{field}.type", found.get("type", ""), detail))
                if key not in mandatory and "default" not in found:
                    detail = (
                        "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required"
                    )
                    self.errs.append(required(f"{field}.default", f"{detail} property"))
                if found.get("nullable"):
                    self.errs.append(forbidden(f"{field}.nullable", f"{_KEY} cannot be nullable"))

    def _set(self, path: str, schema: Obj) -> None:
        items = schema.get("items")
        if not isinstance(items, dict):
            return
        if items.get("nullable"):
            detail = "cannot be nullable when x-kubernetes-list-type is set"
            self.errs.append(forbidden(f"{path}.items.nullable", detail))
        if items.get("type") == "array" and items.get("x-kubernetes-list-type", "atomic") != "atomic":
            detail = "must be atomic as item of a list with x-kubernetes-list-type=set"
            self.errs.append(
                invalid(f"{path}.items.x-kubernetes-list-type", items.get("x-kubernetes-list-type"), detail)
            )
        if items.get("type") == "object" and items.get("x-kubernetes-map-type") != "atomic":
            detail = "must be atomic as item of a list with x-kubernetes-list-type=set"
            found = items.get("x-kubernetes-map-type")
            self.errs.append(invalid(f"{path}.items.x-kubernetes-map-type", found, detail))

    def _values(self, path: str, schema: Obj, beside: Obj | None, where: str, depth: int) -> None:
        """A schema of values: `beside` is what is declared at `where` for the same place, None if nothing is."""
        if depth > _DEPTH:
            self.errs.append(forbidden(path, f"must not be nested deeper than {_DEPTH} levels"))
            return
        if beside is None:
            self.errs.append(required(where, f"because it is defined in {path}"))
            return
        either = bool(beside.get("x-kubernetes-int-or-string"))
        if schema.get("type") and not (either and schema["type"] in ("integer", "string")):
            self.errs.append(forbidden(f"{path}.type", "must be empty to be structural"))
        for name, why in _STRUCTURE_ONLY.items():
            if schema.get(name) is not None and schema.get(name) is not False and schema.get(name) != "":
                self.errs.append(forbidden(f"{path}.{name}", why))
        self._facts(path, {k: v for k, v in schema.items() if k not in _STRUCTURE_ONLY})
        declared = beside.get("properties") or {}
        for name, found in (schema.get("properties") or {}).items():
            self._values(
                f"{path}.properties[{name}]",
                found,
                _beside(declared, beside, name),
                f"{where}.properties[{name}]",
                depth + 1,
            )
        items = schema.get("items")
        if isinstance(items, dict):
            below = beside.get("items")
            held = below if isinstance(below, dict) else None
            self._values(f"{path}.items", items, held, f"{where}.items", depth + 1)
        for place, nested in _nested(path, schema):
            self._values(place, nested, beside, where, depth + 1)

    def _default(self, path: str, schema: Obj) -> None:
        """A default is a value that the schema would take, and loses nothing by pruning."""
        node, default = Node(schema), schema["default"]
        if isinstance(default, dict):
            for gone in prune(node, _copied(default)):
                self.errs.append(invalid(path, default, f"must not have the unknown field {gone!r}"))
        self.errs += values.validate_part(node, default, path)


def _beside(declared: Obj, beside: Obj, name: str) -> Obj | None:
    found = declared.get(name)
    if found is None and isinstance(beside.get("additionalProperties"), dict):
        found = beside["additionalProperties"]
    return found if isinstance(found, dict) else None


def _nested(path: str, schema: Obj) -> list[tuple[str, Obj]]:
    found: list[tuple[str, Any]] = []
    for name in _JUNCTORS:
        found += [(f"{path}.{name}[{index}]", each) for index, each in enumerate(schema.get(name) or ())]
    if schema.get("not") is not None:
        found.append((f"{path}.not", schema["not"]))
    return found


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copied(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return value
