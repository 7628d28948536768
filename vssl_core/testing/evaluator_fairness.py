"""Checks of what a score may depend on: not on the order of events, batches, other videos or test labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from vssl_core.interfaces import Metric
from vssl_core.testing.evaluator_target import NUM_CLASSES, target
from vssl_core.testing.evaluator_trials import LABELLINGS, EvaluatorSubject, Trial, Variant
from vssl_core.testing.outcome import CheckFailed
from vssl_core.units import is_measured

__all__ = ["FAIRNESS_CHECKS"]

_NEAR = 1.0  # per cent: chance levels that are meant to be the same
_ROUNDING = 1e-3  # of a value: what other batches round away
_CHOICE = "the test part is for the final scoring alone: fit on data.train, choose on data.validation"


def check_test_videos_come_last(subject: EvaluatorSubject) -> None:
    """Test videos are opened, and after that nothing is fitted or chosen any more."""
    accesses = subject.plain.notebook.accesses
    for access in accesses:
        if access.after_test and access.part != "test":
            raise CheckFailed(
                f"expected nothing but scoring after data.test(), but the {access.part} part was "
                f"{access.what if access.what == 'opened' else 'asked for ' + access.what} then; {_CHOICE}."
            )
    shares = any(metric.unit == "%" for metric in subject.plain.result.metrics.values())
    if shares and not any(access.part == "test" for access in accesses):
        raise CheckFailed("expected the score of data.test(), but the test part was never opened.")


def check_test_videos_are_scored_by_even_clips(subject: EvaluatorSubject) -> None:
    """Test videos are shown as evenly spaced centre crops, never as random training clips."""
    if any(access.part == "test" and access.train for access in subject.plain.notebook.accesses):
        raise CheckFailed(
            "expected test videos as evenly spaced clips, but the test part was asked for "
            "batches(train=True), which gives random crops in a random order; leave train out."
        )


def check_equal_runs_give_equal_scores(subject: EvaluatorSubject) -> None:
    """The same seed gives the same result, whatever Python's and NumPy's global generators hold."""
    advice = "draw from generators seeded with context.seed (vssl_core.generator), or from torch's"
    _compare(subject.plain, subject.trial("again"), "in a second run", advice, share=1e-6)


def check_another_network_gets_its_own_scores(subject: EvaluatorSubject) -> None:
    """The weights under test decide, and nothing is kept of a network that was evaluated before.

    A second network gets other scores than the first one, and those that it gets where it is the first. An
    evaluator that says that its scores are not `of_the_backbone` gives every network the same ones.
    """
    plain, other = subject.plain, subject.trial("other")
    if not subject.cls.of_the_backbone:
        if not _alike(plain, other):
            raise CheckFailed(
                "expected equal scores for two backbones, because of_the_backbone is False, but they differ; "
                "leave of_the_backbone out where the cell's weights decide about a score."
            )
        return
    shares = [n for n, m in plain.result.metrics.items() if m.unit == "%" and m.chance is not None]
    if shares and _alike(plain, other) and _alike(plain, subject.trial("another")):
        raise CheckFailed(
            f"expected {shares[0]!r} to depend on the weights of the backbone, but networks of three seeds "
            "get the same value for every video; score features of the backbone that is given, and keep "
            "nothing of one for the next."
        )
    if subject.anew is not None:
        advice = "keep features in part.features or data.keep, and nothing in the module or the class"
        afresh = subject.trial("other_afresh")
        _compare(afresh, other, "when another network was evaluated before", advice, share=1e-6)


def _alike(one: Trial, other: Trial) -> bool:
    """Whether no metric of two trials differs, for no video."""
    if one.result.metrics.keys() != other.result.metrics.keys():
        return False
    return all(
        metric.value == other.result.metrics[name].value and one.per_video(name) == other.per_video(name)
        for name, metric in one.result.metrics.items()
        if not is_measured(metric.unit)
    )


def check_scores_do_not_depend_on_batches(subject: EvaluatorSubject) -> None:
    """Scores are the same when the clips come in other batches."""
    advice = (
        "call backbone.eval() before scoring, compute nothing over a batch, average over videos at the end"
    )
    _compare(subject.plain, subject.trial("recut"), "when clips come in smaller batches", advice)


def check_scores_do_not_depend_on_the_order_of_videos(subject: EvaluatorSubject) -> None:
    """Every test video keeps its values when the test videos stand in another order."""
    advice = "keep video_ids in the order of per_video, and compute nothing over neighbours"
    _compare(subject.plain, subject.trial("reordered"), "when test videos stand in another order", advice)


def check_scores_do_not_depend_on_other_videos(subject: EvaluatorSubject) -> None:
    """A test video's values stay what they are when other test videos are replaced."""
    _compare_kept(subject, "loud", "when other test videos are replaced by high-contrast ones")


