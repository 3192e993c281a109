"""Directories that change as a whole."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arktos.agent.volumes import atomic
from arktos.agent.volumes.atomic import File, checked_path, write

NAMES = st.sampled_from(["a", "b", ".hidden", "dir/x", "dir/y", "dir/deep/z", "c.txt"])
PAYLOADS = st.dictionaries(NAMES, st.builds(File, st.binary(max_size=6), st.sampled_from([0o644, 0o400, 0o600])))


def shown(root: Path) -> dict[str, bytes]:
    """What a reader sees: names that are not the writer's own, symlinks followed."""
    found = {}
    for top in os.listdir(root):
        if top.startswith(".."):
            continue
        path = root / top
        files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
        found.update({str(each.relative_to(root)): each.read_bytes() for each in files})
    return found


def contents(payload: dict[str, File]) -> dict[str, bytes]:
    return {path: file.content for path, file in payload.items()}


@settings(deadline=None, max_examples=60)
@given(st.lists(PAYLOADS, min_size=1, max_size=4))
def test_the_last_payload_is_shown_and_no_litter_stays(payloads: list[dict[str, File]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for payload in payloads:
            write(root, payload)
            assert shown(root) == contents(payload)
            assert not write(root, payload), "nothing was to change"
            for path, file in payload.items():
                assert (root / path).stat().st_mode & 0o777 == file.mode
        assert sum(name.startswith("..") for name in os.listdir(root)) == 2


class Killed(BaseException):
    """The process ends here."""


CALLS = ("symlink", "replace", "unlink", "fchmod", "mkdir", "chmod")


@settings(deadline=None, max_examples=150)
@given(PAYLOADS, PAYLOADS, st.integers(0, 25))
def test_a_writer_that_dies_at_any_step_leaves_the_old_or_the_new(
    before: dict[str, File], after: dict[str, File], step: int
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        root = Path(folder)
        write(root, before)
        steps = iter(range(step))

        def dying(real):
            def call(*arguments, **more):
                if next(steps, None) is None:
                    raise Killed
                return real(*arguments, **more)

            return call

        for name in CALLS:
            patch.setattr(os, name, dying(getattr(os, name)))
        # A killed process does not clean up.
        patch.setattr(atomic.shutil, "rmtree", dying(lambda *arguments, **more: None))
        with suppress(Killed):
            write(root, after)
        patch.undo()
        data = root / "..data"
        seen = {str(each.relative_to(data)): each.read_bytes() for each in data.rglob("*") if each.is_file()}
        assert seen in (contents(before), contents(after))
        for path, content in shown(root).items():
            assert content == seen[path], "a name shows what is not current"
        write(root, after)
        assert shown(root) == contents(after)
        assert sum(name.startswith("..") for name in os.listdir(root)) == 2


def test_readers_never_see_a_mixture(tmp_path: Path) -> None:
    write(tmp_path, {"one": File(b"0", 0o644), "two": File(b"0", 0o644)})
    for turn in range(1, 30):
        held = os.open(tmp_path / "..data", os.O_PATH)
        value = str(turn).encode()
        write(tmp_path, {"one": File(value, 0o644), "two": File(value, 0o644)})
        os.close(held)
        assert (tmp_path / "..data" / "one").read_bytes() == (tmp_path / "..data" / "two").read_bytes()


def test_a_failure_of_ownership_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path, {"a": File(b"1", 0o644)})

    def refuse(fresh: Path) -> None:
        raise PermissionError(1, "no")

    with pytest.raises(PermissionError):
        write(tmp_path, {"a": File(b"2", 0o644)}, refuse)
    assert shown(tmp_path) == {"a": b"1"} and len(os.listdir(tmp_path)) == 3


@pytest.mark.parametrize(
    "path", ["", "/a", "..", "../a", "a/../b", "a/..", "..data", "..x/y", "a" * 256, "a\0b", "x/" * 2100 + "y"]
)
def test_paths_that_lead_elsewhere_are_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(ValueError):
        write(tmp_path, {path: File(b"", 0o644)})
    assert os.listdir(tmp_path) == []


def test_paths_are_shortened() -> None:
    assert [checked_path(path) for path in ("a", "./a", "a//b", "a/./b", "x..y", "...")[:5]] == [
        "a",
        "a",
        "a/b",
        "a/b",
        "x..y",
    ]
