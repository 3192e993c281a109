"""What a kind is: one row of facts per resource. Everything a request handler must know about a kind stands here.

`apiserver` never asks for a kind by name; it reads the row. Rows are declared in `kinds_*.py` modules and looked up by
group-version-resource (`lookup`), by group-resource (`by_resource`) or by apiVersion and kind (`by_gvk`).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from arktos.model.custom.definition import CustomType

Obj = dict[str, Any]
"""A decoded API object: what JSON decodes to."""


class Scope(enum.Enum):
    """Where a kind's objects live. Every stored key carries a tenant; cluster-scoped ones are kept under `system`."""

    CLUSTER = "Cluster"
    TENANT = "Tenant"
    NAMESPACE = "Namespaced"


SYSTEM_TENANT = "system"
ALL_TENANTS = "all"
RESERVED_TENANTS = frozenset({"default", "all"})


@dataclass(frozen=True, slots=True)
class Column:
    """A printer column. `path` is the dotted path of its value where a kind's row declares the column; the columns of
    built-in kinds have their cells from a function in `model.columns` and no path."""

    name: str
    type: str = "string"
    format: str = ""
    description: str = ""
    priority: int = 0
    path: str = ""


@dataclass(frozen=True, slots=True)
class Subresource:
    """A subresource in discovery: `group`/`version`/`kind` of its body where they differ from the parent's. What
    `connects` is a connection to something that runs: its kind is that of its query, its bodies are anybody's."""

    name: str
    verbs: tuple[str, ...]
    kind: str = ""
    group: str = ""
    version: str = ""
    connects: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """One served (group, version, kind).

    `storage` is the apiVersion in which objects are stored when it is another row's ("" = this one), the row that
    `registry.by_resource` gives. `schema` is the type's name in the schema tables. `selectable` maps a field-selector
    label to the dotted path of the value it reads in the stored form, `a|b` being the first that is not empty (beyond
    `metadata.name`, `metadata.namespace`, `metadata.tenant`, `metadata.hashkey`, `metadata.uid` and the
    `metadata.ownerReferences.hashkey.<Kind>` family, which all kinds have); `indexed` are those of them that the store
    indexes. `lazy` kinds are acknowledged from memory (DESIGN 5), `ttl` seconds bound their life (0 = forever).
    `renewals` are the dotted paths whose change alone is a heartbeat, which is as lazy; `done` is the path of a flag
    that, once true, gives the object `done_ttl` seconds to live. `measured` kinds are never stored: the nodes are asked
    when somebody reads them. Of `alike` kinds many objects are created by equal requests; nothing but their name, uid
    and creation time tells them apart when they are new. `custom` is what a CustomResourceDefinition says of a kind's
    objects; such rows are made by `model.custom`, of one tenant each, and always name their `storage`.
    """

    group: str
    version: str
    kind: str
    plural: str
    scope: Scope
    schema: str
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
    subresources: Mapping[str, Subresource] = field(default_factory=dict)
    columns: tuple[Column, ...] = ()
    selectable: Mapping[str, str] = field(default_factory=dict)
    indexed: tuple[str, ...] = ()
    storage: str = ""
    lazy: bool = False
    ttl: int = 0
    renewals: tuple[str, ...] = ()
    done: str = ""
    done_ttl: int = 0
    has_status: bool = False
    has_generation: bool = False
    create_on_update: bool = False
    unconditional_update: bool = True
    measured: bool = False
    graceful: bool = False
    alike: bool = False
    custom: CustomType | None = field(default=None, repr=False, compare=False)

    @property
    def resource(self) -> str:
        """The group-resource, `pods` or `deployments.apps`: the first part of every stored key."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def list_kind(self) -> str:
        return self.kind + "List"
