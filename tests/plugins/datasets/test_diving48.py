"""Diving48: version 2 against version 1, the class that nobody dives, and groups by competition."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from copies import counts, ids, make, opened, write

from vssl_core.data import build_index
from vssl_core.errors import DatasetError
from vssl_core.protocol import Data
from vssl_plugins.datasets.diving48 import Diving48

TRAIN = [
    {"vid_name": f"-mmq0PT-u8k_0015{i}", "label": i % 2, "start_frame": 0, "end_frame": 48} for i in range(4)
]
TEST = [{"vid_name": "8q_mKunCjtY_00016", "label": 47, "start_frame": 0, "end_frame": 78}]
V2 = {"Diving48_V2_train__json": json.dumps(TRAIN), "Diving48_V2_test__json": json.dumps(TEST)}
V1 = {name.replace("_V2", ""): text for name, text in V2.items()}
VIDEOS = [f"{row['vid_name']}.mp4" for row in (*TRAIN, *TEST)]


@pytest.fixture
def lists(shared_data: Path) -> Path:
    return shared_data / "annotations" / "diving48"


def test_the_official_lists(tmp_path: Path, lists: Path) -> None:
    names = [
        row["vid_name"]
        for part in ("train", "test")
        for row in json.loads((lists / f"Diving48_V2_{part}.json").read_text())
    ]
    root = make(tmp_path / "R" / "rgb", [f"{name}.mp4" for name in names], b"").parent
    data = opened(Diving48, root, annotations=str(lists))
    found = data.inventory()
    assert counts(found) == {"train": (15_027, 0), "test": (1_970, 0)}
    assert [one.official for one in found.lists] == [True, True]
    assert len(data.classes) == 48
    assert found.empty_classes == (data.classes[30],) == ("Forward Dive NoTwis STR",)
    groups = {part: {r.group for r in data.records(part)} for part in ("train", "test")}
    assert (len(groups["train"]), len(groups["test"])) == (58, 26)
    assert not groups["train"] & groups["test"]
    index = build_index("diving48", data, Data())
    carved = {r.group for r in index.parts["validation"]}
    assert 0.1 < len(index.parts["validation"]) / 15_027 < 0.3
    assert not carved & {r.group for r in index.parts["train"]}
    assert {r.label for r in index.parts["train"]} == set(range(48)) - {30}


@pytest.mark.parametrize("videos", ["rgb", "videos", ""])
@pytest.mark.parametrize("annotations", ["annotations", "labels", ""])
def test_every_layout(tmp_path: Path, videos: str, annotations: str) -> None:
    root = tmp_path / "R"
    make(root / videos, VIDEOS)
    write(root / annotations, **V2)
    data = opened(Diving48, root)
    assert ids(data, "train") == [row["vid_name"] for row in TRAIN]
    assert [(r.label, r.group) for r in data.records("test")] == [(47, "8q_mKunCjtY")]
    assert data.classes[47] == "class 47"
    assert data.inventory().notes == ("there is no Diving48_vocab.json: classes have numbers for names.",)


def test_version_1_must_be_asked_for(tmp_path: Path) -> None:
    root = make(write(tmp_path / "R", **V1), VIDEOS)
    with pytest.raises(
        DatasetError, match=r"expected Diving48_V2_train\.json; found .*version 1.*version=V1"
    ):
        opened(Diving48, root)
    data = opened(Diving48, root, version="V1")
    assert len(data.records("train")) == 4
    assert [one.official for one in data.inventory().lists] == [None, None]
    both = write(root, **V2)
    assert [one.official for one in opened(Diving48, both).inventory().lists] == [False, False]


def test_version_2_does_not_pass_for_version_1(tmp_path: Path, lists: Path) -> None:
    root = tmp_path / "R"
    root.mkdir()
    for part in ("train", "test"):
        (root / f"Diving48_{part}.json").write_bytes((lists / f"Diving48_V2_{part}.json").read_bytes())
    with pytest.raises(DatasetError, match=r"Diving48_train\.json' has those of version 2"):
        opened(Diving48, root, version="V1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, starts with ''; expected a JSON list"),
        ("{}", "line 1, starts with '{}'; expected a JSON list"),
        (
            '[{"vid_name": "a_1", "label": 0},\n {"vid_name": "a_2" "label": 0}]',
            "line 2, is not JSON: Expecting ','",
        ),
        ('[\n{"vid_name": "a_1", "label": 48}\n]', "line 2, gives 'a_1' the label 48; expected 0 … 47"),
        ('[\n{"vid_name": "a_1", "label": true}]', "line 2, gives 'a_1' the label True"),
        ('[\n\n{"vid_name": 7, "label": 1}]', "line 3, has the vid_name 7"),
        ("[\n7]", "line 2, has 7; expected an object"),
        ('[{"vid_name": "a_1", "label": 1}\n{}]', "line 2, lacks a comma"),
        ("[]\n[]", "line 2, goes on after the end"),
        ("[" * 100_000, "line 1, is not JSON that can be meant"),
        ('[{"vid_name": "a", "label": ' + "9" * 5000 + "}]", "line 1, is not JSON that can be meant"),
        ('[{"vid_name": "\\ud800", "label": 1}]', "line 1, has the video .* not valid Unicode"),
        ('[{"vid_name": "a", "label": 1},\n{"vid_name": "a", "label": 2}]', "line 2, says class 'class 2'"),
    ],
)
def test_malformed_json_is_named_with_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    root = write(tmp_path / "R", **{**V2, "Diving48_V2_train__json": text})
    with pytest.raises(DatasetError, match=r"Diving48_V2_train\.json', " + message):
        opened(Diving48, root)


@pytest.mark.parametrize("text", ["[]", '["Back"]', json.dumps([["Back", "Tuck"]] * 48)])
def test_a_vocabulary_has_48_different_classes(tmp_path: Path, text: str) -> None:
    with pytest.raises(DatasetError, match=r"Diving48_vocab\.json', line 1"):
        opened(Diving48, write(tmp_path / "R", **V2, Diving48_vocab__json=text))
