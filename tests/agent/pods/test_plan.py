"""What is done next for a pod: the plan, from documents and observations alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arktos.agent.pods.backoff import CrashBackoff
from arktos.agent.pods.observed import Container, Observed, Sandbox, State
from arktos.agent.pods.plan import Plan, Situation, go_duration, plan
from arktos.agent.pods.podspec import Role
from arktos.agent.spec.container import container_hash
from arktos.agent.spec.labels import CONTAINER_HASH

SANDBOX = Sandbox("s0", 0, True, 1.0, ("10.0.0.1",))


def document(*names: str, inits: tuple[Any, ...] = (), **spec: Any) -> Any:
    return {
        "metadata": {"name": "p", "namespace": "n", "uid": "u"},
        "spec": {
            "containers": [{"name": name, "image": "i"} for name in names or ("main",)],
            "initContainers": [{"image": "i", **each} for each in inits],
            **spec,
        },
    }


def seen(name: str, state: State = State.RUNNING, code: int = 0, attempt: int = 0, sandbox: str = "s0") -> Container:
    made = container_hash({"name": name, "image": "i"})
    return Container(
        f"{name}-{attempt}",
        name,
        attempt,
        sandbox,
        state,
        finished_at=10.0 if state is State.EXITED else 0.0,
        exit_code=code,
        annotations={CONTAINER_HASH: made},
    )


def planned(pod: Any, *containers: Container, sandboxes: tuple[Sandbox, ...] = (SANDBOX,), **more: Any) -> Plan:
    newest = tuple(sorted(containers, key=lambda each: -each.attempt))
    situation = Situation(pod, Observed(sandboxes, newest), {}, lambda name, ended: 0.0, lambda name: 0.0)
    return plan(replace(situation, **more))


def names(made: Plan) -> list[str]:
    return [step.container["name"] for step in made.start]


def test_new_pod_gets_sandbox_and_containers_at_once() -> None:
    made = planned(document("a", "b"), sandboxes=())
    assert (made.create_sandbox, names(made), made.kill_pod) == (0, ["a", "b"], False)


def test_what_runs_is_left_alone() -> None:
    assert planned(document("a"), seen("a")).idle


def test_init_containers_run_one_by_one() -> None:
    pod = document("main", inits=({"name": "i1"}, {"name": "i2"}))
    assert names(planned(pod, sandboxes=())) == ["i1"]
    assert names(planned(pod, seen("i1"))) == []
    assert names(planned(pod, seen("i1", State.EXITED))) == ["i2"]
    assert names(planned(pod, seen("i1", State.EXITED), seen("i2", State.EXITED))) == ["main"]
    assert names(planned(pod, seen("i1", State.EXITED), seen("i2", State.EXITED, 1))) == ["i2"]


def test_removed_init_container_is_not_run_again() -> None:
    pod = document("main", inits=({"name": "i1"}, {"name": "i2"}))
    assert names(planned(pod, seen("i2", State.EXITED))) == ["main"]
    assert planned(pod, seen("main")).idle


def test_failed_init_container_ends_a_pod_that_never_restarts() -> None:
    pod = document("main", inits=({"name": "i1"},), restartPolicy="Never")
    assert planned(pod, seen("i1", State.EXITED, 1)).finished


def test_sidecar_must_have_started_before_the_next() -> None:
    side = {"name": "side", "restartPolicy": "Always", "startupProbe": {"exec": {}}}
    pod = document("main", inits=(side, {"name": "i2"}))
    assert names(planned(pod, sandboxes=())) == ["side"]
    assert names(planned(pod, seen("side"))) == []
    started = {("side-0", "startupProbe"): True}
    assert names(planned(pod, seen("side"), results=started)) == ["i2"]
    assert names(planned(pod, seen("side"), seen("i2", State.EXITED), results=started)) == ["main"]


def test_sidecar_restarts_beside_what_runs_and_ends_with_it() -> None:
    side = {"name": "side", "restartPolicy": "Always"}
    pod = document("main", inits=(side,), restartPolicy="Never")
    made = planned(pod, seen("side", State.EXITED, 1), seen("main"))
    assert [(step.container["name"], step.role, step.attempt) for step in made.start] == [("side", Role.SIDECAR, 1)]
    assert planned(pod, seen("side"), seen("main", State.EXITED)).finished


@pytest.mark.parametrize(
    ("policy", "code", "again"),
    [
        ("Always", 0, True),
        ("Always", 1, True),
        ("OnFailure", 0, False),
        ("OnFailure", 1, True),
        ("Never", 0, False),
        ("Never", 1, False),
    ],
)
def test_restart_policies(policy: str, code: int, again: bool) -> None:
    made = planned(document("a", restartPolicy=policy), seen("a", State.EXITED, code))
    assert (names(made) == ["a"], made.finished) == (again, not again)


def test_back_off_is_waited_for_and_said() -> None:
    made = planned(document("a"), seen("a", State.EXITED, 1, 3), wait=lambda name, ended: 12.5, delay=lambda name: 80.0)
    assert (made.start, made.again) == ((), 12.5)
    assert made.waiting["a"].reason == "CrashLoopBackOff"
    assert made.waiting["a"].message == "back-off 1m20s restarting failed container=a pod=p_n(u)"


def test_failed_probes_stop_containers() -> None:
    made = planned(document("a", "b"), seen("a"), seen("b"), results={("a-0", "livenessProbe"): False})
    assert [each.message for each in made.kill] == ["Container a failed liveness probe, will be restarted"]
    made = planned(document("a", restartPolicy="Never"), seen("a"), results={("a-0", "startupProbe"): False})
    assert [each.message for each in made.kill] == ["Container a failed startup probe"]


def test_changed_image_restarts() -> None:
    pod = document("a")
    pod["spec"]["containers"][0]["image"] = "j"
    assert [each.message for each in planned(pod, seen("a")).kill] == [
        "Container a definition changed, will be restarted"
    ]


def test_dead_sandbox_is_replaced_with_everything_in_it() -> None:
    dead = replace(SANDBOX, ready=False)
    made = planned(document("a"), seen("a", State.EXITED, 255), sandboxes=(dead,))
    assert (made.kill_pod, made.create_sandbox, names(made)) == (True, 1, ["a"])
    never = planned(document("a", "b", restartPolicy="Never"), seen("a", State.EXITED, 1), sandboxes=(dead,))
    assert never.finished


def test_what_ended_for_good_is_not_run_again_in_a_new_sandbox() -> None:
    dead = replace(SANDBOX, ready=False)
    pod = document("a", "b", restartPolicy="OnFailure")
    made = planned(pod, seen("a", State.EXITED, 0), seen("b", State.EXITED, 1), sandboxes=(dead,))
    assert names(made) == ["b"]


def test_sandbox_without_address_is_no_use() -> None:
    made = planned(document("a"), sandboxes=(replace(SANDBOX, ips=()),))
    assert made.create_sandbox == 1
    assert planned(document("a", hostNetwork=True), sandboxes=(replace(SANDBOX, ips=(), host_network=True),)).start


def test_ephemeral_container_runs_once() -> None:
    pod = document("a", ephemeralContainers=[{"name": "e", "image": "i"}])
    assert names(planned(pod, seen("a"))) == ["e"]
    assert planned(pod, seen("a"), seen("e", State.EXITED, 1)).idle


def test_what_was_made_and_never_ran_counts_for_nothing() -> None:
    (step,) = planned(document("a"), seen("a", State.CREATED, attempt=2)).start
    assert step.attempt == 2
    assert step.previous is not None


def test_two_of_each_name_are_kept() -> None:
    history = [seen("a", State.EXITED, 1, attempt) for attempt in range(4)]
    made = planned(document("a"), seen("a", attempt=4), *history)
    assert sorted(made.remove_containers) == ["a-0", "a-1", "a-2"]


STATES = st.sampled_from(State)


@given(
    policy=st.sampled_from(["Always", "OnFailure", "Never"]),
    inits=st.lists(st.sampled_from(["init", "side"]), max_size=3),
    found=st.dictionaries(
        st.sampled_from(["x0", "x1", "x2", "a", "b"]), st.tuples(STATES, st.integers(0, 1)), max_size=5
    ),
    ready=st.booleans(),
)
def test_plans_are_sound(policy: str, inits: list[str], found: dict[str, tuple[State, int]], ready: bool) -> None:
    kinds = tuple(
        {"name": f"x{place}", **({"restartPolicy": "Always"} if kind == "side" else {})}
        for place, kind in enumerate(inits)
    )
    pod = document("a", "b", inits=kinds, restartPolicy=policy)
    present = {each["name"] for each in (*pod["spec"]["containers"], *pod["spec"]["initContainers"])}
    containers = [seen(name, state, code) for name, (state, code) in found.items() if name in present]
    made = planned(pod, *containers, sandboxes=(replace(SANDBOX, ready=ready),))
    running = {each.name for each in containers if each.state is State.RUNNING}
    if ready:
        assert not running & set(names(made)), "what runs is not started a second time"
    assert len(set(names(made))) == len(made.start)
    if made.finished:
        assert made.start == ()
        assert made.create_sandbox is None
    regular = {"a", "b"} & set(names(made))
    if regular and not any(each.name in ("a", "b") for each in containers):
        # That something later was begun says that all before it are done, be they still there or not.
        for last in kinds[-1:]:
            assert ready
            wanted = State.EXITED if "restartPolicy" not in last else State.RUNNING
            assert found[last["name"]][0] is wanted, "regular containers wait for the inits"


def test_back_off_doubles_and_is_forgotten() -> None:
    backoff, key = CrashBackoff(), ("u", "a")
    waits, now = [], 0.0
    for _ in range(7):
        waits.append(backoff.wait(key, now, now))
        now += backoff.wait(key, now, now)
        backoff.started(key, now, now)
    assert waits == [0.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0]
    assert backoff.wait(key, now + 601, now + 601) == 0.0


@pytest.mark.parametrize(
    ("seconds", "text"), [(10, "10s"), (20, "20s"), (80, "1m20s"), (300, "5m0s"), (3600, "1h0m0s")]
)
def test_durations(seconds: float, text: str) -> None:
    assert go_duration(seconds) == text
