"""What a runtime was last seen to have of one pod: sandboxes and containers, without a word about what there should be.

All times are seconds after the epoch, 0.0 where the runtime does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class State(Enum):
    """The states of a container (CRI's own)."""

    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Sandbox:
    """One pod sandbox. `ready` while its processes (or the virtual machine's room) are there."""

    id: str
    attempt: int
    ready: bool
    created_at: float
    ips: tuple[str, ...] = ()
    host_network: bool = False


@dataclass(frozen=True, slots=True)
class Container:
    """One container, or one virtual machine. `attempt` is how often one of this name was started before it."""

    id: str
    name: str
    attempt: int
    sandbox_id: str
    state: State
    created_at: float = 0.0
    started_at: float = 0.0
    finished_at: float = 0.0
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    image: str = ""
    image_ref: str = ""
    log_path: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything of one pod in one runtime, newest first."""

    sandboxes: tuple[Sandbox, ...] = ()
    containers: tuple[Container, ...] = ()

    @property
    def sandbox(self) -> Sandbox | None:
        """The newest sandbox."""
        return self.sandboxes[0] if self.sandboxes else None

    def container(self, name: str) -> Container | None:
        """The newest container of a name."""
        return next((each for each in self.containers if each.name == name), None)

    def of_name(self, name: str) -> list[Container]:
        """All containers of a name, newest first."""
        return [each for each in self.containers if each.name == name]

    @property
    def running(self) -> list[Container]:
        return [each for each in self.containers if each.state is State.RUNNING]


NOTHING = Observed()
