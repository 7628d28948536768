"""Folders of the user's own videos: layouts, labels, parts, odd names, and clear errors for the rest."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from pydantic import ValidationError

from vssl_core.errors import DatasetError, OptionError, UsageError
from vssl_core.interfaces import DatasetContext
from vssl_core.progress import quiet_progress
from vssl_plugins.datasets.folder import Folder

SPLITS = ("train", "validation", "test")


def make(root: Path, names: Iterable[str]) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not looked into")
    return root


def opened(root: Path, **options: object) -> Folder:
    data = Folder(Folder.Options(root=str(root), **options), DatasetContext(root / "cache", quiet_progress()))
    data.prepare()
    return data


def ids(data: Folder, split: str) -> list[str]:
    return [record.video_id for record in data.records(split)]  # type: ignore[arg-type]


def labelled(data: Folder, split: str) -> dict[str, str]:
    records = data.records(split)  # type: ignore[arg-type]
    return {r.video_id: data.classes[r.label] for r in records if r.label is not None}


# --------------------------------------------------------------------------------------------- layouts


def test_flat_videos_are_unlabelled_and_all_for_training(tmp_path: Path) -> None:
    data = opened(make(tmp_path, ["b.mp4", "a.avi", "c.webm", "notes.txt"]))
    assert data.classes == ()
    assert ids(data, "train") == ["a.avi", "b.mp4", "c.webm"]
    assert ids(data, "validation") == ids(data, "test") == []
    assert [r.label for r in data.records("train")] == [None] * 3
    assert [Path(r.path) for r in data.records("train")] == [
        tmp_path / n for n in ("a.avi", "b.mp4", "c.webm")
    ]


@pytest.mark.parametrize("names", [["one/a.mp4", "one/deep/b.mp4"], ["x.mp4", "one/a.mp4", "two/b.mp4"]])
def test_one_folder_or_videos_beside_folders_are_unlabelled_too(tmp_path: Path, names: list[str]) -> None:
    data = opened(make(tmp_path, names))
    assert data.classes == ()
    assert ids(data, "train") == sorted(names)


def test_several_folders_are_classes_sorted_by_lower_cased_name(tmp_path: Path) -> None:
    names = [f"{c}/{i}.mp4" for c in ("zebra", "Apple", "bee", "HammerThrow", "Hammering") for i in range(4)]
    data = opened(make(tmp_path, [*names, "bee/take two/deep.mp4"]))
    assert data.classes == ("Apple", "bee", "Hammering", "HammerThrow", "zebra")
    found = {k: v for split in SPLITS for k, v in labelled(data, split).items()}
    assert found == {name: name.split("/")[0] for name in [*names, "bee/take two/deep.mp4"]}


def test_labels_none_ignores_class_folders(tmp_path: Path) -> None:
    data = opened(make(tmp_path, ["a/1.mp4", "b/2.mp4"]), labels="none")
    assert data.classes == ()
    assert ids(data, "train") == ["a/1.mp4", "b/2.mp4"]


def test_split_folders_are_honoured_with_classes_inside(tmp_path: Path) -> None:
    names = ["train/a/1.mp4", "train/b/2.mp4", "val/a/3.mp4", "val/b/4.mp4", "test/b/5.mp4", "test/c/6.mp4"]
    data = opened(make(tmp_path, names))
    assert data.classes == ("a", "b", "c")
    assert labelled(data, "train") == {"train/a/1.mp4": "a", "train/b/2.mp4": "b"}
    assert labelled(data, "validation") == {"val/a/3.mp4": "a", "val/b/4.mp4": "b"}
    assert labelled(data, "test") == {"test/b/5.mp4": "b", "test/c/6.mp4": "c"}


def test_split_folders_in_any_case_without_labels_and_without_some_parts(tmp_path: Path) -> None:
    data = opened(make(tmp_path, ["Train/1.mp4", "Train/2.mp4", "VALIDATION/3.mp4"]))
    assert data.classes == ()
    assert ids(data, "train") == ["Train/1.mp4", "Train/2.mp4"]
    assert ids(data, "validation") == ["VALIDATION/3.mp4"]
    assert ids(data, "test") == []


def test_train_and_test_beside_other_folders_is_a_question_with_two_answers(tmp_path: Path) -> None:
    make(tmp_path, ["train/a/1.mp4", "train/b/2.mp4", "test/a/3.mp4", "extra/4.mp4"])
    with pytest.raises(DatasetError, match=r"'extra'.*splits=folders.*splits=hash"):
        opened(tmp_path)
    parts = opened(tmp_path, splits="folders")
    assert parts.classes == ("a", "b")
    assert ids(parts, "test") == ["test/a/3.mp4"]
    assert "extra/4.mp4" not in ids(parts, "train")
    assert opened(tmp_path, splits="hash").classes == ("extra", "test", "train")


@pytest.mark.parametrize("other", ["extra/run/1.mp4", "intro.mp4"])
def test_train_and_val_beside_something_else_is_the_same_question(tmp_path: Path, other: str) -> None:
    make(
        tmp_path,
        [*(f"{s}/{c}/{i}.mp4" for s in ("train", "val") for c in ("run", "walk") for i in (1, 2)), other],
    )
    with pytest.raises(DatasetError, match=r"'train', 'val' and beside them.*splits=folders.*splits=hash"):
        opened(tmp_path)
    assert len(opened(tmp_path, splits="folders").records("validation")) == 4


def test_a_class_called_train_is_a_class(tmp_path: Path) -> None:
    data = opened(make(tmp_path, [f"{c}/{i}.mp4" for c in ("train", "bus", "tram") for i in range(3)]))
    assert data.classes == ("bus", "train", "tram")


# -------------------------------------------------------------------------------------------- drawn parts


def many(tmp_path: Path) -> Path:
    return make(tmp_path, [f"{c}/v_g{g:02d}_c{i}.mp4" for c in "abc" for g in range(10) for i in range(3)])


def test_parts_are_drawn_per_class_and_depend_on_names_alone(tmp_path: Path) -> None:
    here, there = opened(many(tmp_path / "here")), opened(many(tmp_path / "elsewhere"))
    for split in SPLITS:
        assert ids(here, split) == ids(there, split) == sorted(ids(here, split))
    assert Counter(labelled(here, "test").values()) == {"a": 8, "b": 8, "c": 8}
    assert Counter(labelled(here, "validation").values()) == {"a": 5, "b": 5, "c": 5}
    everything = [video_id for split in SPLITS for video_id in ids(here, split)]
    assert len(everything) == len(set(everything)) == 90


def test_videos_of_one_group_stay_together(tmp_path: Path) -> None:
    data = opened(many(tmp_path), group_pattern=r"(\w)/v_(?:g\d+)")
    assert {r.group for r in data.records("train")} <= set("abc")
    data = opened(tmp_path, group_pattern=r"\w/v_g\d+")
    groups = [{r.group for r in data.records(split)} for split in SPLITS]  # type: ignore[arg-type]
    assert [len(part) for part in groups] == [15, 6, 9]
    assert len(set.union(*groups)) == 30


def test_fractions_are_options_and_small_classes_keep_training_videos(tmp_path: Path) -> None:
    data = opened(many(tmp_path), test_fraction=0.0, validation_fraction=0.5)
    assert [len(data.records(split)) for split in SPLITS] == [45, 45, 0]  # type: ignore[arg-type]
    tiny = opened(make(tmp_path / "tiny", ["a/1.mp4", "a/2.mp4", "a/3.mp4", "b/1.mp4", "b/2.mp4"]))
    assert Counter(labelled(tiny, "train").values()) == {"a": 1, "b": 2}
    make(tmp_path / "four", [f"{c}/{i}.mp4" for c in "ab" for i in range(4)])
    four = opened(tmp_path / "four", test_fraction=0.5, validation_fraction=0.4)
    assert [len(four.records(split)) for split in SPLITS] == [2, 2, 4]  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="less than 1"):
        Folder.Options(test_fraction=0.6, validation_fraction=0.4)


def test_a_group_pattern_must_compile_and_match(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="not a regular expression"):
        Folder.Options(group_pattern="(")
    with pytest.raises(DatasetError, match=r"does not match\s+'a/1\.mp4'"):
        opened(make(tmp_path, ["a/1.mp4", "b/g2.mp4"]), group_pattern="g[0-9]")


# ------------------------------------------------------------------------------------ names, links, files


def test_names_may_be_anything_and_extensions_in_any_case(tmp_path: Path) -> None:
    names = [
        "a b.MP4",
        'it\'s "quoted".mKv',
        "line\nbreak.mov",
        "🐈 ça.MPG",
        "[x](1)#&;+~@%20.m4v",
        "back\\slash.mpeg",
        "two.dots.webm",
    ]
    data = opened(
        make(tmp_path, [*names, ".hidden.mp4", ".thumbs/x.mp4", "no_extension", "mp4", "x.mp4.part"])
    )
    assert ids(data, "train") == sorted(names)
    assert all(Path(record.path).is_file() for record in data.records("train"))


def test_ids_are_the_same_however_the_file_system_spells_accents(tmp_path: Path) -> None:
    decomposed, composed = "cafe\u0301.mp4", "caf\u00e9.mp4"
    data = opened(make(tmp_path / "one", [decomposed]))
    assert ids(data, "train") == [composed]
    make(tmp_path / "two", [decomposed, composed])
    if len(os.listdir(tmp_path / "two")) == 2:  # noqa: PTH208
        with pytest.raises(DatasetError, match="differ only in how Unicode spells them"):
            opened(tmp_path / "two")


def test_links_are_followed_once_and_loops_end(tmp_path: Path) -> None:
    elsewhere = make(tmp_path / "elsewhere", ["c/3.mp4", "c/4.mp4"])
    root = make(tmp_path / "root", ["a/1.mp4", "b/2.mp4"])
    (root / "a" / "up").symlink_to(root)
    (root / "a" / "again").symlink_to(root / "b")
    (root / "c").symlink_to(elsewhere / "c")
    (root / "d").symlink_to(root / "c")
    (root / "b" / "linked.mp4").symlink_to(elsewhere / "c" / "3.mp4")
    (root / "b" / "self.mp4").symlink_to(root / "b" / "self.mp4")
    (root / "b" / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    data = opened(root, splits="hash", test_fraction=0.0, validation_fraction=0.0)
    assert data.classes == ("a", "b", "c")
    assert ids(data, "train") == [
        "a/1.mp4",
        "b/2.mp4",
        "b/gone.mp4",  # cannot be read: for the ledger, not to be dropped in silence
        "b/linked.mp4",
        "b/self.mp4",
        "c/3.mp4",
        "c/4.mp4",
    ]


def test_what_is_no_file_is_no_video(tmp_path: Path) -> None:
    make(tmp_path, ["a.mp4", "folder.mp4/inner.mp4"])
    os.mkfifo(tmp_path / "pipe.mp4")
    assert ids(opened(tmp_path), "train") == ["a.mp4", "folder.mp4/inner.mp4"]


def test_records_are_there_without_prepare_and_root_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(make(tmp_path / "root", ["a.mp4"]))
    options = Folder.Options(root=str(tmp_path / "link"))
    data = Folder(options, DatasetContext(tmp_path / "cache", quiet_progress()))
    assert [r.video_id for r in data.records("train")] == ["a.mp4"]


def test_real_videos_in_class_folders(shared_data: Path) -> None:
    data = opened(shared_data / "weizmann", group_pattern=r"/([a-z]+)_")
    assert len(data.classes) == 10
    assert sum(len(data.records(split)) for split in SPLITS) == 90  # type: ignore[arg-type]
    groups = [{r.group for r in data.records(split)} for split in SPLITS]  # type: ignore[arg-type]
    assert len(set.union(*groups)) == sum(map(len, groups)) == 9


# ------------------------------------------------------------------------------------------- clear errors


def test_a_folder_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="--pretrain DIR"):
        Folder(Folder.Options(), DatasetContext(tmp_path, quiet_progress()))


def test_a_missing_root_or_a_file_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        opened(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="is a file"):
        opened(make(tmp_path, ["video.mp4"]) / "video.mp4")


@pytest.mark.parametrize("names", [[], ["notes.txt", "deep/er/readme.md"], [".hidden/a.mp4"]])
def test_a_folder_without_videos_says_what_was_looked_for(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(DatasetError, match=r"expected videos \(\.avi, .*\.webm\).*found none"):
        opened(make(tmp_path, names))


def test_labels_folders_needs_two_classes_and_nothing_outside(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"at least two class folders.*'only'.*too high or too low"):
        opened(make(tmp_path / "one", ["only/a.mp4", "only/b.mp4"]), labels="folders")
    with pytest.raises(DatasetError, match=r"'stray\.mp4' lies outside"):
        opened(make(tmp_path / "two", ["a/1.mp4", "b/2.mp4", "stray.mp4"]), labels="folders")


def test_splits_folders_needs_training_videos(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="expects videos in a folder 'train'"):
        opened(make(tmp_path, ["test/a.mp4", "val/b.mp4"]), splits="folders")


def test_a_name_that_is_no_unicode_is_named(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/bad\xff.mp4"
    try:
        with open(path, "wb") as file:  # noqa: PTH123
            file.write(b"x")
    except OSError:
        pytest.skip("this file system takes no such names")
    with pytest.raises(DatasetError, match=r"not valid Unicode.*Rename"):
        opened(tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_named_and_not_left_out(tmp_path: Path) -> None:
    make(tmp_path, ["a/1.mp4", "b/2.mp4"])
    (tmp_path / "b").chmod(0)
    try:
        with pytest.raises(DatasetError, match="cannot be read"):
            opened(tmp_path)
    finally:
        (tmp_path / "b").chmod(0o755)


def test_clips_of_one_source_of_ucf101_stay_together(tmp_path: Path) -> None:
    names = [
        f"{action}/v_{action}_g{group:02d}_c{clip:02d}.avi"
        for action in ("Archery", "Surfing")
        for group in range(1, 9)
        for clip in range(1, 4)
    ]
    for name in names:
        path = tmp_path / "hash" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    data = Folder(Folder.Options(root=str(tmp_path / "hash")), DatasetContext(tmp_path, quiet_progress()))
    groups = {part: {r.group for r in data.records(part)} for part in ("train", "validation", "test")}
    assert groups["test"]
    assert groups["validation"]
    assert sum(map(len, groups.values())) == len(set.union(*groups.values())) == 16
    for place, name in enumerate(names):  # a random split, as some have it on disk
        path = tmp_path / "random" / ("test" if place % 3 == 0 else "train") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for options in ({}, {"group_pattern": ".*"}):
        options["root"] = str(tmp_path / "random")
        data = Folder(Folder.Options(**options), DatasetContext(tmp_path, quiet_progress()))
        with pytest.raises(
            DatasetError, match=r"is in 'train' and .* in 'test', and both are cut from source"
        ):
            data.prepare()
