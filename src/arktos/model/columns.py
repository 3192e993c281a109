"""What a list of a kind looks like: the printer columns of Kubernetes 1.36, and of what Arktos adds.

`columns_for` and `cells` belong together: as many cells as columns, in the same order. A kind whose row declares
columns of its own is shown by them (their paths are read); the others have a printer in one of the `columns_*` modules;
the rest shows name and age.
"""

from __future__ import annotations

from collections.abc import Callable

from arktos.model import (
    columns_arktos,
    columns_core,
    columns_devices,
    columns_metrics,
    columns_network,
    columns_pods,
    columns_policy,
    columns_storage,
    columns_workloads,
)
from arktos.model.columns_cell import AGE, NAME, Cell, Printer, Since, Value, age_of, at, name_of, since
from arktos.model.kinds import Column, Kind, Obj

PRINTERS: dict[str, Printer] = {
    **columns_core.PRINTERS,
    **columns_pods.PRINTERS,
    **columns_workloads.PRINTERS,
    **columns_network.PRINTERS,
    **columns_storage.PRINTERS,
    **columns_policy.PRINTERS,
    **columns_arktos.PRINTERS,
    **columns_metrics.PRINTERS,
    **columns_devices.PRINTERS,
}
"""Printers by group-resource."""

DEFAULT = Printer((NAME, AGE), lambda obj: [name_of(obj), age_of(obj)])


def printer(kind: Kind) -> Printer:
    """How this kind is shown. The same printer serves every version of a resource."""
    if kind.custom is not None:
        return kind.custom.printer
    if kind.columns:
        return Printer((NAME, *kind.columns), _by_paths(kind.columns))
    return PRINTERS.get(kind.resource, DEFAULT)


def columns_for(kind: Kind) -> tuple[Column, ...]:
    return printer(kind).columns


def open_cells(kind: Kind, obj: Obj) -> list[Cell]:
    """The cells of an object, those that depend on the time left open: they hold for as long as the object does."""
    return printer(kind).cells(obj)


def cells(kind: Kind, obj: Obj, now: float) -> list[Value]:
    """The cells of an object at `now` (unix seconds). Never raises, whatever the object looks like inside."""
    return [cell.render(now) if isinstance(cell, Since) else cell for cell in open_cells(kind, obj)]


def _by_paths(columns: tuple[Column, ...]) -> Callable[[Obj], list[Cell]]:
    paths = [(tuple(step for step in column.path.split(".") if step), column.type) for column in columns]

    def read(obj: Obj) -> list[Cell]:
        return [name_of(obj), *(_scalar(at(obj, *path), kind) for path, kind in paths)]

    return read


def _scalar(found: object, kind: str) -> Cell:
    if kind == "date" and found is not None:
        return since(found)
    return found if found is None or isinstance(found, str | int | float | bool) else str(found)
