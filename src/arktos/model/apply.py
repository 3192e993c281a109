"""Server-side apply (KEP-555): a manager says what it wants; the object follows, and each field knows its owner.

The flow: merge the applied configuration into the live object; take away what this manager applied before and applies
no longer, unless somebody else owns it; see whose fields that changes. Theirs are conflicts, unless forced. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from arktos.model import fieldset, last_applied
from arktos.model.fieldset import FieldSet
from arktos.model.kinds import Obj
from arktos.model.managed import Entry, Managed, differences, encode, owned_part, read, strip
from arktos.model.schema import Schema
from arktos.model.shape import Shape, applied_fields, elements, shape, with_declared, without
from arktos.model.status import BadRequest, Conflict, FieldError

BEFORE_FIRST_APPLY = "before-first-apply"
"""The manager that owns all fields of an object that was not tracked before it was first applied."""


@dataclass(frozen=True, slots=True)
class ApplyResult:
    """`obj` with its managedFields; the very live object, and `changed` False, when applying it changed nothing."""

    obj: Obj
    changed: bool


def apply(
    schema: Schema,
    live: Obj | None,
    applied: Obj,
    *,
    manager: str,
    api_version: str,
    force: bool,
    now: str,
    subresource: str = "",
    ignored: Sequence[str] = (),
) -> ApplyResult:
    """The live object (None: there is none) after `manager` applied its configuration. Neither input is changed.

    `now` is RFC 3339; `ignored` are dotted paths that this request cannot write (`status` on the main resource): they
    are left out of the configuration. The result is not defaulted, and shares with both inputs what it takes from them;
    a `resourceVersion` or `uid` in the configuration stands in the result, for the caller to check.

    Raises BadRequest for a configuration that has managedFields, another version, or list elements without or with
    equal keys; Conflict with one cause per field when others own what it changes and `force` is not set.
    """
    _check(applied, api_version)
    config = _writable(applied, ignored)
    root = shape(schema)
    try:
        _check_elements(root, config, api_version)
        return _Apply(schema, root, live, config, manager, api_version, now, subresource, ignored).run(force)
    except ValueError as error:
        raise BadRequest(f"failed to create typed live object: {error}") from None
    except RecursionError:
        raise BadRequest("the configuration is nested too deeply") from None


@dataclass(slots=True)
class _Apply:
    schema: Schema
    root: Shape
    live: Obj | None
    config: Obj
    manager: str
    api_version: str
    now: str
    subresource: str
    ignored: Sequence[str]

    def run(self, force: bool) -> ApplyResult:
        before = self._managed()
        own = self._own()
        last = before.get(own.key)
        managed = {**before, own.key: own}
        obj = merge(self.root, self.live or {}, self.config)
        if last is not None:
            obj = prune(self.root, obj, managed, last.fields, own.fields)
        if self.live is not None and obj is self.live and last is not None and own.fields == last.fields:
            return ApplyResult(self.live, False)
        changed, removed = differences(self.root, self.live or {}, obj, self.ignored)
        others = {key: entry for key, entry in managed.items() if key != own.key}
        lost = _conflicts(others, changed)
        if lost and not force:
            self._raise_conflicts(lost)
        managed = _without(others, changed, removed)
        if own.fields:
            managed[own.key] = own
        if _has_null(self.config):
            obj = _without_nulls(obj)
        if self.manager == last_applied.MANAGER:
            obj = last_applied.synced(obj, self.config)
        return self._result(obj, managed, own, last)

    def _managed(self) -> Managed:
        """Who owns what before this apply."""
        live = self.live
        if live is None:
            return {}
        managed = read(live.get("metadata", {}).get("managedFields") or ())
        if managed:
            return managed
        fields, _ = differences(self.root, None, live, self.ignored)
        entry = Entry(BEFORE_FIRST_APPLY, "Update", self.api_version, "", self.now, fieldset.canonical(fields))
        return {entry.key: entry} if fields else {}

    def _own(self) -> Entry:
        fields = strip(applied_fields(self.root, owned_part(self.config)) or {})
        fields = fieldset.recursive_difference(fields, fieldset.of_names(*self.ignored))
        fields = fieldset.canonical(fields)
        return Entry(self.manager, "Apply", self.api_version, self.subresource, self.now, fields)

    def _raise_conflicts(self, lost: list[tuple[Entry, FieldSet]]) -> None:
        if self.manager == last_applied.MANAGER and self.live is not None:
            allowed = last_applied.fields(self.schema, self.live)
            lost = [(entry, fieldset.difference(fields, allowed)) for entry, fields in lost]
        found = [
            (_described(entry), fieldset.path_text(path)) for entry, fields in lost for path in fieldset.paths(fields)
        ]
        if found:
            raise _conflict(found)

    def _result(self, obj: Obj, managed: Managed, own: Entry, last: Entry | None) -> ApplyResult:
        live = self.live
        same = live is not None and _content(obj) == _content(live)
        if same and last is not None and own.fields and own.fields == last.fields:
            managed[own.key] = own._replace(time=last.time)
        entries = encode(managed)
        if same and live is not None and entries == (live.get("metadata", {}).get("managedFields") or []):
            return ApplyResult(live, False)
        metadata = {key: value for key, value in obj.get("metadata", {}).items() if key != "managedFields"}
        if entries:
            metadata["managedFields"] = entries
        return ApplyResult({**obj, "metadata": metadata}, True)


def merge(node: Shape, live: Any, config: Any) -> Any:
    """`config` merged into `live`: nothing is taken away, leaves are replaced, elements take the order of `config`.

    Elements that only `live` has keep their place among their neighbours. What does not change is shared with `live`.
    """
    if node.leaf:
        return live if live == config and isinstance(live, bool) == isinstance(config, bool) else config
    if config is None:
        return live or None
    if node.element is not None:
        if not isinstance(live, list) or not isinstance(config, list):
            return config
        return _merge_items(node, live, config) if config else live
    if not isinstance(live, dict) or not isinstance(config, dict):
        return config
    result = live
    for name, value in config.items():
        known = name in live
        merged = merge(node.field(name)[1], live[name], value) if known else value
        if known and merged is live[name]:
            continue
        if result is live:
            result = live.copy()
        result[name] = merged
    return result


def _merge_items(node: Shape, live: list[Any], config: list[Any]) -> list[Any]:
    ours, theirs = elements(node, config), elements(node, live)
    shared = [element for element in ours if element in theirs]
    order = list(theirs)
    result: list[Any] = []
    at = 0
    for element, item in ours.items():
        # what only the live list has comes first, up to the next element that both have
        while at < len(order) and not (shared and order[at] == shared[0]):
            if order[at] not in ours:
                result.extend(_each(theirs[order[at]]))
            at += 1
        before = theirs.get(element)
        if before is not None:
            shared.pop(0)
            at += 1
        new = before is None or isinstance(before, tuple)  # in place of duplicates stands what is applied
        result.append(item if new else merge(node.items, before, item))
    for element in order[at:]:
        if element not in ours:
            result.extend(_each(theirs[element]))
    same = len(result) == len(live) and all(a is b for a, b in zip(result, live, strict=True))
    return live if same else result


def _each(item: Any) -> tuple[Any, ...]:
    return item if isinstance(item, tuple) else (item,)


def prune(root: Shape, merged: Obj, managed: Managed, last: FieldSet, own: FieldSet) -> Obj:
    """`merged` without what `last` held and nobody holds now (`managed`, with the applier's new set `own`).

    Fields below a removed element or field go with it only if nobody holds them; what was never in `last` stays.
    """
    if not fieldset.difference(last, own):
        return merged
    last = with_declared(root, last)
    everything = with_declared(root, applied_fields(root, owned_part(merged)) or {})
    held: FieldSet = {}
    for entry in managed.values():
        held = fieldset.union(held, entry.fields)
    held = with_declared(root, held)
    remains = fieldset.union(fieldset.recursive_difference(everything, last), held)
    remains = fieldset.recursive_difference(everything, fieldset.difference(everything, remains))
    gone = strip(fieldset.intersection(fieldset.difference(everything, remains), last))
    return (without(root, merged, gone) or {}) if gone else merged


def _conflicts(others: Managed, changed: FieldSet) -> list[tuple[Entry, FieldSet]]:
    found = [(entry, fieldset.intersection(entry.fields, changed)) for _, entry in sorted(others.items())]
    return [(entry, fields) for entry, fields in found if fields]


def _without(others: Managed, changed: FieldSet, removed: FieldSet) -> Managed:
    result: Managed = {}
    for key, entry in others.items():
        kept = fieldset.difference(fieldset.difference(entry.fields, changed), removed)
        if kept:
            result[key] = entry if kept is entry.fields else entry._replace(fields=kept)
    return result


def _described(entry: Entry) -> str:
    text = f'"{entry.manager}"'
    if entry.subresource:
        text += f' with subresource "{entry.subresource}"'
    if entry.operation == "Update":
        text += f" using {entry.api_version}"
    return text


def _conflict(found: list[tuple[str, str]]) -> Conflict:
    causes = [FieldError(path, "FieldManagerConflict", f"conflict with {who}") for who, path in found]
    if len(found) == 1:
        who, path = found[0]
        return Conflict(f"Apply failed with 1 conflict: conflict with {who}: {path}", causes=causes)
    lines: list[str] = []
    for who in dict.fromkeys(who for who, _ in found):
        lines.append(f"conflicts with {who}:")
        lines += [f"- {path}" for other, path in found if other == who]
    return Conflict(f"Apply failed with {len(found)} conflicts: " + "\n".join(lines), causes=causes)


def _check(applied: Obj, api_version: str) -> None:
    version = applied.get("apiVersion")
    if version != api_version:
        raise BadRequest(
            f"Incorrect version specified in apply patch. Specified patch version: {version}, expected: {api_version}"
        )
    metadata = applied.get("metadata")
    if not isinstance(metadata, dict | None):
        raise BadRequest("metadata must be an object")
    if metadata and metadata.get("managedFields") is not None:
        raise BadRequest("metadata.managedFields must be nil")


def _writable(applied: Obj, ignored: Sequence[str]) -> Obj:
    """The configuration without the fields that this request cannot write."""
    config = applied
    for path in ignored:
        config = _dropped(config, path.split("."))
    return config


def _dropped(value: Any, path: list[str]) -> Any:
    if not isinstance(value, dict) or path[0] not in value:
        return value
    rest = {key: item for key, item in value.items() if key != path[0]}
    if len(path) > 1:
        rest[path[0]] = _dropped(value[path[0]], path[1:])
    return rest


def _check_elements(root: Shape, config: Obj, api_version: str) -> None:
    """Every list element must have a key of its own, or it cannot be owned."""
    problems = list(_problems(root, config, ""))
    if not problems:
        return
    metadata = config.get("metadata") or {}
    name, namespace = metadata.get("name") or "", metadata.get("namespace") or ""
    what = f"{namespace}/{name}; {api_version}, Kind={config.get('kind')}"
    text = problems[0] if len(problems) == 1 else "errors:\n" + "\n".join(f"  {problem}" for problem in problems)
    raise BadRequest(f"failed to create typed patch object ({what}): {text}")


def _problems(node: Shape, value: Any, path: str) -> Iterator[str]:
    if node.leaf:
        return
    if node.element is not None:
        if isinstance(value, list):
            yield from _list_problems(node, value, path)
        return
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _problems(node.field(name)[1], item, f"{path}.{name}")


def _list_problems(node: Shape, items: list[Any], path: str) -> Iterator[str]:
    seen: set[str] = set()
    for index, item in enumerate(items):
        try:
            (element,) = elements(node, [item])
        except ValueError as error:
            yield f"{path}: element {index}: {error}"
            continue
        text = fieldset.path_text((element,))
        if element in seen:
            yield f"{path}: duplicate entries for key {text}"
        seen.add(element)
        yield from _problems(node.items, item, path + text)


def _content(obj: Obj) -> Obj:
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict) or "managedFields" not in metadata:
        return obj
    return {**obj, "metadata": {key: value for key, value in metadata.items() if key != "managedFields"}}


def _has_null(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_null, value.values()))
    if isinstance(value, list):
        return any(map(_has_null, value))
    return value is None


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
