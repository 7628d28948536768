"""The walk: what an earlier one saw is taken over, what changed is looked at again, nothing hangs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from copies import make

from vssl_core.progress import quiet_progress
from vssl_plugins.datasets import walk
from vssl_plugins.datasets.walk import FoundVideo, Listing, Seen, look_at, walk_videos

OLD_SECONDS = 1_600_000_000


def aged(root: Path) -> Path:
    """The same tree, with folders that changed long ago."""
    for folder, _, _ in os.walk(root):
        os.utime(folder, (OLD_SECONDS, OLD_SECONDS))
    return root


class Lines:
    """A journal in memory; stops the walk when it has heard enough."""

    def __init__(self, stop_after: int = 10**9) -> None:
        self.seen, self._left = Seen(), stop_after

    def listed(self, folder: str, listing: Listing) -> None:
        self.seen.listings[folder] = listing

    def looked(self, videos: Sequence[FoundVideo]) -> None:
        self.seen.looks.update(videos)
        self._left -= 1
        if not self._left:
            raise KeyboardInterrupt


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the folders that are listed from the disk."""
    names: list[str] = []
    scan = os.scandir

    def note(folder: str) -> object:
        names.append(Path(folder).name)
        return scan(folder)

    monkeypatch.setattr(walk.os, "scandir", note)
    return names


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are looked at."""
    names: list[str] = []
    look = walk._look_at_file

    def note(path: str) -> object:
        names.append(Path(path).name)
        return look(path)

    monkeypatch.setattr(walk, "_look_at_file", note)
    return names


def test_nothing_is_read_again_where_nothing_changed(
    tmp_path: Path, listed: list[str], looked: list[str]
) -> None:
    root = aged(make(tmp_path / "R", ["a/1.mp4", "b/2.mp4", "3.mp4"]))
    first = walk_videos(root, quiet_progress())
    assert sorted(first.looks) == ["3.mp4", "a/1.mp4", "b/2.mp4"]
    listed.clear()
    looked.clear()
    assert walk_videos(root, quiet_progress(), seen=first) == first
    assert (listed, looked) == ([], [])


def test_a_changed_folder_alone_is_read_again(tmp_path: Path, listed: list[str], looked: list[str]) -> None:
    root = aged(make(tmp_path / "R", ["a/1.mp4", "b/2.mp4"]))
    first = walk_videos(root, quiet_progress())
    make(root, ["b/new.mp4"])
    listed.clear()
    looked.clear()
    again = walk_videos(root, quiet_progress(), seen=first)
    assert (listed, sorted(looked)) == (["b"], ["2.mp4", "new.mp4"])
    assert sorted(again.looks) == ["a/1.mp4", "b/2.mp4", "b/new.mp4"]


def test_a_folder_that_has_just_changed_is_never_relied_on(tmp_path: Path, listed: list[str]) -> None:
    root = make(tmp_path / "R", ["1.mp4"])
    first = walk_videos(root, quiet_progress())
    assert first.listings[""].changed_ns == 0
    listed.clear()
    walk_videos(root, quiet_progress(), seen=first)
    assert listed == ["R"]


def test_an_interrupted_walk_goes_on(
    tmp_path: Path, looked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "CHUNK", 2)
    root = aged(make(tmp_path / "R", [f"a/{i}.mp4" for i in range(10)]))
    lines = Lines(stop_after=3)
    with pytest.raises(KeyboardInterrupt):
        walk_videos(root, quiet_progress(), journal=lines)
    assert sorted(lines.seen.looks) == [f"a/{i}.mp4" for i in range(6)]
    looked.clear()
    whole = walk_videos(root, quiet_progress(), seen=lines.seen)
    assert sorted(looked) == [f"{i}.mp4" for i in range(6, 10)]
    assert whole == walk_videos(root, quiet_progress())


def test_named_files_are_those_that_are_there(tmp_path: Path) -> None:
    root = aged(make(tmp_path / "R", ["a/1.mp4", "a/2.mp4"]))
    found = look_at(root, ["a/1.mp4", "a/2.mp4", "a/gone.mp4", "a/\0.mp4"], quiet_progress())
    assert set(found.looks) == {"a/1.mp4", "a/2.mp4"}
    assert found.listings["a"].changed_ns == OLD_SECONDS * 10**9


def test_a_file_that_goes_while_named_files_are_looked_at_changes_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = aged(make(tmp_path / "R", ["a/1.mp4"]))
    look = walk._look_at_file

    def then_gone(path: str) -> object:
        seen = look(path)
        Path(path).unlink()
        os.utime(root / "a", (OLD_SECONDS + 60, OLD_SECONDS + 60))
        return seen

    monkeypatch.setattr(walk, "_look_at_file", then_gone)
    found = look_at(root, ["a/1.mp4"], quiet_progress())
    assert found.listings["a"].changed_ns == OLD_SECONDS * 10**9 != (root / "a").stat().st_mtime_ns


def test_only_the_folders_asked_for_and_no_folder_twice(tmp_path: Path) -> None:
    root = make(tmp_path / "R", ["train/1.mp4", "val/2.mp4", "other/3.mp4"])
    (root / "val" / "again").symlink_to(root / "train")
    (root / "val" / "loop").symlink_to(root)
    found = walk_videos(root, quiet_progress(), tops=["train", "val", "nowhere"])
    assert sorted(found.looks) == ["train/1.mp4", "val/2.mp4", "val/loop/other/3.mp4"]
    assert list(found.unreadable) == ["nowhere"]


def test_a_tangle_of_links_ends(tmp_path: Path) -> None:
    root = make(tmp_path / "R", [f"d{i}/{i}.mp4" for i in range(12)])
    for i in range(12):
        for j in range(12):
            (root / f"d{i}" / f"to{j}").symlink_to(root / f"d{j}")
        (root / f"d{i}" / "up").symlink_to(root)
    assert sorted(walk_videos(root, quiet_progress()).looks) == sorted(f"d{i}/{i}.mp4" for i in range(12))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_noted(tmp_path: Path) -> None:
    root = make(tmp_path / "R", ["a/1.mp4", "lost/2.mp4"])
    (root / "lost").chmod(0)
    try:
        found = walk_videos(root, quiet_progress())
    finally:
        (root / "lost").chmod(0o755)
    assert list(found.looks) == ["a/1.mp4"]
    assert list(found.unreadable) == ["lost"]
