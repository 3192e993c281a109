"""The option that most commands share: which installation they speak of."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click
from click.core import ParameterSource

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


def operators_kubeconfig(data_dir: Path, named: Path | None) -> Path:
    """Whose API server a command speaks to: the one that is named, else the data directory's if that is named, else
    $KUBECONFIG's, as kubectl would, else the one of the installation on this machine."""
    if named is not None:
        return named
    source = click.get_current_context().get_parameter_source("data_dir")
    elsewhere = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
    if elsewhere and source is ParameterSource.DEFAULT:
        return Path(elsewhere)
    return installed(data_dir).layout.admin_kubeconfig
