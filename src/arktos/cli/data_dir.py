"""The option that most commands share: which installation they speak of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from arktos.bootstrap.components import Settings
from arktos.bootstrap.layout import Layout, default_data_dir

_Command = TypeVar("_Command", bound=Callable[..., object])


def data_dir_option(command: _Command) -> _Command:
    return click.option(
        "--data-dir",
        type=click.Path(file_okay=False, path_type=Path),
        default=default_data_dir,
        envvar="ARKTOS_DATA_DIR",
        show_default="/var/lib/arktos, for ordinary users ~/.local/share/arktos",
        help="Where the installation keeps everything.",
    )(command)


def installed(data_dir: Path) -> Settings:
    """The settings of an installation; a clear error where there is none."""
    settings = Settings.load(Layout(data_dir.absolute()))
    if settings is None:
        raise click.ClickException(f"nothing was ever started in {data_dir}; `arktos up` does that")
    return settings
