"""`arktos doctor`: what this machine lacks, before a user meets it as a failure."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from arktos.cli.data_dir import data_dir_option


@click.command()
@data_dir_option
def doctor(data_dir: Path) -> None:
    """Check this machine and installation; say what to do. Exit code 1 when something must be done."""
    from arktos.bootstrap.checks import Level, run

    worst = Level.OK
    for finding in run(data_dir.absolute()):
        worst = max(worst, finding.level)
        click.echo(f"[{finding.level.label}] {finding.name}: {finding.text}")
        if finding.advice:
            click.echo(f"         -> {finding.advice}")
    if worst is Level.BAD:
        sys.exit(1)
