"""Which processes an installation has, and what each is started with. Data."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from arktos.bootstrap.layout import Layout


@dataclass(frozen=True, slots=True)
class Settings:
    """What `arktos up` was told. Kept in the data directory, so that a restarted supervisor starts the same system."""

    data_dir: str
    address: str = "127.0.0.1"
    port: int = 6443
    node: bool = False
    service_cluster_ip_range: str = "10.96.0.0/12"
    token_auth_file: str = ""
    authorization_mode: str = "RBAC"

    @property
    def layout(self) -> Layout:
        return Layout(Path(self.data_dir))

    def save(self) -> None:
        path = self.layout.settings
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        scratch = path.with_suffix(".new")
        scratch.write_text(json.dumps(asdict(self), indent=2) + "\n")
        scratch.replace(path)

    @classmethod
    def load(cls, layout: Layout) -> Settings | None:
        """None where the directory has never been started, or its settings are of another version."""
        try:
            return cls(**json.loads(layout.settings.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None


@dataclass(frozen=True, slots=True)
class Component:
    """One supervised process: `program` with `arguments`. `port` serves its health over HTTP(S)."""

    name: str
    arguments: tuple[str, ...]
    port: int = 0
    program: tuple[str, ...] = (sys.executable, "-m", "arktos")

    @property
    def command(self) -> list[str]:
        return [*self.program, *self.arguments]


def supervisor(settings: Settings) -> Component:
    """The process that keeps the others running."""
    return Component("supervisor", ("supervise", f"--data-dir={settings.layout.root}"))


def keeper(settings: Settings) -> Component:
    """The process that keeps the supervisor running. Not the `arktos` command: it must be small."""
    script = Path(__file__).with_name("keeper.py")
    return Component("keeper", (str(script), settings.data_dir), program=(sys.executable, "-I", "-S"))


def components(settings: Settings) -> list[Component]:
    """The processes that do the work; each serves those after it."""
    layout = settings.layout
    port = settings.port
    server = [
        "apiserver",
        f"--store={layout.store}",
        f"--bind-address={settings.address}",
        f"--secure-port={port}",
        f"--tls-cert-file={layout.server_certificate}",
        f"--tls-private-key-file={layout.server_key}",
        f"--client-ca-file={layout.ca}",
        f"--service-account-key-file={layout.token_key}",
        f"--service-cluster-ip-range={settings.service_cluster_ip_range}",
        f"--authorization-mode={settings.authorization_mode}",
    ]
    if settings.token_auth_file:
        server.append(f"--token-auth-file={settings.token_auth_file}")
    found = [Component("apiserver", tuple(server), port)]
    for offset, name in enumerate(("controllers", "scheduler"), start=1):
        arguments = (name, f"--kubeconfig={layout.component_kubeconfig(name)}", f"--health-port={port + offset}")
        found.append(Component(name, arguments, port + offset))
    return found
