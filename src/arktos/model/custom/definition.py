"""A CustomResourceDefinition at work: its served versions as rows of `model.kinds`, each with what its schema says.

A `Definition` is made from one revision of a stored definition and never changes. What it costs grows with use: a
version is compiled when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property

import msgspec

from arktos.model import structure
from arktos.model.columns_cell import AGE, NAME, Printer
from arktos.model.custom import names, printing, rules, typed, values
from arktos.model.custom.rules import INLINE
from arktos.model.custom.schema import EMPTY, Node, apply_defaults, prune
from arktos.model.kinds import SYSTEM_TENANT, Column, Kind, Obj, Scope, Subresource
from arktos.model.rows import READ_WRITE, SCALE
from arktos.model.schema import Schema
from arktos.model.status import FieldError
from arktos.model.structure import Structure

_OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_FINALIZED = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")

Convert = Callable[[Obj, str], Obj]


class Version(msgspec.Struct, frozen=True, rename="camel"):
    """One version as it is stored, its schema undecoded."""

    name: str
    served: bool = False
    storage: bool = False
    deprecated: bool = False
    deprecation_warning: str = ""
    schema: msgspec.Raw = msgspec.Raw(b"null")
    subresources: Obj | None = None
    additional_printer_columns: list[Obj] | None = None
    selectable_fields: list[Obj] | None = None


class _Spec(msgspec.Struct, frozen=True, rename="camel"):
    group: str
    names: Obj
    versions: list[Version]
    scope: str = ""
    conversion: Obj | None = None
    preserve_unknown_fields: bool = False


class _Metadata(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    uid: str = ""
    tenant: str = ""
    labels: dict[str, str] | None = None
    deletion_timestamp: str = ""


class _Stored(msgspec.Struct, frozen=True):
    metadata: _Metadata
    spec: msgspec.Raw
    status: Obj = {}


_stored = msgspec.json.Decoder(_Stored)
_spec = msgspec.json.Decoder(_Spec)


class Definition:
    """`tenant` is whose definition it is (`system` for one that is shared), `revision` the one it was read at. Objects
    written after `since` are stored as this definition has them; older ones are brought into shape when they are read.
    """

    def __init__(self, body: bytes, revision: int) -> None:
        """From the definition's JSON, which is held, its schemas undecoded."""
        stored = _stored.decode(body)
        metadata, spec = stored.metadata, _spec.decode(stored.spec)
        self.spec = stored.spec
        self.name = metadata.name
        self.uid = metadata.uid
        self.tenant = metadata.tenant
        self.revision = revision
        self.since = revision
        self.group = spec.group
        self.namespaced = spec.scope == "Namespaced"
        self.keeps_unknown = spec.preserve_unknown_fields
        """Whether nothing is pruned, as it was with v1beta1."""
        self.status = stored.status
        self.names: Obj = {**spec.names, **(self.status.get("acceptedNames") or {})}
        self.established = names.holds(self.status, names.ESTABLISHED)
        self.terminating = bool(metadata.deletion_timestamp) or names.holds(self.status, names.TERMINATING)
        self.shared = self.tenant == SYSTEM_TENANT and (metadata.labels or {}).get(names.SHARED) == "true"
        self.versions: Mapping[str, Version] = {found.name: found for found in spec.versions}
        self.storage: str = next((name for name, found in self.versions.items() if found.storage), "")
        self.conversion: Obj = spec.conversion or {"strategy": "None"}
        self._kinds: dict[str, Kind] = {}

    def cool(self) -> None:
        """Drops what was compiled; it is compiled again when it is needed."""
        self._kinds = {}

    def outline(self) -> Obj:
        """As much of the definition as names are judged by."""
        return {"metadata": {"name": self.name}, "spec": {"group": self.group}, "status": self.status}

    @property
    def resource(self) -> str:
        """The group-resource, which is the definition's name."""
        return self.name

    @property
    def by_webhook(self) -> bool:
        """Whether a webhook converts objects between versions."""
        return self.conversion.get("strategy") == "Webhook" and len(self.versions) > 1

    @property
    def scope(self) -> Scope:
        """What Kubernetes calls cluster-scoped belongs to a tenant."""
        return Scope.NAMESPACE if self.namespaced else Scope.TENANT

    def served(self) -> list[str]:
        """The served versions, the preferred one first (by Kubernetes' version priority)."""
        found = (name for name, version in self.versions.items() if version.served)
        return sorted(found, key=names.version_priority)

    def kind(self, version: str) -> Kind | None:
        """The row of a served version, None if there is no such version."""
        found = self.versions.get(version)
        return self.row(version) if found is not None and found.served else None

    @property
    def stored(self) -> Kind:
        """The row of the version in which objects are stored."""
        return self.row(self.storage)

    def row(self, version: str) -> Kind:
        """The row of a version, served or not. KeyError."""
        known = self._kinds.get(version)
        if known is None:
            known = self._kinds[version] = self._row(CustomType(self, self.versions[version]))
        return known

    def _row(self, custom: CustomType) -> Kind:
        named = self.names
        return Kind(
            self.group,
            custom.version,
            named["kind"],
            named["plural"],
            self.scope,
            schema=f"{'.'.join(reversed(self.group.split('.')))}.{custom.version}.{named['kind']}",
            singular=named.get("singular") or named["kind"].lower(),
            short_names=tuple(named.get("shortNames") or ()),
            categories=tuple(named.get("categories") or ()),
            verbs=_FINALIZED,
            subresources=custom.subresources,
            selectable=custom.selectable,
            storage=f"{self.group}/{self.storage}",
            has_status="status" in custom.subresources,
            has_generation=True,
            unconditional_update=False,
            custom=custom,
        )

    @cached_property
    def header_fields(self) -> dict[str, str]:
        """The paths of all selectable fields, by label, that stored headers hold: those of every version."""
        found: dict[str, str] = {}
        for version in self.versions:
            found |= self.row(version).selectable
        return found


