"""`arktos agent`: runs the pods that are bound to this node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from arktos.cli.agent_limits import FLAGS, limit_flags, limits
from arktos.cli.servers import _run

_PATH = click.Path(path_type=Path)


@click.command()
@click.option("--kubeconfig", type=_PATH, required=True, help="How to reach the API server.")
@click.option("--node-name", required=True, help="The Node that this machine is.")
@click.option("--node-ip", required=True, help="Its address, by which other nodes and the API server reach it.")
@click.option("--data-dir", type=_PATH, required=True, help="Where the volumes of pods are.")
@click.option("--pod-logs-dir", type=_PATH, required=True, help="Where the logs of containers are.")
@click.option("--runtimes", required=True, help="`name,type,endpoint` of each runtime, joined by `;`.")
@click.option("--address", default="0.0.0.0", show_default=True, help="Where logs, exec and statistics are served.")
@click.option("--port", type=click.IntRange(0, 65535), default=10250, show_default=True, help="Its port.")
@click.option("--tls-cert-file", type=_PATH, help="The certificate shown there, PEM.")
@click.option("--tls-private-key-file", type=_PATH, help="Its key, PEM.")
@click.option("--client-ca-file", type=_PATH, help="CA whose client certificates are trusted there, PEM.")
@click.option(
    "--cluster-dns", default="10.96.0.10", show_default=True, help="Comma list of the cluster's name servers."
)
@click.option("--cluster-domain", default="cluster.local", show_default=True, help="Domain of services.")
@click.option(
    "--resolv-conf", type=_PATH, default="/etc/resolv.conf", show_default=True, help="Name servers for other domains."
)
@click.option("--cgroup-root", default="/arktos", show_default=True, help="The cgroup below which pods' are.")
@click.option("--node-labels", default="", help="Labels of the node: a=b,c=d.")
@click.option("--register-with-taints", default="", help="Taints that a new node gets: key=value:Effect,...")
@click.option("--max-pods", type=click.IntRange(min=1), default=110, show_default=True, help="Pods at the same time.")
@click.option("--health-address", default="127.0.0.1", show_default=True, help="Where health and metrics are served.")
@click.option(
    "--health-port", type=click.IntRange(0, 65535), default=10248, show_default=True, help="Its port; 0 takes any."
)
@limit_flags
def agent(
    node_name: str,
    node_ip: str,
    data_dir: Path,
    pod_logs_dir: Path,
    runtimes: str,
    cluster_dns: str,
    port: int,
    node_labels: str,
    register_with_taints: str,
    max_pods: int,
    **options: Any,
) -> None:
    """Run the pods that are bound to a node, in the network namespace that it is started in."""
    from arktos.agent.node.options import NodeOptions, parse_labels, parse_taints
    from arktos.agent.process import Options, run
    from arktos.agent.runtimes import parse
    from arktos.client.kubeconfig import ConfigError
    from arktos.wire.tls import TlsError

    try:
        node = NodeOptions(
            node_name,
            node_ip,
            data_dir,
            pod_logs_dir,
            port,
            parse_labels(node_labels),
            parse_taints(register_with_taints),
            max_pods,
            **limits(options),
        )
        specs = tuple(parse(runtimes))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    servers = tuple(filter(None, (part.strip() for part in cluster_dns.split(","))))
    _run(
        "agent",
        run(Options(node=node, runtimes=specs, cluster_dns=servers, **options)),
        (ConfigError, TlsError, OSError),
    )


ADJUSTABLE = frozenset({"--max-pods", "--register-with-taints", "--resolv-conf", *(name for name, *_ in FLAGS)})
"""The flags that a node's owner may choose. The others follow from the installation."""


def check_arguments(arguments: tuple[str, ...]) -> None:
    """Of `arktos up --agent-arg`, each `NAME=VALUE`. Raises ValueError or click.UsageError, saying which is wrong."""
    for argument in arguments:
        name, equals, _ = argument.partition("=")
        if not equals or f"--{name}" not in ADJUSTABLE:
            known = ", ".join(sorted(each.removeprefix("--") for each in ADJUSTABLE))
            raise ValueError(f"{argument!r}: give NAME=VALUE, with NAME one of {known}")
    given = ("--kubeconfig=k", "--node-name=n", "--node-ip=i", "--data-dir=d", "--pod-logs-dir=l", "--runtimes=r")
    context = agent.make_context("agent", [*given, *(f"--{each}" for each in arguments)])
    limits(dict(context.params))
    from arktos.agent.node.options import parse_taints

    parse_taints(context.params["register_with_taints"])
