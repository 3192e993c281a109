"""`arktos kubeconfig`: credentials of this installation, on standard output."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from arktos.cli.data_dir import data_dir_option, installed


@click.command()
@data_dir_option
@click.option("--tenant", "name", default="", help="Of this tenant's admin; the operator's by default.")
def kubeconfig(data_dir: Path, name: str) -> None:
    """Print a kubeconfig: the operator's, or a fresh one for a tenant's admin."""
    settings = installed(data_dir)
    if not name:
        try:
            click.echo(settings.layout.admin_kubeconfig.read_text(), nl=False)
        except OSError as error:
            text = f"{settings.layout.admin_kubeconfig}: {error.strerror}; `arktos up` writes it anew"
            raise click.ClickException(text) from error
        return
    from arktos.cli.tenant import write_kubeconfig

    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "kubeconfig"
        write_kubeconfig(settings, name, target)
        click.echo(target.read_text(), nl=False)