def check_test_labels_choose_nothing(subject: EvaluatorSubject) -> None:
    """With other labels on some test videos the others keep their values: labels choose and fit nothing."""
    for variant in LABELLINGS:
        _compare_kept(subject, variant, "when other test videos get other labels")
    _compare_kept(subject, "one_class", "when other test videos get one and the same label")
    trials = [subject.plain, *(subject.trial(variant) for variant in LABELLINGS)]
    videos = len(target().index.parts["test"])
    for name, metric in subject.plain.result.metrics.items():
        if metric.unit != "%" or metric.per_video is not None:
            continue
        plain, first, second, both, further = (float(trial.result.metrics[name].value) for trial in trials)
        counts = np.array([plain, first, second, both, further]) * videos / 100.0
        is_share_of_videos = np.abs(counts - counts.round()).max() < 1e-3
        if is_share_of_videos and abs(plain + both - first - second) > 0.5:
            raise CheckFailed(
                f"expected {name!r} to change by the videos whose labels were changed, half by half; it is "
                f"{plain:.2f}, then {first:.2f} and {second:.2f} with other labels on either half, and "
                f"{both:.2f} with both, so the predictions changed too; {_CHOICE}."
            )


def check_scores_follow_the_test_labels(subject: EvaluatorSubject) -> None:
    """A share with a chance level falls when most test videos get wrong labels."""
    for name, metric in subject.plain.result.metrics.items():
        if metric.unit == "%" and metric.per_video is not None:
            _check_hits(subject, name, metric)
        elif metric.unit == "%":
            _check_share(subject, name, metric)


def _check_hits(subject: EvaluatorSubject, name: str, metric: Metric) -> None:
    """Values of the videos whose labels are turned: a prediction agrees with one of three labels at most."""
    trials = [subject.plain, subject.trial("both"), subject.trial("both_further")]
    hits = [_turned_videos(trial, name) for trial in trials]
    if not all(hits) or (hits[0] == hits[1] == hits[2] and not _guesses_classes(metric)):
        return  # a share that no label is for, such as finding another clip of a video
    means = [float(np.mean(values)) for values in hits]
    good = means if metric.higher_is_better else [100.0 - mean for mean in means]
    if _guesses_one(metric) and sum(good) > 130.0:
        raise CheckFailed(
            f"expected {name!r} to fall when test videos get wrong labels, but over those it is "
            f"{', '.join(f'{mean:.1f}' for mean in means)} under three labellings: it was fitted on these "
            f"labels, or scores other videos; {_CHOICE}."
        )
    if 0.0 < means[0] < 100.0 and hits[0] == hits[1] == hits[2]:
        raise CheckFailed(
            f"expected {name!r} to compare predictions with the labels of the test part, but it has the same "
            "values per video under three labellings; take the labels from data.test()."
        )


def _check_share(subject: EvaluatorSubject, name: str, metric: Metric) -> None:
    """The score itself, where there are no values per video; a third of the videos keeps its labels."""
    trials = [subject.plain, *(subject.trial(variant) for variant in LABELLINGS)]
    values = [float(trial.result.metrics[name].value) for trial in trials]
    good = values if metric.higher_is_better else [100.0 - value for value in values]
    unmoved = (
        metric.chance is not None and max(values) == min(values) and abs(values[0] - metric.chance) > 10.0
    )
    if unmoved or (_guesses_one(metric) and good[0] + good[3] + good[4] > 200.0):
        raise CheckFailed(
            f"expected {name!r} to fall when most test videos get wrong labels, but it is "
            f"{', '.join(f'{value:.1f}' for value in values)} under five labellings: it was fitted on these "
            f"labels, or scores other videos; {_CHOICE}."
        )


def _guesses_one(metric: Metric) -> bool:
    """True where guessing is right about as often as one class of the target is."""
    return metric.chance is not None and 0.0 < metric.chance < 20.0


def _guesses_classes(metric: Metric) -> bool:
    """False where the chance level says that something else is guessed than a class of the target."""
    return metric.chance is None or abs(metric.chance - 100.0 / NUM_CLASSES) < _NEAR


