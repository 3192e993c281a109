"""What the node part of the agent is told at its start. Defaults are kubelet's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from arktos.agent.node.thresholds import EvictionOptions
from arktos.model.kinds import Obj
from arktos.model.quantity import QuantityError, parse
from arktos.wire.protobuf_values import parse_duration

TAINT_EFFECTS = frozenset({"NoSchedule", "PreferNoSchedule", "NoExecute"})


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """`data_dir` is the agent's own (its file system is `nodefs`), `pod_logs_dir` that of the containers' logs.

    `reserved` is taken off the capacity beside the hard eviction thresholds: amounts in milli-CPU for `cpu`, bytes for
    `memory` and `ephemeral-storage`, a count for `pid`. Times are in seconds, sizes in bytes, the image thresholds in
    percent of the image file system. `pod_processes` is how many processes and threads a pod may have, 0 for any
    number. Kubelet's default is any, but one tenant's pod must not take all that the machine has.
    """

    node_name: str
    node_ip: str
    data_dir: Path
    pod_logs_dir: Path
    port: int = 10250
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Obj, ...] = ()
    max_pods: int = 110
    reserved: Mapping[str, int] = field(default_factory=dict)
    eviction: EvictionOptions = field(default_factory=EvictionOptions)
    status_frequency: float = 10.0
    status_report_frequency: float = 300.0
    lease_duration: int = 40
    lease_renewal: float = 10.0
    image_high_percent: int = 85
    image_low_percent: int = 80
    image_minimum_age: float = 120.0
    image_period: float = 300.0
    log_max_size: int = 10 << 20
    log_max_files: int = 5
    log_period: float = 10.0
    max_images: int = 50
    pod_processes: int = 4096


RESERVABLE = ("cpu", "memory", "ephemeral-storage", "pid")


def parse_period(text: str) -> float:
    """Seconds of a duration as Go writes it: `5m0s`, `1h30m`, `500ms`, `0`. ValueError."""
    nanoseconds = parse_duration(text)
    if nanoseconds < 0:
        raise ValueError(f"malformed duration {text!r}: it must not be negative")
    return nanoseconds / 1e9


def parse_periods(text: str) -> dict[str, float]:
    """`memory.available=1m30s,...` as seconds by name. ValueError."""
    return {name: parse_period(value) for name, value in parse_labels(text).items()}


def parse_reserved(text: str) -> dict[str, int]:
    """`cpu=500m,memory=1Gi` as `NodeOptions.reserved` has it. ValueError, saying what is malformed."""
    found: dict[str, int] = {}
    for name, value in parse_labels(text).items():
        if name not in RESERVABLE:
            raise ValueError(f"{name!r} cannot be reserved: want one of {', '.join(RESERVABLE)}")
        try:
            amount = parse(value)
        except QuantityError as error:
            raise ValueError(f"malformed amount {value!r} of {name}: {error}") from error
        if amount.sign < 0:
            raise ValueError(f"malformed amount {value!r} of {name}: it must not be negative")
        found[name] = amount.milli if name == "cpu" else amount.value
    return found


def parse_labels(text: str) -> dict[str, str]:
    """`a=b,c=d` as a mapping. ValueError, saying which part is malformed."""
    found: dict[str, str] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = entry.partition("=")
        if not equals or not key.strip():
            raise ValueError(f"malformed label {entry!r}: want key=value")
        found[key.strip()] = value.strip()
    return found


def parse_taints(text: str) -> tuple[Obj, ...]:
    """`key=value:Effect,key:Effect` as taints. ValueError, saying which part is malformed."""
    found: list[Obj] = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        left, colon, effect = entry.rpartition(":")
        key, _, value = left.partition("=")
        if not colon or not key or effect not in TAINT_EFFECTS:
            raise ValueError(f"malformed taint {entry!r}: want key=value:effect, effect one of {sorted(TAINT_EFFECTS)}")
        taint: Obj = {"key": key, "effect": effect}
        if value:
            taint["value"] = value
        found.append(taint)
    return tuple(found)
