"""Controls of time: how much of a classifier's accuracy is left without motion and without order.

A classifier is fitted on clean videos and scored on the test videos as they are (`normal`), with the middle
frame of every clip shown all the time (`static`), with the frames of every clip in a drawn order (`shuffled`)
and backwards (`reversed`). What a static clip still tells is appearance; `time_gain` is what time adds. The
classifier is not fitted again, so that a loss may also come from clips unlike those that it has seen.

Frames are the same bits in all versions. The drawn orders depend on the seed of the option and on the video
alone, and are equal for all cells.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from pydantic import Field

from vssl_core.interfaces import (
    Backbone,
    EvaluationContext,
    EvaluationData,
    EvaluationResult,
    Evaluator,
    Metric,
)
from vssl_core.options import Options
from vssl_plugins.corruptions.timing import Reverse, Shuffle, Static
from vssl_plugins.evaluators.conditions import Conditions, accuracies, fitted_classifier

__all__ = ["Controls", "ControlsOptions"]

_VERSIONS = {"static": Static, "shuffled": Shuffle, "reversed": Reverse}


class ControlsOptions(Options):
    """Options of the controls."""

    classifier: str = "finetune"
    """Evaluator that fits the classifier; `-o eval/NAME.OPTION=VALUE` sets its options."""
    seed: int = Field(0, ge=0)
    """Of the orders of shuffled clips."""


class Controls(Evaluator):
    """Accuracy on static, shuffled and reversed test videos; points that time is worth.

    `time_gain` = `normal` - `static`, `order_gain` = `normal` - `shuffled`, both in points of accuracy.
    """

    api_version = 1
    Options = ControlsOptions
    parts = {"classifier": "evaluator"}  # noqa: RUF012

    def __init__(self, options: ControlsOptions) -> None:
        self.options = options

    def evaluate(
        self, backbone: Backbone, data: EvaluationData, context: EvaluationContext
    ) -> EvaluationResult:
        """Fit, then score every version.

        Raises:
            OptionError: The option `classifier` names an evaluator that fits none.
            VsslError: As the classifier's own evaluation.
        """
        classifier = fitted_classifier(backbone, data, context, name="controls")
        conditions = Conditions.of(classifier, data, context, name="controls")
        test = conditions.test
        conditions.score("normal", test)
        for name, version in _VERSIONS.items():
            # After the resize, which for a clean video gives the very frames that `normal` has.
            part = test.corrupted(version(version.Options()), order="post_resize", seed=self.options.seed)
            conditions.score(name, part)
        return conditions.result(self.recompute(conditions.arrays))

    def recompute(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, Metric]:
        """All metrics, from the scores of every version."""
        found = accuracies(arrays)
        if found is None:
            return {}
        gains = {
            "time_gain": _points(found["normal"], found["static"]),
            "order_gain": _points(found["normal"], found["shuffled"]),
        }
        return {**gains, **{name: found[name] for name in ("normal", *_VERSIONS)}}


def _points(one: Metric, other: Metric) -> Metric:
    """How much more accurate `one` is, by video."""
    assert one.per_video is not None
    assert other.per_video is not None
    return Metric(one.value - other.value, per_video=one.per_video - other.per_video, unit="points")
