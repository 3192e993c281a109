"""Which controllers a list of names chooses."""

from __future__ import annotations

import importlib

import pytest

from arktos.controllers.catalogue import CONTROLLERS
from arktos.controllers.process import select


def test_star_is_all_in_order() -> None:
    assert list(select("*")) == list(CONTROLLERS)


def test_a_list_chooses_and_a_minus_leaves_out() -> None:
    assert list(select("namespace, tenant")) == ["tenant", "namespace"]
    assert "podgc" not in select("*,-podgc")
    assert list(select("-podgc")) == []


def test_an_unknown_name_is_told_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no controller 'nope'.*replicaset"):
        select("*,-nope")


@pytest.mark.parametrize("module", CONTROLLERS.values())
def test_every_controller_can_be_built(module: str) -> None:
    assert callable(importlib.import_module(module).build)
