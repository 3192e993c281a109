"""Object metadata: what the server fills in at birth, what never changes after it, and what a client may write.

Pure: uid, time and name suffix are parameters. Rules are those of Kubernetes 1.36, and ours for `tenant`, `hashKey`
and the owners' hash keys. That an object's tenant is the request's is the API server's business.
"""

from __future__ import annotations

from collections.abc import Mapping

from arktos.model.hashkey import hash_key
from arktos.model.kinds import Kind, Obj, Scope
from arktos.model.status import BadRequest, FieldError
from arktos.model.validation import formats
from arktos.model.validation.causes import (
    Errors,
    check_immutable,
    check_not_negative,
    forbidden,
    invalid,
    required,
    show,
    too_long,
)
from arktos.model.validation.formats import Format, Messages
from arktos.model.validation.labels import check_annotations, check_labels

MAX_GENERATED_NAME = 63
"""Bytes of a name made from `generateName`, suffix included."""

_NEVER_OWNERS = frozenset({("v1", "Event")})


def _mask(name: str) -> str:
    """A prefix as the name that it could become: a trailing dash may still be followed by something."""
    return name[:-1] + "a" if len(name) > 1 and name.endswith("-") else name


def _ip_name(name: str) -> Messages:
    address = formats.parse_ip(name)
    if address is None:
        return ("must be a valid IP address",)
    return () if str(address) == name else (f'must be in canonical form ("{address}")',)


def _any(name: str) -> Messages:
    return ()


def _csi_driver(name: str) -> Messages:
    if len(name) > 63:
        return ("must be no more than 63 bytes",)
    return formats.dns_subdomain(name.lower())


_NAMES: Mapping[tuple[str, str], Format] = {
    ("", "ControllerInstance"): formats.dns_label,
    ("", "Namespace"): formats.dns_label,
    ("", "Service"): formats.dns_1035_label,
    ("", "Tenant"): formats.dns_label,
    ("certificates.k8s.io", "CertificateSigningRequest"): _any,
    ("networking.k8s.io", "IPAddress"): _ip_name,
    ("rbac.authorization.k8s.io", "ClusterRole"): formats.path_segment,
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): formats.path_segment,
    ("rbac.authorization.k8s.io", "Role"): formats.path_segment,
    ("rbac.authorization.k8s.io", "RoleBinding"): formats.path_segment,
    ("storage.k8s.io", "CSIDriver"): _csi_driver,
}


def name_messages(kind: Kind, name: str) -> Messages:
    """What is wrong with `name` as the name of such an object."""
    found = _NAMES.get((kind.group, kind.kind), formats.dns_subdomain)(name)
    return found or formats.path_segment(name)


def generated(stem: str, suffix: str) -> str:
    """The name that a `generateName` is completed to."""
    return stem[: MAX_GENERATED_NAME - len(suffix)] + suffix


def fill(kind: Kind, obj: Obj, *, uid: str, now: str, suffix: str = "", tenant: str = "", namespace: str = "") -> None:
    """Give a new object its system fields: uid, hash key, creation time, and a name if it asks for one.

    `now` is an RFC 3339 time in UTC, whole seconds. `suffix` completes `generateName`. Whatever a client sent in these
    fields is overwritten; deletion fields, `selfLink` and `generation` are dropped. `tenant` and `namespace`, where the
    kind has them, are written too. Comes before `strategy.prepare_create`, which needs the uid.
    Raises BadRequest for an object with a resourceVersion.
    """
    metadata = obj.get("metadata")
    if metadata is None:
        metadata = obj["metadata"] = {}
    if metadata.get("resourceVersion") not in (None, "", "0"):
        raise BadRequest("resourceVersion should not be set on objects to be created")
    for name in ("resourceVersion", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"):
        metadata.pop(name, None)
    if not metadata.get("name") and metadata.get("generateName") and suffix:
        metadata["name"] = generated(metadata["generateName"], suffix)
    metadata["uid"] = uid
    metadata["hashKey"] = hash_key(uid)
    metadata["creationTimestamp"] = now
    if kind.scope is Scope.NAMESPACE and namespace:
        metadata["namespace"] = namespace
    if kind.scope is Scope.CLUSTER:
        metadata.pop("tenant", None)
    elif tenant:
        metadata["tenant"] = tenant
    _drop_empty(metadata)
    owner_hash_keys(metadata, {})


def owner_hash_keys(metadata: Obj, old: Obj) -> None:
    """Give owner references their owner's hash key: from the old reference to that owner, else from its uid."""
    owners = metadata.get("ownerReferences")
    if not owners:
        return
    known = {each.get("uid"): each.get("hashKey") for each in old.get("ownerReferences") or ()}
    for owner in owners:
        if not owner.get("hashKey"):
            uid = owner.get("uid", "")
            owner["hashKey"] = known.get(uid) or (hash_key(uid) if uid else 0)


_SETS = ("labels", "annotations", "ownerReferences", "finalizers", "managedFields")


def _drop_empty(metadata: Obj) -> None:
    """Leave out sets without members: an object that lost its last owner has no `ownerReferences`, as upstream."""
    for name in _SETS:
        if name in metadata and not metadata[name]:
            del metadata[name]


_KEPT = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "tenant", "hashKey")
_FORCED = ("hashKey", "generation")


