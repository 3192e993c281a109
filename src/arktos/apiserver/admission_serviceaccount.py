"""Service accounts of pods: which one a pod runs as, and how its token gets into it.

As Kubernetes' admission of that name: a pod gets the account `default` if it names none, the account must exist, and
unless pod or account say otherwise each container finds a token, the cluster's CA and its namespace under `MOUNT_PATH`,
from a projected volume. A virtual machine has no file system of ours to put a token in, so a VM pod gets the account
only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from arktos.model.kinds import Obj
from arktos.model.status import forbidden
from arktos.store.records import Key, Store

MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUME_PREFIX = "kube-api-access-"
DEFAULT_ACCOUNT = "default"

_MIRROR = "kubernetes.io/config.mirror"
_ENFORCE = "kubernetes.io/enforce-mountable-secrets"
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_TOKEN_SECONDS = 3607


class _Named(msgspec.Struct):
    name: str = ""


class _Meta(msgspec.Struct):
    annotations: dict[str, str] | None = None


class _Account(msgspec.Struct, rename="camel"):
    metadata: _Meta
    secrets: list[_Named] | None = None
    image_pull_secrets: list[_Named] | None = None
    automount_service_account_token: bool | None = None


_accounts = msgspec.json.Decoder(_Account)


class _Refused(Exception):
    """Why a pod may not be."""


def admit(pod: Obj, tenant: str, namespace: str, store: Store, suffix: str) -> None:
    """Completes a new pod in place; `suffix` makes the volume's name unique. Raises `Forbidden` if the account does not
    exist, or the pod uses what it must not."""
    meta = pod.get("metadata") or {}
    try:
        _admit(pod, tenant, namespace, store, suffix)
    except _Refused as refused:
        raise forbidden("pods", meta.get("name") or meta.get("generateName", ""), str(refused)) from refused


def _admit(pod: Obj, tenant: str, namespace: str, store: Store, suffix: str) -> None:
    spec = pod["spec"]
    if _MIRROR in ((pod.get("metadata") or {}).get("annotations") or {}):
        _check_mirror(spec)
        return
    name = spec.get("serviceAccountName") or spec.get("serviceAccount") or DEFAULT_ACCOUNT
    spec["serviceAccountName"] = spec["serviceAccount"] = name
    record = store.get(Key("serviceaccounts", tenant, namespace, name))
    if record is None:
        raise _Refused(f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found')
    account = _accounts.decode(record.body)
    if (account.metadata.annotations or {}).get(_ENFORCE) in _TRUE:
        _check_secrets(spec, account, name)
    automount = spec.get("automountServiceAccountToken")
    if automount is None:
        automount = account.automount_service_account_token
    if automount is not False:
        _mount_token(spec, suffix)
    if not spec.get("imagePullSecrets") and account.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": secret.name} for secret in account.image_pull_secrets]


def _check_mirror(spec: Obj) -> None:
    if spec.get("serviceAccountName"):
        raise _Refused("a mirror pod may not reference service accounts")
    for volume in spec.get("volumes") or ():
        projected = ((volume.get("projected") or {}).get("sources")) or ()
        if any("serviceAccountToken" in source for source in projected):
            raise _Refused("a mirror pod may not use ServiceAccountToken volume projections")
    if any(True for _ in _secrets_of_volumes(spec)) or any(True for _ in _secrets_of_environment(spec)):
        raise _Refused("a mirror pod may not reference secrets")


def _mount_token(spec: Obj, suffix: str) -> None:
    """Mounts the token volume where nothing is mounted yet, and adds it if that was anywhere."""
    volumes = spec.get("volumes") or []
    names = (volume.get("name", "") for volume in volumes)
    own = next((name for name in names if name.startswith(VOLUME_PREFIX)), "")
    name = own or VOLUME_PREFIX + suffix
    mounted = False
    for container in _containers(spec):
        mounts = container.get("volumeMounts") or []
        if any(mount.get("mountPath") == MOUNT_PATH for mount in mounts):
            continue
        mount = {"name": name, "readOnly": True, "mountPath": MOUNT_PATH}
        container["volumeMounts"] = [*mounts, mount]
        mounted = True
    if mounted and not own:
        spec["volumes"] = [*volumes, {"name": name, "projected": _token_volume()}]


def _token_volume() -> Obj:
    field = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    return {
        "defaultMode": 0o644,
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": _TOKEN_SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field}]}},
        ],
    }


def _check_secrets(spec: Obj, account: _Account, name: str) -> None:
    """Holds a pod to the secrets that its account lists, where the account asks for that."""
    mountable = {secret.name for secret in account.secrets or ()}
    for secret in _secrets_of_volumes(spec):
        if secret not in mountable:
            raise _Refused(
                f'volume with secret.secretName="{secret}" is not allowed because service account {name} does not '
                f"reference that secret"
            )
    for container, variable, secret in _secrets_of_environment(spec):
        if secret not in mountable:
            raise _Refused(
                f'container {container} with {variable} referencing secret.secretName="{secret}" is not allowed '
                f"because service account {name} does not reference that secret"
            )
    pulling = {secret.name for secret in account.image_pull_secrets or ()}
    for at, ref in enumerate(spec.get("imagePullSecrets") or ()):
        if ref.get("name") not in pulling:
            raise _Refused(
                f'imagePullSecrets[{at}].name="{ref.get("name")}" is not allowed because service account {name} does '
                f"not reference that imagePullSecret"
            )


def _containers(spec: Obj) -> Iterable[Any]:
    return (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))


def _secrets_of_volumes(spec: Obj) -> Iterable[str]:
    for volume in spec.get("volumes") or ():
        if secret := volume.get("secret"):
            yield secret.get("secretName", "")
        for source in (volume.get("projected") or {}).get("sources") or ():
            if secret := source.get("secret"):
                yield secret.get("name", "")


def _secrets_of_environment(spec: Obj) -> Iterable[tuple[str, str, str]]:
    """(container, what refers, secret) of every secret that an environment is made from."""
    for container in _containers(spec):
        name = container.get("name", "")
        for variable in container.get("env") or ():
            if ref := (variable.get("valueFrom") or {}).get("secretKeyRef"):
                yield name, f"envVar {variable.get('name', '')}", ref.get("name", "")
        for source in container.get("envFrom") or ():
            if ref := source.get("secretRef"):
                yield name, "envFrom", ref.get("name", "")
