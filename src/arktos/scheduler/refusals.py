"""Why nodes are refused: for the plan, for the user, and for the queue that waits for a change of it."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from arktos.scheduler.nodes import Bools


class Refusal(NamedTuple):
    """Nodes that one filter refuses for one reason. `resolvable`: taking pods away might help."""

    plugin: str
    reason: str
    nodes: Bools
    resolvable: bool = True


def sentence(total: int, reasons: Counter[str]) -> str:
    """`0/3 nodes are available: 1 Insufficient cpu, 2 node(s) ...`, sorted as Kubernetes sorts."""
    listed = sorted(f"{count} {reason}" for reason, count in reasons.items() if count)
    return f"0/{total} nodes are available" + (f": {', '.join(listed)}." if listed else ".")
