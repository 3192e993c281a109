"""The `arktos` command by itself: help, lazy imports, where options come from. Nothing is started here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

import arktos.cli.up
from arktos.bootstrap.components import Settings, components
from arktos.cli import main

HEAVY = (
    "arktos.apiserver",
    "arktos.client",
    "arktos.model",
    "arktos.store",
    "arktos.wire",
    "asyncio",
    "cryptography",
    "http.client",
    "msgspec",
    "numpy",
    "rich",
    "ssl",
    "uvloop",
    "yaml",
)


def commands(group: click.Group = main, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The path of every command, groups included."""
    ctx = click.Context(group)
    found = []
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        found.append((*path, name))
        if isinstance(command, click.Group):
            found += commands(command, (*path, name))
    return found


def run(*arguments: str, env: dict[str, str] | None = None) -> Any:
    return CliRunner().invoke(main, arguments, env=env)


@pytest.mark.parametrize("path", [(), *commands()], ids=" ".join)
def test_help(path: tuple[str, ...]) -> None:
    for option in ("--help", "-h"):
        done = run(*path, option)
        assert done.exit_code == 0
        assert done.output.startswith("Usage: ")
    command: click.Command = main
    for name in path:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found
    assert command.help
    for option in command.params:
        assert not isinstance(option, click.Option) or option.help, f"{option.name} is not explained"


def test_the_list_of_commands() -> None:
    shown = [" ".join(path) for path in commands()]
    assert shown == [
        "up",
        "down",
        "supervise",
        "renew",
        "status",
        "doctor",
        "tenant",
        "tenant create",
        "tenant delete",
        "tenant list",
        "node",
        "node cordon",
        "node drain",
        "node join",
        "node token",
        "node uncordon",
        "service",
        "service install",
        "service print",
        "service remove",
        "kubeconfig",
        "apiserver",
        "controllers",
        "scheduler",
        "ring",
        "network",
        "vmruntime",
        "agent",
        "hollow",
    ]
    assert "supervise" not in run("--help").output


