"""The rules of `x-kubernetes-validations`."""

from __future__ import annotations

from arktos.model.custom.schema import Node
from arktos.model.kinds import Obj
from arktos.model.status import FieldError


class Rules:
    """The rules of one version of a definition."""

    def __init__(self, root: Node) -> None:
        self._root = root

    def check(self, obj: Obj, old: Obj | None) -> list[FieldError]:
        return []
