"""`arktos status`: what runs, and whether it is well."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from arktos.bootstrap.components import components, supervisor
from arktos.bootstrap.process import Process, recorded
from arktos.cli.data_dir import data_dir_option, installed


@click.command()
@data_dir_option
def status(data_dir: Path) -> None:
    """Show the processes and their health. Exit code 1 when something is not well."""
    from arktos.bootstrap.readiness import unready

    settings = installed(data_dir)
    layout = settings.layout
    well = True
    click.echo(f"{'PROCESS':<14}{'PID':<9}{'MEMORY':<10}STATE")
    in_foreground = recorded(layout.process("supervisor")) and not recorded(
        layout.process("supervisor"), supervisor(settings).command
    )
    for name in ("supervisor",) if in_foreground else ("supervisor", "keeper"):
        process = recorded(layout.process(name))
        well = well and process is not None
        click.echo(_line(name, process, "running" if process else "not running"))
    for component in components(settings):
        process = recorded(layout.process(component.name))
        problem = unready(settings, component) if process else "not running"
        well = well and problem is None
        click.echo(_line(component.name, process, "ready" if problem is None else problem))
    server = settings.server if settings.control_plane or not settings.node else settings.node.server
    click.echo(f"\nAPI: {server}   data: {layout.root}")
    if not well:
        sys.exit(1)


def _line(name: str, process: Process | None, state: str) -> str:
    pid = str(process.pid) if process else "-"
    return f"{name:<14}{pid:<9}{_memory(process):<10}{state}"


def _memory(process: Process | None) -> str:
    """Resident memory."""
    try:
        pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) if process else 0
    except (FileNotFoundError, ProcessLookupError):
        pages = 0
    return f"{pages * 4096 / (1 << 20):.0f} MiB" if pages else "-"
