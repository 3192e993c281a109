"""What a Job's podFailurePolicy says of a pod that failed: pure. (KEP-3329)"""

from __future__ import annotations

from typing import NamedTuple

from arktos.controllers.job.facts import JobPod
from arktos.model.kinds import Obj

FAIL_JOB, FAIL_INDEX, IGNORE, COUNT = "FailJob", "FailIndex", "Ignore", "Count"


class Ruling(NamedTuple):
    """The action of the first rule that matches (`Count` where none does), and why."""

    action: str
    why: str = ""


def ruling(job: Obj, pod: JobPod) -> Ruling:
    """What becomes of a failed pod."""
    policy = job["spec"].get("podFailurePolicy")
    if not policy or pod.obj is None or pod.phase != "Failed":
        return Ruling(COUNT)
    for number, rule in enumerate(policy.get("rules") or ()):
        why = _exit_codes(rule, pod, number) or _conditions(rule, pod, number)
        if why:
            return Ruling(rule["action"], why)
    return Ruling(COUNT)


def _exit_codes(rule: Obj, pod: JobPod, number: int) -> str:
    wanted = rule.get("onExitCodes")
    if not wanted or pod.obj is None:
        return ""
    status = pod.obj.get("status") or {}
    for each in (*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())):
        if wanted.get("containerName") and wanted["containerName"] != each.get("name"):
            continue
        code = ((each.get("state") or {}).get("terminated") or {}).get("exitCode")
        if not code:
            continue  # it succeeded, or it never ended
        if (code in wanted["values"]) == (wanted["operator"] == "In"):
            where = f"{pod.obj['metadata']['namespace']}/{pod.name}"
            return (
                f"Container {each['name']} for pod {where} failed with exit code {code} "
                f"matching {rule['action']} rule at index {number}"
            )
    return ""


def _conditions(rule: Obj, pod: JobPod, number: int) -> str:
    if pod.obj is None:
        return ""
    for wanted in rule.get("onPodConditions") or ():
        for each in (pod.obj.get("status") or {}).get("conditions") or ():
            if each.get("type") == wanted["type"] and each.get("status") == (wanted.get("status") or "True"):
                where = f"{pod.obj['metadata']['namespace']}/{pod.name}"
                return f"Pod {where} has condition {wanted['type']} matching {rule['action']} rule at index {number}"
    return ""