def check_data_is_not_changed(subject: EvaluatorSubject) -> None:
    """Features and labels, which other evaluators of the cell share, are not changed in place."""
    if changed := subject.plain.notebook.changed():
        raise CheckFailed(
            f"expected shared arrays to stay as they are, but the {changed[0]} were changed in place; other "
            "evaluators get the same array: work on a copy (x = x / norm, not x /= norm)."
        )


def check_evaluating_leaves_the_settings_alone(subject: EvaluatorSubject) -> None:
    """`evaluate` leaves gradients, default types, threads and other settings of the process as they were."""
    if subject.plain.disturbance:
        raise CheckFailed(subject.plain.disturbance)


def _compare(one: Trial, other: Trial, when: str, advice: str, *, share: float = _ROUNDING) -> None:
    """Raise CheckFailed where a metric that is not measured differs between two trials."""
    if one.result.metrics.keys() != other.result.metrics.keys():
        names = sorted(one.result.metrics.keys() ^ other.result.metrics.keys())
        raise CheckFailed(f"expected the same metrics, but {when} {', '.join(names)} came or went.")
    for name, metric in one.result.metrics.items():
        if is_measured(metric.unit):
            continue
        _compare_values(name, metric, other.result.metrics[name], when, advice, share)
        before, after = one.per_video(name), other.per_video(name)
        if before is not None and after is not None:
            _compare_videos(name, before, after, before.keys(), when, advice, share)


def _compare_values(name: str, metric: Metric, found: Metric, when: str, advice: str, share: float) -> None:
    if abs(metric.value - found.value) > share * max(1.0, abs(metric.value)):
        raise CheckFailed(
            f"expected {name!r} to be the same, but {when} it is {found.value:.6g} instead of "
            f"{metric.value:.6g}; {advice}."
        )


def _compare_videos(
    name: str,
    before: Mapping[str, float],
    after: Mapping[str, float],
    ids: Iterable[str],
    when: str,
    advice: str,
    share: float,
) -> None:
    for video_id in ids:
        old, new = before[video_id], after.get(video_id, float("nan"))
        if not abs(old - new) <= share * max(1.0, abs(old)):
            raise CheckFailed(
                f"expected every video to keep its value of {name!r}, but {when} video {video_id!r} has "
                f"{new:.6g} instead of {old:.6g}; {advice}."
            )


def _compare_kept(subject: EvaluatorSubject, variant: Variant, when: str) -> None:
    """Raise CheckFailed where a test video that was not touched has other values or scores."""
    one, other = subject.plain, subject.trial(variant)
    for name, metric in one.result.metrics.items():
        before, after = one.per_video(name), other.per_video(name)
        if before is None or after is None or is_measured(metric.unit):
            continue
        ids = sorted(target().kept & before.keys())
        if variant == "one_class" and metric.unit == "%":  # values may be weighted by the sizes of classes
            before, after = ({name: float(v > 0) for name, v in side.items()} for side in (before, after))
        _compare_videos(name, before, after, ids, when, _CHOICE, _ROUNDING)
    there = other.scores()
    for name, rows in one.scores().items():
        for video_id in sorted(target().kept & rows.keys()):
            if name in there and not _close(rows[video_id], there[name][video_id]):
                raise CheckFailed(
                    f"expected the {name} of a test video not to depend on the others, but {when} those of "
                    f"{video_id!r} differ; {_CHOICE}."
                )


def _close(one: np.ndarray, other: np.ndarray) -> bool:
    if one.dtype.kind not in "fiub":
        return bool(np.array_equal(one, other))
    return one.shape == other.shape and np.allclose(one, other, rtol=_ROUNDING, atol=1e-5, equal_nan=True)


def _turned_videos(trial: Trial, name: str) -> Sequence[float]:
    """Values of the test videos whose labels are turned, by id; empty without values per video."""
    values = trial.per_video(name) or {}
    return [value for video_id, value in sorted(values.items()) if video_id not in target().kept]


FAIRNESS_CHECKS = (
    check_test_videos_come_last,
    check_test_videos_are_scored_by_even_clips,
    check_equal_runs_give_equal_scores,
    check_another_network_gets_its_own_scores,
    check_scores_do_not_depend_on_batches,
    check_scores_do_not_depend_on_the_order_of_videos,
    check_scores_do_not_depend_on_other_videos,
    check_test_labels_choose_nothing,
    check_scores_follow_the_test_labels,
    check_data_is_not_changed,
    check_evaluating_leaves_the_settings_alone,
)
