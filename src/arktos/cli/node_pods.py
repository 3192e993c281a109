"""Which pods a drain of a node takes away, and which forbid it: `kubectl drain`'s rules, over the pods of all tenants.
Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from arktos.model.kinds import Obj

MIRROR = "kubernetes.io/config.mirror"

_LOCAL = "deleting Pods with local storage"
_LOCAL_REFUSED = "cannot delete Pods with local storage (use --delete-emptydir-data to override)"
_ALONE = "deleting Pods that declare no controller"
_ALONE_REFUSED = "cannot delete Pods that declare no controller (use --force to override)"
_DAEMONS = "ignoring DaemonSet-managed Pods"
_DAEMONS_REFUSED = "cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore)"
_ORPHANS = "deleting DaemonSet-managed Pods whose DaemonSet is gone"


@dataclass(frozen=True, slots=True)
class Rules:
    """The options of a drain that decide about pods."""

    force: bool = False
    delete_emptydir_data: bool = False
    ignore_daemonsets: bool = True


@dataclass(slots=True)
class Choice:
    """`leaving` are the pods to evict. `warnings` and `refusals` say which pods they are about, by what they say of
    them; a drain with refusals must not begin."""

    leaving: list[Obj] = field(default_factory=list)
    warnings: dict[str, list[str]] = field(default_factory=dict)
    refusals: dict[str, list[str]] = field(default_factory=dict)


def choose(pods: Iterable[Obj], rules: Rules, has_daemon_set: Callable[[Obj], bool]) -> Choice:
    """What a drain means for these pods of a node. `has_daemon_set` says whether the DaemonSet that a pod names as its
    controller is there."""
    choice = Choice()
    for pod in sorted(pods, key=name_of):
        if MIRROR in (pod["metadata"].get("annotations") or {}):
            continue
        refusal, warning, stays = _judged(pod, rules, has_daemon_set)
        if refusal:
            choice.refusals.setdefault(refusal, []).append(name_of(pod))
            continue
        if warning:
            choice.warnings.setdefault(warning, []).append(name_of(pod))
        if not stays:
            choice.leaving.append(pod)
    return choice


def _judged(pod: Obj, rules: Rules, has_daemon_set: Callable[[Obj], bool]) -> tuple[str, str, bool]:
    """Why the pod forbids the drain, what is to be said of it, and whether it stays; "" and "" for nothing to say."""
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return "", "", False
    owner = controller(pod)
    warning = ""
    if owner is not None and owner.get("kind") == "DaemonSet":
        if has_daemon_set(pod):
            return ("", _DAEMONS, True) if rules.ignore_daemonsets else (_DAEMONS_REFUSED, "", True)
        if not rules.force:
            return _ALONE_REFUSED, "", True
        warning = _ORPHANS
    if _has_local_data(pod):
        if not rules.delete_emptydir_data:
            return _LOCAL_REFUSED, "", True
        warning = warning or _LOCAL
    if owner is None:
        return ("", _ALONE, False) if rules.force else (_ALONE_REFUSED, "", True)
    return "", warning, False


def controller(pod: Obj) -> Mapping[str, str] | None:
    """The owner that manages a pod."""
    owners = pod["metadata"].get("ownerReferences") or ()
    return next((each for each in owners if each.get("controller")), None)


def _has_local_data(pod: Obj) -> bool:
    return any("emptyDir" in volume for volume in pod["spec"].get("volumes") or ())


def name_of(pod: Obj) -> str:
    """Tenant, namespace and name, which together name one pod."""
    meta = pod["metadata"]
    return f"{meta.get('tenant', '')}/{meta.get('namespace', '')}/{meta['name']}"


def said(about: Mapping[str, list[str]]) -> str:
    """Warnings or refusals in one line."""
    return "; ".join(f"{text}: {', '.join(names)}" for text, names in about.items())
