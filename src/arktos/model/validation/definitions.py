"""The rules of a CustomResourceDefinition, its schemas apart (`definitions_schema`).

Where all versions say the same of schema, columns or subresources, Kubernetes reports it of the definition as a whole;
the paths here do so, too (`spec.validation.openAPIV3Schema`, `spec.additionalPrinterColumns`).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from arktos.model.custom import jsonpath, names
from arktos.model.kinds import Obj
from arktos.model.validation import formats
from arktos.model.validation.causes import (
    Errors,
    check_immutable,
    duplicate,
    forbidden,
    invalid,
    not_supported,
    required,
    too_many,
)
from arktos.model.validation.definitions_schema import check_schema
from arktos.model.validation.rules import Rules

SCOPES = ("Cluster", "Namespaced", "Tenant")
_TYPES = ("integer", "number", "string", "boolean", "date")
_FORMATS = ("int32", "int64", "float", "double", "byte", "date", "date-time", "password")
_REVIEWS = ("v1", "v1beta1")
_MAX_FIELDS = 8


def _always(errs: Errors, obj: Obj) -> None:
    spec: Obj = obj.get("spec") or {}
    _check_names(errs, spec.get("names") or {})
    _check_group(errs, spec.get("group") or "")
    scope = spec.get("scope")
    if scope and scope not in SCOPES:
        errs.append(not_supported("spec.scope", scope, SCOPES[:2]))
    _check_versions(errs, spec.get("versions") or [])
    _check_conversion(errs, spec.get("conversion") or {})
    name = obj["metadata"].get("name")
    wanted = f"{(spec.get('names') or {}).get('plural', '')}.{spec.get('group', '')}"
    if name and name != wanted:
        errs.append(invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group'))


def _create(errs: Errors, obj: Obj) -> None:
    spec: Obj = obj.get("spec") or {}
    if spec.get("preserveUnknownFields"):
        detail = (
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        )
        errs.append(invalid("spec.preserveUnknownFields", True, detail))
    annotations = obj["metadata"].get("annotations") or {}
    if names.is_protected(spec.get("group") or "") and not _is_approval(annotations.get(names.APPROVED, "")):
        field = f"metadata.annotations[{names.APPROVED}]"
        if names.APPROVED in annotations:
            detail = 'protected groups must have approval annotation "{}" with either a URL or a reason starting with '
            errs.append(invalid(field, annotations[names.APPROVED], (detail + '"unapproved"').format(names.APPROVED)))
        else:
            detail = f'protected groups must have approval annotation "{names.APPROVED}", see https://kep.k8s.io/1111'
            errs.append(required(field, detail))


def _is_approval(text: str) -> bool:
    return text.startswith("unapproved") or bool(urlsplit(text).scheme and urlsplit(text).netloc)


def _update(errs: Errors, obj: Obj, old: Obj) -> None:
    new, before = obj.get("spec") or {}, old.get("spec") or {}
    check_immutable(errs, "spec.group", new.get("group"), before.get("group"))
    new_names, old_names = new.get("names") or {}, before.get("names") or {}
    check_immutable(errs, "spec.names.plural", new_names.get("plural"), old_names.get("plural"))
    if names.holds(old.get("status") or {}, names.ESTABLISHED):
        check_immutable(errs, "spec.scope", new.get("scope"), before.get("scope"))
        check_immutable(errs, "spec.names.kind", new_names.get("kind"), old_names.get("kind"))
    _check_stored(errs, obj)


def _status(errs: Errors, obj: Obj, old: Obj) -> None:
    _check_stored(errs, obj)


def _check_stored(errs: Errors, obj: Obj) -> None:
    """Objects may be stored in every version that is listed; none of them may be without a schema."""
    stored = (obj.get("status") or {}).get("storedVersions") or []
    if not stored:
        errs.append(invalid("status.storedVersions", stored, "must have at least one stored version"))
    versions = (obj.get("spec") or {}).get("versions") or ()
    known = {version.get("name") for version in versions}
    for index, name in enumerate(stored):
        if name not in known:
            errs.append(invalid(f"status.storedVersions[{index}]", name, "must appear in spec.versions"))
    for version in versions:
        if version.get("storage") and version.get("name") not in stored:
            detail = f"must have the storage version {version.get('name')}"
            errs.append(invalid("status.storedVersions", stored, detail))


def _check_group(errs: Errors, group: str) -> None:
    if not group:
        return  # the schema tells
    messages = formats.dns_subdomain(group)
    if messages:
        errs.append(invalid("spec.group", group, ",".join(messages)))
    elif "." not in group:
        errs.append(invalid("spec.group", group, "should be a domain with at least one dot"))


def _check_names(errs: Errors, found: Obj) -> None:
    for field in ("plural", "singular"):
        _check_label(errs, f"spec.names.{field}", found.get(field))
    for field in ("kind", "listKind"):
        value = found.get(field)
        messages = formats.dns_1035_label(value.lower()) if value else ()
        if messages:
            detail = "may have mixed case, but should otherwise match: " + ",".join(messages)
            errs.append(invalid(f"spec.names.{field}", value, detail))
    for field in ("shortNames", "categories"):
        for index, value in enumerate(found.get(field) or ()):
            _check_label(errs, f"spec.names.{field}[{index}]", value)
    if found.get("kind") and found.get("kind") == found.get("listKind"):
        errs.append(invalid("spec.names.listKind", found["listKind"], "kind and listKind may not be the same"))


def _check_label(errs: Errors, field: str, value: str | None) -> None:
    messages = formats.dns_1035_label(value) if value else ()
    if messages:
        errs.append(invalid(field, value, ",".join(messages)))


def _check_versions(errs: Errors, versions: list[Obj]) -> None:
    seen = set()
    for index, version in enumerate(versions):
        name, path = version.get("name") or "", f"spec.versions[{index}]"
        messages = formats.dns_1035_label(name) if name else ()
        if messages:
            errs.append(invalid(f"{path}.name", name, ",".join(messages)))
        seen.add(name)
        _check_deprecation(errs, path, version)
        if not (version.get("schema") or {}).get("openAPIV3Schema"):
            errs.append(required(f"{path}.schema.openAPIV3Schema", "schemas are required"))
    if len(seen) != len(versions):
        errs.append(invalid("spec.versions", versions, "must contain unique version names"))
    if sum(bool(version.get("storage")) for version in versions) != 1:
        errs.append(invalid("spec.versions", versions, "must have exactly one version marked as storage version"))
    for path, schema in _parts(versions, "schema", "spec.validation"):
        found = schema.get("openAPIV3Schema")
        if found:
            check_schema(errs, f"{path}.openAPIV3Schema", found)
    for path, columns in _parts(versions, "additionalPrinterColumns"):
        for index, column in enumerate(columns):
            _check_column(errs, f"{path}[{index}]", column)
    for path, subresources in _parts(versions, "subresources"):
        _check_scale(errs, f"{path}.scale", subresources.get("scale"))
    for path, fields in _parts(versions, "selectableFields"):
        _check_selectable(errs, path, fields, versions)


def _parts(versions: list[Obj], name: str, whole: str = "") -> list[tuple[str, Any]]:
    """What versions say under a name, once where all say the same."""
    found = [version.get(name) for version in versions]
    if found and all(each == found[0] for each in found):
        return [(whole or f"spec.{name}", found[0])] if found[0] else []
    return [(f"spec.versions[{index}].{name}", each) for index, each in enumerate(found) if each]


def _check_deprecation(errs: Errors, path: str, version: Obj) -> None:
    warning = version.get("deprecationWarning")
    if warning is None:
        return
    field = f"{path}.deprecationWarning"
    if not version.get("deprecated"):
        errs.append(invalid(field, warning, "can only be set for deprecated versions"))
    if not warning:
        errs.append(invalid(field, warning, "must not be an empty string"))
    elif len(warning) > 256:
        errs.append(invalid(field, warning, "must be <= 256 characters long"))
    elif not warning.isprintable():
        errs.append(invalid(field, warning, "must only contain printable UTF-8 characters"))


def _check_column(errs: Errors, path: str, column: Obj) -> None:
    kind, form, source = column.get("type"), column.get("format"), column.get("jsonPath")
    if kind and kind not in _TYPES:
        errs.append(invalid(f"{path}.type", kind, f"must be one of {','.join(sorted(_TYPES))}"))
    if form and form not in _FORMATS:
        errs.append(invalid(f"{path}.format", form, f"must be one of {','.join(sorted(_FORMATS))}"))
    if source:
        try:
            jsonpath.compiled(source)
        except jsonpath.PathError as error:
            errs.append(invalid(f"{path}.jsonPath", source, f"is an invalid path: {error}"))


def _check_scale(errs: Errors, path: str, scale: Obj | None) -> None:
    if scale is None:
        return
    for field, root in (("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")):
        found = scale.get(field) or ""
        if not found:
            errs.append(required(f"{path}.{field}"))
        elif not _is_plain(found):
            errs.append(invalid(f"{path}.{field}", found, "should be a simple json path without array notation"))
        elif not found.startswith(root):
            errs.append(invalid(f"{path}.{field}", found, f"should be a json path under {root.rstrip('.')}"))
    found = scale.get("labelSelectorPath") or ""
    if found and not _is_plain(found):
        errs.append(invalid(f"{path}.labelSelectorPath", found, "should be a simple json path without array notation"))
    elif found and not found.startswith((".spec.", ".status.")):
        detail = "should be a json path under either .spec or .status"
        errs.append(invalid(f"{path}.labelSelectorPath", found, detail))


def _is_plain(path: str) -> bool:
    return path.startswith(".") and not set(path) & set("[]*{}@?\\") and all(path[1:].split("."))


def _check_selectable(errs: Errors, path: str, fields: list[Obj], versions: list[Obj]) -> None:
    if len(fields) > _MAX_FIELDS:
        errs.append(too_many(path, len(fields), _MAX_FIELDS))
    seen = set()
    for index, each in enumerate(fields):
        found = each.get("jsonPath") or ""
        field = f"{path}[{index}].jsonPath"
        if not found:
            errs.append(required(field))
        elif found in seen:
            errs.append(duplicate(field, found))
        elif not _is_plain(found):
            errs.append(invalid(field, found, "should be a simple json path without array notation"))
        elif found.startswith(".metadata."):
            errs.append(invalid(field, found, "must not point to fields in metadata"))
        else:
            owners = [version for version in versions if fields == version.get("selectableFields")]
            if not all(_is_scalar((version.get("schema") or {}).get("openAPIV3Schema"), found) for version in owners):
                detail = "must point to a field of type boolean, integer or string"
                errs.append(invalid(field, found, f"is an invalid path: {detail}"))
        seen.add(found)


def _is_scalar(schema: Obj | None, path: str) -> bool:
    node: Any = schema
    for step in path[1:].split("."):
        node = (node.get("properties") or {}).get(step) if isinstance(node, dict) else None
    return isinstance(node, dict) and node.get("type") in ("boolean", "integer", "string")


def _check_conversion(errs: Errors, conversion: Obj) -> None:
    strategy, webhook = conversion.get("strategy"), conversion.get("webhook") or {}
    path = "spec.conversion"
    if strategy not in ("None", "Webhook"):
        if strategy:
            errs.append(not_supported(f"{path}.strategy", strategy, ("None", "Webhook")))
        return
    if strategy == "None":
        if conversion.get("webhook"):
            errs.append(forbidden(f"{path}.webhook", "should not be set when strategy is not set to Webhook"))
        return
    client = webhook.get("clientConfig")
    if client is None:
        errs.append(required(f"{path}.webhook.clientConfig", "required when strategy is set to Webhook"))
    else:
        _check_client(errs, f"{path}.webhook.clientConfig", client)
    reviews = webhook.get("conversionReviewVersions") or []
    if not reviews:
        errs.append(required(f"{path}.webhook.conversionReviewVersions"))
    elif not set(reviews) & set(_REVIEWS):
        detail = f"must include at least one of {', '.join(_REVIEWS)}"
        errs.append(invalid(f"{path}.webhook.conversionReviewVersions", reviews, detail))


def _check_client(errs: Errors, path: str, client: Obj) -> None:
    url, service = client.get("url"), client.get("service")
    if (url is None) == (service is None):
        errs.append(required(path, "exactly one of url or service is required"))
    if url is not None:
        _check_url(errs, f"{path}.url", url)
    if service is not None:
        for field in ("name", "namespace"):
            if not service.get(field):
                errs.append(required(f"{path}.service.{field}"))
        port = service.get("port", 443)
        if formats.port_number(port):
            detail = f"port is not valid: {formats.port_number(port)[0]}"
            errs.append(invalid(f"{path}.service.port", port, detail))
        target = service.get("path")
        if target is not None and not target.startswith("/"):
            errs.append(invalid(f"{path}.service.path", target, "must start with a '/'"))


def _check_url(errs: Errors, path: str, url: str) -> None:
    form = "; desired format: https://host[/path]"
    try:
        found = urlsplit(url)
    except ValueError as error:
        errs.append(required(path, f"url must be a valid URL: {error}{form}"))
        return
    if found.scheme != "https":
        errs.append(invalid(path, found.scheme, f"'https' is the only allowed URL scheme{form}"))
    if not found.hostname:
        errs.append(invalid(path, found.netloc, f"host must be specified{form}"))
    if found.username is not None:
        errs.append(invalid(path, found.username, "user information is not permitted in the URL"))
    if found.fragment:
        errs.append(invalid(path, found.fragment, "fragments are not permitted in the URL"))
    if found.query:
        errs.append(invalid(path, found.query, "query parameters are not permitted in the URL"))


DEFINITION = Rules(always=_always, create=_create, update=_update, subresources={"status": _status})
