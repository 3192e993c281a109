"""Discovery and OpenAPI of a server and its extensions together. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from arktos.apiserver.aggregation.extensions import Extension, GroupVersion
from arktos.apiserver.encoding import dumps
from arktos.model.kinds import Obj


def groups_of(extensions: Mapping[GroupVersion, Extension]) -> dict[str, list[Extension]]:
    """The groups that extensions serve, best first, each with its versions, best first."""
    found: dict[str, list[Extension]] = {}
    ordered = sorted(extensions.values(), key=lambda each: (-each.priority[0], each.group, -each.priority[1]))
    for extension in ordered:
        found.setdefault(extension.group, []).append(extension)
    return found


def group(name: str, extensions: Iterable[Extension], own: Obj | None = None) -> Obj:
    """An APIGroup; `own` are the versions that this server has of it, which come first."""
    versions = list(own["versions"]) if own else []
    versions += [{"groupVersion": f"{name}/{each.version}", "version": each.version} for each in extensions]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def group_list(body: Obj, extensions: Mapping[GroupVersion, Extension]) -> Obj:
    """An APIGroupList with the groups of extensions."""
    wanted = groups_of(extensions)
    merged = [group(own["name"], wanted.pop(own["name"], ()), own) for own in body["groups"]]
    return {**body, "groups": merged + [group(name, found) for name, found in wanted.items()]}


def discovery_list(body: Obj, extensions: Mapping[GroupVersion, Extension]) -> Obj:
    """An APIGroupDiscoveryList with the groups of extensions; what does not answer is stale."""
    wanted = groups_of(extensions)
    items = []
    for own in body["items"]:
        more = wanted.pop(own["metadata"].get("name", ""), ())
        items.append({**own, "versions": [*own["versions"], *map(_version, more)]})
    for name, found in wanted.items():
        metadata = {"name": name, "creationTimestamp": None}
        items.append({"metadata": metadata, "versions": [_version(each) for each in found]})
    return {**body, "items": items}


def _version(extension: Extension) -> Obj:
    freshness = "Current" if extension.available else "Stale"
    return {"version": extension.version, "resources": _resources(extension), "freshness": freshness}


def _resources(extension: Extension) -> list[Obj]:
    """The resources of an APIResourceList, as aggregated discovery has them; what is malformed is left out."""
    found: dict[str, Obj] = {}
    listed = [row for row in (extension.resources or {}).get("resources") or () if isinstance(row, dict)]
    for row in listed:
        name, verbs = str(row.get("name") or ""), row.get("verbs")
        if not name or "/" in name or not isinstance(verbs, list):
            continue
        found[name] = {
            "resource": name,
            "responseKind": _kind(extension, row),
            "scope": "Namespaced" if row.get("namespaced") else "Cluster",
            "singularResource": str(row.get("singularName") or ""),
            "verbs": verbs,
            **{key: row[key] for key in ("shortNames", "categories") if isinstance(row.get(key), list)},
        }
    for row in listed:
        name, _, subresource = str(row.get("name") or "").partition("/")
        if subresource and name in found and isinstance(row.get("verbs"), list):
            entry = {"subresource": subresource, "responseKind": _kind(extension, row), "verbs": row["verbs"]}
            found[name].setdefault("subresources", []).append(entry)
    return list(found.values())


def _kind(extension: Extension, row: Obj) -> Obj:
    group, version = str(row.get("group") or ""), str(row.get("version") or "")
    if not version:
        group, version = extension.group, extension.version
    return {"group": group, "version": version, "kind": str(row.get("kind") or "")}


def openapi_index(body: Obj, extensions: Mapping[GroupVersion, Extension]) -> Obj:
    """An index of OpenAPI v3 with the documents of extensions that have one."""
    paths = dict(body["paths"])
    for (name, version), extension in extensions.items():
        if extension.available and extension.openapi:
            digest = hashlib.sha256(dumps([extension.openapi, extension.record.header.uid])).hexdigest().upper()
            paths.setdefault(
                f"apis/{name}/{version}", {"serverRelativeURL": f"/openapi/v3/apis/{name}/{version}?hash={digest}"}
            )
    return {**body, "paths": paths}
