"""`arktos service`: have systemd start an installation at boot."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from arktos.bootstrap import service as units
from arktos.bootstrap.layout import Layout
from arktos.bootstrap.process import recorded
from arktos.cli.data_dir import data_dir_option


@click.group()
def service() -> None:
    """Have systemd start the system when the machine starts."""


@service.command("print")
@data_dir_option
def print_unit(data_dir: Path) -> None:
    """Print the unit that `install` writes."""
    click.echo(units.unit(sys.executable, data_dir.absolute()), nl=False)


@service.command()
@data_dir_option
def install(data_dir: Path) -> None:
    """Have the system started at every boot, with what it was last told; also that of a joined node."""
    _require_systemd()
    try:
        path = units.install(units.unit(sys.executable, data_dir.absolute()))
    except (OSError, units.Failed) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{path} is written; Arktos starts at every boot.")
    if recorded(Layout(data_dir.absolute()).process("supervisor")) is None:
        click.echo(f"  start it now:  systemctl start {units.NAME}")
    else:
        click.echo("It is up already, without systemd. What runs in it runs on when systemd takes over:")
        click.echo(f"  arktos down --data-dir {data_dir.absolute()} && systemctl start {units.NAME}")


@service.command()
def remove() -> None:
    """Have the system started at boot no more. What runs, runs on."""
    _require_systemd()
    try:
        there = units.remove()
    except (OSError, units.Failed) as error:
        raise click.ClickException(str(error)) from error
    click.echo("Arktos is started at boot no more." if there else "There is no such service.")


def _require_systemd() -> None:
    if not units.booted():
        raise click.ClickException(
            "systemd is not this machine's init; have yours run `arktos up --foreground` (`arktos service print` shows "
            "what a unit says)"
        )
    if os.geteuid() != 0:
        raise click.ClickException("services of the machine are root's to change")