def carry_over(obj: Obj, old: Obj) -> None:
    """Bring the old object's system fields into its successor, in place.

    What a client left out is the old value; what it sent otherwise is left for `validate_object_meta_update` to refuse,
    apart from the hash key and the generation, which are never a client's.
    """
    metadata = obj.get("metadata")
    if metadata is None:
        metadata = obj["metadata"] = {}
    before = old.get("metadata") or {}
    metadata.pop("selfLink", None)
    for name in _KEPT:
        if not metadata.get(name) and name in before:
            metadata[name] = before[name]
    for name in _FORCED:
        if name in before:
            metadata[name] = before[name]
        else:
            metadata.pop(name, None)
    for name in ("name", "namespace"):
        if not metadata.get(name) and name in before:
            metadata[name] = before[name]
    if "generateName" in before and "generateName" not in metadata:
        metadata["generateName"] = before["generateName"]
    _drop_empty(metadata)
    owner_hash_keys(metadata, before)


def validate_object_meta(kind: Kind, obj: Obj) -> list[FieldError]:
    """The rules for a new object's metadata."""
    errs: Errors = []
    metadata: Obj = obj.get("metadata") or {}
    prefix = metadata.get("generateName")
    if prefix:
        for message in name_messages(kind, _mask(prefix)):
            errs.append(invalid("metadata.generateName", prefix, message))
    name = metadata.get("name")
    if name:
        for message in name_messages(kind, name):
            errs.append(invalid("metadata.name", name, message))
    else:
        errs.append(required("metadata.name", "name or generateName is required"))
    _check_namespace(errs, kind, metadata)
    _check_common(errs, metadata)
    return errs


def _check_namespace(errs: Errors, kind: Kind, metadata: Obj) -> None:
    namespace, tenant = metadata.get("namespace"), metadata.get("tenant")
    if kind.scope is Scope.NAMESPACE:
        if not namespace:
            errs.append(required("metadata.namespace"))
        else:
            for message in formats.dns_label(namespace):
                errs.append(invalid("metadata.namespace", namespace, message))
    elif namespace:
        errs.append(forbidden("metadata.namespace", "not allowed on this type"))
    if tenant:
        if kind.scope is Scope.CLUSTER:
            errs.append(forbidden("metadata.tenant", "not allowed on this type"))
        else:
            for message in formats.dns_label(tenant):
                errs.append(invalid("metadata.tenant", tenant, message))


def _check_common(errs: Errors, metadata: Obj) -> None:
    if metadata.get("generation"):
        check_not_negative(errs, metadata, "metadata", "generation")
    if metadata.get("labels"):
        check_labels(errs, "metadata.labels", metadata["labels"])
    if metadata.get("annotations"):
        check_annotations(errs, "metadata.annotations", metadata["annotations"])
    if metadata.get("ownerReferences"):
        _check_owners(errs, metadata["ownerReferences"])
    if metadata.get("finalizers"):
        _check_finalizers(errs, metadata["finalizers"])
    if metadata.get("managedFields"):
        _check_managed(errs, metadata["managedFields"])


