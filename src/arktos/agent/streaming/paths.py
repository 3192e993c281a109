"""What a request to the node's server asks for. Pure.

Paths are kubelet's, with the tenant before the namespace; without one, the tenant is `system`:

    /exec/{tenant}/{namespace}/{pod}/{container}       /exec/{namespace}/{pod}/{container}
    /portForward/{tenant}/{namespace}/{pod}            /portForward/{namespace}/{pod}
"""

from __future__ import annotations

from dataclasses import dataclass

from arktos.model.kinds import SYSTEM_TENANT

_CONTAINER = frozenset({"containerLogs", "exec", "attach", "run"})
_POD = frozenset({"portForward"})
COMMANDS = frozenset({"exec", "attach", "run", "portForward"})
"""What does something, whatever the method: a WebSocket begins with a GET."""

_VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True, slots=True)
class Target:
    """A container, or (`container` "") a pod, and what is to be done with it."""

    action: str
    tenant: str
    namespace: str
    pod: str
    container: str = ""


def target(path: str) -> Target | None:
    """What of a pod a path asks for; None if it is none of these."""
    action, *rest = path.strip("/").split("/")
    size = 3 if action in _CONTAINER else 2 if action in _POD else 0
    if not size or len(rest) not in (size, size + 1) or not all(rest):
        return None
    tenant = rest.pop(0) if len(rest) > size else SYSTEM_TENANT
    return Target(action, tenant, *rest)


def rights(method: str, path: str) -> tuple[str, tuple[str, ...]]:
    """The verb, and the subresources of this node of which one must be allowed, as kubelet has them. What runs a
    command takes `create` even where it begins with a GET, for it reads nothing."""
    root = path.strip("/").split("/", 1)[0]
    verb = "create" if root in COMMANDS else _VERBS.get(method, "")
    if root in ("stats", "metrics"):
        return verb, (root,)
    if root == "logs":
        return verb, ("log",)
    if root in ("healthz", "pods", "configz"):
        return verb, (root, "proxy")
    return verb, ("proxy",)
