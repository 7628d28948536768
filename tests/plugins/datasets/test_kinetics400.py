"""Kinetics-400: missing videos, replacements, folders by any spelling, tables or none."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from copies import class_names, counts, ids, listed, make, opened, paths, write

from vssl_core.data import build_index
from vssl_core.errors import DatasetError
from vssl_core.protocol import Data
from vssl_plugins.datasets.kinetics400 import Kinetics400

HEAD = "label,youtube_id,time_start,time_end,split\n"
TRAIN = (
    HEAD + '"arm wrestling",-_a_b-cdefg,28,38,train\nabseiling,AAAAAAAAAAA,1,11,train\n'
    "abseiling,aaaaaaaaaaa,0,10,train\n"
)
VAL = (
    '"label","youtube_id","time_start","time_end","split","is_cc"\r\n'
    '"massaging person\'s head",BBBBBBBBBBB,0,10,val,0\r\n'
)
TEST = "youtube_id,time_start,time_end,split\n--6bJUbfpnQ,17,27,test\n"
TABLES = {"train__csv": TRAIN, "val__csv": VAL, "test__csv": TEST}
FILES = {
    "-_a_b-cdefg": "-_a_b-cdefg_000028_000038.mp4",
    "AAAAAAAAAAA": "AAAAAAAAAAA.mkv",
    "aaaaaaaaaaa": "aaaaaaaaaaa_000000_000010.WEBM",
    "BBBBBBBBBBB": "BBBBBBBBBBB_000000_000010.mp4",
    "--6bJUbfpnQ": "--6bJUbfpnQ_000017_000027.mp4",
}
LABELS = {"-_a_b-cdefg": "arm wrestling", "AAAAAAAAAAA": "abseiling", "aaaaaaaaaaa": "abseiling"}


def placed(pattern: str) -> list[str]:
    """The files, laid out: `{split}`, `{label}` and `{file}` are filled in."""
    split = dict.fromkeys(LABELS, "train") | {"BBBBBBBBBBB": "val", "--6bJUbfpnQ": "test"}
    label = LABELS | {"BBBBBBBBBBB": "massaging_persons_head", "--6bJUbfpnQ": "yoga"}
    return [pattern.format(split=split[one], label=label[one], file=file) for one, file in FILES.items()]


@pytest.mark.parametrize(
    "layout",
    [
        "{split}/{file}",
        "{split}/{label}/{file}",
        "videos/{split}/{label}/{file}",
        "videos_{split}/{label}/{file}",
        "{split}_256/{label}/{file}",
        "anything/{file}",
        "{file}",
    ],
)
@pytest.mark.parametrize("folder", ["annotations", ""])
@pytest.mark.parametrize("name", ["{}", "kinetics_{}", "kinetics-400_{}"])
def test_every_layout(tmp_path: Path, layout: str, folder: str, name: str) -> None:
    root = make(tmp_path / "k400", placed(layout))
    write(root / folder, **{name.format(table): text for table, text in TABLES.items()})
    data = opened(Kinetics400, root)
    assert paths(data, root) == {
        one: path for one, path in zip(FILES, placed(layout), strict=True) if one != "--6bJUbfpnQ"
    }
    assert class_names(data, "train") == LABELS
    assert class_names(data, "validation") == {"BBBBBBBBBBB": "massaging person's head"}
    assert counts(data.inventory()) == {"train": (3, 0), "val": (1, 0), "test": (1, 0)}
    assert data.records("test") == []
    assert "score_on=val" in data.inventory().notes[0]
    assert {r.video_id: r.group for r in data.records("train")} == {one: one for one in LABELS}


@pytest.mark.parametrize(
    "spelt",
    [
        "massaging person's head",
        "massaging_person's_head",
        "massaging_persons_head",
        "Massaging persons head",
    ],
)
def test_without_tables_folders_tell_by_any_spelling(tmp_path: Path, spelt: str) -> None:
    folders = [spelt, "skiing_not_slalom_or_crosscountry", "skiing crosscountry", "shooting_goal_(soccer)"]
    root = make(tmp_path / "R", [f"train/{one}/{i:011d}_000001_000011.mp4" for i, one in enumerate(folders)])
    make(root, ["val/skiing crosscountry/CCCCCCCCCCC.mp4", "train/no such class/DDDDDDDDDDD.mp4"])
    data = opened(Kinetics400, root)
    names = ["massaging person's head", "skiing (not slalom or crosscountry)", "skiing crosscountry"]
    assert [data.classes[r.label] for r in data.records("train")] == [*names, "shooting goal (soccer)"]
    assert [data.classes.index(name) for name in names[1:]] == [308, 309]
    assert ids(data, "validation") == ["CCCCCCCCCCC"]
    assert data.inventory().unexpected == ("train/no such class/DDDDDDDDDDD.mp4",)
    assert "what is missing cannot be known" in data.inventory().notes[0]


def test_a_table_and_a_folder_may_stand_for_different_lists(tmp_path: Path) -> None:
    root = write(make(tmp_path / "R", ["train/yoga/EEEEEEEEEEE.mp4", "val/x/BBBBBBBBBBB.mp4"]), val__csv=VAL)
    data = opened(Kinetics400, root)
    assert class_names(data, "train") == {"EEEEEEEEEEE": "yoga"}
    assert class_names(data, "validation") == {"BBBBBBBBBBB": "massaging person's head"}


def test_the_canonical_order_is_that_of_sorted_labels(tmp_path: Path, shared_data: Path) -> None:
    table = shared_data / "annotations" / "kinetics400" / "kinetics-400_val.csv"
    rows = list(csv.DictReader(table.open()))
    data = opened(Kinetics400, make(tmp_path / "R", ()), annotations=str(table.parent), score_on="val")
    assert list(data.classes) == sorted({row["label"] for row in rows})
    found = data.inventory()
    assert counts(found) == {"val": (0, 19_906)}
    assert listed(found, "val").official is True
    assert listed(found, "val").part == "test"


def test_real_clips_two_by_id_alone(tmp_path: Path, shared_data: Path) -> None:
    folder = shared_data / "clips" / "kinetics400"
    (tmp_path / "R").symlink_to(folder)
    few = opened(
        Kinetics400, tmp_path / "R", annotations=str(folder / "kinetics-400_val_8videos.csv"), score_on="val"
    )
    assert {r.video_id: r.label for r in few.records("test")} == {
        "ehLnj7pXnYE": 6,
        "dAeUFSdYG1I": 40,
        "zkXOcxGnUhs": 40,
    }
    assert counts(few.inventory()) == {"val": (3, 5)}
    table = shared_data / "annotations" / "kinetics400"
    (tmp_path / "S").symlink_to(folder)
    assert len(opened(Kinetics400, tmp_path / "S", annotations=str(table)).records("validation")) == 6


@pytest.mark.parametrize("folder", ["train/", "videos/train/", ""])
def test_missing_videos_are_told_and_replacements_override(tmp_path: Path, folder: str) -> None:
    root = write(tmp_path / "R", **TABLES)
    make(
        root,
        [
            f"{folder}AAAAAAAAAAA_000001_000011.mp4",
            "replacement/replacement_for_corrupted_k400/AAAAAAAAAAA_000001_000011.mp4",
        ],
    )
    data = opened(Kinetics400, root)
    replaced = "replacement/replacement_for_corrupted_k400/AAAAAAAAAAA_000001_000011.mp4"
    assert paths(data, root) == {"AAAAAAAAAAA": replaced}
    assert data.inventory().duplicated == {
        "AAAAAAAAAAA": (replaced, f"{folder}AAAAAAAAAAA_000001_000011.mp4")
    }
    assert listed(data.inventory(), "train").missing == ("-_a_b-cdefg", "aaaaaaaaaaa")


def test_of_two_copies_the_one_in_the_folder_of_its_class_is_used(tmp_path: Path) -> None:
    root = make(
        write(tmp_path / "R", **TABLES), ["train/a/AAAAAAAAAAA.mp4", "train/abseiling/AAAAAAAAAAA.mp4"]
    )
    assert paths(opened(Kinetics400, root), root) == {"AAAAAAAAAAA": "train/abseiling/AAAAAAAAAAA.mp4"}


def test_val_may_be_scored_and_validation_is_carved(tmp_path: Path) -> None:
    root = write(make(tmp_path / "R", placed("{split}/{file}")), **TABLES)
    data = opened(Kinetics400, root, score_on="val")
    assert ids(data, "test") == ["BBBBBBBBBBB"]
    index = build_index("kinetics400", data, Data())
    assert [r.video_id for r in index.parts["test"]] == ["BBBBBBBBBBB"]
    assert len(index.parts["validation"]) == 1
    assert index.parts["validation"][0].video_id in ("AAAAAAAAAAA", "aaaaaaaaaaa")


def test_a_labelled_test_table_is_scored(tmp_path: Path) -> None:
    tables = {**TABLES, "test__csv": HEAD + "yoga,--6bJUbfpnQ,17,27,test\n"}
    root = write(make(tmp_path / "R", placed("{split}/{file}")), **tables)
    assert class_names(opened(Kinetics400, root), "test") == {"--6bJUbfpnQ": "yoga"}


def test_rows_that_say_the_same_count_once(tmp_path: Path) -> None:
    root = write(tmp_path / "R", train__csv=TRAIN + "abseiling,AAAAAAAAAAA,90,100,train\n")
    assert counts(opened(Kinetics400, root).inventory()) == {"train": (0, 3)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, is empty; expected the columns youtube_id"),
        ("a.mp4 3\n", "line 1, must name the columns, each once, youtube_id among them"),
        ("youtube_id,youtube_id\n", "line 1, must name the columns"),
        (HEAD, "line 1, names columns and no video"),
        (HEAD + "yoga,AAAAAAAAAAA,1\n", "line 2, has 3 fields; expected 5"),
        (HEAD + "\nyoga,AAAA,1,2,train\n", "line 3, has the youtube_id 'AAAA'"),
        (HEAD + "yoga,../../etc/p,1,2,train\n", r"line 2, has the youtube_id '\.\./\.\./etc/p'"),
        (HEAD + "yoega,AAAAAAAAAAA,1,2,train\n", "line 2, has the label 'yoega'.*Did you mean 'yoga'"),
        (HEAD + '"yoga,AAAAAAAAAAA,1,2,train\n', "is not CSV"),
        (
            TRAIN + "yoga,AAAAAAAAAAA,1,2,train\n",
            "line 5, says class 'yoga' .* line 3, says class 'abseiling'",
        ),
    ],
)
def test_malformed_tables_are_named_with_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DatasetError, match=r"train\.csv', .*" + message):
        opened(Kinetics400, write(tmp_path / "R", train__csv=text))


def test_one_table_of_all_lists_needs_the_column_split(tmp_path: Path) -> None:
    root = make(tmp_path / "R", placed("{file}"))
    write(
        tmp_path,
        k400__csv=TRAIN + "yoga,--6bJUbfpnQ,17,27,validate\n",
        bad__csv=TRAIN.replace(",train\n", ",all\n"),
    )
    data = opened(Kinetics400, root, annotations=str(tmp_path / "k400.csv"))
    assert counts(data.inventory()) == {"train": (3, 0), "val": (1, 0)}
    with pytest.raises(DatasetError, match="has the split 'all'; expected train, val or test"):
        opened(Kinetics400, root, annotations=str(tmp_path / "bad.csv"))


def test_neither_tables_nor_folders(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"needs train\.csv.*or videos in folders train/CLASS"):
        opened(Kinetics400, make(tmp_path / "R", placed("{file}")))
    with pytest.raises(DatasetError, match=r"expected tables such as train\.csv"):
        opened(Kinetics400, tmp_path / "R", annotations=str(tmp_path))


def test_the_list_of_classes_is_whole() -> None:
    names = (Path(__file__).parents[3] / "plugins/vssl_plugins/datasets/kinetics400_classes.txt").read_text()
    assert (
        len(names.splitlines())
        == len({re.sub("[^a-z]", "", name.lower()) for name in names.splitlines()})
        == 400
    )
    assert names.splitlines() == sorted(names.splitlines())
