"""Every number of every file of a bundle is altered, one at a time, and found."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from verification.altering import check, copied, evaluation, found, numbers, one, seal

PLACES = {
    "description": lambda cell: cell / "cell.json",
    "protocol": lambda cell: cell / "protocol.json",
    "environment": lambda cell: cell / "environment.json",
    "precision": lambda cell: cell / "precision.json",
    "ledger": lambda cell: cell / "ledger.json",
    "pretraining": lambda cell: cell / "pretrain" / "result.json",
    "curve": lambda cell: cell / "pretrain" / "curve.jsonl",
    "digests": lambda cell: cell / "pretrain" / "digests.json",
    "request": lambda cell: evaluation(cell, "linear") / "request.json",
    "target": lambda cell: evaluation(cell, "linear") / "target.json",
    "rows": lambda cell: evaluation(cell, "linear") / "result.json",
    "top1": lambda cell: evaluation(cell, "linear") / "top1.csv",
    "rows of retrieval": lambda cell: evaluation(cell, "retrieval") / "result.json",
    "R@1": lambda cell: evaluation(cell, "retrieval") / "R@1.csv",
    "R@5": lambda cell: evaluation(cell, "retrieval") / "R@5.csv",
    "R@10": lambda cell: evaluation(cell, "retrieval") / "R@10.csv",
    "knn_top1": lambda cell: evaluation(cell, "retrieval") / "knn_top1.csv",
    "gallery": lambda cell: evaluation(cell, "retrieval") / "gallery.json",
    "examples": lambda cell: evaluation(cell, "retrieval") / "examples.json",
    "request of retrieval": lambda cell: evaluation(cell, "retrieval") / "request.json",
}

# What nothing else in a bundle follows from, and what follows from nothing else: found by a digest, and where
# all digests were made anew, by the one that was published.
DIGEST_ALONE = {
    "environment": {
        "threads": "of the machine",
        "loader_threads": "of the machine",
        "processes": "of the run; that batches can be shared out to so many is checked",
    },
    "pretraining": {
        "frames_decoded": "the bundle holds no video",
        "training_gflops_per_video": "counted while the network ran",
    },
    "curve": {
        "step.loss": "of a step; nothing is left of its batch",
        "step.order": "a part of the loss",
        "step.accuracy": "of a step",
        "step.kendall_tau": "of a step",
        "step.grad_norm": "of a step",
        "point*.feature_std": "of features that are not kept; the verdict is checked",
        "point*.effective_rank": "of features that are not kept; the verdict is checked",
    },
    "rows": {"seconds": "of the machine"},
    "rows of retrieval": {"seconds": "of the machine"},
    "examples": {"*": "which videos the page shows as pictures"},
    "gallery": {"labels.*": "for readers; metrics follow from the array gallery_labels"},
    # What a dataset's options do is in the digest of its videos, which is in the key.
    "request": {"spec.target.options.*": "the digest of the target is in the key"},
    "request of retrieval": {"spec.target.options.*": "the digest of the target is in the key"},
}


@pytest.fixture(scope="module")
def bundle(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy whose files are altered and put back."""
    return copied(one(finished, "vcop"), tmp_path_factory.mktemp("every"))


def all_files(cell: Path) -> set[Path]:
    return {path for path in cell.rglob("*") if path.suffix in (".json", ".jsonl", ".csv")}


def test_no_file_with_numbers_is_left_out(bundle: Path) -> None:
    walked = {place(bundle) for place in PLACES.values()}
    others = all_files(bundle) - walked
    # Those of the other evaluation are alike.
    assert {path.name for path in others} == {"digests.json", "target.json", "examples.json"}
    assert sum(len(list(numbers(path))) for path in walked) > 250


@pytest.mark.parametrize("place", PLACES)
def test_a_changed_number_is_found_in_its_file(place: str, bundle: Path) -> None:
    file = PLACES[place](bundle)
    before, name = file.read_bytes(), file.relative_to(bundle).as_posix()
    try:
        for where, content in numbers(file):
            file.write_bytes(content)
            assert name in {one.file for one in found(bundle)}, where
    finally:
        file.write_bytes(before)
    assert found(bundle) == ()


@pytest.mark.parametrize("place", PLACES)
def test_a_changed_number_is_found_although_all_digests_are_made_anew(
    place: str, bundle: Path, tmp_path: Path
) -> None:
    cell = copied(bundle, tmp_path)
    file, published = PLACES[place](cell), check(cell).digest
    excused, used = DIGEST_ALONE.get(place, {}), set()
    for where, content in numbers(file):
        file.write_bytes(content)
        if place == "digests":  # a changed schema of the digests themselves
            assert found(cell), where
            continue
        seal(cell)
        verified = check(cell)
        assert verified.digest != published or place == "ledger", where  # which repeats what stages say
        patterns = {pattern for pattern in excused if fnmatch.fnmatch(where, pattern)}
        used |= patterns
        assert bool(verified.altered) is not bool(patterns), (where, verified.altered)
    assert used == set(excused), "an excuse that nothing needs"


ARRAYS: dict[str, tuple[str, Callable[[np.generic], object]]] = {
    "scores": ("linear", lambda value: 1.0 - value),
    "labels": ("linear", lambda value: 1 - value),
    "chosen_l2": ("linear", lambda value: 2 * value),
    "l2": ("linear", lambda value: 2 * value),
    "validation_top1": ("linear", lambda value: value + 1),
    "indices": ("retrieval", lambda value: (value + 1) % 16),
    "cosines": ("retrieval", lambda value: -value),
    "gallery_labels": ("retrieval", lambda value: 1 - value),
    "num_classes": ("retrieval", lambda value: value + 1),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_every_number_of_an_array_is_found_by_its_digest(name: str, bundle: Path) -> None:
    which, change = ARRAYS[name]
    file = evaluation(bundle, which) / f"{name}.npy"
    before, array = file.read_bytes(), np.load(file)
    assert {path.stem for path in bundle.rglob("*.npy")} == set(ARRAYS)
    try:
        for place in np.ndindex(array.shape):
            altered = array.copy()
            altered[place] = change(array[place])
            np.save(file, altered)
            assert file.relative_to(bundle).as_posix() in {one.file for one in found(bundle)}
    finally:
        file.write_bytes(before)
