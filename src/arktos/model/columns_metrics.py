"""How metrics are shown. Those of nodes have columns in their row; a pod's are sums over its containers."""

from __future__ import annotations

from arktos.model.columns_cell import NAME, Cell, Printer, items, name_of, text
from arktos.model.kinds import Column, Obj
from arktos.model.quantity import QuantityError, parse


def _total(obj: Obj, resource: str) -> str:
    try:
        amounts = [parse(text(container, "usage", resource)) for container in items(obj, "containers")]
    except QuantityError:
        return ""
    if not amounts:
        return "0"
    total = amounts[0]
    for amount in amounts[1:]:
        total += amount
    return str(total)


def pod(obj: Obj) -> list[Cell]:
    return [name_of(obj), _total(obj, "cpu"), _total(obj, "memory"), text(obj, "window")]


PRINTERS: dict[str, Printer] = {
    "pods.metrics.k8s.io": Printer(
        (
            NAME,
            Column("cpu", description="CPU that the pod's containers use together."),
            Column("memory", description="Memory that the pod's containers use together."),
            Column("window", description="The time that CPU is averaged over."),
        ),
        pod,
    ),
}
