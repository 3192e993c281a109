"""`arktos hollow`: simulated nodes by the thousand."""

from __future__ import annotations

from pathlib import Path

import click

_SECONDS = click.FloatRange(min=0.0)


@click.command(
    epilog="The nodes stay when this ends, and so do their pods: the next start adopts them, wherever it is. Remove "
    "them with `kubectl delete nodes -l kubernetes.io/hollow=true`."
)
@click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path),
    required=True,
    help="How to reach the API server, as an operator (group system:masters): one identity for all nodes.",
)
@click.option("--nodes", type=click.IntRange(1, 100_000), required=True, help="How many nodes.")
@click.option(
    "--first",
    type=click.IntRange(0, 99_999),
    default=0,
    show_default=True,
    help="Number of the first one: several of these processes share a cluster by numbers.",
)
@click.option("--name-prefix", default="hollow", show_default=True, help="Names are PREFIX-NUMBER, of five digits.")
@click.option("--cpu", default="32", show_default=True, help="CPUs of each node, a quantity.")
@click.option("--memory", default="256Gi", show_default=True, help="Memory of each node, a quantity.")
@click.option("--pods", type=click.IntRange(1, 1000), default=110, show_default=True, help="Pods that a node takes.")
@click.option("--zones", type=click.IntRange(0), default=3, show_default=True, help="Zones, in turn; 0 for none.")
@click.option("--taint", is_flag=True, help="Taint the nodes kubernetes.io/hollow=true:NoSchedule.")
@click.option(
    "--start-latency",
    type=(_SECONDS, _SECONDS),
    default=(1.0, 0.5),
    show_default=True,
    metavar="MEAN JITTER",
    help="Seconds from a pod's arrival until it runs: uniform, mean plus or minus jitter.",
)
@click.option(
    "--vm-start-latency",
    type=(_SECONDS, _SECONDS),
    default=(5.0, 2.0),
    show_default=True,
    metavar="MEAN JITTER",
    help="The same for virtual machines.",
)
@click.option(
    "--stop-latency",
    type=(_SECONDS, _SECONDS),
    default=(0.5, 0.25),
    show_default=True,
    metavar="MEAN JITTER",
    help="Seconds from a pod's deletion to its end, its grace period at most; and for a machine to change its power.",
)
@click.option(
    "--failure-rate",
    type=click.FloatRange(0.0, 1.0),
    default=0.0,
    show_default=True,
    help="Chance that a start ends in a crash: the pod fails (restartPolicy Never), or starts again after a back-off.",
)
@click.option(
    "--run-time",
    type=click.FloatRange(min=-1.0),
    default=10.0,
    show_default=True,
    help="Seconds after which pods succeed whose restartPolicy is not Always; -1 for never.",
)
@click.option(
    "--heartbeat",
    type=click.FloatRange(1.0, 45.0),
    default=40.0,
    show_default=True,
    help="Seconds between two renewals of a node's Lease. A node that is silent for 50 is taken for dead.",
)
@click.option(
    "--writers", type=click.IntRange(1, 512), default=32, show_default=True, help="Writes about pods at a time."
)
@click.option("--health-address", default="127.0.0.1", show_default=True, help="Where health and metrics are served.")
@click.option(
    "--health-port", type=click.IntRange(0, 65535), default=10270, show_default=True, help="Its port; 0 takes any."
)
def hollow(
    kubeconfig: Path,
    nodes: int,
    first: int,
    name_prefix: str,
    cpu: str,
    memory: str,
    pods: int,
    zones: int,
    taint: bool,
    start_latency: tuple[float, float],
    vm_start_latency: tuple[float, float],
    stop_latency: tuple[float, float],
    failure_rate: float,
    run_time: float,
    heartbeat: float,
    writers: int,
    health_address: str,
    health_port: int,
) -> None:
    """Play nodes that run pods in name only, for scale tests.

    Pods that are bound to these nodes, containers and virtual machines of all tenants, become Running, crash, end and
    go after the latencies given here; nothing is really started, and there are no logs to read nor shells to enter.
    """
    from arktos.cli.servers import _run
    from arktos.client.kubeconfig import ConfigError
    from arktos.hollow.options import MOST, Behaviour, Fleet, Latency, NodeShape
    from arktos.hollow.process import run

    if first + nodes > MOST:
        raise click.BadParameter(f"the last node's number would be above {MOST - 1}", param_hint="--first")
    _check_names(name_prefix, cpu, memory)
    fleet = Fleet(nodes, first, name_prefix, zones, NodeShape(cpu, memory, pods, taint), heartbeat)
    behaviour = Behaviour(
        Latency(*start_latency),
        Latency(*vm_start_latency),
        Latency(*stop_latency),
        failure_rate,
        run_time if run_time >= 0 else None,
    )
    work = run(kubeconfig, fleet, behaviour, writers=writers, health_address=health_address, health_port=health_port)
    _run("hollow", work, (ConfigError, OSError))


def _check_names(prefix: str, cpu: str, memory: str) -> None:
    import re

    from arktos.model import quantity

    if re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", prefix) is None:
        raise click.BadParameter("want letters, digits and hyphens, 40 at most", param_hint="--name-prefix")
    for hint, text in (("--cpu", cpu), ("--memory", memory)):
        try:
            quantity.parse(text)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint=hint) from None
