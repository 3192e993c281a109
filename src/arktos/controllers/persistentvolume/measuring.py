"""The controller's numbers: how many volumes and claims there are, and how long what is done with volumes takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Hashable, Iterator

from arktos.client import Informer
from arktos.controllers.context import Context
from arktos.controllers.measures import Gauge
from arktos.controllers.population import Labels, Population
from arktos.model import volumematching as matching
from arktos.model.kinds import Obj

SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 25, 50, 120, 300, 600)
_MOST = 10_000

_PLUGINS = {
    "hostPath": "kubernetes.io/host-path",
    "local": "kubernetes.io/local-volume",
    "nfs": "kubernetes.io/nfs",
    "iscsi": "kubernetes.io/iscsi",
    "fc": "kubernetes.io/fc",
    "flexVolume": "kubernetes.io/flexvolume",
}


def plugin_of(volume: Obj) -> str:
    """What a volume's plugin is called, "N/A" for one that is not known."""
    csi = volume["spec"].get("csi")
    if csi:
        return f"kubernetes.io/csi:{csi.get('driver', '')}"
    return next((name for source, name in _PLUGINS.items() if volume["spec"].get(source)), "N/A")


def volume_labels(volume: Obj) -> Iterator[tuple[str, Labels]]:
    """What a volume counts as."""
    is_bound = (volume.get("status") or {}).get("phase") == "Bound"
    yield "bound" if is_bound else "unbound", (matching.class_of(volume),)
    yield "total", (plugin_of(volume), volume["spec"].get("volumeMode") or "Filesystem")


def claim_labels(claim: Obj) -> Iterator[tuple[str, Labels]]:
    """What a claim counts as: namespaces of equal names are counted together."""
    is_bound = (claim.get("status") or {}).get("phase") == "Bound"
    attributes = claim["spec"].get("volumeAttributesClassName") or ""
    yield (
        "bound" if is_bound else "unbound",
        (
            claim["metadata"]["namespace"],
            matching.class_of(claim),
            attributes,
        ),
    )


class Measuring:
    """Kubernetes' measures of this controller. What there is, is told by the process that is at work only."""

    def __init__(self, context: Context, claims: Informer, volumes: Informer) -> None:
        self._active = False
        self._since: dict[tuple[str, Hashable], float] = {}
        declare = context.metrics
        labels = "plugin_name", "operation_name"
        self._seconds = declare.histogram(
            "volume_operation_total_seconds",
            "Total volume operation end to end duration in seconds",
            *labels,
            bounds=SECONDS,
        )
        self._errors = declare.counter("volume_operation_total_errors", "Total volume operation errors", *labels)
        self.retroactive = declare.counter(
            "retroactive_storageclass_total",
            "Total number of retroactive StorageClass assignments to persistent volume claim",
        )
        self.retroactive_errors = declare.counter(
            "retroactive_storageclass_errors_total",
            "Total number of failed retroactive StorageClass assignments to persistent volume claim",
        )
        of_volumes, of_claims = Population(volumes, volume_labels), Population(claims, claim_labels)
        by_class, by_namespace = ("storage_class",), ("namespace", "storage_class", "volume_attributes_class")
        for name, help, names, counted, called in (
            ("bound_pv_count", "bound persistent volume", by_class, of_volumes, "bound"),
            ("unbound_pv_count", "unbound persistent volume", by_class, of_volumes, "unbound"),
            ("total_pv_count", "total persistent volumes", ("plugin_name", "volume_mode"), of_volumes, "total"),
            ("bound_pvc_count", "bound persistent volume claim", by_namespace, of_claims, "bound"),
            ("unbound_pvc_count", "unbound persistent volume claim", by_namespace, of_claims, "unbound"),
        ):
            gauge = declare.gauge(f"pv_collector_{name}", f"Gauge measuring number of {help} currently", *names)
            self._tell(gauge, counted, called)

    def _tell(self, gauge: Gauge, counted: Population, called: str) -> None:
        gauge.look = lambda: counted.of(called) if self._active else ()

    async def run(self) -> None:
        """Tells what there is until cancelled."""
        self._active = True
        try:
            await asyncio.Event().wait()
        finally:
            self._active = False

    def began(self, operation: str, about: Hashable) -> None:
        """Something begins, or still goes on."""
        if len(self._since) < _MOST:
            self._since.setdefault((operation, about), time.monotonic())

    def ended(self, operation: str, about: Hashable, plugin: str) -> None:
        """It is done; of what had not begun here nothing is known."""
        began = self._since.pop((operation, about), None)
        if began is not None:
            self._seconds.add(time.monotonic() - began, plugin, operation)

    def forget(self, operation: str, about: Hashable) -> None:
        """It will not be done."""
        self._since.pop((operation, about), None)

    def failed(self, operation: str, plugin: str) -> None:
        self._errors.add(plugin, operation)
