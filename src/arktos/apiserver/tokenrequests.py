"""TokenRequest (`serviceaccounts/token`, KEP-1205): a token for an account on demand, perhaps bound to an object."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from arktos.apiserver.servicetokens import Issuer, Ref
from arktos.model.kinds import SYSTEM_TENANT, Obj
from arktos.model.status import BadRequest, Conflict, FieldError, invalid, not_found
from arktos.store.records import Key, Record, Store

MIN_SECONDS = 600
MAX_SECONDS = 1 << 32
DEFAULT_SECONDS = 3600

_GROUP = "authentication.k8s.io"
_BOUND = {"Pod": "pods", "Secret": "secrets", "Node": "nodes"}


class _BoundRef(msgspec.Struct, rename="camel"):
    kind: str = ""
    api_version: str = ""
    name: str = ""
    uid: str = ""


class _Spec(msgspec.Struct, rename="camel"):
    audiences: list[str] | None = None
    expiration_seconds: int | None = None
    bound_object_ref: _BoundRef | None = None


class _PodSpec(msgspec.Struct, rename="camel"):
    service_account_name: str = ""
    node_name: str = ""


class _Pod(msgspec.Struct):
    spec: _PodSpec


class _Bound(NamedTuple):
    """What a token is bound to."""

    pod: Ref | None = None
    secret: Ref | None = None
    node: Ref | None = None


def token_request(issuer: Issuer, store: Store, tenant: str, namespace: str, name: str, obj: Obj) -> Obj:
    """The TokenRequest with its token in `status`. Raises as upstream: `NotFound` for the account and what it shall be
    bound to, `Invalid` for a time out of bounds, `BadRequest`, `Conflict`."""
    try:
        spec = msgspec.convert(obj.get("spec") or {}, _Spec)
    except msgspec.ValidationError as error:
        raise BadRequest(f"TokenRequest cannot be read: {error}") from error
    meta = obj.get("metadata") or {}
    if meta.get("name", name) not in ("", name) or meta.get("namespace", namespace) not in ("", namespace):
        raise BadRequest("the TokenRequest names another service account than the path does")
    seconds = DEFAULT_SECONDS if spec.expiration_seconds is None else spec.expiration_seconds
    _check_seconds(seconds)
    account = _existing(store, "serviceaccounts", Key("serviceaccounts", tenant, namespace, name))
    bound = _Bound()
    if spec.bound_object_ref is not None:
        bound = _bind(store, account.key, spec.bound_object_ref)
    audiences = spec.audiences or list(issuer.audiences)
    token, expires = issuer.issue(
        tenant,
        namespace,
        name,
        account.header.uid,
        audiences=audiences,
        seconds=seconds,
        pod=bound.pod,
        secret=bound.secret,
        node=bound.node,
    )
    expiration = datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "kind": "TokenRequest",
        "apiVersion": f"{_GROUP}/v1",
        "metadata": {"name": name, "namespace": namespace},
        "spec": (obj.get("spec") or {}) | {"audiences": audiences, "expirationSeconds": seconds},
        "status": {"token": token, "expirationTimestamp": expiration},
    }


def _check_seconds(seconds: int) -> None:
    if seconds < MIN_SECONDS:
        why = "may not specify a duration less than 10 minutes"
    elif seconds > MAX_SECONDS:
        why = "may not specify a duration larger than 2^32 seconds"
    else:
        return
    cause = FieldError("spec.expirationSeconds", "FieldValueInvalid", f"Invalid value: {seconds}: {why}")
    raise invalid(_GROUP, "TokenRequest", "", [cause])


def _bind(store: Store, account: Key, ref: _BoundRef) -> _Bound:
    resource = _BOUND.get(ref.kind, "") if ref.api_version in ("", "v1") else ""
    # A tenant must not learn which nodes there are.
    if not resource or (resource == "nodes" and account.tenant != SYSTEM_TENANT):
        group_version = ref.api_version if "/" in ref.api_version else f"/{ref.api_version}"
        raise BadRequest(f"cannot bind token to object of type {group_version}, Kind={ref.kind}")
    namespace = "" if resource == "nodes" else account.namespace
    record = _existing(store, resource, Key(resource, account.tenant, namespace, ref.name))
    uid = record.header.uid
    if ref.uid and ref.uid != uid:
        raise Conflict(
            f'Operation cannot be fulfilled on {ref.kind} "{ref.name}": the UID in the bound object reference '
            f"({ref.uid}) does not match the UID in record. The object might have been deleted and then recreated",
            kind=ref.kind,
            name=ref.name,
        )
    bound = Ref(ref.name, uid)
    if ref.kind == "Pod":
        return _Bound(pod=bound, node=_node_of(store, record, account))
    return _Bound(secret=bound) if ref.kind == "Secret" else _Bound(node=bound)


def _node_of(store: Store, pod: Record, account: Key) -> Ref | None:
    """Where a pod runs. It must run as the account that the token is for."""
    spec = msgspec.json.decode(pod.body, type=_Pod).spec
    if spec.service_account_name != account.name:
        raise BadRequest(
            f'cannot bind token for serviceaccount "{account.name}" to pod running with different serviceaccount name.'
        )
    if not spec.node_name:
        return None
    node = store.get(Key("nodes", SYSTEM_TENANT, "", spec.node_name))
    return Ref(spec.node_name, "" if node is None else node.header.uid)


def _existing(store: Store, resource: str, key: Key) -> Record:
    record = store.get(key)
    if record is None:
        raise not_found(resource, key.name)
    return record
