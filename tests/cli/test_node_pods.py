"""Which pods a drain takes away."""

from __future__ import annotations

from typing import Any

import pytest

from arktos.cli.node_pods import MIRROR, Choice, Rules, choose, said

Obj = dict[str, Any]


def pod(name: str, owner: str = "ReplicaSet", phase: str = "Running", volume: str = "", **meta: Any) -> Obj:
    owners = [{"kind": owner, "name": "o", "controller": True}] if owner else []
    return {
        "metadata": {"name": name, "namespace": "ns", "tenant": "acme", "ownerReferences": owners, **meta},
        "spec": {"volumes": [{"name": "v", volume: {}}] if volume else []},
        "status": {"phase": phase},
    }


def chosen(*pods: Obj, there: bool = True, **rules: bool) -> Choice:
    return choose(pods, Rules(**rules), lambda pod: there)


def names(choice: Choice) -> list[str]:
    return [each["metadata"]["name"] for each in choice.leaving]


def test_what_a_controller_makes_anew_goes() -> None:
    choice = chosen(pod("b"), pod("a", "StatefulSet"))
    assert (names(choice), choice.warnings, choice.refusals) == (["a", "b"], {}, {})


def test_pods_of_daemon_sets_stay() -> None:
    choice = chosen(pod("d", "DaemonSet"), pod("a"))
    assert names(choice) == ["a"]
    assert said(choice.warnings) == "ignoring DaemonSet-managed Pods: acme/ns/d"
    choice = chosen(pod("d", "DaemonSet"), ignore_daemonsets=False)
    assert said(choice.refusals) == (
        "cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore): acme/ns/d"
    )


def test_pods_of_daemon_sets_that_are_gone_need_force() -> None:
    assert list(chosen(pod("d", "DaemonSet"), there=False).refusals.values()) == [["acme/ns/d"]]
    choice = chosen(pod("d", "DaemonSet"), there=False, force=True)
    assert (names(choice), list(choice.warnings.values())) == (["d"], [["acme/ns/d"]])


@pytest.mark.parametrize("force", [False, True])
def test_pods_without_a_controller_need_force(force: bool) -> None:
    choice = chosen(pod("a", ""), pod("b", ""), force=force)
    about, text = (choice.warnings, "deleting") if force else (choice.refusals, "cannot delete")
    suffix = "" if force else " (use --force to override)"
    assert said(about) == f"{text} Pods that declare no controller{suffix}: acme/ns/a, acme/ns/b"
    assert names(choice) == (["a", "b"] if force else [])


@pytest.mark.parametrize("allowed", [False, True])
def test_pods_with_local_data_need_leave_to_lose_it(allowed: bool) -> None:
    choice = chosen(pod("a", volume="emptyDir"), pod("b", volume="configMap"), delete_emptydir_data=allowed)
    about, text = (choice.warnings, "deleting") if allowed else (choice.refusals, "cannot delete")
    suffix = "" if allowed else " (use --delete-emptydir-data to override)"
    assert said(about) == f"{text} Pods with local storage{suffix}: acme/ns/a"
    assert names(choice) == (["a", "b"] if allowed else ["b"])


def test_both_are_refused_each_for_its_reason() -> None:
    refusals = said(chosen(pod("a", ""), pod("b", volume="emptyDir")).refusals)
    assert refusals.count("; ") == 1


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_finished_pods_go_whatever_they_are(phase: str) -> None:
    pods = [pod("a", "", phase, "emptyDir"), pod("b", "DaemonSet", phase)]
    assert names(chosen(*pods, ignore_daemonsets=False)) == ["a", "b"]


def test_mirrors_of_static_pods_are_not_spoken_of() -> None:
    choice = chosen(pod("a", "", annotations={MIRROR: "x"}))
    assert (choice.leaving, choice.warnings, choice.refusals) == ([], {}, {})
