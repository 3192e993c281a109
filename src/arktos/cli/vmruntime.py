"""`arktos vmruntime`: the VM runtime of a node."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from arktos.cli.servers import _run

_FILE = click.Path(path_type=Path)


def _mirrors(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[Any, ...]:
    pairs = [tuple(value.split("=", 1)) for value in values]
    if any(len(pair) != 2 or not all(pair) for pair in pairs):
        raise click.BadParameter("must be PREFIX=PREFIX")
    return tuple(pairs)


@click.command()
@click.option("--socket", type=_FILE, required=True, help="Unix socket on which CRI and arktos.vm.v1 are served.")
@click.option("--data-dir", type=_FILE, required=True, help="Folder of images, machines and their disks.")
@click.option("--cni-conf-dir", type=_FILE, required=True, help="Folder with the CNI network configuration.")
@click.option("--cni-bin-dir", type=_FILE, required=True, help="Folder with the CNI plugins.")
@click.option(
    "--accelerator",
    type=click.Choice(["auto", "kvm", "tcg"]),
    default="auto",
    show_default=True,
    help="How guests are run; auto takes KVM where it works.",
)
@click.option(
    "--image-mirror", "image_mirrors", multiple=True, callback=_mirrors, metavar="PREFIX=PREFIX",
    help="Images whose name begins with the first are fetched from the second.",
)  # fmt: skip
@click.option(
    "--insecure-registry", "insecure_registries", multiple=True, metavar="HOST:PORT",
    help="Registry that is spoken to over plain HTTP.",
)  # fmt: skip
@click.option("--allow-file-images", type=_FILE, help="Folder from which file:// images may be taken.")
@click.option("--allow-local-images", is_flag=True, help="Let image URLs point at loopback and link-local addresses.")
@click.option(
    "--qemu-user", default="nobody", show_default=True,
    help="User that images are looked into as, and that QEMU runs as where machines have no uids of their own.",
)  # fmt: skip
@click.option(
    "--qemu-first-uid", "first_uid", type=click.IntRange(0, 2**31 - 2**16), default=1_900_000_000, show_default=True,
    help="First of the uids of which each machine's QEMU has one of its own; 0 for none.",
)  # fmt: skip
@click.option(
    "--health-port", type=click.IntRange(0, 65535), default=10261, show_default=True,
    help="Port of health and metrics on loopback; 0 takes any.",
)  # fmt: skip
def vmruntime(**options: Any) -> None:
    """Run virtual machines for the node's agent."""
    # We start programs, and use no gRPC in them: its handlers around a fork only complain.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
    from arktos.vmruntime.process import CannotServe, Options, run_until_signal

    _run("vmruntime", run_until_signal(Options(**options)), (CannotServe, OSError))
