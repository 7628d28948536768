"""UCF101: the official lists, every layout in use, and what real copies do to names."""

from __future__ import annotations

from pathlib import Path

import pytest
from copies import class_names, counts, ids, listed, make, opened, paths, write

from vssl_core.data import build_index
from vssl_core.errors import DatasetError, OptionError, UsageError
from vssl_core.interfaces import DatasetContext
from vssl_core.progress import quiet_progress
from vssl_core.protocol import Data
from vssl_plugins.datasets.ucf101 import UCF101

CLASSES = "1 Hammering\r\n2 HammerThrow\r\n3 HandstandPushups\r\n"
TRAIN = (
    "Hammering/v_Hammering_g08_c01.avi 1\r\nHammerThrow/v_HammerThrow_g08_c01.avi 2\r\n"
    "HandstandPushups/v_HandStandPushups_g08_c02.avi 3\r\n\r\n"
)
TEST = "Hammering/v_Hammering_g01_c01.avi\r\nHandstandPushups/v_HandStandPushups_g01_c01.avi\r\n"
LISTS = {"classInd__txt": CLASSES, "trainlist01__txt": TRAIN, "testlist01__txt": TEST}
VIDEOS = [line.split()[0] for line in (TRAIN + TEST).split() if "/" in line]


@pytest.fixture
def lists(shared_data: Path) -> Path:
    return shared_data / "annotations" / "ucfTrainTestlist"


@pytest.mark.parametrize(("split", "train", "test"), [(1, 9537, 3783), (2, 9586, 3734), (3, 9624, 3696)])
def test_the_official_lists_are_known_by_their_digest(
    tmp_path: Path, lists: Path, split: int, train: int, test: int
) -> None:
    data = opened(UCF101, make(tmp_path / "empty", ()), annotations=str(lists), split=split)
    found = data.inventory()
    assert counts(found) == {"train": (0, train), "test": (0, test)}
    assert [(one.official, one.published) for one in found.lists] == [(True, train), (True, test)]
    assert len(data.classes) == 101
    assert [data.classes[i] for i in (34, 35, 46, 47)] == [
        "Hammering",
        "HammerThrow",
        "JumpingJack",
        "JumpRope",
    ]


@pytest.mark.parametrize(("split", "train", "test"), [(1, 529, 202), (2, 527, 204), (3, 517, 214)])
def test_six_real_classes_and_the_missing_ones_are_told(
    shared_data: Path, lists: Path, tmp_path: Path, split: int, train: int, test: int
) -> None:
    root = tmp_path / "link"
    root.symlink_to(shared_data / "ucf101-6" / "UCF-101")
    data = opened(UCF101, root, annotations=str(lists), split=split)
    assert [len(data.records(part)) for part in ("train", "validation", "test")] == [train, 0, test]
    found = data.inventory()
    assert len(found.empty_classes) == 95
    assert sum(len(one.missing) for one in found.lists) == 13320 - 731
    assert (found.unexpected, found.duplicated, found.unreadable, found.notes) == ((), {}, (), ())
    assert {r.label for r in data.records("test")} == {2, 8, 40, 63, 66, 87}
    index = build_index("ucf101", data, Data())
    groups = [{record.group for record in part} for part in index.parts.values()]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 6 * 25
    parts = {part: {r.label for r in records} for part, records in index.parts.items()}
    assert parts["validation"] == parts["train"] == {2, 8, 40, 63, 66, 87}
    assert 0.15 <= len(index.parts["validation"]) / train < 0.25


def test_groups_of_one_split_never_stand_on_both_sides(lists: Path, tmp_path: Path) -> None:
    names = [f"UCF-101/{line.split()[0]}" for line in (lists / "trainlist01.txt").read_text().splitlines()]
    names += [f"UCF-101/{line.split()[0]}" for line in (lists / "testlist01.txt").read_text().splitlines()]
    data = opened(UCF101, make(tmp_path / "R", names[::20], b""), annotations=str(lists))
    groups = {part: {r.group for r in data.records(part)} for part in ("train", "test")}
    assert not groups["train"] & groups["test"]
    assert {g.split("/")[1] for g in groups["test"]} == {f"g{i:02d}" for i in range(1, 8)}
    assert {g.split("/")[0] for g in groups["train"]} == set(data.classes)


@pytest.mark.parametrize("videos", ["UCF-101", "UCF101", "videos", ""])
@pytest.mark.parametrize("annotations", ["ucfTrainTestlist", "annotations", "splits", ""])
@pytest.mark.parametrize("flat", [False, True])
def test_every_layout(tmp_path: Path, videos: str, annotations: str, flat: bool) -> None:
    root = tmp_path / "R"
    names = [name.split("/")[1] if flat else name for name in VIDEOS]
    make(root / videos, names)
    write(root / annotations, **LISTS)
    data = opened(UCF101, root)
    assert ids(data, "train") == [
        "v_HammerThrow_g08_c01",
        "v_Hammering_g08_c01",
        "v_HandStandPushups_g08_c02",
    ]
    assert ids(data, "test") == ["v_Hammering_g01_c01", "v_HandStandPushups_g01_c01"]
    assert class_names(data, "train")["v_HammerThrow_g08_c01"] == "HammerThrow"
    assert data.inventory().unexpected == ()


