"""Fully populated objects of every kind, where the folder of recorded objects stands beside the repository."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from arktos.model import registry, structure

FIXTURES = Path(__file__).parents[2].parent / "shared" / "wire" / "fixtures"

NORMALISED = {("PodDisruptionBudget", "status.disruptedPods")}
"""Null values of a map of dates: a server keeps them as null, here they go."""


def registered() -> list[Path]:
    return sorted(path for path in FIXTURES.glob("*.json") if kind_of(json.loads(path.read_bytes())))


def kind_of(obj: dict[str, Any]) -> Any:
    return registry.by_gvk(obj.get("apiVersion", ""), obj.get("kind", ""))


@pytest.mark.skipif(not FIXTURES.is_dir(), reason="no recorded objects here")
def test_recorded_objects_have_the_structure_of_their_kinds() -> None:
    paths = registered()
    assert len(paths) > 50
    for path in paths:
        obj = json.loads(path.read_bytes())
        before = copy.deepcopy(obj)
        assert structure.check(kind_of(obj), obj) == ([], []), path.name
        for kind, dotted in NORMALISED:
            if obj["kind"] == kind:
                *above, last = dotted.split(".")
                for document in (obj, before):
                    for step in above:
                        document = document[step]
                    document.pop(last, None)
        assert obj == before, path.name
