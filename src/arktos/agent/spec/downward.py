"""The downward API: fields of a pod and resources of its containers, as text."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from arktos.agent.spec.facts import ConfigError, NodeFacts, all_containers, is_host_network
from arktos.model import quantity
from arktos.model.kinds import Obj
from arktos.model.quantity import Quantity

_SUBSCRIPT = re.compile(r"(metadata\.(?:labels|annotations))\['(.*)'\]\Z", re.DOTALL)
_FROM_NODE = ("limits.cpu", "limits.memory", "limits.ephemeral-storage")
_FROM_POD = ("cpu", "memory")
_ONE = Quantity.of(1)


@dataclass(frozen=True, slots=True)
class _View:
    """What fields are read from."""

    meta: Obj
    spec: Obj
    facts: NodeFacts
    ips: list[str]


_FIELDS: dict[str, Callable[[_View], str]] = {
    "metadata.name": lambda view: str(view.meta.get("name", "")),
    "metadata.namespace": lambda view: str(view.meta.get("namespace", "")),
    "metadata.tenant": lambda view: str(view.meta.get("tenant", "")),
    "metadata.uid": lambda view: str(view.meta.get("uid", "")),
    "metadata.labels": lambda view: _map_text(view.meta.get("labels")),
    "metadata.annotations": lambda view: _map_text(view.meta.get("annotations")),
    "spec.nodeName": lambda view: str(view.spec.get("nodeName") or view.facts.name),
    "spec.serviceAccountName": lambda view: str(view.spec.get("serviceAccountName", "")),
    "status.hostIP": lambda view: view.facts.ips[0] if view.facts.ips else "",
    "status.hostIPs": lambda view: ",".join(view.facts.ips),
    "status.podIP": lambda view: view.ips[0] if view.ips else "",
    "status.podIPs": lambda view: ",".join(view.ips),
}


def field_value(pod: Obj, path: str, facts: NodeFacts, pod_ips: Sequence[str] = ()) -> str:
    """The field that a `fieldRef` names. `pod_ips` are what the sandbox got; without them those of the pod's status.

    Raises ConfigError for a path that the downward API does not have."""
    meta, spec = pod["metadata"], pod["spec"]
    ips = list(pod_ips) or _status_ips(pod) or (list(facts.ips) if is_host_network(pod) else [])
    subscript = _SUBSCRIPT.match(path)
    if subscript:
        found = meta.get(subscript[1].removeprefix("metadata.")) or {}
        return str(found.get(subscript[2], ""))
    if path not in _FIELDS:
        raise ConfigError(f"unsupported fieldPath: {path}")
    return _FIELDS[path](_View(meta, spec, facts, ips))


def resource_value(pod: Obj, container: Obj, selector: Obj, facts: NodeFacts) -> str:
    """The amount that a `resourceFieldRef` names, in units of its divisor, rounded up.

    The container is the one that the selector names, else `container`. A limit that is not stated is the pod's, else
    what the node has to give; a request that is not stated is 0. Raises ConfigError."""
    name = selector.get("containerName")
    if name and name != container.get("name"):
        named = [each for each in all_containers(pod) if each.get("name") == name]
        if not named:
            raise ConfigError(f"container {name} not found")
        container = named[0]
    asked = selector.get("resource", "")
    which, _, resource = asked.partition(".")
    if which not in ("limits", "requests") or not resource:
        raise ConfigError(f"unsupported container resource : {asked}")
    divisor = _divisor(selector)
    amount = _amount(pod, container, which, resource, facts)
    if resource == "cpu":
        return str(-(-amount.milli // divisor.milli))
    return str(-(-amount.value // divisor.value))


def _divisor(selector: Obj) -> Quantity:
    stated = selector.get("divisor")
    divisor = quantity.parse(str(stated)) if stated not in (None, "") else _ONE
    return divisor if divisor.sign > 0 else _ONE


def _amount(pod: Obj, container: Obj, which: str, resource: str, facts: NodeFacts) -> Quantity:
    stated = ((container.get("resources") or {}).get(which) or {}).get(resource)
    if stated is None and resource in _FROM_POD:
        stated = ((pod["spec"].get("resources") or {}).get(which) or {}).get(resource)
    if stated is not None and (which == "requests" or quantity.parse(str(stated))):
        return quantity.parse(str(stated))
    if f"{which}.{resource}" in _FROM_NODE:
        return facts.allocatable.get(resource, quantity.ZERO)
    return quantity.ZERO


def _status_ips(pod: Obj) -> list[str]:
    status = pod.get("status") or {}
    several = [each["ip"] for each in status.get("podIPs") or () if each.get("ip")]
    return several or ([status["podIP"]] if status.get("podIP") else [])


def _map_text(found: dict[str, str] | None) -> str:
    return "\n".join(f"{key}={_quoted(value)}" for key, value in sorted((found or {}).items()))


_ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\v": "\\v",
}


def _quoted(text: str) -> str:
    """As Go quotes a string: what is not printable is escaped."""
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
