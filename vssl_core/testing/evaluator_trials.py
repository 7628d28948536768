"""An evaluator under test, and its results on variants of one small target."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from vssl_core.data import Index
from vssl_core.evaluate import FeatureStore, TargetData, evaluate_copy
from vssl_core.interfaces import EvaluationResult
from vssl_core.options import build_options
from vssl_core.precision import deterministic
from vssl_core.testing.component import Component
from vssl_core.testing.evaluator_company import colour_backbone, named_cells, named_parts
from vssl_core.testing.evaluator_target import NUM_CLASSES, target
from vssl_core.testing.evaluator_watch import Notebook, WatchedData
from vssl_core.testing.file_events import Events, recorded
from vssl_core.testing.outcome import CheckFailed
from vssl_core.testing.process_state import disturbed, preserved, unchanged

__all__ = ["LABELLINGS", "EvaluatorSubject", "Trial", "Variant"]

Variant = Literal[
    "plain",
    "again",
    "recut",
    "reordered",
    "loud",
    "first",
    "second",
    "both",
    "both_further",
    "one_class",
    "other",
    "another",
    "other_afresh",
]

LABELLINGS: tuple[Variant, ...] = ("first", "second", "both", "both_further")
"""Variants in which labels of test videos are turned: of either half, of both, of both by another number."""

_OTHER_NETWORKS: Mapping[Variant, str] = {"other": "x", "another": "y", "other_afresh": "x"}
"""Variants with the weights of another cell; the last by a class that has evaluated nothing before."""


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
    def options(self) -> Any:
        """See `Component.options`; networks stand in for cells of which none is named."""
        return self._options_of(self.cls)

    def _options_of(self, cls: Any) -> Any:
        return build_options(
            cls.Options, {**named_cells(cls, self.values), **self.values}, owner=self.ref.kind
        )

    @cached_property
    def anew(self) -> Any:
        """The class from its file once more, with all that its module keeps as at the start; None."""
        return _made_anew(self.cls)

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
        around, notebook = replace(target().around, cell=colour_backbone), Notebook()
        data = TargetData(_index(variant), around=around, store=FeatureStore())
        watched = WatchedData(data, notebook, recut=variant == "recut")
        folder = self._home / variant
        folder.mkdir()
        cls = self.anew if variant == "other_afresh" else self.cls
        options = self._options_of(cls)
        evaluator, parts = cls(options), named_parts(cls, options)
        backbone = colour_backbone(_OTHER_NETWORKS.get(variant, ""))
        disturbance = ""
        shaken = disturbed(12 if variant == "again" else 11)
        with preserved(), shaken, deterministic(torch.device("cpu")), recorded() as events:
            try:
                with unchanged("evaluate", generators=()):
                    result = evaluate_copy(
                        evaluator, backbone, watched, around=around, folder=folder, parts=parts
                    )
            except CheckFailed as failed:
                disturbance = str(failed)
        if not isinstance(result, EvaluationResult):
            raise CheckFailed(f"expected evaluate to give an EvaluationResult; got {type(result).__name__}.")
        return Trial(result, notebook, events, folder, disturbance)


def _made_anew(cls: Any) -> Any:
    """The class that its file gives when it is run once more; None where it cannot be."""
    module = sys.modules.get(cls.__module__)
    file = getattr(module, "__file__", None)
    if module is None or file is None or "<" in cls.__qualname__ or cls.__module__ == "__main__":
        return None
    inside = list(getattr(module, "__path__", [])) or None
    spec = importlib.util.spec_from_file_location(cls.__module__, file, submodule_search_locations=inside)
    if spec is None or spec.loader is None:
        return None
    again = importlib.util.module_from_spec(spec)
    sys.modules[cls.__module__] = again
    try:
        spec.loader.exec_module(again)
        return attrgetter(cls.__qualname__)(again)
    except Exception:  # noqa: BLE001  what can be run once alone is not wrong for that
        return None
    finally:
        sys.modules[cls.__module__] = module


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
