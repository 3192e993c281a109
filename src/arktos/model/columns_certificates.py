"""How requests for certificates are shown."""

from __future__ import annotations

from arktos.model.columns_cell import AGE, NAME, NONE, Cell, Printer, age_of, human_duration, items, name_of, part, text
from arktos.model.kinds import Column, Obj


def request(obj: Obj) -> list[Cell]:
    spec, status = part(obj, "spec"), part(obj, "status")
    seconds = spec.get("expirationSeconds")
    return [
        name_of(obj),
        age_of(obj),
        text(spec, "signerName") or NONE,
        text(spec, "username"),
        human_duration(float(seconds)) if isinstance(seconds, int) else NONE,
        _condition(status),
    ]


def _condition(status: Obj) -> str:
    """Approved, Denied or Pending, and what came of it."""
    given = {text(condition, "type") for condition in items(status, "conditions")}
    shown: list[str] = [kind for kind in ("Approved", "Denied", "Failed") if kind in given]
    if not {"Approved", "Denied"} & given:
        shown.insert(0, "Pending")
    if status.get("certificate"):
        shown.append("Issued")
    return ",".join(shown)


PRINTERS = {
    "certificatesigningrequests.certificates.k8s.io": Printer(
        (
            NAME,
            AGE,
            Column("SignerName"),
            Column("Requestor"),
            Column("RequestedDuration"),
            Column("Condition"),
        ),
        request,
    ),
}
