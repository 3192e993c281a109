"""Whose API server a command speaks to."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from arktos.bootstrap.components import Settings
from arktos.cli.data_dir import data_dir_option, operators_kubeconfig


@click.command()
@data_dir_option
@click.option("--kubeconfig", type=click.Path(path_type=Path))
def speak(data_dir: Path, kubeconfig: Path | None) -> None:
    click.echo(operators_kubeconfig(data_dir, kubeconfig))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    settings = Settings(str(tmp_path / "data"))
    settings.layout.root.mkdir(parents=True, exist_ok=True)
    settings.save()
    return settings.layout.root


def asked(*arguments: str, **environment: str | None) -> str:
    clean: dict[str, str | None] = {"KUBECONFIG": None, "ARKTOS_DATA_DIR": None}
    return CliRunner().invoke(speak, arguments, env=clean | environment).output.strip()


def test_what_is_named_comes_first(folder: Path) -> None:
    assert asked("--kubeconfig", "/a", "--data-dir", str(folder), KUBECONFIG="/b") == "/a"


def test_then_the_data_directory_that_is_named(folder: Path) -> None:
    assert asked("--data-dir", str(folder), KUBECONFIG="/b") == str(folder / "admin.kubeconfig")
    assert asked(KUBECONFIG="/b", ARKTOS_DATA_DIR=str(folder)) == str(folder / "admin.kubeconfig")


def test_then_kubectls_own(folder: Path) -> None:
    assert asked(KUBECONFIG="/b:/c") == "/b"


def test_then_the_installation_here(folder: Path) -> None:
    assert "nothing was ever started" in asked("--data-dir", str(folder / "none"))
