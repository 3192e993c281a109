"""`kubectl vm`: what kubectl lacks for pods that are virtual machines. A kubectl plugin: on PATH as `kubectl-vm`."""

from __future__ import annotations

import click

from arktos.cli.cluster_access import Access, access_options
from arktos.model.kinds import Obj

_SETTINGS = {"help_option_names": ["-h", "--help"]}
_wait = click.option(
    "--timeout", type=float, default=300.0, show_default=True, help="Seconds to wait for the result; 0 does not wait."
)


@click.group(context_settings=_SETTINGS)
def main() -> None:
    """Reboot, snapshot, restore, start, stop, pause and resume virtual machines; use their consoles."""


@main.command()
@click.argument("name")
@click.option("--delay", type=click.IntRange(min=0), default=0, help="Seconds to wait before.")
@_wait
@access_options
def reboot(access: Access, name: str, delay: int, timeout: float) -> None:
    """Ask the guest to restart; reset it where it does not."""
    _act(access, name, "reboot", {"rebootParams": {"delayInSeconds": delay}}, timeout, "rebooted", delay)


@main.command()
@click.argument("name")
@click.argument("snapshot")
@_wait
@access_options
def snapshot(access: Access, name: str, snapshot: str, timeout: float) -> None:
    """Keep the disk, and the memory where it runs, under the name SNAPSHOT."""
    _act(
        access, name, "snapshot", {"snapshotParams": {"snapshotName": snapshot}}, timeout, f"snapshot {snapshot} taken"
    )


@main.command()
@click.argument("name")
@click.argument("snapshot")
@_wait
@access_options
def restore(access: Access, name: str, snapshot: str, timeout: float) -> None:
    """Take the machine back to SNAPSHOT. What it did since is lost."""
    _act(access, name, "restore", {"restoreParams": {"snapshotID": snapshot}}, timeout, f"restored to {snapshot}")


@main.command()
@click.argument("name")
@_wait
@access_options
def start(access: Access, name: str, timeout: float) -> None:
    """Start a machine that was stopped, or has stopped by itself."""
    _act(access, name, "start", {}, timeout, "started")


@main.command()
@click.argument("name")
@click.option(
    "--grace-period", type=click.IntRange(min=0), default=None, help="Seconds that the guest has; its pod's by default."
)
@_wait
@access_options
def stop(access: Access, name: str, grace_period: int | None, timeout: float) -> None:
    """Shut the guest down. Disk, node and address are kept."""
    params = {} if grace_period is None else {"powerParams": {"gracePeriodSeconds": grace_period}}
    _act(access, name, "stop", params, timeout, "stopped")


@main.command()
@click.argument("name")
@_wait
@access_options
def pause(access: Access, name: str, timeout: float) -> None:
    """Halt a running machine; it stays in memory."""
    _act(access, name, "pause", {}, timeout, "paused")


@main.command()
@click.argument("name")
@_wait
@access_options
def resume(access: Access, name: str, timeout: float) -> None:
    """Let a paused or suspended machine go on."""
    _act(access, name, "resume", {}, timeout, "resumed")


@main.command()
@click.argument("name")
@access_options
def snapshots(access: Access, name: str) -> None:
    """List the snapshots of a machine."""
    from arktos.cli import vm_calls

    found = access.run(lambda client, namespace: vm_calls.snapshots(client, access.tenant, namespace, name))
    if not found:
        click.echo(f"No snapshots of {name}.", err=True)
        return
    click.echo(f"{'NAME':<32}{'TAKEN':<26}MEMORY")
    for each in found:
        taken, memory = each.get("creationTimestamp", ""), "yes" if each.get("memory") else "no"
        click.echo(f"{each['name']:<32}{taken:<26}{memory}")


@main.command()
@click.argument("name")
@access_options
def console(access: Access, name: str) -> None:
    """Use the serial console. Ctrl-] leaves it; the machine runs on."""
    from arktos.cli.console import attach

    access.run(lambda client, namespace: attach(client.config, access.tenant, namespace, name))


def _act(access: Access, name: str, operation: str, params: Obj, timeout: float, done: str, delay: int = 0) -> None:
    from arktos.cli import vm_calls

    limit = timeout + delay if timeout else 0.0
    action = access.run(
        lambda client, namespace: vm_calls.act(client, access.tenant, namespace, name, operation, params, limit)
    )
    click.echo(f"pod/{name} {done}" if timeout else f"action/{action} created")
