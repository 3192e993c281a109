"""`python -m arktos.store.verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from arktos.store.embedded import open_store
from arktos.store.verify import main


async def test_whole_damaged_locked_missing(tmp_path: Path, objects: Any, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "store.db"
    async with open_store(path, {}) as store:
        await store.commit([], [objects.put(objects.key("a"), "findme" * 20)])
        assert main([str(path)]) == 1
        assert "is in use by process" in capsys.readouterr().out
    assert main([str(path)]) == 0
    assert capsys.readouterr().out == ""
    path.write_bytes(path.read_bytes().replace(b"findmefindme", b"findmefindMe", 1))
    assert main([str(path)]) == 1
    assert str(path) in capsys.readouterr().out
    assert main([str(tmp_path / "none.db")]) == 1
    assert main([]) == 2
