"""Draws the life of a ring's member from its table into docs/ring.md, between the marks.

python scripts/ring_diagram.py          writes the page
python scripts/ring_diagram.py --check  fails if the page shows another life
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

from arktos.ring.machine import TABLE, State

PAGE = Path(__file__).parents[1] / "docs" / "ring.md"
BEGIN, END = "<!-- the table, drawn by scripts/ring_diagram.py -->", "<!-- end of the drawing -->"


def drawing() -> str:
    """The table as a Mermaid state diagram: an edge per pair of states, with the events that may lead along it."""
    edges: dict[tuple[State, State], list[str]] = defaultdict(list)
    for (state, event), rule in TABLE.items():
        for target in rule.targets:
            if target is not state:
                edges[state, target].append(event.__name__)
    order = list(State)
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> OUT"]
    lines += [f"    {state.name}: {state.name}<br/>{state.value}" for state in order]
    for state, target in sorted(edges, key=lambda edge: (order.index(edge[0]), order.index(edge[1]))):
        events = sorted(set(edges[state, target]))
        label = "any event" if len(events) > 4 else ", ".join(events)
        lines.append(f"    {state.name} --> {target.name}: {label}")
    return "\n".join([*lines, "    GONE --> [*]", "```"])


def page(text: str) -> str:
    """The page's text with the drawing as it is now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{drawing()}\n{END}{after}"


def main() -> None:
    text = PAGE.read_text()
    if "--check" in sys.argv[1:]:
        sys.exit(0 if page(text) == text else "docs/ring.md shows another life than TABLE: run scripts/ring_diagram.py")
    PAGE.write_text(page(text))


if __name__ == "__main__":
    main()
