"""The page of what is served is what is served, and nothing is missing without a reason."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.conftest import Kubectl, System

SCRIPT = Path(__file__).parents[2] / "scripts" / "write_conformance.py"


@cache
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_conformance", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def served(shared_apiserver: System) -> Any:
    kubectl: Kubectl = shared_apiserver.admin
    return script().served(lambda path: json.loads(kubectl("get", "--raw", path)))


def test_the_page_is_what_is_served(served: Any) -> None:
    page = script().render(served)
    if os.environ.get("ARKTOS_WRITE_DOCS"):
        script().TARGET.write_text(page)
    assert script().TARGET.read_text() == page, "docs/conformance.md is stale: ARKTOS_WRITE_DOCS=1 writes it anew"


def test_what_is_missing_has_a_reason(served: Any) -> None:
    without = [entry for entry in script().missing(served) if entry not in script().REFUSED]
    assert without == []
