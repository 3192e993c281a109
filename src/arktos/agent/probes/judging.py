"""From the results of single checks to a verdict. Pure.

A verdict changes only after as many equal results in a row as its threshold says. Until the first one there is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from arktos.model.kinds import Obj

LIVENESS, READINESS, STARTUP = "livenessProbe", "readinessProbe", "startupProbe"
KINDS = (STARTUP, LIVENESS, READINESS)


class Found(Enum):
    """What one check found. UNKNOWN: the check itself could not be made, which says nothing about the container."""

    SUCCESS = "success"
    WARNING = "warning"
    FAILURE = "failure"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe with its defaults; times in seconds."""

    handler: Obj
    initial_delay: float = 0.0
    period: float = 10.0
    timeout: float = 1.0
    success_threshold: int = 1
    failure_threshold: int = 3
    grace: int | None = None


def read(stated: Obj) -> Probe:
    """The probe that a container states."""
    return Probe(
        stated,
        float(stated.get("initialDelaySeconds") or 0),
        float(stated.get("periodSeconds") or 10),
        float(stated.get("timeoutSeconds") or 1),
        int(stated.get("successThreshold") or 1),
        int(stated.get("failureThreshold") or 3),
        stated.get("terminationGracePeriodSeconds"),
    )


@dataclass(slots=True)
class Judge:
    """Counts results. `verdict` is None until there is one."""

    probe: Probe
    verdict: bool | None = None
    _last: bool | None = None
    _run: int = 0

    def take(self, found: Found) -> bool:
        """Counts a result; true if the verdict is another than before."""
        if found is Found.UNKNOWN:
            return False
        well = found is not Found.FAILURE
        self._run = self._run + 1 if well == self._last else 1
        self._last = well
        needed = self.probe.success_threshold if well else self.probe.failure_threshold
        if self._run < needed or self.verdict == well:
            return False
        self.verdict = well
        return True
