"""Copies of Endpoints that were written by hand, as slices: for services without a selector (KEP-752)."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from arktos.client import Cached, Key
from arktos.controllers import owners
from arktos.controllers.backends import canonical, family_of, view_service
from arktos.controllers.context import Context, Sharing, Unit
from arktos.controllers.endpointslice import content, reconcile
from arktos.controllers.endpointslice.wiring import Slices
from arktos.model import registry
from arktos.model.kinds import Obj

NAME = "endpointslicemirroring"
MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
_MEASURED = "endpoint_slice_mirroring_controller"
_NOT_COPIED = frozenset(
    {"endpoints.kubernetes.io/last-change-trigger-time", "kubectl.kubernetes.io/last-applied-configuration"}
)
PER_SUBSET = 1000
"""Addresses of a subset that are copied."""

ENDPOINTS = registry.by_resource("endpoints")


def mirrored(endpoints: Obj) -> bool:
    """Whether Endpoints are to be copied at all."""
    meta = endpoints["metadata"]
    labels, notes = meta.get("labels") or {}, meta.get("annotations") or {}
    return labels.get(SKIP) != "true" and LEADER not in notes


class Skipped(NamedTuple):
    """Addresses that are not copied: those that are none, and those beyond what a subset may have."""

    invalid: int
    surplus: int


def groups(endpoints: Obj) -> tuple[list[content.Group], Skipped]:
    """The endpoints that Endpoints say, by address family and ports; what is said twice counts once."""
    found: dict[tuple[str, content.Ports], content.Group] = {}
    seen: set[tuple[content.Ports, reconcile.Identity]] = set()
    invalid = surplus = 0
    for subset in endpoints.get("subsets") or ():
        ports, copied = content.ports_of(subset), 0
        listed: list[tuple[dict[str, Any], bool]] = [(each, True) for each in subset.get("addresses") or ()]
        listed += [(each, False) for each in subset.get("notReadyAddresses") or ()]
        for address, ready in listed:
            text = canonical(address.get("ip") or "")
            if copied >= PER_SUBSET:
                surplus += 1
            elif not text:
                invalid += 1
            else:
                copied += 1
                endpoint = _endpoint(address, text, ready)
                mark = (ports, reconcile.identity(endpoint))
                if mark not in seen:
                    seen.add(mark)
                    family = family_of(text)
                    found.setdefault((family, ports), content.Group(family, ports)).endpoints.append(endpoint)
    return list(found.values()), Skipped(invalid, surplus)


def _endpoint(address: Obj, text: str, ready: bool) -> Obj:
    endpoint: Obj = {"addresses": [text], "conditions": {"ready": ready}}
    for name in ("hostname", "nodeName", "targetRef"):
        if address.get(name):
            endpoint[name] = address[name]
    return endpoint


class _Mirroring:
    def __init__(self, context: Context) -> None:
        self.services = context.mirror("services")
        self.endpoints = context.mirror("endpoints")
        self.slices = Slices(context, MANAGER, "endpoint-slice-mirroring-controller", _MEASURED)
        self.skipped = context.metrics.histogram(
            f"{_MEASURED}_addresses_skipped_per_sync",
            "Number of addresses skipped on each Endpoints sync due to being invalid or exceeding "
            "MaxEndpointsPerSubset",
            bounds=tuple(float(2**power) for power in range(1, 16)),
        )
        self.seconds = context.metrics.histogram(
            f"{_MEASURED}_endpoints_sync_duration",
            "Duration of syncEndpoints() in seconds",
            bounds=tuple(0.001 * 2**power for power in range(15)),
        )

    def _source(self, key: Key) -> Cached | None:
        """The Endpoints to copy, None for none."""
        cached, service = self.endpoints.get(*key), self.services.get(*key)
        if cached is None or cached.deleting or service is None or service.deleting:
            return None
        # An ExternalName's view has no selector either, but its Endpoints were not written for it.
        by_hand = not (service.obj().get("spec") or {}).get("selector")
        return cached if by_hand and view_service(service).selector is None and mirrored(cached.obj()) else None

    async def reconcile(self, key: Key) -> None:
        if not self.slices.writes.seen(key):
            return
        began = time.monotonic()
        source = self._source(key)
        if source is None:
            self.slices.measures.forget(key)
            for each in self.slices.of(key):
                if not each.deleting:
                    await self.slices.remove(key, {"name": each.name, "uid": each.uid})
            return
        notes = source.obj()["metadata"].get("annotations") or {}
        owner = reconcile.Owner(
            *key,
            labels=reconcile.labels_of(source.labels, key[2], MANAGER, False),
            reference=owners.managing(ENDPOINTS, {"metadata": {"name": key[2], "uid": source.uid}}),
            families=(),
            annotations={name: value for name, value in notes.items() if name not in _NOT_COPIED},
        )
        wanted, skipped = groups(source.obj())
        self._tell(source, skipped)
        await self.slices.make(key, source, owner, wanted)
        self.seconds.add(time.monotonic() - began)

    def _tell(self, source: Cached, skipped: Skipped) -> None:
        self.skipped.add(sum(skipped))
        if skipped.invalid:
            said = f"Skipped {skipped.invalid} invalid IP addresses when mirroring to EndpointSlices"
            self.slices.recorder.event(source, "Warning", "InvalidIPAddress", said)
        if skipped.surplus:
            said = (
                f"A max of {PER_SUBSET} addresses can be mirrored to EndpointSlices per Endpoints subset. "
                f"{skipped.surplus} addresses were skipped"
            )
            self.slices.recorder.event(source, "Warning", "TooManyAddressesToMirror", said)


def build(context: Context) -> Unit:
    work = _Mirroring(context)
    controller = context.controller(NAME, work.reconcile, workers=4, backoff=(1.0, 1000.0))
    controller.watches(work.services).watches(work.endpoints).watches(work.slices.mirror, work.slices.key)

    def refresh() -> None:
        for each in work.endpoints.items():
            controller.enqueue(each.key)

    return Unit([controller], refresh=refresh, sharing=Sharing.KEYS, primary=work.services, parts=[work.slices.mirror])
