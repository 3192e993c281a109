"""Endpoints into slices with few writes: pure.

What is there stays where it is. New endpoints go first where a write happens anyway, fullest slice first; what is left
goes into one slice more if one has room for all of it, else into new slices. Slices are not repacked for their
own sake: each write is told to every node.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from arktos.controllers.endpointslice.content import (
    MANAGED_BY,
    RESERVED,
    SERVICE_NAME,
    Group,
    Ports,
    ports_body,
    ports_of,
)
from arktos.model.kinds import Obj

PER_SLICE = 100
"""Endpoints in one slice, unless the process was told otherwise."""

Identity = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Owner:
    """For whom slices are made: their labels (complete), reference, and the service's name. Each of `families` that has
    no endpoints keeps one empty slice. `annotations` are those that slices must have, None where nobody cares."""

    tenant: str
    namespace: str
    name: str
    labels: Mapping[str, str]
    reference: Obj
    families: tuple[str, ...] = ("IPv4",)
    annotations: Mapping[str, str] | None = None


@dataclass(slots=True)
class Plan:
    """Whole objects to create and update, and slices to delete. `added` and `removed` are endpoints."""

    create: list[Obj] = field(default_factory=list)
    update: list[Obj] = field(default_factory=list)
    delete: list[Obj] = field(default_factory=list)
    added: int = 0
    removed: int = 0


def labels_of(own: Mapping[str, str], name: str, manager: str, headless: bool) -> dict[str, str]:
    """The labels of a slice: the owner's, but for those that say what a slice is."""
    labels = {key: value for key, value in own.items() if key not in RESERVED}
    if headless:
        labels["service.kubernetes.io/headless"] = ""
    return labels | {SERVICE_NAME: name, MANAGED_BY: manager}


def identity(endpoint: Obj) -> Identity:
    """What makes an endpoint the same one: its addresses, hostname and what it refers to by name."""
    target = endpoint.get("targetRef") or {}
    return (
        target.get("namespace") or "",
        target.get("name") or "",
        endpoint.get("hostname") or "",
        *sorted(endpoint.get("addresses") or ()),
    )


def reconcile(owner: Owner, wanted: Sequence[Group], slices: Iterable[Obj], per_slice: int = PER_SLICE) -> Plan:
    """From what is wanted and the slices that exist (none of them being deleted). Afterwards every wanted endpoint is
    in exactly one slice. A service without endpoints of one of its families keeps one empty slice of it."""
    plan = Plan()
    mine: dict[tuple[str, Ports], list[Obj]] = {}
    for each in slices:
        mine.setdefault((each.get("addressType") or "", ports_of(each)), []).append(each)
    for group in wanted:
        _fit(owner, group, mine.pop((group.family, group.ports), []), per_slice, plan)
    left = [each for rest in mine.values() for each in rest]
    plan.removed += sum(len(each.get("endpoints") or ()) for each in left)
    has = {group.family for group in wanted}
    for family in owner.families:
        if family not in has:
            left = _keep_placeholder(owner, family, left, plan)
    plan.delete += left
    _reuse(plan)
    return plan


def _fit(owner: Owner, group: Group, slices: list[Obj], per_slice: int, plan: Plan) -> None:
    missing = {identity(each): each for each in group.endpoints}
    untouched: list[Obj] = []
    writing: list[Obj] = []
    for each in sorted(slices, key=lambda found: found["metadata"]["name"]):
        kept, same = _kept(each, missing)
        plan.removed += len(each.get("endpoints") or ()) - len(kept)
        if same and _proper(each, owner):
            untouched.append(each)
        else:
            writing.append({**each, "endpoints": kept})
    rest = list(missing.values())
    plan.added += len(rest)
    # Those that an update leaves empty come last: they are deleted if nothing needs them.
    for each in sorted(writing, key=lambda slice_: -len(slice_["endpoints"])):
        room = max(per_slice - len(each["endpoints"]), 0)
        each["endpoints"] = each["endpoints"] + rest[:room]
        rest = rest[room:]
    if rest and len(rest) < per_slice:
        fits = [each for each in untouched if len(each.get("endpoints") or ()) + len(rest) <= per_slice]
        if fits:
            fullest = max(fits, key=lambda each: len(each.get("endpoints") or ()))
            untouched.remove(fullest)
            writing.append({**fullest, "endpoints": [*(fullest.get("endpoints") or ()), *rest]})
            rest = []
    for start in range(0, len(rest), per_slice):
        plan.create.append(_new(owner, group.family, group.ports, rest[start : start + per_slice]))
    for each in writing:
        (plan.update if each["endpoints"] else plan.delete).append(_dressed(each, owner))
    plan.delete += [each for each in untouched if not each.get("endpoints")]


def _kept(each: Obj, missing: dict[Identity, Obj]) -> tuple[list[Obj], bool]:
    """What of a slice's endpoints is still wanted, as it is wanted, and whether that is what it says already. Takes
    them out of `missing`: an endpoint that is there twice is kept once."""
    kept, same = [], True
    for endpoint in each.get("endpoints") or ():
        wanted = missing.pop(identity(endpoint), None)
        if wanted is None:
            same = False
            continue
        same = same and endpoint == wanted
        kept.append(wanted)
    return kept, same


def _proper(each: Obj, owner: Owner) -> bool:
    meta = each["metadata"]
    if owner.annotations is not None and (meta.get("annotations") or {}) != owner.annotations:
        return False
    return (meta.get("labels") or {}) == owner.labels and owner.reference in (meta.get("ownerReferences") or ())


def _dressed(each: Obj, owner: Owner) -> Obj:
    meta = {**each["metadata"], "labels": dict(owner.labels), "ownerReferences": [owner.reference]}
    return {**each, "metadata": meta | _annotated(owner)}


def _annotated(owner: Owner) -> Obj:
    return {} if owner.annotations is None else {"annotations": dict(owner.annotations)}


def _new(owner: Owner, family: str, ports: Ports, endpoints: list[Obj]) -> Obj:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": f"{owner.name}-",
            "namespace": owner.namespace,
            "tenant": owner.tenant,
            "labels": dict(owner.labels),
            "ownerReferences": [owner.reference],
            **_annotated(owner),
        },
        "addressType": family,
        "endpoints": endpoints,
        "ports": ports_body(ports),
    }


def _keep_placeholder(owner: Owner, family: str, left: list[Obj], plan: Plan) -> list[Obj]:
    """One empty slice says that somebody has looked. The slices that may go."""
    for each in left:
        plain = each.get("addressType") == family and not each.get("endpoints") and not each.get("ports")
        if plain and _proper(each, owner):
            return [other for other in left if other is not each]
    plan.create.append(_new(owner, family, (), []))
    return left


def _reuse(plan: Plan) -> None:
    """A deletion and a creation of one address type are one update."""
    for made in list(plan.create):
        old = next((each for each in plan.delete if each.get("addressType") == made["addressType"]), None)
        if old is None:
            continue
        plan.delete.remove(old)
        plan.create.remove(made)
        kept = {k: v for k, v in made["metadata"].items() if k != "generateName"}
        plan.update.append({**made, "metadata": {**old["metadata"], **kept}})