class CustomType:
    """What one version of a definition says of its objects."""

    def __init__(self, definition: Definition, raw: Version) -> None:
        self.definition = definition
        self.raw = raw
        self.version = raw.name
        self.mark = (definition.tenant, definition.name, definition.uid, self.version, definition.since)
        """Tells this version's objects, as read, from those of every other version and definition."""
        self.shown = f"{definition.tenant}/{definition.name}/{self.version}@{definition.revision}"
        """Tells how lists of it look."""
        subresources: Obj = raw.subresources or {}
        self.scale: Obj | None = subresources.get("scale")
        self.subresources: dict[str, Subresource] = {}
        if "status" in subresources:
            self.subresources["status"] = Subresource("status", READ_WRITE)
        if self.scale is not None:
            self.subresources["scale"] = SCALE
        fields = raw.selectable_fields or ()
        self.selectable = {path.lstrip("."): path.lstrip(".") for path in (each["jsonPath"] for each in fields)}

    @cached_property
    def root(self) -> Node:
        """The schema of an object as a whole."""
        found = (msgspec.json.decode(self.raw.schema) or {}).get("openAPIV3Schema")
        return Node(found) if found else EMPTY

    @cached_property
    def schema(self) -> Schema:
        """The same as server-side apply needs it."""
        return typed.of(self.root, whole=True)

    @cached_property
    def printer(self) -> Printer:
        """How lists of it are shown."""
        declared = self.raw.additional_printer_columns
        if not declared:
            return Printer((NAME, *_AGE), printing.cells([printing.AGE]))
        columns = tuple(
            Column(
                each["name"],
                each["type"],
                each.get("format", ""),
                each.get("description") or f"Custom resource definition column (in JSONPath): {each['jsonPath']}",
                each.get("priority", 0),
            )
            for each in declared
        )
        return Printer((NAME, *columns), printing.cells([(each["jsonPath"], each["type"]) for each in declared]))

    @cached_property
    def rules(self) -> rules.Rules:
        """The rules of `x-kubernetes-validations` in the schema."""
        return rules.Rules(self.root)

    def check(self, obj: Obj) -> Structure:
        """As `structure.check`: metadata gets into shape, fields that the schema does not have go."""
        meta = obj.get("metadata")
        if meta is None:
            meta = obj["metadata"] = {}
        found = Structure([], [])
        if not isinstance(meta, dict):
            told = values.type_name(meta)
            text = f"json: cannot unmarshal {told} into Go struct field .metadata of type v1.ObjectMeta"
            found.type_errors.append(FieldError("metadata", "FieldValueTypeInvalid", text))
            return found
        inner = structure.check_named(_OBJECT_META, meta)
        found.type_errors.extend(
            FieldError(f"metadata.{error.field}", error.reason, error.message) for error in inner.type_errors
        )
        found.unknown.extend(f"metadata.{path}" for path in inner.unknown)
        if not self.definition.keeps_unknown:
            found.unknown.extend(prune(self.root, obj))
        return found

    def default(self, obj: Obj) -> None:
        """Fills in what the author left out, in place."""
        apply_defaults(self.root, obj)

    def shape_up(self, obj: Obj) -> None:
        """Brings a stored object, maybe of an older schema, into the shape of this version, in place."""
        if not self.definition.keeps_unknown:
            prune(self.root, obj)
        apply_defaults(self.root, obj)

    def validate(self, obj: Obj, old: Obj | None = None, units: int = 0) -> list[FieldError]:
        """What is wrong with an object, its metadata apart, in place of `old` (None: it is new). Raises
        `rules.Exhausted` where its rules cost more than `units`: 0 for `rules.INLINE`, at most `rules.MOST`."""
        errs = values.validate(self.root, obj, values.NEW if old is None else old)
        if not errs and self.scale is not None:
            errs = printing.scale_faults(self.scale, obj)
        return errs + self.rules.check(obj, old, errs, units or INLINE)


_AGE = (Column("Age", type="date", description=AGE.description),)
