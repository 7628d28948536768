"""Scores of an evaluation, compared with their values per video and with what the stored arrays give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vssl_core.interfaces import Metric
from vssl_core.store import TARGET, per_video_file
from vssl_core.verification.bundle import Table
from vssl_core.verification.prints import telling_prints
from vssl_core.verification.recomputing import Recomputed, Recomputer
from vssl_core.verification.scored import Scored

__all__ = ["check_scores"]

_MEAN = 1e-4  # what the contract of evaluators allows between a score and the mean of its values per video
_MOST_VIDEOS = 5  # altered values of one file that are listed one by one


def check_scores(scored: Scored, recomputer: Recomputer) -> None:
    """Every row's score, chance level and values per video, as far as they follow from something."""
    book, arrays = scored.bundle.book, _arrays(scored)
    found = recomputer.metrics(scored.request.spec.evaluator, arrays)
    scored.prints = telling_prints(arrays)
    if found.problem:
        book.find(scored.folder, "arrays", found.problem, "arrays that give the metrics", "recompute")
    if found.metrics:
        _check_labels(scored, arrays)
        _check_classes(scored, arrays)
        _check_first(scored, found)
    left: dict[bool, list[str]] = {}
    for row in scored.rows:
        metric = str(row.get("metric"))
        table = scored.tables.get(metric)
        if table is not None and table.values:
            mean, where = float(np.mean(table.values)), f"{metric}.value"
            book.same(scored.file, where, row.get("value"), mean, per_video_file(metric), share=_MEAN)
        if metric in found.metrics:
            _check_metric(scored, row, found.metrics[metric], _recomputed_by(found))
        elif not found.problem:
            left.setdefault(table is not None, []).append(metric)
    for has_table, metrics in left.items():
        by = "their values per video" if has_table else "nothing but digests"
        why = found.why_not or "recompute does not give them"
        book.skip(scored.file, f"{', '.join(metrics)} known by {by}: {why}")
    for metric in found.metrics.keys() - {row.get("metric") for row in scored.rows}:
        book.find(
            scored.file, f"{metric}.value", "no row", found.metrics[metric].value, _recomputed_by(found)
        )


def _recomputed_by(found: Recomputed) -> str:
    other = " (by another version of the evaluator than scored)" if found.other_code else ""
    return f"recomputed from the arrays{other}"


def _arrays(scored: Scored) -> dict[str, np.ndarray]:
    """Arrays of the evaluation by name."""
    files = scored.result.get("arrays")
    if not isinstance(files, Mapping):
        if scored.sealed:
            scored.bundle.book.find(scored.file, "arrays", files, "name → file", "the layout of a bundle")
        here = sorted((scored.bundle.root / scored.folder).glob("*.npy"))
        files = {path.stem: path.name for path in here}
    found = {}
    for name, file in files.items():
        array = scored.bundle.array(f"{scored.folder}/{file}")
        if array is not None:
            found[str(name)] = array
    return found


def _check_labels(scored: Scored, arrays: Mapping[str, np.ndarray]) -> None:
    """Labels that metrics are made from are those that the core saw."""
    labels = arrays.get("labels")
    if labels is None or scored.target is None:
        return
    known = [video["label"] for video in scored.target["videos"]]
    if None in known:
        why = "some scored videos are none of the target's test part, so that nothing says their labels"
        scored.bundle.book.skip(f"{scored.folder}/labels.npy", why)
        return
    scored.bundle.book.same(f"{scored.folder}/labels.npy", "labels", labels.tolist(), known, TARGET)
    classes = len(scored.target["classes"])
    for number, label in enumerate(known):
        if not 0 <= label < classes:
            field = f"videos[{number}].label"
            scored.bundle.book.find(
                f"{scored.folder}/{TARGET}", field, label, f"0 … {classes - 1}", "classes"
            )


def _check_classes(scored: Scored, arrays: Mapping[str, np.ndarray]) -> None:
    """Arrays from which chance levels follow have as many classes as the core saw."""
    if scored.target is None:
        return
    classes, videos = len(scored.target["classes"]), len(scored.ids)
    for name, array in arrays.items():
        field, found = "value", None
        if name == "num_classes" and array.size == 1:
            found = array.item()
        elif name.partition("_")[0] == "scores" and array.ndim > 1 and len(array) == videos:
            field, found = "classes", array.shape[-1]
        if found is not None:
            scored.bundle.book.same(f"{scored.folder}/{name}.npy", field, found, classes, TARGET)


def _check_first(scored: Scored, found: Recomputed) -> None:
    """The metric that tables show is the one that the evaluator puts first."""
    metrics = [str(row.get("metric")) for row in scored.rows]
    first, given = metrics[:1], [name for name in metrics if name in found.metrics][:1]
    expected = [name for name in found.metrics if name in metrics][:1]
    if given != expected:
        scored.bundle.book.find(scored.file, "rows[0].metric", given, expected, _recomputed_by(found))
    elif first != given:
        scored.bundle.book.skip(scored.file, f"nothing says that {first[0]!r} is the metric that tables show")


def _check_metric(scored: Scored, row: Mapping[str, Any], metric: Metric, by: str) -> None:
    """A row and its values per video against what was recomputed."""
    book, name = scored.bundle.book, str(row.get("metric"))
    scored.bundle.book.metrics.append(f"{scored.request.name} {name}")
    for part in ("value", "chance", "unit", "higher_is_better"):
        value = getattr(metric, part)
        plain = value.item() if isinstance(value, np.generic) else value
        book.same(scored.file, f"{name}.{part}", row.get(part), plain, by)
    table = scored.tables.get(name)
    if metric.per_video is None or table is None:
        if (metric.per_video is None) != (table is None):
            book.find(scored.file, f"{name}.per_video", row.get("per_video"), "values per video", by)
        return
    _check_videos(scored, per_video_file(name), table, metric.per_video, by)


def _check_videos(
    scored: Scored, file: str, table: Table, values: np.ndarray | Sequence[float], by: str
) -> None:
    book, name = scored.bundle.book, f"{scored.folder}/{file}"
    expected = [float(value) for value in values]
    if len(expected) != len(table.values):
        book.find(name, "value", f"{len(table.values)} videos", f"{len(expected)} videos", by)
        return
    book.values += len(expected)
    close = np.isclose(table.values, expected, rtol=1e-9, atol=1e-9)
    wrong = [place for place, same in enumerate(close) if not same]
    for place in wrong[:_MOST_VIDEOS]:
        book.find(name, table.ids[place], table.values[place], expected[place], by)
    if len(wrong) > _MOST_VIDEOS:
        book.find(name, "value", f"{len(wrong)} videos differ", f"{_MOST_VIDEOS} are listed", by)
