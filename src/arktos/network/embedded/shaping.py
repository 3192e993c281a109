"""The annotations `kubernetes.io/ingress-bandwidth` and `egress-bandwidth`: bits per second, as a quantity. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from arktos.model.quantity import parse
from arktos.network.provider import NetworkFailure

_INGRESS, _EGRESS = "kubernetes.io/ingress-bandwidth", "kubernetes.io/egress-bandwidth"
_LEAST, _MOST = 1_000, 10**15


def limits(annotations: Mapping[str, str]) -> tuple[int, int]:
    """To the pod and from it, 0 for no limit. Raises NetworkFailure for what Kubernetes refuses: no quantity, less
    than 1k, more than 1P."""
    return _limit(annotations, _INGRESS), _limit(annotations, _EGRESS)


def _limit(annotations: Mapping[str, str], name: str) -> int:
    text = annotations.get(name)
    if text is None:
        return 0
    try:
        bits = parse(text).value
    except ValueError as error:
        raise NetworkFailure(f"annotation {name}: {error}") from error
    if not _LEAST <= bits <= _MOST:
        raise NetworkFailure(f"annotation {name}: {text} is not between 1k and 1P")
    return bits
