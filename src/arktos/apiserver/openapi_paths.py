"""The paths of a group-version and what can be done at them, as values that both OpenAPI versions are written from.

Described is the form that Kubernetes' clients use, below whatever prefix names the tenant; Arktos' own form with
`tenants/{tenant}` inside the path means the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from arktos.apiserver import discovery
from arktos.apiserver.openapi_types import META
from arktos.apiserver.subresources import kinds as bodies
from arktos.model import registry
from arktos.model.kinds import Kind, Scope, Subresource

JSON = "application/json"
WATCH = "application/json;stream=watch"
ANY = "*/*"
PATCHES = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
BODIES = (JSON, "application/yaml", "application/vnd.kubernetes.protobuf")


class Parameter(NamedTuple):
    """`where` is query or path; a path parameter is required."""

    name: str
    type: str
    description: str
    where: str = "query"


@dataclass(frozen=True, slots=True)
class Operation:
    """One method at a path. `body` and `response` are type names ("" = no body)."""

    method: str
    action: str
    id: str
    tag: str
    description: str
    gvk: tuple[str, str, str]
    response: str
    parameters: tuple[Parameter, ...] = ()
    body: str = ""
    takes: tuple[str, ...] = ()
    gives: tuple[str, ...] = (JSON,)
    codes: tuple[tuple[str, str], ...] = (("200", "OK"),)


class Path(NamedTuple):
    path: str
    parameters: tuple[Parameter, ...]
    operations: tuple[Operation, ...]


_NAME = Parameter("name", "string", "The name of the object.", "path")
_NAMESPACE = Parameter("namespace", "string", "The namespace of the object.", "path")
_PRETTY = Parameter("pretty", "string", "If 'true', the answer is indented.")
_DRY_RUN = Parameter("dryRun", "string", "If 'All', everything is done but the change itself.")
_MANAGER = Parameter("fieldManager", "string", "The name under which the fields that are set are owned.")
_VALIDATION = Parameter(
    "fieldValidation",
    "string",
    "What becomes of unknown and repeated fields: Ignore drops them, Warn (the default) tells of them, Strict refuses"
    " the request.",
)
_FORCE = Parameter("force", "boolean", "In an apply: takes fields over that others own.")
_LIST = (
    Parameter("allowWatchBookmarks", "boolean", "Whether a watch sends BOOKMARK events, which tell how far it is."),
    Parameter("continue", "string", "Where a list in chunks goes on: the token of the chunk before."),
    Parameter("fieldSelector", "string", "Selects objects by the values of fields."),
    Parameter("labelSelector", "string", "Selects objects by their labels."),
    Parameter("limit", "integer", "How many objects a chunk of the list has at most."),
    Parameter("resourceVersion", "string", "The revision that is asked for."),
    Parameter("resourceVersionMatch", "string", "What resourceVersion means: Exact or NotOlderThan."),
    Parameter("sendInitialEvents", "boolean", "Whether a watch starts with what is there already."),
    Parameter("timeoutSeconds", "integer", "How long a watch lasts at most."),
    Parameter("watch", "boolean", "Whether changes are streamed instead of listed."),
)
_SELECTORS = tuple(parameter for parameter in _LIST if parameter.name.endswith("Selector"))
_DELETE = (
    _DRY_RUN,
    Parameter("gracePeriodSeconds", "integer", "How long the object may take to end."),
    Parameter("orphanDependents", "boolean", "Superseded by propagationPolicy."),
    Parameter("propagationPolicy", "string", "What becomes of what it owns: Orphan, Background or Foreground."),
)
_WRITE = (_DRY_RUN, _MANAGER, _VALIDATION)

_BODIES = {
    (kind.group, kind.version, kind.kind): kind.schema
    for kind in (bodies.BINDING, bodies.EVICTION, bodies.SCALE, bodies.CUSTOM_ACTION, bodies.TOKEN_REQUEST)
}
_METHODS = {"create": "post", "delete": "delete", "get": "get", "patch": "patch", "update": "put"}
_OK = ("200", "OK")
_CREATED = ("201", "Created")
_ACCEPTED = ("202", "Accepted")


def root(group: str, version: str) -> str:
    """The path of a group-version without its leading slash, by which OpenAPI v3 names its documents."""
    return f"apis/{group}/{version}" if group else f"api/{version}"


def paths(group: str, version: str) -> Iterator[Path]:
    """Everything that can be done in a group-version, by resource."""
    for kind in discovery.kinds_of(group, version):
        yield from paths_of(kind)


def paths_of(kind: Kind) -> Iterator[Path]:
    """Everything that can be done with a kind."""
    return _Writer(kind).paths()


class _Writer:
    """Writes the paths of one kind."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._namespaced = kind.scope is Scope.NAMESPACE
        words = kind.group.removesuffix(".k8s.io").split(".") if kind.group else ["core"]
        camel = words[0] + "".join(word.capitalize() for word in words[1:])
        self._tag = f"{camel}_{kind.version}"
        self._prefix = camel[0].upper() + camel[1:] + kind.version.capitalize()
        self._gvk = (kind.group, kind.version, kind.kind)
        self._takes: tuple[str, ...] = BODIES if kind.custom is None else BODIES[:2]
        self._patches: tuple[str, ...] = PATCHES if kind.custom is None else PATCHES[:3]

    def paths(self) -> Iterator[Path]:
        kind = self._kind
        base = f"/{root(kind.group, kind.version)}"
        here = f"{base}/namespaces/{{namespace}}/{kind.plural}" if self._namespaced else f"{base}/{kind.plural}"
        shared = (_NAMESPACE, _PRETTY) if self._namespaced else (_PRETTY,)
        if self._namespaced and "list" in kind.verbs:
            everywhere = self._list(f"list{self._prefix}{kind.kind}ForAllNamespaces")
            yield Path(f"{base}/{kind.plural}", (_PRETTY,), (everywhere,))
        collection = tuple(self._collection())
        if collection:
            yield Path(here, shared, collection)
        one = tuple(self._object())
        if one:
            yield Path(f"{here}/{{name}}", (_NAME, *shared), one)
        for name in sorted(kind.subresources):
            found = tuple(self._subresource(kind.subresources[name]))
            yield Path(f"{here}/{{name}}/{name}", (_NAME, *shared), found)

    def _id(self, verb: str, suffix: str = "", middle: str = "") -> str:
        scope = "Namespaced" if self._namespaced else ""
        return f"{verb}{self._prefix}{middle}{scope}{self._kind.kind}{suffix}"

    def _list(self, name: str) -> Operation:
        watched = "watch" in self._kind.verbs
        return Operation(
            "get",
            "list",
            name,
            self._tag,
            f"Lists {'or watches ' if watched else ''}objects of kind {self._kind.kind}.",
            self._gvk,
            self._kind.schema + "List",
            _LIST if watched else _SELECTORS,
            gives=(JSON, WATCH) if watched else (JSON,),
        )

    def _collection(self) -> Iterator[Operation]:
        kind = self._kind
        if "list" in kind.verbs:
            yield self._list(self._id("list"))
        if "create" in kind.verbs:
            yield self._write("post", "post", self._id("create"), f"Creates a {kind.kind}.", self._gvk, kind.schema)
        if "deletecollection" in kind.verbs:
            yield Operation(
                "delete",
                "deletecollection",
                self._id("delete", middle="Collection"),
                self._tag,
                f"Deletes all selected objects of kind {kind.kind}.",
                self._gvk,
                META + "Status",
                (*_LIST, *_DELETE),
                META + "DeleteOptions",
                self._takes,
            )

    def _object(self) -> Iterator[Operation]:
        kind = self._kind
        if "get" in kind.verbs:
            yield self._read(self._id("read"), f"Reads a {kind.kind}.", self._gvk, kind.schema)
        if "update" in kind.verbs:
            yield self._write("put", "put", self._id("replace"), f"Replaces a {kind.kind}.", self._gvk, kind.schema)
        if "patch" in kind.verbs:
            yield self._patch(self._id("patch"), f"Changes parts of a {kind.kind}.", self._gvk, kind.schema)
        if "delete" in kind.verbs:
            yield Operation(
                "delete",
                "delete",
                self._id("delete"),
                self._tag,
                f"Deletes a {kind.kind}.",
                self._gvk,
                kind.schema if kind.graceful else META + "Status",
                _DELETE,
                META + "DeleteOptions",
                self._takes,
                codes=(_OK, _ACCEPTED),
            )

    def _subresource(self, entry: Subresource) -> Iterator[Operation]:
        kind, suffix = self._kind, entry.name.capitalize()
        group, version = (entry.group, entry.version) if entry.version else (kind.group, kind.version)
        gvk = (group, version, entry.kind or kind.kind)
        if entry.connects:
            yield from self._connections(entry, gvk)
            return
        schema = kind.schema if gvk == self._gvk else _schema(gvk)
        about = f"the {entry.name} of a {kind.kind}."
        if "create" in entry.verbs:
            yield self._write("post", "post", self._id("create", suffix), f"Creates {about}", gvk, schema)
        if "get" in entry.verbs:
            yield self._read(self._id("read", suffix), f"Reads {about}", gvk, schema)
        if "update" in entry.verbs:
            yield self._write("put", "put", self._id("replace", suffix), f"Replaces {about}", gvk, schema)
        if "patch" in entry.verbs:
            yield self._patch(self._id("patch", suffix), f"Changes parts of {about}", gvk, schema)

    def _connections(self, entry: Subresource, gvk: tuple[str, str, str]) -> Iterator[Operation]:
        """What is answered is not the API's to describe."""
        what = f"{entry.name} of a {self._kind.kind}."
        for verb in entry.verbs:
            method = _METHODS[verb]
            name = self._id(f"connect{method.capitalize()}", entry.name.capitalize())
            yield Operation(method, "connect", name, self._tag, f"Connects to the {what}", gvk, "", gives=(ANY,))

    def _read(self, name: str, about: str, gvk: tuple[str, str, str], schema: str) -> Operation:
        return Operation("get", "get", name, self._tag, about, gvk, schema)

    def _write(
        self, method: str, action: str, name: str, about: str, gvk: tuple[str, str, str], schema: str
    ) -> Operation:
        codes = (_OK, _CREATED, _ACCEPTED) if method == "post" else (_OK, _CREATED)
        return Operation(method, action, name, self._tag, about, gvk, schema, _WRITE, schema, self._takes, codes=codes)

    def _patch(self, name: str, about: str, gvk: tuple[str, str, str], schema: str) -> Operation:
        return Operation(
            "patch",
            "patch",
            name,
            self._tag,
            about,
            gvk,
            schema,
            (*_WRITE, _FORCE),
            META + "Patch",
            self._patches,
            codes=(_OK, _CREATED),
        )


def _schema(gvk: tuple[str, str, str]) -> str:
    """The type of a subresource's body."""
    group, version, kind = gvk
    served = registry.by_gvk(f"{group}/{version}" if group else version, kind)
    return served.schema if served is not None else _BODIES[gvk]
