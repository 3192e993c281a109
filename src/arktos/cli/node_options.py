"""The options that say what kind of node a machine is, shared by `arktos up` and `arktos node join`."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from arktos.bootstrap.components import Settings
from arktos.bootstrap.nodes import (
    CONTAINER_NEEDS,
    VM_NEEDS,
    NodeSettings,
    cgroup_root,
    default_address,
    default_name,
    is_own,
    missing,
    obstacle,
)

_Command = TypeVar("_Command", bound=Callable[..., object])

_OPTIONS = (
    click.option("--node-name", default=default_name, show_default="the host name", help="Name of this node."),
    click.option("--node-ip", default="", show_default="found out", help="Address at which others reach this node."),
    click.option(
        "--agent-port", type=click.IntRange(1, 65535), default=10250, show_default=True, help="Port of the node agent."
    ),
    click.option("--node-labels", default="", help="Labels of the node: a=b,c=d."),
    click.option("--cluster-cidr", default="10.244.0.0/16", show_default=True, help="Addresses for pods."),
    click.option(
        "--accelerator",
        type=click.Choice(["auto", "kvm", "tcg"]),
        default="auto",
        show_default=True,
        help="How QEMU runs guests.",
    ),
    click.option(
        "--registry-mirror",
        "registry_mirrors",
        multiple=True,
        metavar="REGISTRY=URL",
        help="Pull a registry's container images from URL first.",
    ),
    click.option(
        "--image-mirror",
        "image_mirrors",
        multiple=True,
        metavar="PREFIX=PREFIX",
        help="Load VM images whose URL begins with the first from the second.",
    ),
    click.option(
        "--insecure-registry",
        "insecure_registries",
        multiple=True,
        metavar="HOST:PORT",
        help="A registry that speaks plain HTTP.",
    ),
    click.option(
        "--allow-local-images",
        "local_images",
        is_flag=True,
        help="Let VM images come from this machine's own and link-local addresses.",
    ),
    click.option(
        "--agent-arg",
        "agent_args",
        multiple=True,
        metavar="NAME=VALUE",
        help="A flag of `arktos agent`: max-pods=50, eviction-hard=memory.available<500Mi, system-reserved=cpu=500m.",
    ),
)


def node_options(command: _Command) -> _Command:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def node_settings(
    options: dict[str, Any], *, data_dir: Path, default_dir: Path, server: str, cluster_dns: str, health_port: int
) -> NodeSettings:
    """The node that the options describe; which runtimes it has depends on what is installed. ClickException for
    options that cannot be."""
    for pair in (*options["registry_mirrors"], *options["image_mirrors"]):
        if not all(pair.partition("=")):
            raise click.ClickException(f"a mirror is given as ORIGINAL=REPLACEMENT, not {pair!r}")
    _check_agent_args(options["agent_args"])
    address = options.pop("node_ip") or default_address()
    if not address:
        raise click.ClickException("this machine has no address besides loopback; name one with --node-ip")
    try:
        ipaddress.IPv4Address(address)
        ipaddress.IPv4Network(options["cluster_cidr"])
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    labels = options.pop("node_labels")
    return NodeSettings(
        name=options.pop("node_name"),
        address=address,
        server=server,
        cluster_dns=cluster_dns,
        containers=not missing(CONTAINER_NEEDS),
        vms=not missing(VM_NEEDS),
        health_port=health_port,
        cgroup_root=cgroup_root(data_dir, default_dir),
        labels=labels,
        **options,
    )


def _check_agent_args(arguments: tuple[str, ...]) -> None:
    """ClickException for what the agent would not start with."""
    if arguments:
        from arktos.cli.agent import check_arguments

        try:
            check_arguments(arguments)
        except (ValueError, click.UsageError) as error:
            text = error.format_message() if isinstance(error, click.UsageError) else str(error)
            raise click.ClickException(f"--agent-arg: {text}") from error


def as_before(kept: Settings) -> Settings:
    """What an installation is started with when nothing is said: what it had, as far as the machine still has it.
    Raises ClickException where it cannot be a node any more."""
    node = kept.node
    if node is None:
        return kept
    if hindrance := obstacle():
        alone = "; `arktos up --no-node` starts the control plane alone" if kept.control_plane else ""
        raise click.ClickException(f"this machine cannot run pods any more: {hindrance}{alone}")
    address = node.address if is_own(node.address) else default_address()
    if not address:
        raise click.ClickException(f"this machine has no address besides loopback; it had {node.address}")
    there = dataclasses.replace(
        node, address=address, containers=not missing(CONTAINER_NEEDS), vms=not missing(VM_NEEDS)
    )
    return dataclasses.replace(kept, node=there)
