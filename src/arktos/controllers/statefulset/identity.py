"""What the pod and the claims of an ordinal are called, and look like: pure. (KEP-3335 for where ordinals start.)"""

from __future__ import annotations

from collections.abc import Sequence

from arktos.controllers import history, owners
from arktos.controllers.podcontrol import pod_from
from arktos.model import registry
from arktos.model.kinds import Kind, Obj

CLAIM = registry.by_resource("persistentvolumeclaims")
POD_NAME, POD_INDEX = "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index"


def start(statefulset: Obj) -> int:
    """The first ordinal."""
    return int((statefulset["spec"].get("ordinals") or {}).get("start") or 0)


def replicas(statefulset: Obj) -> int:
    told = statefulset["spec"].get("replicas")
    return 1 if told is None else int(told)


def ordinal(statefulset: Obj, pod_name: str) -> int | None:
    """The ordinal in a pod's name, None if it is not one of this set's names."""
    parent, dash, number = pod_name.rpartition("-")
    if not dash or parent != statefulset["metadata"]["name"]:
        return None
    plain = number.isascii() and number.isdigit() and (number == "0" or number[0] != "0")
    return int(number) if plain else None


def pod_name(statefulset: Obj, number: int) -> str:
    return f"{statefulset['metadata']['name']}-{number}"


def claim_name(statefulset: Obj, template: Obj, number: int) -> str:
    return f"{template['metadata']['name']}-{pod_name(statefulset, number)}"


def claim_templates(statefulset: Obj) -> Sequence[Obj]:
    return statefulset["spec"].get("volumeClaimTemplates") or ()


def claims(statefulset: Obj, number: int, kind: Kind) -> list[Obj]:
    """The claims of an ordinal. They outlive the pod; the set itself too, unless it is told otherwise."""
    meta = statefulset["metadata"]
    selected = (statefulset["spec"].get("selector") or {}).get("matchLabels") or {}
    made = []
    for template in claim_templates(statefulset):
        told = template.get("metadata") or {}
        metadata: Obj = {
            "name": claim_name(statefulset, template, number),
            "namespace": meta["namespace"],
            "tenant": meta["tenant"],
            "labels": {**(told.get("labels") or {}), **selected},
        }
        if told.get("annotations"):
            metadata["annotations"] = told["annotations"]
        if retention(statefulset)[0] == "Delete":
            metadata["ownerReferences"] = [_owned_by_set(statefulset, kind)]
        made.append({"apiVersion": "v1", "kind": CLAIM.kind, "metadata": metadata, "spec": template["spec"]})
    return made


def retention(statefulset: Obj) -> tuple[str, str]:
    """What becomes of claims when the set is deleted, and when it shrinks: `Retain` or `Delete` (KEP-1847)."""
    policy = statefulset["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    return policy.get("whenDeleted") or "Retain", policy.get("whenScaled") or "Retain"


def claim_owners(statefulset: Obj, kind: Kind, claim: Obj, condemned: Obj | None) -> list[Obj] | None:
    """The owners that a claim shall have, None if it has them: the set where its end takes claims along; the pod that
    is about to go for good (`condemned`) where shrinking does."""
    when_deleted, when_scaled = retention(statefulset)
    held: list[Obj] = list(claim["metadata"].get("ownerReferences") or ())
    uid = statefulset["metadata"]["uid"]
    ours = [each for each in held if each["uid"] == uid or each.get("kind") == "Pod"]
    wanted: list[Obj] = []
    if condemned is not None and when_scaled == "Delete":
        meta = condemned["metadata"]
        wanted = [{"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}]
    elif when_deleted == "Delete":
        wanted = [_owned_by_set(statefulset, kind)]
    if [each["uid"] for each in ours] == [each["uid"] for each in wanted]:
        return None
    return [*(each for each in held if each not in ours), *wanted]


def _owned_by_set(statefulset: Obj, kind: Kind) -> Obj:
    reference = owners.managing(kind, statefulset)
    # A claim is not managed by the set: nothing may wait for it, and nobody adopts it.
    return {name: reference[name] for name in ("apiVersion", "kind", "name", "uid")}


def pod(kind: Kind, statefulset: Obj, template: Obj, number: int, revision: str) -> Obj:
    """The pod of an ordinal, from the template of a revision."""
    name = pod_name(statefulset, number)
    made = pod_from(kind, statefulset, template, name=name)
    made["metadata"]["labels"] = {
        **made["metadata"].get("labels", {}),
        history.HASH_LABEL: revision,
        POD_NAME: name,
        POD_INDEX: str(number),
    }
    spec: Obj = {**made["spec"], "hostname": name}
    if statefulset["spec"].get("serviceName"):
        spec["subdomain"] = statefulset["spec"]["serviceName"]
    claimed = {each["metadata"]["name"]: claim_name(statefulset, each, number) for each in claim_templates(statefulset)}
    if claimed:
        volumes = [each for each in spec.get("volumes") or () if each["name"] not in claimed]
        spec["volumes"] = [
            *volumes,
            *({"name": each, "persistentVolumeClaim": {"claimName": claim}} for each, claim in claimed.items()),
        ]
    made["spec"] = spec
    return made


def labels_to_mend(statefulset: Obj, number: int, labels: dict[str, str]) -> Obj:
    """The labels by which a pod is known and that somebody took away or changed."""
    wanted = {POD_NAME: pod_name(statefulset, number), POD_INDEX: str(number)}
    return {name: value for name, value in wanted.items() if labels.get(name) != value}
