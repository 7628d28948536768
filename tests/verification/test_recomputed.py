"""Scores of noise, controls and CKA: each is computed again from what is stored, whatever its digest says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from verification.altering import check, copied, edit, edit_array, evaluation, found, one, seal

NAMES = ("noise", "controls", "cka")


@pytest.fixture
def cell(looked_at: Path, tmp_path: Path) -> Path:
    """A copy of the cell."""
    return copied(one(looked_at, "vcop"), tmp_path)


def rows(folder: Path) -> list[dict[str, Any]]:
    """Rows of an evaluation."""
    found: list[dict[str, Any]] = json.loads((folder / "result.json").read_text())["rows"]
    return found


def test_every_metric_is_recomputed(cell: Path) -> None:
    verified = check(cell)
    assert verified.altered == ()
    assert verified.unchecked == ()
    every = sum(len(rows(evaluation(cell, name))) for name in NAMES)
    assert len(verified.metrics) == every > 20
    metrics = {row["metric"] for row in rows(evaluation(cell, "noise"))}
    assert {"accuracy_family_noise", "drop_family_temporal", "accuracy_gaussian_s3"} <= metrics


@pytest.mark.parametrize("name", NAMES)
def test_a_score_whose_digest_is_made_anew(cell: Path, name: str) -> None:
    folder = evaluation(cell, name)
    for number, row in enumerate(rows(folder)):
        edit(folder / "result.json", lambda d, n=number, v=row["value"]: d["rows"][n].update(value=v + 0.5))
        seal(cell)
        assert f"{row['metric']}.value" in {one.field for one in found(cell)}
        edit(folder / "result.json", lambda d, n=number, v=row["value"]: d["rows"][n].update(value=v))
    seal(cell)
    assert found(cell) == ()


@pytest.mark.parametrize(
    ("name", "array", "metrics"),
    [
        ("noise", "scores_gaussian_s3", {"accuracy_gaussian_s3", "accuracy_gaussian", "noisy", "gamma_a"}),
        ("controls", "scores_static", {"static", "time_gain"}),
    ],
)
def test_predictions_of_one_version(cell: Path, name: str, array: str, metrics: set[str]) -> None:
    file = evaluation(cell, name) / f"{array}.npy"
    edit_array(file, lambda scores: scores.__setitem__(0, scores[0, ::-1].copy()))
    seal(cell)
    assert metrics <= {one.field.partition(".")[0] for one in found(cell)}


def test_a_map_of_layers(cell: Path) -> None:
    edit_array(evaluation(cell, "cka") / "cka.npy", lambda cka: cka.__setitem__((0, 1), cka[0, 1] - 0.2))
    seal(cell)
    assert "off_diagonal_mean.value" in {one.field for one in found(cell)}


@pytest.mark.parametrize("tied", [False, True])
def test_scores_of_an_earlier_version_are_recomputed_where_they_say_what_was_judged(
    cell: Path, tied: bool
) -> None:
    """It judged in float64, stored float32, and named neither versions nor families."""
    for name in ("noise", "controls"):
        folder = evaluation(cell, name)
        for array in ("versions", "families"):
            (folder / f"{array}.npy").unlink(missing_ok=True)
            edit(folder / "result.json", lambda d, a=array: d["arrays"].pop(a, None) and None)
            edit(
                folder / "digests.json",
                lambda d, f=f"evaluations/{folder.name}/{array}.npy": d["files"].pop(f, None) and None,
            )
        if tied:
            clean = "scores_clean" if name == "noise" else "scores_normal"
            edit_array(folder / f"{clean}.npy", lambda scores: scores.__setitem__(0, 0.5))
    seal(cell)
    verified = check(cell)
    assert verified.altered == ()
    left = {note.file.split("/")[1].split("-")[0]: note.why for note in verified.unchecked}
    if tied:
        assert left.keys() == {"noise", "controls"}
        assert "recomputes no metric" in left["controls"]
    else:
        assert left.keys() == {"noise"}
        assert all("family" in word for word in left["noise"].partition(" known by")[0].split(", "))


def test_networks_with_other_layers_have_no_layer_in_common(looked_at: Path) -> None:
    from vssl_plugins.evaluators.cka import CKA, CKAOptions

    arrays = {"cka": np.array([[0.9, 0.2], [0.4, 0.8]]), "first_component": np.ones(2)}
    cross = CKA(CKAOptions(other="some-cell"))
    assert list(cross.recompute(arrays)) == ["mean", "best_match_mean"]
    same = cross.recompute({**arrays, "same_layers": np.array(True)})
    assert same["same_layer_mean"].value == pytest.approx(0.85)
