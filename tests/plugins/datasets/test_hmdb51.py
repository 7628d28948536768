"""HMDB51: ids 0, 1 and 2, names that break patterns, and classes that are part of others' names."""

from __future__ import annotations

from pathlib import Path

import pytest
from copies import class_names, counts, ids, make, opened, paths, write

from vssl_core.errors import DatasetError
from vssl_plugins.datasets.hmdb51 import HMDB51

BRACKETS = "(HQ)_[x]_#1_&_a;b!~@+c_sword_f_cm_np1_le_med_2"
SWORD = "The_draw_sword_sword_exercise_film_sword_f_nm_np2_fr_bad_0"
EXERCISE = "Kata_sword_exercise_f_nm_np1_fr_goo_0"
DRAW = "Film_draw_sword_f_nm_np10_ba_med_11"
LISTS = {
    "sword_test_split1__txt": f"{BRACKETS}.avi 1 \r\n{SWORD}.avi 2 \r\n",
    "sword_exercise_test_split1__txt": f"{EXERCISE}.avi 1 \n",
    "draw_sword_test_split1__txt": f"{DRAW}.avi 1 \nFilm_draw_sword_f_nm_np10_ba_med_12.avi 0 \n",
}
VIDEOS = [
    f"sword/{BRACKETS}.avi",
    f"sword/{SWORD}.avi",
    f"sword_exercise/{EXERCISE}.avi",
    f"draw_sword/{DRAW}.avi",
]


@pytest.fixture
def lists(shared_data: Path) -> Path:
    return shared_data / "annotations" / "hmdb51_splits"


@pytest.mark.parametrize("split", [1, 2, 3])
def test_the_official_lists(tmp_path: Path, lists: Path, split: int) -> None:
    data = opened(HMDB51, make(tmp_path / "R", ()), annotations=str(lists), split=split)
    found = data.inventory()
    assert counts(found) == {"train": (0, 3570), "test": (0, 1530), "unused": (0, 1666)}
    assert [one.official for one in found.lists] == [True] * 3
    assert len(data.classes) == 51
    assert data.classes[:3] == ("brush_hair", "cartwheel", "catch")
    assert list(data.classes) == sorted(data.classes)


def test_every_awkward_name_finds_its_file_and_no_group_straddles(tmp_path: Path, lists: Path) -> None:
    names = {line.rsplit(None, 1)[0] for file in lists.glob("*_test_split1.txt") for line in file.open()}
    assert sum(any(sign in name for sign in "()!#[]&+;~@") for name in names) == 536
    root = make(tmp_path / "R" / "hmdb51_org", names, b"")
    data = opened(HMDB51, root.parent, annotations=str(lists))
    assert counts(data.inventory()) == {"train": (3570, 0), "test": (1530, 0), "unused": (1666, 0)}
    assert data.inventory().unexpected == ()
    train, test = ({r.group for r in data.records(part)} for part in ("train", "test"))
    assert (len(train), len(test), len(train & test)) == (1433, 590, 0)
    per_class = [list(class_names(data, part).values()) for part in ("train", "test")]
    assert {name: per_class[0].count(name) for name in data.classes} == dict.fromkeys(data.classes, 70)
    assert {name: per_class[1].count(name) for name in data.classes} == dict.fromkeys(data.classes, 30)


def test_real_clips(tmp_path: Path, shared_data: Path, lists: Path) -> None:
    root = tmp_path / "hmdb"
    root.symlink_to(shared_data / "clips" / "hmdb51")
    data = opened(HMDB51, root, annotations=str(lists))
    assert sum(here for here, _ in counts(data.inventory()).values()) == 9
    for split in ("train", "test"):
        for record in data.records(split):
            assert Path(record.path).parent.name == data.classes[record.label]


def test_what_a_mac_puts_into_archives_is_no_list(tmp_path: Path) -> None:
    root = make(tmp_path / "R", VIDEOS)
    write(root, **LISTS)
    (root / "._sword_test_split1.txt").write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X \xb0")
    assert opened(HMDB51, root).classes == ("draw_sword", "sword", "sword_exercise")


@pytest.mark.parametrize("videos", ["videos", "hmdb51_org", "hmdb51", ""])
@pytest.mark.parametrize(
    "annotations", ["testTrainMulti_7030_splits", "test_train_splits", "splits", "annotations", ""]
)
def test_every_layout_and_what_the_ids_mean(tmp_path: Path, videos: str, annotations: str) -> None:
    root = tmp_path / "R"
    make(root / videos, VIDEOS)
    write(root / annotations, **LISTS)
    data = opened(HMDB51, root)
    assert data.classes == ("draw_sword", "sword", "sword_exercise")
    assert class_names(data, "train") == {BRACKETS: "sword", EXERCISE: "sword_exercise", DRAW: "draw_sword"}
    assert ids(data, "test") == [SWORD]
    assert counts(data.inventory())["unused"] == (0, 1)
    assert data.inventory().notes == (
        "there are lists of 3 classes, not 51: labels are not the official ones.",
    )


def test_groups_are_read_from_the_right(tmp_path: Path) -> None:
    root = make(write(tmp_path / "R", **LISTS), VIDEOS)
    data = opened(HMDB51, root)
    assert {r.video_id: r.group for r in data.records("train")} == {
        BRACKETS: "sword/(HQ)_[x]_#1_&_a;b!~@+c",
        EXERCISE: "sword_exercise/Kata",
        DRAW: "draw_sword/Film",
    }
    assert data.records("test")[0].group == "sword/The_draw_sword_sword_exercise_film"


def test_names_are_exact_and_extensions_are_not(tmp_path: Path) -> None:
    root = write(tmp_path / "R", **LISTS)
    make(root, [f"{DRAW}.mp4", f"{EXERCISE.upper()}.avi"])
    data = opened(HMDB51, root)
    assert paths(data, root) == {DRAW: f"{DRAW}.mp4"}
    assert data.inventory().unexpected == (f"{EXERCISE.upper()}.avi",)


def test_the_name_in_pytorchvideos_docstring_is_taken_too(tmp_path: Path) -> None:
    lists = {name.replace("split1", "split_1"): text for name, text in LISTS.items()}
    assert len(opened(HMDB51, make(write(tmp_path / "R", **lists), VIDEOS)).records("train")) == 3


@pytest.mark.parametrize("line", ["name.avi 3", "name.avi", "name.avi one", "1"])
def test_a_malformed_line_is_named(tmp_path: Path, line: str) -> None:
    root = write(tmp_path / "R", **{**LISTS, "sword_test_split1__txt": f"{BRACKETS}.avi 1\n\n{line}\n"})
    with pytest.raises(
        DatasetError, match=r"sword_test_split1\.txt', line 3, .* expected the name .* 0, 1 or 2"
    ):
        opened(HMDB51, root)


def test_one_name_in_two_lists_is_a_mistake(tmp_path: Path) -> None:
    lists = {**LISTS, "sword_exercise_test_split1__txt": f"{BRACKETS}.avi 1\n"}
    with pytest.raises(
        DatasetError, match=r"sword_exercise_test_split1\.txt', line 1, .*and sword_test_split1\.txt, line 1"
    ):
        opened(HMDB51, write(tmp_path / "R", **lists))


def test_no_lists(tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"CLASS_test_split2\.txt.*testTrainMulti_7030_splits.*--annotations"
    ):
        opened(HMDB51, write(tmp_path / "R", **LISTS), split=2)
