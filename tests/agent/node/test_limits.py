"""The flags of a node's limits."""

from __future__ import annotations

from typing import Any

import click
import pytest
from click.testing import CliRunner

from arktos.agent.node.options import parse_period, parse_periods, parse_reserved
from arktos.agent.node.thresholds import MEMORY, Amount, EvictionOptions
from arktos.cli.agent_limits import limit_flags, limits

MIB = 1 << 20


def parsed(*flags: str) -> dict[str, Any]:
    """What a command makes of the flags. Raises what `limits` raises."""
    found: dict[str, Any] = {}

    @click.command()
    @limit_flags
    def command(**options: Any) -> None:
        found.update(limits(options))
        assert options == {}

    done = CliRunner().invoke(command, flags, standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return found


def test_the_defaults_are_those_of_the_options() -> None:
    found = parsed()
    assert found.pop("eviction") == EvictionOptions()
    assert found == {
        "reserved": {},
        "image_high_percent": 85,
        "image_low_percent": 80,
        "image_minimum_age": 120.0,
        "log_max_size": 10 * MIB,
        "log_max_files": 5,
        "pod_processes": 4096,
    }


def test_everything_said() -> None:
    found = parsed(
        "--system-reserved=cpu=250m,memory=1Gi",
        "--eviction-hard=memory.available<200Mi",
        "--eviction-soft=memory.available<1Gi",
        "--eviction-soft-grace-period=memory.available=1m30s",
        "--eviction-minimum-reclaim=memory.available=50Mi",
        "--eviction-pressure-transition-period=30s",
        "--container-log-max-size=1Mi",
    )
    assert found["reserved"] == {"cpu": 250, "memory": 1024 * MIB}
    hard, soft = found["eviction"].thresholds
    assert (hard.signal, hard.amount, hard.grace, hard.reclaim) == (MEMORY, Amount(200 * MIB), 0, Amount(50 * MIB))
    assert (soft.amount, soft.grace) == (Amount(1024 * MIB), 90.0)
    assert found["eviction"].transition == 30.0 and found["log_max_size"] == MIB
    assert parsed("--eviction-hard=")["eviction"].thresholds == ()


@pytest.mark.parametrize(
    "flag",
    [
        "--system-reserved=gpu=1",
        "--system-reserved=cpu=x",
        "--system-reserved=cpu=-1",
        "--eviction-hard=x",
        "--eviction-soft=memory.available<1Gi",
        "--eviction-pressure-transition-period=5 minutes",
        "--image-gc-low-threshold=90",
        "--container-log-max-size=big",
    ],
)
def test_what_is_malformed_is_said(flag: str) -> None:
    with pytest.raises(ValueError):
        parsed(flag)


def test_periods() -> None:
    assert [parse_period(text) for text in ("5m0s", "1h30m", "500ms", "1.5s", "0")] == [300, 5400, 0.5, 1.5, 0]
    assert parse_periods("a=1m,b=2s") == {"a": 60.0, "b": 2.0}
    assert parse_reserved("pid=5,ephemeral-storage=1Ki") == {"pid": 5, "ephemeral-storage": 1024}
