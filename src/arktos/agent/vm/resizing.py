"""Other CPUs and memory for a machine that exists: when it is given them, and what its pod says of it. Pure.

The runtime gives a machine that runs what it can (`docs/node.md`), the rest when it is started next.
"""

from __future__ import annotations

from arktos.agent.pods import conditions
from arktos.agent.pods.conditions import Verdict
from arktos.agent.vm.machine import Machine
from arktos.rpc.protos import cri_pb2 as pb

_COMPARED = ("cpu_quota", "cpu_period", "cpu_shares", "memory_limit_in_bytes")

Refusal = tuple[str, str]
"""Reason, `Deferred` or `Infeasible`, and message."""


def is_due(wanted: pb.LinuxContainerResources, given: pb.LinuxContainerResources | None) -> bool:
    """Whether a machine was given other resources than its pod wants for it."""
    return given is not None and any(getattr(wanted, name) != getattr(given, name) for name in _COMPARED)


def verdicts(
    machine: Machine | None, given: pb.LinuxContainerResources | None, refused: Refusal | None
) -> dict[str, Verdict]:
    """What the pod's conditions say of a resize; nothing where it has what it wants. `refused` is why the node has no
    room for it."""
    if refused is not None:
        return {conditions.RESIZE_PENDING: ("True", *refused)}
    if machine is None:
        return {}
    if machine.resize_pending:
        return {conditions.RESIZE_PENDING: ("True", "Deferred", f"The virtual machine runs: {machine.resize_pending}")}
    if machine.memory and given is not None and machine.memory < given.memory_limit_in_bytes:
        return {conditions.RESIZE_IN_PROGRESS: ("True", "", "")}
    return {}
