"""One kubectl in three hands: two tenants and the operator, who run the same commands on objects of the same names at
the same time, each in a thread of its own. What they make names who made it, so that a trace of the one in an answer to
the other is seen.

`ARKTOS_KUBECTL` names binaries beyond those found, separated by colons. The oldest and the newest run with `make test`,
all with `make test-all`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Kubectl, System, eventually, kubectl_binaries
from tests.system.node.conftest import may_be_a_node, own_node, shared_node

__all__ = ["may_be_a_node", "own_node", "shared_node"]

TENANTS = ("acme", "globex")
OPERATOR = "headquarters"
"""What the operator calls itself here, in tenant `system`: a word that the server never uses."""
Obj = dict[str, Any]


def binaries() -> list[Any]:
    """Every kubectl as a test parameter; those between the oldest and the newest are heavy."""
    extra = [name for name in os.environ.get("ARKTOS_KUBECTL", "").split(":") if name]
    found = [*kubectl_binaries()[1:], *extra] or list(kubectl_binaries())
    heavy = set(found[1:-1]) - set(extra)
    marks = {name: [pytest.mark.heavy] if name in heavy else [] for name in found}
    return [pytest.param(name, marks=marks[name], id=Path(name).name) for name in found]


@pytest.fixture(scope="module")
def installation(shared_cluster: System) -> System:
    for tenant in TENANTS:
        shared_cluster.arktos("tenant", "create", tenant)
    return shared_cluster


@dataclass
class World:
    """One kubectl in a namespace of the test's own, which has the same name in both tenants."""

    system: System
    binary: str
    home: Path
    namespace: str

    def __post_init__(self) -> None:
        told = self(OPERATOR)("version", "-o", "json")
        self.minor = int(json.loads(told)["clientVersion"]["minor"].rstrip("+"))

    def __call__(self, who: str) -> Kubectl:
        plain = self.system.admin if who == OPERATOR else self.system.tenant(who)
        return replace(plain, binary=self.binary, home=self.home)

    def all(self, script: Callable[[Tenant], None]) -> None:
        """Runs `script` as both tenants and the operator at once."""
        self._play(script, (*TENANTS, OPERATOR))

    def both(self, script: Callable[[Tenant], None]) -> None:
        """Runs `script` as both tenants at once."""
        self._play(script, TENANTS)

    def _play(self, script: Callable[[Tenant], None], names: Sequence[str]) -> None:
        """Runs `script`, then looks for traces of the one in what the other sees."""
        players = [Tenant(self(name), name, self) for name in names]
        with ThreadPoolExecutor(len(players)) as pool:
            for done in [pool.submit(script, player) for player in players]:
                done.result()
        for player in players:
            seen = player("get", "all,cm,secret,sa,role,rolebinding,quota,events", "-o", "json")
            assert {name for name in names if name in seen} == {player.name}


@dataclass
class Tenant:
    """kubectl as a tenant's admin, or as the operator in tenant `system`, in the test's namespace."""

    kubectl: Kubectl
    name: str
    world: World

    @property
    def tenant(self) -> str:
        return "system" if self.name == OPERATOR else self.name

    def _placed(self, arguments: tuple[str, ...]) -> list[str]:
        return [f"--namespace={self.world.namespace}", *arguments]

    def __call__(self, *arguments: str, input: str | None = None) -> str:
        return self.kubectl(*self._placed(arguments), input=input)

    def fails(self, *arguments: str, input: str | None = None) -> str:
        return self.kubectl.fails(*self._placed(arguments), input=input)

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "-o", "json"))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A command in the background; its output, line by line, in `stdout`."""
        kubectl = self.kubectl
        env = {**os.environ, "HOME": str(kubectl.home), "KUBECONFIG": str(kubectl.kubeconfig)}
        command = [kubectl.binary, *self._placed(arguments)]
        return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def deployment(self, name: str = "web", replicas: int = 2, **labels: str) -> Obj:
        """A manifest that names the tenant."""
        marks = {"app": name, "owner": self.name, **labels}
        container = {"name": "web", "image": "nginx:1.27", "env": [{"name": "OWNER", "value": self.name}]}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "labels": marks},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": marks}, "spec": {"containers": [container]}},
            },
        }

    def apply(self, obj: Obj, *options: str) -> str:
        return self("apply", *options, "-f", "-", input=json.dumps(obj))

    def pods(self) -> list[Obj]:
        items: list[Obj] = self.json("get", "pods")["items"]
        return [pod for pod in items if "deletionTimestamp" not in pod["metadata"]]

    def has_pods(self, count: int) -> None:
        eventually(lambda: len(self.pods()) == count, what=f"{count} pods of {self.name}")


@pytest.fixture(params=binaries())
def world(
    request: pytest.FixtureRequest, installation: System, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    binary: str = request.param
    home = tmp_path_factory.mktemp("home")
    label = re.sub(r"[^a-z0-9]+", "-", f"{request.node.originalname}-{Path(binary).name}".removeprefix("test_"))
    # The namespace of another case of the same test may still be going.
    case = f"{zlib.crc32(request.node.name.encode()):08x}"
    made = World(installation, binary, home, f"{label[:50].strip('-')}-{case}")
    for who in (*TENANTS, OPERATOR):
        made(who)("create", "namespace", made.namespace)
        eventually(lambda w=who: made(w).run("get", "sa", "default", f"-n={made.namespace}").returncode == 0)
    yield made
    for who in (*TENANTS, OPERATOR):
        made(who)("delete", "namespace", made.namespace, "--wait=false")
