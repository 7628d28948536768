"""What an evaluation shows of its target: real videos, small pictures, and nothing where nothing fits."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tiny_dataset import Tiny, TinyOptions

from vssl_core.data import Index, build_index
from vssl_core.errors import SchemaError
from vssl_core.examples import read_examples
from vssl_core.interfaces import DatasetContext, EvaluationResult, Metric
from vssl_core.progress import quiet_progress
from vssl_core.protocol import Data
from vssl_core.showcase import NUM_HARDEST, NUM_NEIGHBOURS, NUM_QUERIES, thumbnail, write_showcase
from vssl_core.video import FrameReader


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    context = DatasetContext(cache_dir=tmp_path_factory.mktemp("tiny"), progress=quiet_progress())
    dataset = Tiny(TinyOptions(), context)
    dataset.prepare()
    return build_index("tiny", dataset, Data())


def scored(index: Index, **arrays: np.ndarray) -> EvaluationResult:
    ids = [record.video_id for record in index.parts["test"]]
    return EvaluationResult(metrics={"top1": Metric(50.0)}, video_ids=ids, arrays=arrays)


def classifier(index: Index) -> dict[str, np.ndarray]:
    """Scores that grow surer of class 0 from video to video; every second one is of class 1."""
    labels_V = np.array([record.label for record in index.parts["test"]])
    of_class_0 = np.linspace(0.1, 0.8, len(labels_V))
    return {"scores": np.stack([of_class_0, 1 - of_class_0], axis=1), "labels": labels_V}


def shown(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "examples.json").read_text())
    return document


def test_a_result_without_such_arrays_shows_nothing(index: Index, tmp_path: Path) -> None:
    write_showcase(tmp_path, scored(index, features=np.zeros((8, 4))), index=index, reader=FrameReader())
    assert not list(tmp_path.iterdir())


def test_what_is_written_is_read_back(index: Index, tmp_path: Path) -> None:
    write_showcase(tmp_path, scored(index, **classifier(index)), index=index, reader=FrameReader())
    examples = read_examples(tmp_path)
    assert examples is not None
    assert list(examples.hardest) == shown(tmp_path)["hardest"]
    (tmp_path / "examples.json").write_text('{"schema": 1, "hardest": 3, "more": 1}')
    with pytest.raises(SchemaError, match=r"not what this version writes \(hardest, more\)"):
        read_examples(tmp_path)


def test_the_hardest_videos_are_those_whose_class_is_least_likely(index: Index, tmp_path: Path) -> None:
    write_showcase(tmp_path, scored(index, **classifier(index)), index=index, reader=FrameReader())
    hard = shown(tmp_path)["hardest"]
    assert len(hard) == min(NUM_HARDEST, 8)
    assert hard[:3] == ["test-0", "test-7", "test-2"]  # 0.1, 0.2 and 0.3 for their own class
    assert set(shown(tmp_path)["pictures"]) == set(hard)


def test_queries_come_with_their_nearest_videos_and_small_pictures(index: Index, tmp_path: Path) -> None:
    gallery = index.parts["train"]
    indices_VR = np.tile(np.arange(8), (8, 1)) + np.arange(8)[:, None] % 2
    write_showcase(tmp_path, scored(index, indices=indices_VR), index=index, reader=FrameReader())
    document = shown(tmp_path)
    assert len(document["queries"]) == NUM_QUERIES
    for query in document["queries"]:
        first = int(query["video_id"].removeprefix("test-")) % 2
        expected = [
            {"video_id": r.video_id, "label": r.label} for r in gallery[first : first + NUM_NEIGHBOURS]
        ]
        assert query["neighbours"] == expected
    for name in document["pictures"].values():
        assert (tmp_path / name).stat().st_size < 8192
        assert cv2.imread(str(tmp_path / name)).shape == (64, 3 * 64 + 2 * 2, 3)


def test_the_same_queries_are_drawn_whatever_the_order_of_the_videos(index: Index, tmp_path: Path) -> None:
    other = replace(index, parts={**index.parts, "test": index.parts["test"][::-1]})
    indices_VR = np.zeros((8, 1), np.int32)
    found = []
    for name, each in (("a", index), ("b", other)):
        write_showcase(tmp_path / name, scored(each, indices=indices_VR), index=each, reader=FrameReader())
        found.append([query["video_id"] for query in shown(tmp_path / name)["queries"]])
    assert found[0] == found[1]


def test_a_picture_shows_three_moments_of_the_video(index: Index) -> None:
    jpeg = np.frombuffer(thumbnail(index.parts["test"][0], FrameReader()), np.uint8)
    strip = cv2.imdecode(jpeg, cv2.IMREAD_COLOR).astype(int)
    early, late = strip[:, :64], strip[:, 132:]
    assert np.abs(early - late).mean() > 10


def test_a_video_that_is_gone_costs_its_picture_alone(index: Index, tmp_path: Path) -> None:
    gone = replace(index.parts["test"][0], path=str(tmp_path / "gone.mp4"))
    other = replace(index, parts={**index.parts, "test": (gone, *index.parts["test"][1:])})
    write_showcase(tmp_path, scored(other, **classifier(index)), index=other, reader=FrameReader())
    document = shown(tmp_path)
    assert document["hardest"][0] == "test-0"
    assert "test-0" not in document["pictures"]
    assert "gone.mp4" in document["unreadable"]["test-0"]


def test_scores_of_other_videos_show_nothing(index: Index, tmp_path: Path) -> None:
    result = EvaluationResult(metrics={"top1": Metric(50.0)}, video_ids=["elsewhere"])
    write_showcase(tmp_path, result, index=index, reader=FrameReader())
    assert not list(tmp_path.iterdir())
