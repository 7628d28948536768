"""What a classifier loses when test videos get worse.

A classifier is fitted on clean videos and scored on the test videos: clean, and made worse by each corruption
at each severity, all along the same path. With A_c the clean accuracy in percent, and A_p that of one
corruption, averaged over its severities:

    drop       100 (A_c - A_p) / A_c          in percent: the benchmark's relative drop
    gamma_r    1 - (A_c - A_p) / A_c          relative robustness
    gamma_a    1 - (A_c - A_p) / 100          absolute robustness (both: Schiappa et al., CVPR 2023)

`relative_drop`, `gamma_r`, `gamma_a` take for A_p the mean over all corruptions. With corruptions of
several families such means stand beside, by family. The benchmark's table has its four noises at severity 1,
its figure severities 1 to 3.

Whether the benchmark scored files that had been encoded again is not known. In the public code from which
its noise comes it is drawn at the file's own size, the videos are encoded again, and then resized: here
`order` native and `reencode` mp4v. The clean videos then make the round trip, too. Downscaling and encoding
both weaken noise.

Axes: V video.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field, field_validator

from vssl_core.corruption import Corruption
from vssl_core.errors import OptionError
from vssl_core.interfaces import (
    Backbone,
    EvaluationContext,
    EvaluationData,
    EvaluationPart,
    EvaluationResult,
    Evaluator,
    Metric,
)
from vssl_core.options import Options
from vssl_plugins.corruptions.noise import Constants, Noise
from vssl_plugins.corruptions.reencoded import CODINGS, Reencoded
from vssl_plugins.evaluators.conditions import Conditions, accuracies, fitted_classifier

__all__ = ["NoiseOptions", "NoiseRobustness"]


class NoiseOptions(Options):
    """Options of the evaluation under corruptions."""

    classifier: str = "finetune"
    """Evaluator that fits the classifier; `-o eval/NAME.OPTION=VALUE` sets its options."""
    corruptions: tuple[str, ...] = ("gaussian", "impulse", "shot", "speckle")
    """What is done to the test videos; `-o corruption/NAME.OPTION=VALUE` sets the options of one."""
    severities: tuple[int, ...] = (1,)
    """Degrees, 1 to 5. A corruption that does not have all of them is scored at those that it has."""
    constants: Constants | None = None
    """Constants of the four noises: those of the video robustness study, or of ImageNet-C; null: as the
    options of each corruption say, by default the former."""
    order: Literal["native", "post_resize"] = "native"
    """Frames of the file's own size are made worse, or those that were cropped and resized already."""
    reencode: Literal["mp4v"] | None = None
    """Encode the videos again after they were made worse, the clean ones too; null: do not."""
    seed: int = Field(0, ge=0)
    """Of what is random; the same for all cells."""

    @field_validator("corruptions")
    @classmethod
    def _some(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        words = [_word(name) for name in value]
        if not value or len(set(words)) < len(words):
            raise ValueError("expected one or more corruptions, every name once")
        return value

    @field_validator("severities")
    @classmethod
    def _ascending(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or any(severity < 1 for severity in value):
            raise ValueError("expected one or more severities from 1 on")
        return tuple(sorted(set(value)))


@dataclass(frozen=True)
class _Condition:
    """A corruption as tables call it, and the severities at which it is scored."""

    name: str
    corruption: Corruption
    severities: Sequence[int]


class NoiseRobustness(Evaluator):
    """Accuracy under corruptions beside the clean accuracy of the same videos, and what is lost.

    Metrics: `relative_drop` (lower is better), `clean`, `noisy` (mean over the corruptions), `gamma_r`,
    `gamma_a`; for a corruption NAME `accuracy_NAME`, `drop_NAME`, `gamma_r_NAME`, `gamma_a_NAME`, with
    several severities also `accuracy_NAME_s1` and so on, with several families `accuracy_family_NAME` and
    `drop_family_NAME`. Where the clean accuracy is zero there is nothing to lose: what is divided by it is
    left out, and `clean` comes first, so that no table takes an absolute robustness of 1 for a good one.
    """

    api_version = 1
    Options = NoiseOptions
    parts = {"classifier": "evaluator", "corruptions": "corruption"}  # noqa: RUF012
    paper = "https://arxiv.org/abs/2306.06010"

    def __init__(self, options: NoiseOptions) -> None:
        self.options = options

    def evaluate(
        self, backbone: Backbone, data: EvaluationData, context: EvaluationContext
    ) -> EvaluationResult:
        """Fit, then score the clean videos and every condition.

        Raises:
            OptionError: The option `classifier` names an evaluator that fits none, or a corruption has none
                of the severities.
            VsslError: As the classifier's own evaluation; ContractError for what a corruption breaks.
        """
        wanted = self._conditions(context)
        classifier = fitted_classifier(backbone, data, context, name="noise")
        conditions = Conditions.of(classifier, data, context, name="noise")
        conditions.score("clean", self._part(conditions, None, 1))
        for condition in wanted:
            for severity in condition.severities:
                part = self._part(conditions, condition.corruption, severity)
                conditions.score(f"{condition.name}_s{severity}", part)
        families = np.array([condition.corruption.family for condition in wanted])
        metrics = self.recompute({**conditions.arrays, "families": families})
        if not metrics["clean"].value:
            context.progress.say("noise: the clean accuracy is 0 %, so that there is nothing to lose.")
        return conditions.result(metrics, families=families)

    def recompute(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, Metric]:
        """All metrics, from the scores of every version; without the array `families`, which results of an
        earlier version lack, all but those of families."""
        found, older = accuracies(arrays), "versions" not in arrays
        if found is None or (older and not found["clean"].value):
            return {}  # of the latter the earlier version put another metric first
        by_name = {
            name: {
                severity: found[f"{name}_s{severity}"]
                for severity in self.options.severities
                if f"{name}_s{severity}" in found
            }
            for name in map(_word, self.options.corruptions)
        }
        stored = [""] * len(by_name) if older else arrays["families"]
        families = dict(zip(by_name, map(str, stored), strict=True))
        return robustness(found["clean"], by_name, families)

    def _conditions(self, context: EvaluationContext) -> list[_Condition]:
        conditions = []
        names = map(_word, self.options.corruptions)
        for name, given in zip(names, context.parts["corruptions"], strict=True):
            severities = [severity for severity in self.options.severities if severity in given.severities]
            if not severities:
                raise OptionError(
                    f"eval/noise.severities: {name!r} has {', '.join(map(str, given.severities))}; got "
                    f"{', '.join(map(str, self.options.severities))}."
                )
            conditions.append(_Condition(name, self._with_constants(given), severities))
        return conditions

    def _with_constants(self, corruption: Corruption) -> Corruption:
        if self.options.constants and isinstance(corruption, Noise):
            return corruption.with_constants(self.options.constants)
        return corruption

    def _part(self, conditions: Conditions, corruption: Corruption | None, severity: int) -> EvaluationPart:
        if self.options.reencode:
            corruption = Reencoded(corruption, CODINGS[self.options.reencode])
        return conditions.test.corrupted(
            corruption, severity=severity, order=self.options.order, seed=self.options.seed
        )


def robustness(
    clean: Metric, found: Mapping[str, Mapping[int, Metric]], families: Mapping[str, str]
) -> dict[str, Metric]:
    """Every metric, from accuracies: corruption → severity → accuracy, and corruption → family."""
    by_corruption = {name: _mean(list(severities.values())) for name, severities in found.items()}
    noisy = _mean(list(by_corruption.values()))
    lost = _lost(clean, noisy, suffix="", drop="relative_drop")
    both = {"clean": clean, "noisy": noisy}
    metrics = {**lost, **both} if clean.value else {**both, **lost}
    for name, mean in by_corruption.items():
        metrics[f"accuracy_{name}"] = mean
        metrics |= _lost(clean, mean, suffix=f"_{name}", drop=f"drop_{name}")
        if len(found[name]) > 1:
            metrics |= {f"accuracy_{name}_s{severity}": one for severity, one in found[name].items()}
    if len(set(families.values())) > 1:
        for family in sorted(set(families.values())):
            mean = _mean([by_corruption[name] for name, its in families.items() if its == family])
            metrics[f"accuracy_family_{family}"] = mean
            drops = _lost(clean, mean, suffix="", drop=f"drop_family_{family}")
            metrics |= {name: one for name, one in drops.items() if name.startswith("drop")}
    return metrics


def _mean(accuracies: Sequence[Metric]) -> Metric:
    per_video_V = np.mean([one.per_video for one in accuracies], axis=0)
    return Metric(float(per_video_V.mean()), per_video=per_video_V, chance=accuracies[0].chance)


def _lost(clean: Metric, worse: Metric, *, suffix: str, drop: str) -> dict[str, Metric]:
    """Relative drop and both robustnesses; what is divided by a clean accuracy of zero is left out."""
    lost = clean.value - worse.value
    absolute = {f"gamma_a{suffix}": Metric(1 - lost / 100, unit="")}
    if not clean.value:
        return absolute
    return {
        drop: Metric(100 * lost / clean.value, higher_is_better=False),
        f"gamma_r{suffix}": Metric(1 - lost / clean.value, unit=""),
        **absolute,
    }


def _word(name: str) -> str:
    """What tables call a corruption: its own name, without distribution, module or file."""
    return name.rpartition(":")[2]