def test_letter_case_and_extension_of_a_copy_do_not_matter(tmp_path: Path) -> None:
    root = write(tmp_path / "R", **LISTS)
    make(root, ["handstandpushups/V_HandstandPushups_g08_C02.MP4", "Hammering/v_hammering_G01_c01.webm"])
    data = opened(UCF101, root)
    assert paths(data, root) == {
        "v_HandStandPushups_g08_c02": "handstandpushups/V_HandstandPushups_g08_C02.MP4",
        "v_Hammering_g01_c01": "Hammering/v_hammering_G01_c01.webm",
    }
    assert class_names(data, "train") == {"v_HandStandPushups_g08_c02": "HandstandPushups"}
    assert data.inventory().empty_classes == ("HammerThrow",)


def test_lists_that_are_not_the_official_ones_are_used_and_told(tmp_path: Path) -> None:
    root = make(write(tmp_path / "R", **LISTS), VIDEOS)
    found = opened(UCF101, root).inventory()
    assert [(one.official, len(one.found)) for one in found.lists] == [(False, 3), (False, 2)]


def test_extra_and_double_files_are_told_and_the_choice_is_the_same_everywhere(tmp_path: Path) -> None:
    root = make(write(tmp_path / "R", **LISTS), [*VIDEOS, "Hammering/v_Hammering_g08_c01.mp4", "x/other.mp4"])
    data = opened(UCF101, root)
    assert data.inventory().unexpected == ("x/other.mp4",)
    assert data.inventory().duplicated == {
        "v_Hammering_g08_c01": ("Hammering/v_Hammering_g08_c01.avi", "Hammering/v_Hammering_g08_c01.mp4")
    }
    assert paths(data, root)["v_Hammering_g08_c01"] == "Hammering/v_Hammering_g08_c01.avi"


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("classInd__txt", "1 A\n3 B\n", r"classInd.txt', line 2, is '3 B'; expected 2 and"),
        ("classInd__txt", "1\n", r"line 1, is '1'; expected 1 and the name"),
        ("classInd__txt", "", r"classInd.txt', line 1, is empty"),
        ("classInd__txt", "1 A\n2 a\n", "stands there twice"),
        (
            "trainlist01__txt",
            "v_Hammering_g08_c01.avi 1\n",
            r"trainlist01.txt', line 1, .* expected CLASS/VIDEO",
        ),
        (
            "trainlist01__txt",
            "\n../Hammering/v.avi 1\n",
            r"line 2, is '\.\./Hammering/v\.avi 1'; expected CLASS",
        ),
        (
            "trainlist01__txt",
            "Hammering/v_a.avi 2\n",
            r"gives 'Hammering' the number '2'; classInd.txt says 1",
        ),
        (
            "testlist01__txt",
            TRAIN,
            r"testlist01.txt', line 1, says class .*and trainlist01.txt, line 1, says",
        ),
        ("testlist01__txt", "Hammering/\udcff.avi", r"line 1, is not UTF-8 \(byte 0xff\)"),
    ],
)
def test_malformed_lists_are_named_with_file_and_line(
    tmp_path: Path, file: str, text: str, message: str
) -> None:
    root = write(tmp_path / "R", **LISTS)
    (root / file.replace("__", ".")).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(DatasetError, match=message):
        opened(UCF101, root)


def test_what_is_lacking_is_named_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="vssl data prepare ucf101 --root DIR"):
        UCF101(UCF101.Options(), DatasetContext(tmp_path, quiet_progress()))
    with pytest.raises(OptionError, match="expected a path; got '~nobody-here/x'"):
        UCF101(UCF101.Options(root="~nobody-here/x"), DatasetContext(tmp_path, quiet_progress()))
    with pytest.raises(UsageError, match="does not exist"):
        opened(UCF101, tmp_path / "nowhere")
    with pytest.raises(
        DatasetError, match=r"needs classInd\.txt; there is none in .*ucfTrainTestlist.*--annotations"
    ):
        opened(UCF101, make(tmp_path / "R", VIDEOS))
    with pytest.raises(DatasetError, match=r"needs trainlist02\.txt"):
        opened(UCF101, write(tmp_path / "R", **LISTS), split=2)


def test_no_label_depends_on_what_is_here(tmp_path: Path) -> None:
    root = make(write(tmp_path / "R", **LISTS), VIDEOS[2:3])
    assert [record.label for record in opened(UCF101, root).records("train")] == [2]
    assert listed(opened(UCF101, root).inventory(), "train").missing == (
        "v_HammerThrow_g08_c01",
        "v_Hammering_g08_c01",
    )


def test_lists_that_part_the_clips_of_a_source_are_refused(tmp_path: Path, lists: Path) -> None:
    """A random split of the real lists: every second clip for testing."""
    lines = [
        line.split()[0]
        for name in ("trainlist01.txt", "testlist01.txt")
        for line in (lists / name).read_text().splitlines()
    ]
    parts = {"trainlist01__txt": "\n".join(lines[::2]), "testlist01__txt": "\n".join(lines[1::2])}
    random = write(tmp_path / "random", **parts, classInd__txt=(lists / "classInd.txt").read_text())
    root = make(tmp_path / "R", lines[:8], b"")
    with pytest.raises(
        DatasetError, match=r"both are cut from source 'ApplyEyeMakeup_g08' of UCF101.*official"
    ):
        opened(UCF101, root, annotations=str(random))
