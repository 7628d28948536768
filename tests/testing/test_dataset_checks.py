"""Every planted bug of a dataset is caught by the check named for it; correct datasets trip none."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from planted_datasets import PLANTED, Drifting, Unlabelled
from tiny_dataset import drifting, write_video

from vssl_core.testing import check_plugin, checks_of

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "my_dataset.py"
SMALL = {"train_videos": 16, "validation_videos": 4, "test_videos": 8, "size": 32, "num_frames": 4}


@pytest.fixture(scope="module")
def gym(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder: two classes of six videos, and a table of them."""
    root = tmp_path_factory.mktemp("gym")
    rows = ["path,label,split"]
    for label in ("jump", "squat"):
        for number in range(6):
            path = root / label / f"{number}.mp4"
            path.parent.mkdir(exist_ok=True)
            write_video(path, drifting(seed=number, step=1 if label == "jump" else -1, num_frames=4))
    for number, file in enumerate(sorted(root.glob("*/*.mp4"))):
        rows.append(f"{file.relative_to(root)},{file.parent.name},{'test' if number // 6 else 'train'}")
    (root / "videos.csv").write_text("\n".join(rows))
    return root


@pytest.fixture(scope="module")
def flat(gym: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same videos without classes."""
    root = tmp_path_factory.mktemp("flat")
    for file in gym.glob("*/*.mp4"):
        shutil.copy(file, root / f"{file.parent.name}-{file.name}")
    return root


def options(dataset: Any, gym: Path, flat: Path) -> dict[str, Any]:
    if isinstance(dataset, str):
        by_name = {"folder": {"root": str(gym)}, f"{EXAMPLE}:MyDataset": {"folder": str(gym)}}
        return by_name.get(dataset, SMALL)
    return {"root": str(flat)} if issubclass(dataset, Unlabelled) else {}


CORRECT = [Drifting, Unlabelled, "shapes_motion", "shapes_appearance", "folder", f"{EXAMPLE}:MyDataset"]


@pytest.mark.parametrize("dataset", CORRECT)
def test_a_correct_dataset_passes_every_check(dataset: str | type, gym: Path, flat: Path) -> None:
    report = check_plugin("dataset", dataset, options=options(dataset, gym, flat))
    assert report.ok, report.text()
    assert [result.name for result in report.results if result.status == "skipped"] == []
    assert len(report.results) == len(checks_of("dataset"))


@pytest.mark.parametrize(
    ("cls", "check"), PLANTED.items(), ids=lambda value: getattr(value, "__name__", value)
)
def test_a_planted_bug_is_caught_by_the_check_named_for_it(
    cls: type, check: str, gym: Path, flat: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    report = check_plugin("dataset", cls, options=options(cls, gym, flat), only=[check])
    assert [result.name for result in report.bad] == [check], report.text()
    assert report.bad[0].message.startswith("expected "), report.text()


def test_a_dataset_that_needs_data_of_the_user_is_skipped_and_says_what_it_needs() -> None:
    report = check_plugin("dataset", "folder")
    skipped = {result.name: result.message for result in report.results if result.status == "skipped"}
    assert report.ok
    assert "root" in skipped["check_every_split_is_answered"]


def test_every_check_of_datasets_has_a_planted_bug() -> None:
    own = {name for name in checks_of("dataset") if not name.startswith(("check_options", "check_unknown"))}
    assert own == set(PLANTED.values())