def test_no_command_imports_what_it_only_needs_later() -> None:
    """Every command starts in less than 100 ms because none of these is there before it runs."""
    program = (
        "import sys, json, click; from arktos.cli import main\n"
        "ctx = click.Context(main)\n"
        "for name in main.list_commands(ctx): main.get_command(ctx, name)\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    loaded = json.loads(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout)
    assert [name for name in HEAVY if name in loaded] == []


@pytest.mark.parametrize(
    "module", ["apiserver.server", "controllers.process", "scheduler.process", "bootstrap.supervisor"]
)
def test_no_process_imports_what_only_development_needs(module: str) -> None:
    program = (
        f"import importlib, sys, json, arktos.{module} as process\n"
        "for each in getattr(process, 'CONTROLLERS', {}).values(): importlib.import_module(each)\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    loaded = json.loads(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout)
    unwanted = ("rich", "structlog", "hypothesis", "pytest", "pygments")
    assert [name for name in unwanted if name in loaded] == []
    assert not (module == "bootstrap.supervisor" and {"cryptography", "yaml", "numpy"} & set(loaded))


@pytest.fixture
def wanted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Settings]:
    """What `arktos up` would start; it starts nothing."""
    seen: list[Settings] = []
    for name in ("require_free", "_prepare", "_furnish", "_advise"):
        monkeypatch.setattr(arktos.cli.up, name, lambda settings: None)
    monkeypatch.setattr(arktos.cli.up, "start", seen.append)
    monkeypatch.setenv("ARKTOS_DATA_DIR", str(tmp_path / "default"))
    return seen


def test_flags_win_over_the_environment_and_that_over_the_file(wanted: list[Settings], tmp_path: Path) -> None:
    config = tmp_path / "arktos.yaml"
    config.write_text(f"up: {{port: 7001, bind-address: '::1', no-node: true, data-dir: {tmp_path}/of-file}}\n")
    of_file = {"ARKTOS_DATA_DIR": ""}
    by_all = ["up", f"--data-dir={tmp_path}/of-flag", "--port=7003"]
    cases: list[tuple[list[str], dict[str, str], int, str]] = [
        (["up"], of_file, 7001, "of-file"),
        (["up"], {"ARKTOS_UP_PORT": "7002", "ARKTOS_DATA_DIR": f"{tmp_path}/of-env"}, 7002, "of-env"),
        (by_all, {"ARKTOS_UP_PORT": "7002", "ARKTOS_DATA_DIR": f"{tmp_path}/of-env"}, 7003, "of-flag"),
    ]
    for arguments, env, port, folder in cases:
        done = run(f"--config={config}", *arguments, env=env)
        assert done.exit_code == 0, done.output
        assert (wanted[-1].port, wanted[-1].data_dir) == (port, f"{tmp_path}/{folder}")
        assert (wanted[-1].address, wanted[-1].node) == ("::1", None)


def test_the_defaults(wanted: list[Settings], tmp_path: Path) -> None:
    assert run("up", "--no-node").exit_code == 0
    assert wanted[-1] == Settings(f"{tmp_path}/default")


def test_what_up_is_told_of_webhooks_the_api_server_is_told(wanted: list[Settings], tmp_path: Path) -> None:
    assert run("up", "--no-node", "--webhook-allow=10.1.0.0/16, 127.0.0.0/8").exit_code == 0
    assert "--webhook-allow=10.1.0.0/16, 127.0.0.0/8" in components(wanted[-1])[0].command
    assert not any("webhook" in word for word in components(Settings(str(tmp_path)))[0].command)
    refused = run("up", "--no-node", "--webhook-allow=10.1.0.1/16")
    assert refused.exit_code == 2 and "has host bits set" in refused.output


def test_a_node_where_the_machine_can_be_one(
    wanted: list[Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arktos.cli.up, "obstacle", lambda: "")
    assert run("up", "--node-name=n1", "--node-ip=192.0.2.7", "--image-mirror=a=b").exit_code == 0
    node = wanted[-1].node
    assert node is not None
    assert (node.name, node.address, node.cluster_dns) == ("n1", "192.0.2.7", "10.96.0.10")
    assert (wanted[-1].address, node.server, node.image_mirrors) == ("0.0.0.0", "https://127.0.0.1:6443", ("a=b",))
    wanted[-1].save()
    assert Settings.load(wanted[-1].layout) == wanted[-1]


def test_flags_of_the_agent(wanted: list[Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arktos.cli.up, "obstacle", lambda: "")
    config = tmp_path / "arktos.yaml"
    config.write_text("up: {node-ip: 192.0.2.7, agent-arg: ['max-pods=50', 'system-reserved=memory=1Gi']}\n")
    assert run(f"--config={config}", "up").exit_code == 0
    command = components(wanted[-1])[-1].command
    assert {"agent", "--max-pods=50", "--system-reserved=memory=1Gi"} <= set(command)
    wanted[-1].save()
    assert Settings.load(wanted[-1].layout) == wanted[-1]


@pytest.mark.parametrize(
    ("argument", "why"),
    [
        ("max-pods", "give NAME=VALUE, with NAME one of container-log-max-files, "),
        ("port=1", "'port=1': give NAME=VALUE"),
        ("max-pods=many", "'many' is not a valid integer range"),
        ("eviction-hard=memory<3", "malformed eviction threshold 'memory<3'"),
        ("register-with-taints=x", "malformed taint 'x'"),
    ],
)
def test_flags_that_the_agent_would_not_start_with(
    wanted: list[Settings], argument: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arktos.cli.up, "obstacle", lambda: "")
    done = run("up", "--node-ip=192.0.2.7", f"--agent-arg={argument}")
    assert (done.exit_code, wanted) == (1, [])
    assert "--agent-arg: " in done.output
    assert why in done.output


def test_no_node_where_the_machine_cannot_be_one(
    wanted: list[Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arktos.cli.up, "obstacle", lambda: "running pods takes root")
    done = run("up")
    assert (done.exit_code, wanted[-1]) == (0, Settings(f"{tmp_path}/default"))
    assert "No node: running pods takes root." in done.output
    done = run("up", "--node")
    assert (done.exit_code, "this machine cannot run pods" in done.output) == (1, True)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "not YAML: "),
        ("- up", "the file must hold a mapping, not ['up']"),
        ("up: 5", "up must hold a mapping, not 5"),
        ("upp: {}", "there is no command 'upp'"),
        ("up: {prot: 1}", "up has no option 'prot'"),
        ("tenant: {create: {kubeconfg: x}}", "tenant create has no option 'kubeconfg'"),
    ],
)
def test_a_file_that_makes_no_sense(tmp_path: Path, text: str, why: str) -> None:
    config = tmp_path / "arktos.yaml"
    config.write_text(text)
    done = run(f"--config={config}", "status")
    assert done.exit_code == 1
    (line,) = done.output.splitlines()
    assert line.startswith(f"Error: --config: {config}: {why}")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    done = run(f"--config={tmp_path}/none.yaml", "status")
    assert (done.exit_code, done.output) == (1, f"Error: --config: {tmp_path}/none.yaml: No such file or directory\n")


@pytest.mark.parametrize(
    "command", ["status", "down", "kubeconfig", "tenant list", "tenant create a", "tenant delete a"]
)
def test_where_nothing_was_ever_started(tmp_path: Path, command: str) -> None:
    done = run(*command.split(), f"--data-dir={tmp_path}/none")
    assert done.exit_code == 1
    assert done.output == f"Error: nothing was ever started in {tmp_path}/none; `arktos up` does that\n"
    assert not (tmp_path / "none").exists()


def test_doctor_where_nothing_was_ever_started(tmp_path: Path) -> None:
    done = run("doctor", f"--data-dir={tmp_path}/none")
    assert f"[ ok ] installation: nothing was started in {tmp_path}/none yet\n         -> arktos up\n" in done.output
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("text", ["10.96.0.0/33", "services", "10.96.0.1/12", "10.96.0.0/32", ""])
def test_a_service_range_that_is_none(tmp_path: Path, text: str) -> None:
    done = run("up", f"--data-dir={tmp_path}/data", "--port=6533", f"--service-cluster-ip-range={text}")
    assert done.exit_code == 1
    (line,) = done.output.splitlines()
    assert line.startswith(f"Error: --service-cluster-ip-range: {text!r}: ")
    assert line.endswith("give one such as 10.96.0.0/12")


def test_the_version() -> None:
    assert run("--version").output == "arktos, version 0.1.0\n"
