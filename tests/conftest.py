"""Real systems for tests: an API server of one's own, a whole installation, kubectl against either.

Every process gets a directory and ports of its own, so that tests run side by side. Nothing sleeps: `eventually` waits.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from xdist.scheduler import LoadScopeScheduling

from arktos.bootstrap import credentials
from arktos.bootstrap.components import Settings, components
from arktos.bootstrap.pki import write_private
from arktos.bootstrap.process import recorded
from arktos.bootstrap.readiness import problem, unready

pytest_plugins = ["assets.fixtures"]

_Found = TypeVar("_Found")


def eventually(look: Callable[[], _Found], seconds: float = 20.0, what: str = "") -> _Found:
    """The first truthy value that `look` returns; fails with the last one after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            pytest.fail(f"{what or look.__name__} did not come true in {seconds} s; last: {found!r}")
        time.sleep(0.02)


def free_ports(count: int = 3) -> int:
    """The first of `count` neighbouring ports that are free, spread over workers so that they do not race."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw") or 0)
    start = 20000 + worker * 2000 + os.getpid() % 1900
    for first in range(start, start + 20000, count):
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise RuntimeError("no free ports")


@dataclass
class Kubectl:
    """kubectl with one kubeconfig, its caches in a directory of its own."""

    kubeconfig: Path
    home: Path
    binary: str = "kubectl"
    within: tuple[str, ...] = ()
    """A command that runs it elsewhere, `nsenter` into a network namespace for example."""

    def run(self, *arguments: str, input: str | None = None, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "HOME": str(self.home), "KUBECONFIG": str(self.kubeconfig)}
        command = [*self.within, self.binary, *arguments]
        return subprocess.run(
            command, env=env, input=input, capture_output=True, text=True, timeout=timeout, check=False
        )

    def __call__(self, *arguments: str, input: str | None = None, timeout: float = 60.0) -> str:
        """Standard output of a command that must succeed."""
        done = self.run(*arguments, input=input, timeout=timeout)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def fails(self, *arguments: str, input: str | None = None) -> str:
        """Standard error of a command that must fail."""
        done = self.run(*arguments, input=input)
        assert done.returncode != 0, f"kubectl {' '.join(arguments)} succeeded\n{done.stdout}"
        return done.stderr

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "-o", "json"))


@dataclass
class System:
    """Processes of one installation in a directory of its own. `within` is what runs a command where they are."""

    settings: Settings
    home: Path
    server: subprocess.Popen[bytes] | None = None
    within: tuple[str, ...] = ()
    tenants: dict[str, Path] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.settings.port}"

    @property
    def admin(self) -> Kubectl:
        return Kubectl(self.settings.layout.admin_kubeconfig, self.home, within=self.within)

    def tenant(self, name: str) -> Kubectl:
        """kubectl of a tenant's admin. The tenant itself is not created by this."""
        path = self.settings.layout.tenant_kubeconfig(name)
        if not path.exists():
            write_private(path, credentials.tenant_kubeconfig(self.settings.layout, self.url, name))
        return Kubectl(path, self.home, within=self.within)

    def start_server(self) -> None:
        """The API server alone, as a child of the test."""
        component = components(self.settings)[0]
        log = self.settings.layout.log("apiserver")
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self.server = subprocess.Popen(component.command, stdout=output, stderr=output)
        server = self.server

        def ready() -> bool:
            assert server.poll() is None, log.read_text()[-4000:]
            return unready(self.settings, component) is None

        eventually(ready, 30)

    def kill_server(self) -> None:
        assert self.server is not None
        self.server.kill()
        self.server.wait()

    def stop_server(self) -> None:
        if self.server is not None and self.server.poll() is None:
            self.server.terminate()
            try:
                self.server.wait(15)
            except subprocess.TimeoutExpired:
                self.server.kill()
                self.server.wait()

    def arktos(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [*self.within, sys.executable, "-m", "arktos", *arguments, f"--data-dir={self.settings.data_dir}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert not check or done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done

    def pid(self, name: str) -> int:
        """The process that plays a component's part now; 0 if none does."""
        process = recorded(self.settings.layout.process(name))
        return process.pid if process else 0

    def kill(self, name: str) -> int:
        pid = self.pid(name)
        assert pid, f"{name} does not run"
        os.kill(pid, signal.SIGKILL)
        return pid

    def ready(self) -> bool:
        return problem(self.settings) is None


def _system(folder: Path, **settings: Any) -> System:
    made = Settings(str(folder / "data"), port=free_ports(), **settings)
    credentials.ensure(made.layout, made.address, made.port, "10.96.0.1")
    made.save()
    home = folder / "home"
    home.mkdir()
    return System(made, home)


@pytest.fixture
def apiserver(tmp_path: Path) -> Iterator[System]:
    """An API server of the test's own, alone: no controllers, no scheduler."""
    system = _system(tmp_path)
    system.start_server()
    yield system
    system.stop_server()


@pytest.fixture(scope="module")
def shared_apiserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """An API server shared by a module's tests, which keep apart by tenant or namespace."""
    system = _system(tmp_path_factory.mktemp("apiserver"))
    system.start_server()
    yield system
    system.stop_server()


def _up(folder: Path) -> System:
    home = folder / "home"
    home.mkdir()
    settings = Settings(str(folder / "data"), port=free_ports())
    system = System(settings, home)
    system.arktos("up", "--no-node", f"--port={settings.port}")
    return system


@pytest.fixture(scope="session")
def system_type() -> type[System]:
    """For fixtures that start systems in ways of their own."""
    return System


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[System]:
    """A whole installation of the test's own, brought up by `arktos up`."""
    system = _up(tmp_path)
    yield system
    system.arktos("down")


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A whole installation shared by a module's tests."""
    system = _up(tmp_path_factory.mktemp("cluster"))
    yield system
    system.arktos("down")


def kubectl_binaries() -> Sequence[str]:
    """Every kubectl found: the one on PATH, and minors that lie beside it as `kubectl.1.27` and so on."""
    first = shutil.which("kubectl")
    if first is None:
        return []
    beside = Path(first).resolve().parent
    return [first, *sorted(str(path) for path in beside.glob("kubectl.1.*"))]


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """A report must reach the runner whatever a test printed: one that cannot be sent ends the whole run, unnamed."""
    return _sendable((yield))


def _sendable(value: Any) -> Any:
    if isinstance(value, str):
        return str(value).encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {_sendable(key): _sendable(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_sendable(each) for each in value)
    return value if value is None or type(value) in (bool, int, float, bytes) else repr(value)


SHARING = tuple(f"tests/{folder}/" for folder in ("system/node", "agent", "controllers", "network", "vmruntime"))
"""Folders whose modules share what is dear to start: each module's tests run on one worker, in order."""


class ModulesTogether(LoadScopeScheduling):  # type: ignore[misc]
    """Tests go to whoever is free, those of a module of `SHARING` all to one."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return module if module.startswith(SHARING) else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return ModulesTogether(config, log)
