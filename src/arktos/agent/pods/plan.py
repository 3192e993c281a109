"""What to do next for a pod of containers: from its document, what was observed of it, what probes say, and the time.

Pure. The steps of a plan are done in the order of its fields; then one looks again, and plans again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from arktos.agent.pods import podspec
from arktos.agent.pods.observed import Container, Observed, Sandbox, State
from arktos.agent.pods.podspec import Role
from arktos.agent.spec.container import container_hash
from arktos.agent.spec.facts import described, is_host_network, is_sidecar
from arktos.agent.spec.labels import CONTAINER_HASH
from arktos.model.kinds import Obj

Results = Mapping[tuple[str, str], bool]
"""What probes found, by container id and probe field (`livenessProbe`); missing where none has decided yet."""


class Why(Enum):
    """Why a container is stopped; the value is what the log says."""

    ENDING = "the pod ends"
    CHANGED = "its definition changed"
    LIVENESS = "its liveness probe failed"
    STARTUP = "its startup probe failed"
    RESIZE = "its resize needs a restart"
    UNKNOWN = "its state is unknown"
    SANDBOX = "its sandbox is replaced"
    HOOK = "its postStart hook failed"


@dataclass(frozen=True, slots=True)
class Kill:
    container: Container
    why: Why
    message: str


@dataclass(frozen=True, slots=True)
class Start:
    container: Obj
    role: Role
    attempt: int
    previous: Container | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a container does not run, as its status says."""

    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """`again`: seconds until something is due that no event will tell of. `finished`: nothing of this pod will run
    again. `initialized`: the init containers are done."""

    kill_pod: bool = False
    create_sandbox: int | None = None
    kill: tuple[Kill, ...] = ()
    start: tuple[Start, ...] = ()
    waiting: Mapping[str, Waiting] = field(default_factory=dict)
    remove_containers: tuple[str, ...] = ()
    remove_sandboxes: tuple[str, ...] = ()
    again: float | None = None
    finished: bool = False
    initialized: bool = False

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do before something happens."""
        return not (
            self.kill_pod
            or self.create_sandbox is not None
            or self.kill
            or self.start
            or self.remove_containers
            or self.remove_sandboxes
        )


@dataclass(frozen=True, slots=True)
class Situation:
    """What a plan is made from. `wait(name, ended)` is what a container's back-off still has, in seconds, and `delay`
    the whole of it. `resized` names containers whose new resources need a restart."""

    pod: Obj
    observed: Observed
    results: Results
    wait: Callable[[str, float], float]
    delay: Callable[[str], float]
    resized: frozenset[str] = frozenset()


def plan(now: Situation) -> Plan:
    """The next steps."""
    sandbox = usable_sandbox(now.pod, now.observed)
    if sandbox is None:
        return _fresh(now)
    return _Planner(now, sandbox).plan()


def usable_sandbox(pod: Obj, observed: Observed) -> Sandbox | None:
    """The sandbox in which containers can run: the newest, alone ready, with an address where it needs one."""
    newest = observed.sandbox
    if newest is None or not newest.ready or sum(each.ready for each in observed.sandboxes) > 1:
        return None
    if newest.host_network != is_host_network(pod) or not (newest.host_network or newest.ips):
        return None
    return newest


def restarts(pod: Obj, role: Role, container: Obj, exit_code: int) -> bool:
    """Whether a container that ended is started again."""
    if role is Role.SIDECAR:
        return True
    if role is Role.EPHEMERAL:
        return False
    policy = podspec.restart_policy(pod)
    if role is Role.INIT:
        return exit_code != 0 and policy != "Never"
    policy = container.get("restartPolicy") or policy
    return bool(policy == "Always" or (policy == "OnFailure" and exit_code != 0))


def started(container: Obj, seen: Container | None, results: Results) -> bool:
    """Whether a container runs and its startup probe, if it has one, has succeeded."""
    if seen is None or seen.state is not State.RUNNING:
        return False
    return not container.get("startupProbe") or results.get((seen.id, "startupProbe"), False)


def run_to_end(pod: Obj, observed: Observed) -> bool:
    """Whether every regular container has ended for good, or an init container has failed for good."""
    for init in podspec.inits(pod):
        seen = observed.container(init["name"])
        if is_sidecar(init) or seen is None or seen.state is not State.EXITED:
            continue
        if seen.exit_code and not restarts(pod, Role.INIT, init, seen.exit_code):
            return True
    return all(_ended(pod, each, observed.container(each["name"])) for each in podspec.regulars(pod))


def _ended(pod: Obj, container: Obj, seen: Container | None) -> bool:
    return (
        seen is not None and seen.state is State.EXITED and not restarts(pod, Role.REGULAR, container, seen.exit_code)
    )


def _fresh(now: Situation) -> Plan:
    """A new sandbox, and whatever comes first in it."""
    pod, observed = now.pod, now.observed
    if observed.containers and run_to_end(pod, observed):
        return Plan(finished=True)
    attempt = max((each.attempt for each in observed.sandboxes), default=-1) + 1
    if attempt and observed.containers and podspec.restart_policy(pod) == "Never":
        return Plan(finished=True)
    virtual = _Planner(now, None).plan()
    return Plan(
        kill_pod=bool(observed.sandboxes),
        create_sandbox=attempt,
        start=virtual.start,
        waiting=virtual.waiting,
        again=virtual.again,
    )


class _Planner:
    """The containers of one usable sandbox; with none, of one that is about to be made and has no containers."""

    def __init__(self, now: Situation, sandbox: Sandbox | None) -> None:
        self._now = now
        self._pod = now.pod
        self._sandbox = sandbox
        self._inside = {
            name: next((each for each in now.observed.of_name(name) if sandbox and each.sandbox_id == sandbox.id), None)
            for name in (each["name"] for _, each in podspec.everyone(now.pod))
        }
        self._kill: list[Kill] = []
        self._start: list[Start] = []
        self._waiting: dict[str, Waiting] = {}
        self._again: float | None = None

    def plan(self) -> Plan:
        if self._sandbox is not None and run_to_end(self._pod, self._now.observed):
            return Plan(finished=True, initialized=True)
        for container in podspec.ephemerals(self._pod):
            self._ephemeral(container)
        initialized = self._inits()
        if initialized:
            for container in podspec.regulars(self._pod):
                self._restartable(Role.REGULAR, container)
        return Plan(
            kill=tuple(self._kill),
            start=tuple(self._start),
            waiting=self._waiting,
            again=self._again,
            initialized=initialized,
            remove_containers=self._superfluous_containers(),
            remove_sandboxes=self._superfluous_sandboxes(),
        )

    def _ephemeral(self, container: Obj) -> None:
        """Started once in the pod's life, beside whatever else goes on."""
        if self._now.observed.container(container["name"]) is None and self._sandbox is not None:
            self._begin(Role.EPHEMERAL, container, None)

    def _inits(self) -> bool:
        """Whether regular containers may run. Init containers run one by one; sidecars go on beside them."""
        inits = podspec.inits(self._pod)
        done = any(self._inside[each["name"]] is not None for each in podspec.regulars(self._pod))
        reached = len(inits) if done else -1
        for index, init in enumerate(inits):
            if self._inside[init["name"]] is not None:
                reached = max(reached, index)
        for index, init in enumerate(inits):
            passed = index < reached
            if is_sidecar(init):
                self._restartable(Role.SIDECAR, init)
                if not passed and not started(init, self._inside[init["name"]], self._now.results):
                    return False
            elif not passed and not self._completed(init):
                return False
        return True

    def _completed(self, init: Obj) -> bool:
        """Whether an init container has succeeded; does what brings it there."""
        seen = self._inside[init["name"]]
        if seen is None:
            self._begin(Role.INIT, init, self._now.observed.container(init["name"]))
        elif seen.state is State.EXITED:
            if seen.exit_code == 0:
                return True
            self._begin(Role.INIT, init, seen)
        elif seen.state is State.RUNNING:
            if _changed(init, seen):
                self._stop(seen, Why.CHANGED, f"Init container {init['name']} definition changed")
        else:
            self._retry(Role.INIT, init, seen)
        return False

    def _restartable(self, role: Role, container: Obj) -> None:
        """A sidecar or a regular container: runs, or is brought to run again."""
        name = container["name"]
        seen = self._inside[name]
        if seen is None:
            earlier = self._now.observed.container(name)
            if earlier is None or not _stays_ended(self._pod, role, container, earlier):
                self._begin(role, container, earlier)
        elif seen.state is State.EXITED:
            if _changed(container, seen) or restarts(self._pod, role, container, seen.exit_code):
                self._begin(role, container, seen)
        elif seen.state is State.RUNNING:
            self._check(role, container, seen)
        else:
            self._retry(role, container, seen)

    def _check(self, role: Role, container: Obj, seen: Container) -> None:
        """Stops a running container that is no longer what it should be, or not well."""
        name, results = container["name"], self._now.results
        kind = "Init container" if role is Role.SIDECAR else "Container"
        again = ", will be restarted" if restarts(self._pod, role, container, 137) else ""
        if _changed(container, seen):
            self._stop(seen, Why.CHANGED, f"{kind} {name} definition changed, will be restarted")
        elif results.get((seen.id, "startupProbe"), True) is False:
            self._stop(seen, Why.STARTUP, f"{kind} {name} failed startup probe{again}")
        elif results.get((seen.id, "livenessProbe"), True) is False:
            self._stop(seen, Why.LIVENESS, f"{kind} {name} failed liveness probe{again}")
        elif name in self._now.resized:
            self._stop(seen, Why.RESIZE, f"{kind} {name} resize requires restart")

    def _retry(self, role: Role, container: Obj, seen: Container) -> None:
        """A container that was made but never came to run, or whose state nobody knows."""
        if seen.state is State.UNKNOWN:
            message = f"Container {seen.name} is in unknown state, try killing it before starting another one"
            self._stop(seen, Why.UNKNOWN, message)
        else:
            self._begin(role, container, seen)

    def _stop(self, seen: Container, why: Why, message: str) -> None:
        self._kill.append(Kill(seen, why, message))

    def _begin(self, role: Role, container: Obj, previous: Container | None) -> None:
        """Starts a container now, or when its back-off is over."""
        name = container["name"]
        if previous is not None and previous.state is State.EXITED:
            left = self._now.wait(name, previous.finished_at)
            if left > 0:
                self._again = left if self._again is None else min(left, self._again)
                self._waiting[name] = _crash_loop(self._pod, name, self._now.delay(name))
                return
        # What was made and never ran, by a process that was killed in between, is made again: it counts for nothing.
        again = previous is not None and previous.state is not State.CREATED
        attempt = 0 if previous is None else previous.attempt + again
        self._start.append(Start(container, role, attempt, previous))

    def _superfluous_containers(self) -> tuple[str, ...]:
        """Dead containers but the last two of each name: one for the status, one for the state before it."""
        return tuple(
            each.id
            for name in sorted({each.name for each in self._now.observed.containers})
            for each in self._now.observed.of_name(name)[2:]
            if each.state in (State.EXITED, State.CREATED)
        )

    def _superfluous_sandboxes(self) -> tuple[str, ...]:
        """Former sandboxes in which nothing is left that is to be kept."""
        dropped = set(self._superfluous_containers())
        used = {each.sandbox_id for each in self._now.observed.containers if each.id not in dropped}
        return tuple(each.id for each in self._now.observed.sandboxes[1:] if not each.ready and each.id not in used)


def _crash_loop(pod: Obj, name: str, delay: float) -> Waiting:
    said = f"back-off {go_duration(delay)} restarting failed container={name} pod={described(pod)}"
    return Waiting("CrashLoopBackOff", said)


def _stays_ended(pod: Obj, role: Role, container: Obj, earlier: Container) -> bool:
    """Whether what ended in a former sandbox is not to be run again in this one."""
    return (
        role is Role.REGULAR and earlier.state is State.EXITED and not restarts(pod, role, container, earlier.exit_code)
    )


def _changed(container: Obj, seen: Container) -> bool:
    told = seen.annotations.get(CONTAINER_HASH, "")
    return bool(told) and told != container_hash(container)


def go_duration(seconds: float) -> str:
    """A duration as Kubernetes' messages write it: 10s, 1m20s, 5m0s."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s" if seconds == whole or whole else f"{int(seconds * 1000)}ms"
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return (f"{hours}h" if hours else "") + f"{minutes}m{left}s"