def _check_owners(errs: Errors, owners: list[Obj]) -> None:
    controller = ""
    for i, owner in enumerate(owners):
        path = f"metadata.ownerReferences[{i}]"
        api_version = owner.get("apiVersion", "")
        if not api_version.rpartition("/")[2]:
            errs.append(invalid(f"{path}.apiVersion", api_version, "version must not be empty"))
        for field in ("kind", "name", "uid"):
            if not owner.get(field):
                errs.append(invalid(f"{path}.{field}", owner.get(field, ""), "must not be empty"))
        if (api_version, owner.get("kind")) in _NEVER_OWNERS:
            errs.append(invalid(path, owner, f"{api_version}, Kind={owner['kind']} is disallowed from being an owner"))
        if owner.get("controller"):
            if controller:
                errs.append(
                    invalid(
                        "metadata.ownerReferences",
                        owners,
                        'Only one reference can have Controller set to true. Found "true" in references for '
                        f"{controller} and {owner.get('name', '')}",
                    )
                )
            controller = owner.get("name", "") or controller


_STANDARD_FINALIZERS = frozenset({"kubernetes", "orphan", "foregroundDeletion"})


def check_finalizer(errs: Errors, field: str, finalizer: str) -> None:
    """A finalizer's name: qualified, or one of the few that Kubernetes has without prefix."""
    for message in formats.qualified_name(finalizer):
        errs.append(invalid(field, finalizer, message))
    if "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS:
        detail = "name is neither a standard finalizer name nor is it fully qualified"
        errs.append(invalid(field, finalizer, detail))


def _check_finalizers(errs: Errors, finalizers: list[str]) -> None:
    for i, finalizer in enumerate(finalizers):
        check_finalizer(errs, f"metadata.finalizers[{i}]", finalizer)
    if "orphan" in finalizers and "foregroundDeletion" in finalizers:
        detail = "finalizer foregroundDeletion and orphan cannot be both set"
        errs.append(invalid("metadata.finalizers", finalizers, detail))


def _check_managed(errs: Errors, entries: list[Obj]) -> None:
    for i, entry in enumerate(entries):
        path = f"metadata.managedFields[{i}]"
        if entry.get("operation") not in ("Apply", "Update"):
            errs.append(invalid(f"{path}.operation", entry.get("operation", ""), "must be `Apply` or `Update`"))
        if entry.get("fieldsType", "") not in ("", "FieldsV1"):
            errs.append(invalid(f"{path}.fieldsType", entry["fieldsType"], "must be `FieldsV1`"))
        if len(entry.get("manager", "")) > 128:
            errs.append(too_long(f"{path}.manager", 128))
        if len(entry.get("subresource", "")) > 256:
            errs.append(too_long(f"{path}.subresource", 256))


def validate_object_meta_update(kind: Kind, obj: Obj, old: Obj) -> list[FieldError]:
    """The rules for a changed object's metadata; system fields have been carried over."""
    errs: Errors = []
    metadata: Obj = obj.get("metadata") or {}
    before: Obj = old.get("metadata") or {}
    if before.get("deletionTimestamp"):
        _check_no_new_finalizers(errs, metadata, before)
    if not kind.unconditional_update and metadata.get("resourceVersion") in (None, "", "0"):
        errs.append(invalid("metadata.resourceVersion", 0, "must be specified for an update"))
    for name in ("name", "namespace", "uid", "tenant", "creationTimestamp", "deletionTimestamp"):
        check_immutable(errs, f"metadata.{name}", metadata.get(name), before.get(name))
    seconds = before.get("deletionGracePeriodSeconds")
    check_immutable(errs, "metadata.deletionGracePeriodSeconds", metadata.get("deletionGracePeriodSeconds"), seconds)
    if metadata.get("generation", 0) < before.get("generation", 0):
        errs.append(invalid("metadata.generation", metadata.get("generation", 0), "must not be decremented"))
    _check_common(errs, metadata)
    return errs


def _check_no_new_finalizers(errs: Errors, metadata: Obj, before: Obj) -> None:
    allowed = before.get("finalizers") or ()
    added = sorted(set(metadata.get("finalizers") or ()) - set(allowed))
    if added:
        errs.append(
            forbidden(
                "metadata.finalizers",
                f"no new finalizers can be added if the object is being deleted, found new finalizers {show(added)}",
            )
        )
