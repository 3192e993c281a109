"""Draws the README's picture of the system: `python scripts/draw_system.py > docs/system.svg`.

Plain SVG. Its colours follow the reader's light or dark scheme; what is not there yet is dashed.
"""

from __future__ import annotations

from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 920, 838

COLOURS = {
    "paper": ("#ffffff", "#0d1117"),
    "ink": ("#1f2328", "#f0f6fc"),
    "faint": ("#59636e", "#9ba5b1"),
    "line": ("#818b98", "#7d8590"),
    "area": ("#f3f5f8", "#161b22"),
    "client": ("#ddf4ff", "#0c2d4d"),
    "server": ("#fff1c9", "#40310b"),
    "loop": ("#dafbe1", "#0f3320"),
    "store": ("#fbefff", "#301c4d"),
    "node": ("#ffe8e0", "#45201a"),
}
"""Class: its fill in a light and in a dark scheme. Classes of their own, since not every renderer knows variables."""

STYLE = """
text { font-family: system-ui, "Segoe UI", "DejaVu Sans", sans-serif; font-size: 13px; }
.name { font-weight: 600; font-size: 14px; }
.small { font-size: 12px; }
.tiny { font-size: 10.5px; }
.box { stroke: #818b98; stroke-width: 1.2; }
.wire { stroke: #818b98; stroke-width: 1.5; fill: none; }
.later { stroke-dasharray: 5 4; }
"""


def style() -> str:
    light, dark = ("\n".join(f".{name} {{ fill: {pair[i]}; }}" for name, pair in COLOURS.items()) for i in (0, 1))
    return f"{STYLE}{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n"


@dataclass(frozen=True)
class Box:
    """A rectangle with a name and lines of text below it. `role` is its colour."""

    x: int
    y: int
    width: int
    height: int
    role: str
    name: str
    lines: tuple[str, ...] = ()
    later: bool = False


BOXES = (
    Box(
        20,
        20,
        270,
        78,
        "client",
        "tenant acme",
        ("kubectl, or any Kubernetes client", "server: https://…/tenants/acme"),
    ),
    Box(
        325,
        20,
        270,
        78,
        "client",
        "tenant globex",
        ("the same names, other objects", "server: https://…/tenants/globex"),
    ),
    Box(630, 20, 270, 78, "client", "operator", ("tenant system: nodes, tenants,", "…/tenants/all for all at once")),
    Box(40, 176, 500, 150, "server", "arktos apiserver"),
    Box(600, 176, 280, 150, "store", "embedded store"),
    Box(
        40, 388, 230, 76, "loop", "arktos controllers", ("tenants, deployments, garbage, …", "work queues on informers")
    ),
    Box(310, 388, 230, 76, "loop", "arktos scheduler", ("pods and VMs onto nodes,", "or the reason why not")),
    Box(
        600,
        388,
        280,
        76,
        "area",
        "supervisor and keeper",
        ("start all of this again when it dies,", "each other included"),
    ),
    Box(
        60,
        540,
        240,
        70,
        "node",
        "arktos agent",
        ("the life of pods: probes, volumes,", "logs, exec, figures, eviction"),
    ),
    Box(316, 540, 154, 70, "node", "containerd", ("Debian's, private:", "containers")),
    Box(486, 540, 184, 70, "node", "arktos vmruntime", ("images, QEMU, consoles:", "virtual machines")),
    Box(686, 540, 174, 70, "node", "arktos network", ("CNI, Services, DNS,", "the wall between tenants")),
    Box(40, 768, 400, 50, "paper", "etcd, several API servers", ("when one machine is not enough",), True),
    Box(480, 768, 400, 50, "paper", "Neutron and Mizar networks, a console", ("beside the embedded network",), True),
)

PODS = (
    (60, "acme", ("pod web", "container"), ("pod web", "container"), ("pod debian", "virtual machine")),
    (470, "globex", ("pod web", "container"), ("pod debian", "virtual machine"), ("pod debian-2", "virtual machine")),
)
"""Where a tenant's pods are drawn, whose they are, and each pod's two lines."""

