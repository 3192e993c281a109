"""`arktos ring`: which process works on which range of which controller's ring, and how busy it is."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from arktos.cli.data_dir import data_dir_option, operators_kubeconfig

_EVERY = 1.0
COLUMNS = ("TYPE", "SHARE", "START", "END", "LOAD", "EPOCH", "PROCESS", "INSTANCE")
PROCESSES = ("PROCESS", "OWNS", "WAITS", "LOAD")


@click.command()
@click.argument("type", required=False, default="")
@data_dir_option
@click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path),
    help="How to reach the API server.",
    show_default="$KUBECONFIG, or the data directory's",
)
@click.option("--watch", "-w", is_flag=True, help="Show changes as they come, until interrupted.")
@click.option(
    "--output",
    "-o",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="How to show them.",
)
def ring(type: str, data_dir: Path, kubeconfig: Path | None, watch: bool, output: str) -> None:
    """Show who works on what: the instances of all controllers, then a line for each process; or the instances of one
    TYPE (ReplicaSet)."""
    from arktos.cli import ring_calls

    config = operators_kubeconfig(data_dir, kubeconfig)
    shown = ""
    while True:
        found = ring_calls.tenures(config, type)
        if output == "json":
            text = ring_calls.as_json(found)
        else:
            text = table([COLUMNS, *map(ring_calls.row, found)])
            if found and not type:
                text += "\n\n" + table([PROCESSES, *ring_calls.by_process(found)])
        if text != shown:
            if watch and shown and output == "table" and sys.stdout.isatty():
                click.clear()
            click.echo(text)
            shown = text
        if not watch:
            return
        time.sleep(_EVERY)


def table(lines: list[tuple[str, ...]]) -> str:
    """Lines, of which the first has the titles, in columns as wide as what is in them."""
    if len(lines) == 1:
        return "No controller runs."
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
