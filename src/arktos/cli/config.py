"""The file of `--config`: a mapping from command to a mapping from option to value, checked against the commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


def read(path: Path, group: click.Group, ctx: click.Context) -> dict[str, Any]:
    """The file as defaults of `group`'s commands. ClickException for what is not YAML, or names what there is not."""
    import yaml

    try:
        found = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise click.ClickException(f"--config: {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise click.ClickException(f"--config: {path}: not YAML: {' '.join(str(error).split())}") from error
    try:
        return _defaults(found or {}, group, ctx, "")
    except ValueError as error:
        raise click.ClickException(f"--config: {path}: {error}") from error


def _defaults(section: object, command: click.Command, ctx: click.Context, name: str) -> dict[str, Any]:
    if not isinstance(section, dict):
        raise ValueError(f"{name or 'the file'} must hold a mapping, not {section!r}")
    known: dict[str, str] = {}
    for parameter in command.params:
        for option in parameter.opts if isinstance(parameter, click.Option) else ():
            known[option.removeprefix("--")] = parameter.name or ""
    defaults: dict[str, Any] = {}
    for key, value in section.items():
        option = str(key).replace("_", "-")
        below = command.get_command(ctx, str(key)) if isinstance(command, click.Group) else None
        if below is not None:
            defaults[str(key)] = _defaults(value or {}, below, ctx, f"{name} {key}".strip())
        elif name and option in known:
            defaults[known[option]] = value
        else:
            raise ValueError(f"there is no command {key!r}" if not name else f"{name} has no option {key!r}")
    return defaults