INNER = (
    ("who asks", "certificate, token"),
    ("may they", "RBAC in the tenant"),
    ("what", "defaults, checks"),
    ("the verb", "one file each"),
)
STORE = (
    "commit: checked, fsynced, then seen",
    "index and history in memory, as bytes",
    "hub: one event, all its watchers",
)


def text(x: float, y: float, content: str, size: str = "ink", anchor: str = "middle") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" class="{size}">{escape(content)}</text>'


def rectangle(x: float, y: float, width: float, height: float, role: str, later: bool = False) -> str:
    kind = f"{role} box later" if later else f"{role} box"
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" class="{kind}"/>'


def drawn(box: Box) -> list[str]:
    middle = box.x + box.width / 2
    parts = [rectangle(box.x, box.y, box.width, box.height, box.role, box.later)]
    parts.append(text(middle, box.y + 24, box.name, "name ink"))
    parts += [text(middle, box.y + 45 + 18 * i, line, "small faint") for i, line in enumerate(box.lines)]
    return parts


def arrow(x1: float, y1: float, x2: float, y2: float, both: bool = False, later: bool = False) -> str:
    ends = 'marker-end="url(#head)"' + (' marker-start="url(#head)"' if both else "")
    return f'<path d="M{x1} {y1} L{x2} {y2}" class="wire{" later" if later else ""}" {ends}/>'


def inside_server() -> list[str]:
    parts = []
    for i, (name, line) in enumerate(INNER):
        x = 54 + i * 120
        parts.append(rectangle(x, 212, 112, 58, "paper"))
        parts.append(text(x + 56, 236, name))
        parts.append(text(x + 56, 256, line, "tiny faint"))
    parts.append(text(290, 296, "GET, LIST, WATCH: stored bytes, spliced and sent, never decoded", "small faint"))
    parts.append(text(290, 314, "writes: decoded once, encoded once", "small faint"))
    return parts


def pods(x: int, tenant: str, *each: tuple[str, str]) -> list[str]:
    """A tenant's pods on the node, on a bridge of their own."""
    parts = [rectangle(x, 624, 390, 82, "client")]
    parts.append(text(x + 195, 642, f"pods of tenant {tenant}, on a bridge of its own", "small faint"))
    for i, (name, kind) in enumerate(each):
        left = x + 12 + i * 124
        parts.append(rectangle(left, 652, 118, 44, "paper"))
        parts.append(text(left + 59, 670, name))
        parts.append(text(left + 59, 687, kind, "tiny faint"))
    return parts


def picture() -> str:
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'role="img" aria-label="Arktos: clients, API server, store, controllers, scheduler, a node and its pods">',
        f"<style>{style()}</style>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto-start-reverse"><path d="M0 0 L8 4 L0 8 z" class="line"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" class="paper"/>',
        rectangle(20, 134, 880, 604, "area"),
        text(886, 156, "arktos up, on one machine", "small faint", "end"),
        rectangle(40, 500, 840, 222, "paper"),
        text(866, 524, "a node; other machines become nodes with arktos node join", "small faint", "end"),
    ]
    parts += [arrow(155, 98, 155, 174), arrow(460, 98, 420, 174), arrow(765, 98, 500, 174)]
    parts.append(text(165, 122, "HTTPS, Kubernetes API", "small faint", "start"))
    for box in BOXES:
        parts += drawn(box)
    for x, tenant, *each in PODS:
        parts += pods(x, tenant, *each)
    parts += inside_server()
    parts += [text(740, 222 + 24 * i, line, "small faint") for i, line in enumerate(STORE)]
    parts.append(text(740, 306, "one SQLite file, in the server's process", "small faint"))
    parts += [
        arrow(542, 250, 598, 250, both=True),
        arrow(155, 386, 155, 328, both=True),
        arrow(425, 386, 425, 328, both=True),
        arrow(290, 538, 290, 328, both=True),
        text(165, 362, "list, watch, write", "small faint", "start"),
        text(42, 758, "dashed: comes next", "small faint", "start"),
        "</svg>",
    ]
    return "\n".join(parts)


if __name__ == "__main__":
    print(picture())
