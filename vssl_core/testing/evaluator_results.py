"""Checks of what an evaluator gives: metrics, values per video, arrays, curves, files."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Mapping
from math import isclose
from pathlib import Path
from typing import Any

import numpy as np

from vssl_core.digests import DIGESTS
from vssl_core.errors import ContractError
from vssl_core.evaluate import check_result
from vssl_core.files import read_json
from vssl_core.interfaces import Evaluator, Metric
from vssl_core.store import TARGET, CellFolder, per_video_file
from vssl_core.testing.evaluator_target import NUM_CLASSES, target
from vssl_core.testing.evaluator_trials import EvaluatorSubject
from vssl_core.testing.outcome import CheckFailed

__all__ = ["RESULT_CHECKS"]

_OF_THE_CORE = {"request.json", "result.json", TARGET, DIGESTS}
_SAME = {"rel_tol": 1e-6, "abs_tol": 1e-6}


def check_metrics_are_numbers(subject: EvaluatorSubject) -> None:
    """There is a metric; values are finite, shares in percent, and chance levels in range."""
    metrics = subject.plain.result.metrics
    if not isinstance(metrics, Mapping) or not metrics:
        raise CheckFailed(f"expected a mapping with one metric at least; got {metrics!r}.")
    for name, metric in metrics.items():
        if not isinstance(name, str) or not name or not isinstance(metric, Metric):
            raise CheckFailed(f"expected a name and a Metric for each score; got {name!r}: {metric!r}.")
        if not _is_number(metric.value):
            raise CheckFailed(f"expected {name!r} to be a finite number; got {metric.value!r}.")
        if not isinstance(metric.unit, str) or not isinstance(metric.higher_is_better, bool | None):
            raise CheckFailed(
                f"expected a unit in words and higher_is_better True, False or None for {name!r}; "
                f"got {metric.unit!r} and {metric.higher_is_better!r}."
            )
        if metric.chance is not None and not _is_number(metric.chance):
            raise CheckFailed(
                f"expected the chance level of {name!r} to be a number or None; got {metric.chance!r}."
            )
        shares = [metric.value] + ([] if metric.chance is None else [metric.chance])
        # Without either it may be a change of another score: a relative drop, which a gain makes negative.
        change = metric.chance is None and metric.per_video is None
        least = -float("inf") if change else -1e-6
        if metric.unit == "%" and not all(least <= share <= 100.0 + 1e-6 for share in shares):
            raise CheckFailed(
                f"expected shares between 0 and 100 %, but {name!r} has the value {metric.value} and the "
                f"chance level {metric.chance}; give another unit where it is no share."
            )
        if metric.unit == "%" and metric.chance is not None and 0.0 < metric.chance <= 1.0:
            raise CheckFailed(
                f"expected the chance level in percent, but {name!r} of {NUM_CLASSES} classes has "
                f"{metric.chance}: multiply by 100."
            )
        parts = [] if metric.per_video is None else [float(np.max(metric.per_video, initial=0.0))]
        if metric.unit == "%" and len(shares + parts) > 1 and 0.0 < max(shares + parts) <= 1.0:
            raise CheckFailed(
                f"expected shares in percent, but {name!r} has the value {metric.value}, the chance level "
                f"{metric.chance} and values per video up to {parts}: multiply by 100."
            )


def check_values_per_video_fit(subject: EvaluatorSubject) -> None:
    """Values per video are finite, one for each video id, and have the score as their mean."""
    result = subject.plain.result
    for name, metric in result.metrics.items():
        if metric.per_video is None:
            continue
        values = np.asarray(metric.per_video)
        if values.ndim != 1 or values.dtype.kind not in "fiub" or not np.isfinite(values).all():
            raise CheckFailed(
                f"expected per_video of {name!r} to be a finite float array (V,); got {values.dtype} "
                f"{values.shape}."
            )
        if metric.unit == "%" and len(values) and (values.min() < -1e-6 or values.max() > 100.0 + 1e-6):
            raise CheckFailed(
                f"expected shares of 0 … 100 % per video; {name!r} has {values.min()} … {values.max()}."
            )
    try:
        check_result(subject.cls.__name__, result)
    except ContractError as error:
        raise CheckFailed(f"expected values per video that fit the score: {error}") from error


def check_scored_videos_are_the_test_videos(subject: EvaluatorSubject) -> None:
    """`video_ids` are the ids of the test videos, each once."""
    result = subject.plain.result
    ids = list(result.video_ids)
    expected = [record.video_id for record in target().index.parts["test"]]
    if not ids and all(metric.per_video is None for metric in result.metrics.values()):
        return
    if sorted(map(str, ids)) != sorted(expected):
        strange = sorted({*map(str, ids)} - {*expected})
        raise CheckFailed(
            f"expected the {len(expected)} test videos, each once, as video_ids; got {len(ids)}"
            + (f", among them {strange[0]!r}, which is none of them." if strange else ".")
        )


def check_result_can_be_stored(subject: EvaluatorSubject) -> None:
    """The core can write arrays, curves and values per video as files, each under a name of its own."""
    result = subject.plain.result
    files = [per_video_file(name) for name, metric in result.metrics.items() if metric.per_video is not None]
    if len(set(files)) < len(files):
        raise CheckFailed(f"expected names of metrics that give different file names; got {files}.")
    with tempfile.TemporaryDirectory(prefix="vssl-check-") as folder:
        cell = CellFolder(Path(folder), "cell")
        path = cell.path / "evaluations" / "checked"
        try:
            cell.write_evaluation(path, result, [])
            curves = read_json(path / "result.json")["curves"]
        except Exception as error:
            raise CheckFailed(
                f"expected a result that can be stored, but {type(error).__name__}: {error}. Arrays are "
                "numbers (no objects), curves are finite floats."
            ) from error
        if len(list(path.glob("*.npy"))) < len(result.arrays) or curves.keys() != result.curves.keys():
            raise CheckFailed(
                f"expected names of arrays that give different file names; got {', '.join(result.arrays)}."
            )


def check_writes_stay_in_its_folder(subject: EvaluatorSubject) -> None:
    """Artifacts are written into `context.folder` and nowhere else, under names that the core leaves free."""
    trial, cache = subject.plain, target().around.reader.cache
    ours = [trial.folder] if cache is None else [trial.folder, cache.folder.resolve()]
    for path in trial.events.written_and_left():
        if not any(Path(path).resolve().is_relative_to(folder) for folder in ours):
            raise CheckFailed(f"expected every file below context.folder, but {path!r} was written.")
    taken = _OF_THE_CORE | {per_video_file(name) for name in trial.result.metrics}
    if clash := sorted(path.name for path in trial.folder.iterdir() if path.name in taken):
        raise CheckFailed(
            f"expected names that the core leaves free in context.folder, but {clash[0]!r} is the core's own."
        )


def check_metrics_can_be_recomputed(subject: EvaluatorSubject) -> None:
    """`recompute`, where there is one, gives the metrics from the arrays as they are read from the disk."""
    if subject.cls.recompute is Evaluator.recompute:
        return
    result = subject.plain.result
    try:
        found = subject.cls(subject.options).recompute(_read_back(result.arrays))
    except Exception as error:
        raise CheckFailed(
            f"expected recompute to give metrics from arrays {', '.join(result.arrays) or 'of no name'}, but "
            f"{type(error).__name__}: {error}. Use nothing but the arrays and the options."
        ) from error
    if not found or not all(isinstance(metric, Metric) for metric in found.values()):
        raise CheckFailed(f"expected recompute to give one metric at least; got {found!r}.")
    for name, metric in found.items():
        if name not in result.metrics:
            raise CheckFailed(f"expected recompute to give metrics of evaluate; {name!r} is none of them.")
        for part, old, new in _differing(result.metrics[name], metric):
            raise CheckFailed(
                f"expected recompute to give {part} of {name!r} as evaluate does, {old}; got {new}. Compute "
                "the metrics of evaluate from the arrays that it stores, in their types."
            )
    first, given = next(name for name in result.metrics if name in found), next(iter(found))
    if given != first:
        raise CheckFailed(
            f"expected recompute to give {first!r} first, as evaluate does; got {given!r}. The first "
            "metric is what tables show."
        )


def _read_back(arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """What comes back of arrays that were written to files."""
    found = {}
    for name, array in arrays.items():
        file = io.BytesIO()
        np.save(file, np.asarray(array), allow_pickle=False)
        found[name] = np.load(io.BytesIO(file.getvalue()), allow_pickle=False)
    return found


def _differing(one: Metric, other: Metric) -> Iterator[tuple[str, Any, Any]]:
    """What of a metric another one says otherwise: (what, one's, the other's)."""
    if not isclose(one.value, other.value, **_SAME):
        yield "the value", one.value, other.value
    if (one.chance is None) != (other.chance is None) or not isclose(
        one.chance or 0.0, other.chance or 0.0, **_SAME
    ):
        yield "the chance level", one.chance, other.chance
    for part in ("unit", "higher_is_better"):
        if getattr(one, part) != getattr(other, part):
            yield part, getattr(one, part), getattr(other, part)
    if (one.per_video is None) != (other.per_video is None):
        yield "values per video", one.per_video, other.per_video
    elif one.per_video is not None and other.per_video is not None:
        before, after = np.asarray(one.per_video, float), np.asarray(other.per_video, float)
        if before.shape != after.shape or not np.allclose(before, after, rtol=1e-6, atol=1e-6):
            yield "values per video", before, after


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, int | float | np.number)
        and not isinstance(value, bool)
        and bool(np.isfinite(value))
    )


RESULT_CHECKS = (
    check_metrics_are_numbers,
    check_values_per_video_fit,
    check_scored_videos_are_the_test_videos,
    check_result_can_be_stored,
    check_metrics_can_be_recomputed,
    check_writes_stay_in_its_folder,
)
