"""An evaluator under test, and its results on variants of one small target."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from vssl_core.data import Index
from vssl_core.evaluate import FeatureStore, TargetData, evaluate_copy
from vssl_core.interfaces import Backbone, EvaluationResult, Metric
from vssl_core.testing.component import Component
from vssl_core.testing.evaluator_target import NUM_CLASSES, ColourBackbone, target
from vssl_core.testing.evaluator_watch import Notebook, WatchedData
from vssl_core.testing.file_events import Events, recorded
from vssl_core.testing.outcome import CheckFailed
from vssl_core.testing.process_state import disturbed, preserved, unchanged

__all__ = ["LABELLINGS", "EvaluatorSubject", "Trial", "Variant", "is_measured"]

Variant = Literal[
    "plain", "again", "recut", "reordered", "loud", "first", "second", "both", "both_further", "one_class"
]

LABELLINGS: tuple[Variant, ...] = ("first", "second", "both", "both_further")
"""Variants in which labels of test videos are turned: of either half, of both, of both by another number."""

_TIMES = {
    "ns",
    "us",
    "µs",
    "ms",
    "s",
    "sec",
    "second",
    "seconds",
    "min",
    "minutes",
    "h",
    "hours",
    "fps",
    "hz",
}
_SIZES = {"b", "kb", "mb", "gb", "kib", "mib", "gib", "bytes", "j", "w", "wh"}


@dataclass(frozen=True)
class Trial:
    """One evaluation and what happened during it.

    Args:
        result: As the evaluator gave it.
        notebook: What it did with its data.
        events: Files that were touched.
        folder: Its folder in the bundle.
        disturbance: What is wrong with the settings of the process afterwards; empty if nothing.
    """

    result: EvaluationResult
    notebook: Notebook
    events: Events
    folder: Path
    disturbance: str

    def per_video(self, name: str) -> dict[str, float] | None:
        """Video id → value, for a metric that has values per video that fit its ids."""
        metric, ids = self.result.metrics[name], self.result.video_ids
        if metric.per_video is None or len(metric.per_video) != len(ids):
            return None
        return dict(zip(ids, (float(value) for value in metric.per_video), strict=True))

    def scores(self) -> dict[str, Mapping[str, np.ndarray]]:
        """Name → video id → row, for arrays that hold what was predicted for each test video."""
        ids = self.result.video_ids
        found: dict[str, Mapping[str, np.ndarray]] = {}
        for name, given in self.result.arrays.items():
            array = np.asarray(given)
            says = any(word in name.lower() for word in ("score", "logit", "predict", "prob"))
            if ids and array.shape[:1] == (len(ids),) and (says or array.shape == (len(ids), NUM_CLASSES)):
                found[name] = dict(zip(ids, array, strict=True))
        return found


class EvaluatorSubject(Component):
    """An evaluator class with its options; every variant is evaluated once."""

    @cached_property
    def _home(self) -> Path:
        path = Path(tempfile.mkdtemp(prefix="vssl-check-")).resolve()
        weakref.finalize(self, shutil.rmtree, path, ignore_errors=True)
        return path

    @cached_property
    def _trials(self) -> dict[Variant, Trial]:
        return {}

    @property
    def plain(self) -> Trial:
        """The target as it is."""
        return self.trial("plain")

    def trial(self, variant: Variant) -> Trial:
        """The evaluation of a variant of the target."""
        if variant not in self._trials:
            self._trials[variant] = self._run(variant)
        return self._trials[variant]

    def _run(self, variant: Variant) -> Trial:
        around, notebook = target().around, Notebook()
        data = TargetData(_index(variant), around=around, store=FeatureStore())
        watched = WatchedData(data, notebook, recut=variant == "recut")
        folder = self._home / variant
        folder.mkdir()
        evaluator, disturbance = self.cls(self.options), ""
        with preserved(), disturbed(12 if variant == "again" else 11), recorded() as events:
            torch.use_deterministic_algorithms(True)  # as the core does on a CPU
            try:
                with unchanged("evaluate", generators=()):
                    result = evaluate_copy(evaluator, _backbone(), watched, around=around, folder=folder)
            except CheckFailed as failed:
                disturbance = str(failed)
        if not isinstance(result, EvaluationResult):
            raise CheckFailed(f"expected evaluate to give an EvaluationResult; got {type(result).__name__}.")
        return Trial(result, notebook, events, folder, disturbance)


def is_measured(metric: Metric) -> bool:
    """True for times, rates and sizes, which no two runs share."""
    unit = metric.unit.lower().strip()
    return unit in _TIMES | _SIZES or "/s" in unit or "per second" in unit


def _backbone() -> Backbone:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return ColourBackbone(None, target().around.protocol.clip.spec())


def _index(variant: Variant) -> Index:
    given = target()
    if variant == "reordered":
        return given.reordered()
    if variant == "one_class":
        return given.with_one_class()
    if variant == "loud":
        return given.with_loud_videos()
    if variant in LABELLINGS:
        half = "both" if variant == "both_further" else variant
        return given.with_labels(half=half, turn=3 if variant == "both_further" else 1)
    return given.index
