"""Paths that cannot lead out of a volume, deletion that cannot reach what is mounted, for real."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from agent.volumes.conftest import mounts_below, needs_root
from arktos.agent.volumes import confined, mounting, subpath
from arktos.agent.volumes.confined import EscapeError
from arktos.agent.volumes.ownership import give_to_group

pytestmark = needs_root


@pytest.fixture
def volume(room: Path) -> Path:
    """A volume with ways out, beside what must not be reached."""
    (room / "secret").mkdir()
    (room / "secret" / "shadow").write_text("root")
    made = room / "volume"
    (made / "in" / "side").mkdir(parents=True)
    (made / "in" / "side" / "file").write_text("fine")
    (made / "up").symlink_to("../secret")
    (made / "absolute").symlink_to(room / "secret")
    (made / "deep").symlink_to("in/../../secret/shadow")
    (made / "loop").symlink_to("loop")
    (made / "magic").symlink_to("/proc/self/root")
    (made / "short").symlink_to("in/side")
    (made / "data").symlink_to("short/file")
    return made


ESCAPES = ["up", "up/shadow", "absolute", "deep", "loop", "magic/etc", "../secret", "in/../../secret", "/etc"]


@pytest.mark.parametrize("path", ESCAPES)
def test_no_path_leads_out(volume: Path, room: Path, path: str) -> None:
    with confined.directory(volume) as folder, pytest.raises(EscapeError):
        confined.open_beneath(folder, path)
    with pytest.raises(EscapeError):
        confined.read_beneath(volume, path, 100)
    with pytest.raises(EscapeError):
        subpath.show(str(volume), path, room / "shown")
    assert mounts_below(room) == []


@pytest.mark.parametrize("path", ["up/new", "absolute/new/er", "magic/tmp/new"])
def test_no_directory_is_made_outside(volume: Path, room: Path, path: str) -> None:
    with confined.directory(volume) as folder, pytest.raises(EscapeError):
        confined.make_beneath(folder, path, 0o755)
    assert os.listdir(room / "secret") == ["shadow"]


def test_symlinks_inside_are_followed(volume: Path) -> None:
    assert confined.read_beneath(volume, "data", 100) == b"fine"
    assert confined.read_beneath(volume, "short/file", 100) == b"fine"
    with pytest.raises(ValueError, match="more than 2 bytes"):
        confined.read_beneath(volume, "data", 2)
    os.mkfifo(volume / "pipe")
    with pytest.raises(ValueError, match="no regular file"):
        confined.read_beneath(volume, "pipe", 100)


def test_directories_are_made_with_their_mode(volume: Path) -> None:
    before = os.umask(0o077)
    try:
        with confined.directory(volume) as folder:
            confined.make_beneath(folder, "short/./a//b", 0o2775)
    finally:
        os.umask(before)
    assert stat.S_IMODE((volume / "in" / "side" / "a" / "b").stat().st_mode) == 0o2775


def test_a_part_is_shown_and_stays_the_same(volume: Path, room: Path) -> None:
    target = room / "shown" / "0"
    subpath.show(str(volume), "short", target)
    subpath.show(str(volume), "short", target)
    assert (target / "file").read_text() == "fine"
    assert mounts_below(room) == [str(target)]
    mounting.unmount_below(room)


def test_a_file_that_was_replaced_is_shown_anew(volume: Path, room: Path) -> None:
    target = room / "shown" / "0"
    subpath.show(str(volume), "data", target)
    fresh = volume / "in" / "side" / "fresh"
    fresh.write_text("new")
    os.replace(fresh, volume / "in" / "side" / "file")
    assert target.read_text() == "fine"
    subpath.show(str(volume), "data", target)
    assert target.read_text() == "new" and len(mounts_below(room)) == 1
    mounting.unmount_below(room)
    # The same place later shows a directory.
    subpath.show(str(volume), "in", target)
    assert (target / "side").is_dir()
    mounting.unmount_below(room)


def test_a_part_that_is_missing_is_made_as_its_volume_is(volume: Path, room: Path) -> None:
    volume.chmod(0o2770)
    subpath.show(str(volume), "x/y", room / "shown")
    assert stat.S_IMODE((volume / "x" / "y").stat().st_mode) == 0o2770
    mounting.unmount_below(room)


def test_a_symlink_swapped_in_during_the_walk_does_not_lead_out(volume: Path, room: Path) -> None:
    """The container flips a directory and a symlink to the outside, as fast as it can."""
    flip, stop = volume / "flip", threading.Event()
    (volume / "honest").mkdir()
    (volume / "honest" / "shadow").write_text("fine")

    def swap() -> None:
        turn = 0
        while not stop.is_set():
            made = volume / f"next{turn}"
            made.symlink_to("honest" if turn % 2 else "../secret")
            os.replace(made, flip)
            turn += 1

    swapper = threading.Thread(target=swap)
    swapper.start()
    seen = set()
    try:
        for _ in range(300):
            try:
                seen.add(confined.read_beneath(volume, "flip/shadow", 100))
            except OSError as error:
                seen.add(type(error).__name__.encode())
    finally:
        stop.set()
        swapper.join()
    assert b"root" not in seen


def test_deletion_does_not_cross_mounts_nor_follow_symlinks(volume: Path, room: Path) -> None:
    doomed = room / "doomed"
    (doomed / "mounted").mkdir(parents=True)
    (doomed / "way").symlink_to(room / "secret")
    mounting.bind(str(room / "secret"), str(doomed / "mounted"))
    with pytest.raises(OSError, match="mount point is not deleted"):
        confined.remove_tree(doomed)
    assert (room / "secret" / "shadow").read_text() == "root"
    mounting.unmount_below(doomed)
    confined.remove_tree(doomed)
    assert not doomed.exists() and (room / "secret" / "shadow").read_text() == "root"
    confined.remove_tree(doomed)


def test_the_target_itself_may_be_a_mount_or_a_symlink(room: Path) -> None:
    (room / "kept").mkdir()
    (room / "kept" / "file").write_text("1")
    (room / "link").symlink_to("kept")
    confined.remove_tree(room / "link")
    (room / "over").mkdir()
    mounting.bind(str(room / "kept"), str(room / "over"))
    with pytest.raises(OSError):
        confined.remove_tree(room / "over")
    mounting.unmount_below(room / "over")
    assert (room / "kept" / "file").exists()


def test_mounts_over_mounts_and_odd_names_are_taken_away(room: Path) -> None:
    odd = room / "with space\tand\\back\nline é \u2028"
    odd.mkdir()
    for _ in range(3):
        mounting.tmpfs(str(odd), "mode=0755")
    (odd / "inner").mkdir()
    mounting.bind(str(odd), str(odd / "inner"))
    assert len(mounts_below(room)) == 4 and mounting.is_mount_point(odd)
    mounting.unmount_below(room)
    assert mounts_below(room) == [] and os.listdir(odd) == []


def test_a_busy_mount_goes_lazily(room: Path) -> None:
    (room / "m").mkdir()
    mounting.tmpfs(str(room / "m"), "mode=0755")
    with open(room / "m" / "held", "w") as held:
        mounting.unmount_below(room)
        held.write("still there for its holder")
    assert mounts_below(room) == []


def test_groups_get_files_and_symlinks_are_left_alone(room: Path) -> None:
    top = room / "top"
    (top / "dir").mkdir(parents=True)
    (top / "dir" / "file").write_text("x")
    (top / "dir" / "file").chmod(0o600)
    outside = room / "outside"
    outside.write_text("x")
    outside.chmod(0o600)
    (top / "link").symlink_to(outside)
    give_to_group(top, 4242, read_only=False)
    assert (top / "dir" / "file").stat().st_gid == 4242
    assert stat.S_IMODE((top / "dir" / "file").stat().st_mode) == 0o660
    assert stat.S_IMODE((top / "dir").stat().st_mode) == 0o2775
    assert (outside.stat().st_gid, stat.S_IMODE(outside.stat().st_mode)) == (os.getgid(), 0o600)
    assert os.lstat(top / "link").st_gid == 4242
    (top / "dir" / "file").chmod(0o600)
    give_to_group(top, 4242, read_only=False, on_mismatch_only=True)
    assert stat.S_IMODE((top / "dir" / "file").stat().st_mode) == 0o600
    give_to_group(top, 4243, read_only=True, on_mismatch_only=True)
    assert stat.S_IMODE((top / "dir" / "file").stat().st_mode) == 0o640
