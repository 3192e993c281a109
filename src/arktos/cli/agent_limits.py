"""The flags of `arktos agent` for what a node keeps back and when it acts: kubelet's names, values and defaults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])
_PERCENT = click.IntRange(0, 100)

FLAGS: tuple[tuple[str, Any, Any, str], ...] = (
    ("--system-reserved", str, "", "Kept from pods: cpu=500m,memory=1Gi,ephemeral-storage=1Gi."),
    ("--eviction-hard", str, None, "Evict at once: memory.available<100Mi,nodefs.available<10%,..."),
    ("--eviction-soft", str, "", "Evict after a grace period: memory.available<500Mi,..."),
    ("--eviction-soft-grace-period", str, "", "Those grace periods: memory.available=1m30s,..."),
    ("--eviction-minimum-reclaim", str, "", "Free so much more than the threshold: nodefs.available=500Mi,..."),
    ("--eviction-pressure-transition-period", str, "5m0s", "How long a pressure condition outlives its cause."),
    ("--image-gc-high-threshold", _PERCENT, 85, "Percent of use of the images' disk from which images go."),
    ("--image-gc-low-threshold", _PERCENT, 80, "Percent of use down to which they go."),
    ("--minimum-image-ttl-duration", str, "2m0s", "The age before which no image goes."),
    ("--container-log-max-size", str, "10Mi", "The size from which a container's log is rotated."),
    ("--pod-max-pids", click.IntRange(min=0), 4096, "Processes and threads that a pod may have; 0 for any number."),
    ("--container-log-max-files", click.IntRange(min=2), 5, "Files that a container's log has at most."),
)


def limit_flags(command: _Command) -> _Command:
    """Adds the flags to a command; what they say is for `limits`."""
    for name, kind, default, about in reversed(FLAGS):
        command = click.option(name, type=kind, default=default, show_default=bool(default), help=about)(command)
    return command


def limits(options: dict[str, Any]) -> dict[str, Any]:
    """Takes the flags out of a command's options and gives what `NodeOptions` calls them. ValueError, saying what is
    malformed."""
    from arktos.agent.node.options import parse_period, parse_periods, parse_reserved
    from arktos.agent.node.thresholds import DEFAULT_HARD, EvictionOptions, parse_thresholds
    from arktos.model.quantity import QuantityError, parse

    taken = {name: options.pop(name.lstrip("-").replace("-", "_")) for name, *_ in FLAGS}
    hard, soft = taken["--eviction-hard"], taken["--eviction-soft"]
    reclaim, graces = taken["--eviction-minimum-reclaim"], parse_periods(taken["--eviction-soft-grace-period"])
    thresholds = parse_thresholds(DEFAULT_HARD if hard is None else hard, None, reclaim)
    thresholds += parse_thresholds(soft, graces, reclaim)
    high, low = taken["--image-gc-high-threshold"], taken["--image-gc-low-threshold"]
    if low >= high:
        raise ValueError(f"--image-gc-low-threshold {low} must be below --image-gc-high-threshold {high}")
    try:
        size = parse(taken["--container-log-max-size"]).value
    except QuantityError as error:
        raise ValueError(f"--container-log-max-size: {error}") from error
    return {
        "reserved": parse_reserved(taken["--system-reserved"]),
        "eviction": EvictionOptions(thresholds, parse_period(taken["--eviction-pressure-transition-period"])),
        "image_high_percent": high,
        "image_low_percent": low,
        "image_minimum_age": parse_period(taken["--minimum-image-ttl-duration"]),
        "log_max_size": size,
        "log_max_files": taken["--container-log-max-files"],
        "pod_processes": taken["--pod-max-pids"],
    }
