"""`arktos network`: the pod network of this node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from arktos.cli.servers import _run

_PATH = click.Path(path_type=Path)


@click.command()
@click.option("--kubeconfig", type=_PATH, required=True, help="How to reach the API server.")
@click.option("--node-name", required=True, help="The Node that this machine is.")
@click.option("--node-ip", required=True, help="Its address, by which other nodes reach it.")
@click.option("--data-dir", type=_PATH, required=True, help="Where it keeps which pod has which address.")
@click.option("--socket", type=_PATH, required=True, help="Socket on which CNI calls come.")
@click.option("--cni-conf-dir", type=_PATH, required=True, help="Where runtimes look for the network's configuration.")
@click.option("--cni-bin-dir", type=_PATH, required=True, help="Where runtimes look for CNI plugins.")
@click.option("--cluster-cidr", default="10.244.0.0/16", show_default=True, help="Addresses of all pods.")
@click.option("--service-cidr", default="10.96.0.0/12", show_default=True, help="Addresses of all services.")
@click.option("--cluster-dns", default="10.96.0.10", show_default=True, help="Address of the DNS service.")
@click.option("--cluster-domain", default="cluster.local", show_default=True, help="Domain of services.")
@click.option(
    "--resolv-conf", type=_PATH, default="/etc/resolv.conf", show_default=True, help="Name servers for other domains."
)
@click.option("--health-address", default="127.0.0.1", show_default=True, help="Where health and metrics are served.")
@click.option(
    "--health-port", type=click.IntRange(0, 65535), default=10256, show_default=True, help="Its port; 0 takes any."
)
def network(**options: Any) -> None:
    """Run this node's pod network, in the network namespace that it is started in."""
    from arktos.client.kubeconfig import ConfigError
    from arktos.network.process import Options, run

    _run("network", run(Options(**options)), (ConfigError, OSError, ValueError))
