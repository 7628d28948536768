"""Something-Something v2: bracketed templates, labels as texts, sides that a flip swaps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from copies import class_names, counts, ids, listed, make, opened, paths, write

from vssl_core.errors import DatasetError
from vssl_plugins.datasets.ssv2 import SSv2

LABELS = {
    "Pulling something from left to right": "2",
    "Closing something": "0",
    "Pulling something from right to left": "1",
    "Putting something upright on the table": "3",
}
TRAIN = [
    {"id": str(i), "label": "closing jar", "template": "Closing [something]", "placeholders": ["jar"]}
    for i in range(6)
]
VALIDATION = [
    {"id": "90", "template": "Pulling [something] from left to right"},
    {"id": "91", "template": "Pulling [[something] from right to left"},
]
FILES = {
    "labels": json.dumps(LABELS),
    "train": json.dumps(TRAIN),
    "validation": json.dumps(VALIDATION),
    "test": json.dumps([{"id": "99"}]),
}
VIDEOS = [f"{i}.webm" for i in (*range(6), 90, 91, 99)]


def named(pattern: str, **changed: str) -> dict[str, str]:
    return {pattern.format(what) + "__json": text for what, text in (FILES | changed).items()}


@pytest.fixture
def lists(shared_data: Path) -> Path:
    return shared_data / "annotations" / "ssv2"


def test_the_official_lists(tmp_path: Path, lists: Path) -> None:
    data = opened(SSv2, make(tmp_path / "R", ["166766.webm"]), annotations=str(lists))
    found = data.inventory()
    assert counts(found) == {"validation": (1, 24_776), "test": (0, 27_157)}
    assert [one.official for one in found.lists] == [True, True]
    assert [(one.part, one.published) for one in found.lists] == [("test", 24_777), (None, 27_157)]
    assert [(r.video_id, r.label, r.group) for r in data.records("test")] == [("166766", 57, "166766")]
    assert found.notes == ("there is no train.json: its videos cannot be known.",)
    names = json.loads((lists / "something-something-v2-labels.json").read_text())
    assert list(data.classes) == sorted(names, key=lambda name: int(names[name]))
    pairs = {tuple(sorted((data.classes.index(a), data.classes.index(b)))) for a, b in data.mirrored.items()}
    assert pairs == {(86, 87), (93, 94), (166, 167)}


@pytest.mark.parametrize(
    "videos", ["20bn-something-something-v2", "videos", "something-something-v2-videos_avi", ""]
)
@pytest.mark.parametrize("annotations", ["annotations", "labels", "something-something-v2-annotations", ""])
@pytest.mark.parametrize("pattern", ["something-something-v2-{}", "{}"])
def test_every_layout(tmp_path: Path, videos: str, annotations: str, pattern: str) -> None:
    root = tmp_path / "R"
    make(root / videos, VIDEOS)
    write(root / annotations, **named(pattern))
    data = opened(SSv2, root)
    assert data.classes == (
        "Closing something",
        "Pulling something from right to left",
        "Pulling something from left to right",
        "Putting something upright on the table",
    )
    assert class_names(data, "train") == {str(i): "Closing something" for i in range(6)}
    assert [r.label for r in data.records("test")] == [2, 1]
    assert counts(data.inventory()) == {"train": (6, 0), "validation": (2, 0), "test": (1, 0)}


def test_sides_are_swapped_and_upright_is_no_side(tmp_path: Path) -> None:
    data = opened(SSv2, write(tmp_path / "R", **named("{}")))
    left, right = "Pulling something from right to left", "Pulling something from left to right"
    assert data.mirrored == {left: right, right: left}


def test_the_content_decides_and_not_the_extension(tmp_path: Path) -> None:
    root = write(make(tmp_path / "R", ["videos/0.mp4", "videos/1.AVI", "videos/90.mkv"]), **named("{}"))
    data = opened(SSv2, root)
    assert paths(data, root) == {"0": "videos/0.mp4", "1": "videos/1.AVI", "90": "videos/90.mkv"}
    assert listed(data.inventory(), "train").missing == ("2", "3", "4", "5")


@pytest.mark.parametrize(
    ("what", "text", "message"),
    [
        ("labels", "[]", r"labels.json', line 1, has \[\]; expected a JSON object"),
        ("labels", '{"a": "0",\n "b": "x"}', r"labels.json', line 2, gives 'b' the label 'x'"),
        ("labels", '{"a": "0",\n "b": "2"}', r"labels.json', line 1, starts labels that are not 0 … 1"),
        (
            "labels",
            '{"a": "0",\n "a": "1"}',
            r"labels.json', line 1, has the key 'a', which stands there twice",
        ),
        ("labels", "{}", r"labels.json', line 1"),
        ("labels", "", r"labels.json', line 1.* is not JSON"),
        ("train", '[{"id": "1"}]', r"train.json', line 1, has the template None"),
        ("train", '[\n{"id": "", "template": "Closing [something]"}]', r"train.json', line 2, has the id ''"),
        (
            "train",
            '[{"id": "1", "template": "Closing [somthing]"}]',
            "no label.*Did you mean 'Closing something'",
        ),
        (
            "validation",
            FILES["train"],
            r"validation.json', line 1, says .*list 'validation' of '0', and train.json",
        ),
    ],
)
def test_malformed_files_are_named_with_the_line(tmp_path: Path, what: str, text: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        opened(SSv2, write(tmp_path / "R", **named("{}", **{what: text})))


def test_labels_are_needed(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"something-something-v2-labels\.json or labels\.json"):
        opened(SSv2, make(tmp_path / "R", VIDEOS))


def test_a_subset_holds_out_some_of_the_rest(tmp_path: Path) -> None:
    rows = [{"id": str(i), "template": list(LABELS)[i % 4]} for i in range(200)]
    files = named("{}", train=json.dumps(rows), validation="[]", test="[]")
    root = write(make(tmp_path / "R", [f"{i}.webm" for i in range(150)]), **files)
    data = opened(SSv2, root, videos_per_class=10)
    found = data.inventory()
    train, aside = listed(found, "train"), listed(found, "held out of train")
    assert len(train.found) + len(train.missing) == 40
    assert train.missing
    assert len(aside.found) + len(aside.missing) == 20
    assert set(ids(data, "train")) == set(train.found)
    assert set(ids(data, "validation")) == set(aside.found)
    assert "of train, a subset is used: 40 of 200 videos." in found.notes
    larger = opened(SSv2, root, num_videos=190)
    assert set(train.found) < set(ids(larger, "train"))
    assert not set(ids(larger, "train")) & set(ids(larger, "validation"))
