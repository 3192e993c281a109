"""The `arktos` command. Each subcommand's module is imported when it is called, so that every command starts fast.

Options can also be given as environment variables (`ARKTOS_UP_PORT`) and in a YAML file (`--config`), in this order of
precedence: flags, environment, file.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import click

_COMMANDS = {
    "up": ("arktos.cli.up", "up"),
    "down": ("arktos.cli.up", "down"),
    "supervise": ("arktos.cli.up", "supervise"),
    "renew": ("arktos.cli.renewal", "renew"),
    "status": ("arktos.cli.status", "status"),
    "doctor": ("arktos.cli.doctor", "doctor"),
    "tenant": ("arktos.cli.tenant", "tenant"),
    "node": ("arktos.cli.node", "node"),
    "service": ("arktos.cli.service", "service"),
    "kubeconfig": ("arktos.cli.kubeconfig", "kubeconfig"),
    "apiserver": ("arktos.cli.servers", "apiserver"),
    "controllers": ("arktos.cli.servers", "controllers"),
    "scheduler": ("arktos.cli.servers", "scheduler"),
    "ring": ("arktos.cli.ring", "ring"),
    "network": ("arktos.cli.network", "network"),
    "vmruntime": ("arktos.cli.vmruntime", "vmruntime"),
    "agent": ("arktos.cli.agent", "agent"),
    "hollow": ("arktos.cli.hollow", "hollow"),
}
"""Name: module, attribute. `--help` imports them all; a command imports its own."""


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, attribute = _COMMANDS[cmd_name]
        found = getattr(importlib.import_module(module), attribute)
        assert isinstance(found, click.Command)
        return found


@click.group(cls=_Lazy, context_settings={"auto_envvar_prefix": "ARKTOS", "help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="YAML file with defaults: a mapping from command to a mapping from option to value.",
)
@click.version_option(package_name="arktos", prog_name="arktos")
@click.pass_context
def main(ctx: click.Context, config: Path | None) -> None:
    """One control plane for containers and virtual machines, for many tenants, that speaks the Kubernetes API."""
    if config is not None:
        from arktos.cli.config import read

        ctx.default_map = read(config, main, ctx)
