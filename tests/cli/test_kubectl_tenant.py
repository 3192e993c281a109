"""`kubectl tenant` against a real installation."""

from __future__ import annotations

from typing import Any

from click.testing import CliRunner

from arktos.cli.kubectl_tenant import main


def test_create_list_delete(shared_cluster: Any) -> None:
    def run(*arguments: str) -> Any:
        return CliRunner().invoke(main, [*arguments, f"--kubeconfig={shared_cluster.admin.kubeconfig}"])

    assert run("create", "plugged").output == "tenant/plugged created\n"
    assert run("create", "plugged").output == "tenant/plugged unchanged\n"
    rows = [line.split() for line in run("list").output.splitlines()]
    assert ["plugged", "Active", "yes"] in rows
    assert run("delete", "plugged").output == "tenant/plugged deleted\n"
    refused = run("delete", "plugged")
    assert refused.exit_code == 1 and "not found" in refused.output
