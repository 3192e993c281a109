"""Events about pods, in the tenant and namespace of each."""

from __future__ import annotations

from typing import Literal, Protocol

from arktos.agent.pods import podspec
from arktos.model.kinds import Obj

_LONGEST = 1024

EventType = Literal["Normal", "Warning"]


class Recording(Protocol):
    """What `arktos.client.Recorder` does."""

    def event(self, about: Obj, type: EventType, reason: str, message: str) -> None: ...


class Telling:
    """Says what happens to pods, to those who look at them."""

    def __init__(self, recorder: Recording) -> None:
        self._recorder = recorder

    def normal(self, pod: Obj, reason: str, message: str, container: str = "") -> None:
        """`container` is the name of the one concerned, if one is."""
        self._say(pod, "Normal", reason, message, container)

    def warning(self, pod: Obj, reason: str, message: str, container: str = "") -> None:
        self._say(pod, "Warning", reason, message, container)

    def _say(self, pod: Obj, type: EventType, reason: str, message: str, container: str) -> None:
        meta = pod["metadata"]
        about: Obj = {
            "kind": "Pod",
            "apiVersion": "v1",
            "tenant": meta.get("tenant") or "",
            "namespace": meta.get("namespace") or "",
            "name": meta["name"],
            "uid": meta["uid"],
            "resourceVersion": meta.get("resourceVersion") or "",
        }
        if container:
            about["fieldPath"] = podspec.field_path(pod, container)
        self._recorder.event(about, type, reason, message[:_LONGEST])
