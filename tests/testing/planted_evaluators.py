"""Small evaluators of several kinds that keep their contract, and broken ones, each by one bug."""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from vssl_core import (
    Backbone,
    ContractError,
    EvaluationContext,
    EvaluationData,
    EvaluationPart,
    EvaluationResult,
    Evaluator,
    Metric,
    generator,
)

Given = tuple[Backbone, EvaluationData, EvaluationContext]


def features(part: EvaluationPart, backbone: Backbone, num_clips: int = 1) -> np.ndarray:
    """Mean features (V, D) float64."""
    return part.features(backbone, num_clips=num_clips).mean(axis=1, dtype=np.float64)


def neighbours(gallery: np.ndarray, labels: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """Class of each query (V,) by a vote of the k nearest, ties to the lower class."""
    distance = np.linalg.norm(queries[:, None] - gallery[None], axis=2)
    nearest = labels[np.argsort(distance, axis=1, kind="stable")[:, :k]]
    return np.array([np.bincount(row).argmax() for row in nearest])


def votes(gallery: np.ndarray, labels: np.ndarray, queries: np.ndarray, num_classes: int) -> np.ndarray:
    """Votes (V, K) of all gallery videos for each query, near ones far more than others."""
    distance = np.linalg.norm(queries[:, None] - gallery[None], axis=2)
    return np.exp(-8.0 * distance / distance.mean(axis=1, keepdims=True)) @ np.eye(num_classes)[labels]


def report(predicted: np.ndarray, part: EvaluationPart, num_classes: int) -> EvaluationResult:
    per_video = 100.0 * (predicted == part.labels)
    metric = Metric(float(per_video.mean()), per_video=per_video, chance=100.0 / num_classes)
    return EvaluationResult({"top1": metric}, [record.video_id for record in part.records])


class Nearest(Evaluator):
    """The class of the three nearest training videos."""

    def __init__(self, options: Any) -> None:
        self.options = options

    def evaluate(
        self, backbone: Backbone, data: EvaluationData, context: EvaluationContext
    ) -> EvaluationResult:
        gallery, labels = features(data.train, backbone), data.train.labels
        test = data.test()
        queries = features(test, backbone, context.num_test_clips)
        return report(neighbours(gallery, labels, queries, 3), test, len(data.classes))


class Gradient(Evaluator):
    """A linear head trained on clips, the backbone with it; the epoch is chosen on validation videos."""

    def __init__(self, options: Any) -> None:
        self.options = options

    def evaluate(
        self, backbone: Backbone, data: EvaluationData, context: EvaluationContext
    ) -> EvaluationResult:
        model = nn.Sequential(backbone, nn.Linear(backbone.embed_dim, len(data.classes)))
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        best: tuple[float, dict[str, Any]] = (-1.0, {})
        curve = []
        for epoch in range(4):
            model.train()
            for video, labels, _ in data.train.batches(batch_size=12, epoch=epoch, train=True):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(video), labels).backward()
                optimizer.step()
            curve.append(float(self.right(model, data.validation, 1).mean()))
            if curve[-1] > best[0]:
                best = curve[-1], copy.deepcopy(model.state_dict())
        model.load_state_dict(best[1])
        return self.score(model, data, context, curve)

    def score(
        self, model: nn.Module, data: EvaluationData, context: EvaluationContext, curve: list[float]
    ) -> EvaluationResult:
        test = data.test()
        per_video = 100.0 * self.right(model, test, context.num_test_clips)
        return EvaluationResult(
            {"accuracy": Metric(per_video.mean(), per_video=per_video)},
            tuple(record.video_id for record in test.records),
            curves={"validation": curve},
        )

    @torch.no_grad()
    def right(self, model: nn.Module, part: EvaluationPart, num_clips: int) -> np.ndarray:
        model.eval()
        sums = np.zeros((len(part.records), 6))
        for video, _, rows in part.batches(batch_size=16, num_clips=num_clips):
            np.add.at(sums, rows, model(video).softmax(dim=1).numpy())
        return (sums.argmax(axis=1) == part.labels).astype(np.float64)


class Speed(Evaluator):
    """Milliseconds of a clip, on training videos: no test video is needed."""

    def __init__(self, options: Any) -> None:
        self.options = options

    def evaluate(
        self, backbone: Backbone, data: EvaluationData, context: EvaluationContext
    ) -> EvaluationResult:
        clips, _, _ = next(iter(data.train.batches(batch_size=4)))
        start = time.perf_counter()
        with torch.no_grad():
            backbone.eval()(clips)
        seconds = time.perf_counter() - start
        return EvaluationResult({"latency": Metric(1000 * seconds, unit="ms", higher_is_better=False)})


class Rank(Evaluator):
    """Effective rank of the test features: needs no label."""

    def __init__(self, options: Any) -> None:
        self.options = options

    def evaluate(
        self, backbone: Backbone, data: EvaluationData, context: EvaluationContext
    ) -> EvaluationResult:
        test_VD = features(data.test(), backbone, context.num_test_clips)
        share = np.linalg.svd(test_VD - test_VD.mean(axis=0), compute_uv=False) ** 2
        share = share / share.sum()
        rank = float(np.exp(-(share * np.log(share + 1e-12)).sum()))
        return EvaluationResult({"rank": Metric(rank, unit="dimensions")}, arrays={"spectrum": share})


class Recall(Evaluator):
    """Is one of the ten nearest training videos of the class? Guessing often says yes."""

    def __init__(self, options: Any) -> None:
        self.options = options

    def evaluate(
        self, backbone: Backbone, data: EvaluationData, context: EvaluationContext
    ) -> EvaluationResult:
        gallery, labels = features(data.train, backbone), data.train.labels
        test = data.test()
        queries = features(test, backbone, context.num_test_clips)
        distance = np.linalg.norm(queries[:, None] - gallery[None], axis=2)
        hits = labels[np.argsort(distance, axis=1)[:, :10]] == test.labels[:, None]
        per_video = 100.0 * hits.any(axis=1)
        return EvaluationResult(
            {"R@10": Metric(float(per_video.mean()), per_video=per_video)},
            [record.video_id for record in test.records],
        )


class Stored(Nearest):
    """Says how its metric follows from what it stores."""

    def evaluate(self, *given: Any) -> EvaluationResult:
        backbone, data, context = given
        gallery, labels = features(data.train, backbone), data.train.labels
        test = data.test()
        queries = features(test, backbone, context.num_test_clips)
        arrays = {
            "votes": votes(gallery, labels, queries, len(data.classes)),
            "labels": test.labels.copy(),
        }
        ids = [record.video_id for record in test.records]
        return EvaluationResult(self.recompute(arrays), ids, arrays=arrays)

    def recompute(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, Metric]:
        hit = 100.0 * (arrays["votes"].argmax(axis=1) == arrays["labels"])
        return {"top1": Metric(float(hit.mean()), hit, chance=100.0 / arrays["votes"].shape[1])}


CORRECT = (Nearest, Gradient, Speed, Rank, Recall, Stored)


# ------------------------------------------------------------------------------------ test videos


class ChoosesByTest(Nearest):
    """The number of neighbours is the one that is best on the test videos."""

    def evaluate(self, *given: Any) -> EvaluationResult:
        backbone, data, context = given
        gallery, labels = features(data.train, backbone), data.train.labels
        test = data.test()
        queries = features(test, backbone, context.num_test_clips)
        guesses = [neighbours(gallery, labels, queries, k) for k in (1, 3, 5, 9, 15, 31)]
        best = max(guesses, key=lambda guess: float((guess == test.labels).mean()))
        return report(best, test, len(data.classes))


class ChoosesByTestQuietly(ChoosesByTest):
    """The same, and only the score is given."""

    def evaluate(self, *given: Any) -> EvaluationResult:
        metric = super().evaluate(*given).metrics["top1"]
        return EvaluationResult({"top1": Metric(metric.value)})


class BestEpochOnTest(Gradient):
    """Keeps the training clips, and scores the epoch that is best on the test videos."""

    def evaluate(self, *given: Any) -> EvaluationResult:
        backbone, data, context = given
        model = nn.Sequential(backbone, nn.Linear(backbone.embed_dim, len(data.classes)))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        batches = list(data.train.batches(batch_size=12, train=True))
        test, guesses = data.test(), []
        for _ in range(5):
            model.train()
            for video, labels, _ in batches:
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(video), labels).backward()
                optimizer.step()
            guesses.append(self.right(model, test, context.num_test_clips))
        per_video = 100.0 * max(guesses, key=lambda right: float(right.mean()))
        ids = [record.video_id for record in test.records]
        return EvaluationResult({"accuracy": Metric(float(per_video.mean()), per_video=per_video)}, ids)


class PriorOfTheTestSet(Nearest):
    """Scores are weighted by how often each class occurs among the test labels."""

    def evaluate(self, *given: Any) -> EvaluationResult:
        backbone, data, context = given
        gallery, labels = features(data.train, backbone), data.train.labels
        test = data.test()
        queries = features(test, backbone, context.num_test_clips)
        means = np.stack([gallery[labels == label].mean(axis=0) for label in range(len(data.classes))])
        prior = np.bincount(test.labels, minlength=len(data.classes)) / len(test.labels)
        distance = np.linalg.norm(queries[:, None] - means[None], axis=2)
        scores = np.log(prior + 1e-6) - distance
        result = report(scores.argmax(axis=1), test, len(data.classes))
        return EvaluationResult(result.metrics, result.video_ids, arrays={"scores": scores})


class AdaptsToTest(Nearest):
    """Shows the test videos to the BatchNorm layers first."""

    def evaluate(self, *given: Any) -> EvaluationResult:
        backbone, data, context = given
        gallery, labels = features(data.train, backbone), data.train.labels
        test = data.test()
        backbone.train()
        for _ in range(3):
            list(batch_features(test, backbone))
        queries = features(test, backbone, context.num_test_clips)
        return report(neighbours(gallery, labels, queries, 3), test, len(data.classes))


class FitsOnTest(Nearest):
    """Test videos are in the gallery too."""

    def evaluate(self, *given: Any) -> EvaluationResult:
        backbone, data, context = given
        gallery, labels = features(data.train, backbone), data.train.labels
        test = data.test()
        queries = features(test, backbone, context.num_test_clips)
        both, names = np.concatenate([gallery, queries]), np.concatenate([labels, test.labels])
        return report(neighbours(both, names, queries, 1), test, len(data.classes))


class ScalesByTest(Nearest):
    """Features are standardised over training and test videos together."""

    def evaluate(self, *given: Any) -> EvaluationResult:
        backbone, data, context = given
        gallery, labels = features(data.train, backbone), data.train.labels
        test = data.test()
        queries = features(test, backbone, context.num_test_clips)
        both = np.concatenate([gallery, queries])
        gallery, queries = (((x - both.mean(axis=0)) / both.std(axis=0)) for x in (gallery, queries))
        return report(neighbours(gallery, labels, queries, 3), test, len(data.classes))


class FitsAfterTest(Nearest):
    def evaluate(self, *given: Any) -> EvaluationResult:
        data = given[1]
        result = super().evaluate(*given)
        with suppress(ContractError):
            features(data.validation, given[0])
        return result


class KeepsAPart(Nearest):
    """Asks a part that it kept from before."""

    def evaluate(self, *given: Any) -> EvaluationResult:
        train = given[1].train
        result = super().evaluate(*given)
        with suppress(ContractError):
            features(train, given[0])
        return result


class OpensACopy(Nearest):
    """Looks at the test videos of a copy of the data, so that its own stay closed."""

    def evaluate(self, *given: Any) -> EvaluationResult:
        copy.deepcopy(given[1]).test()
        with suppress(ContractError):
            return super().evaluate(*given)
        return EvaluationResult({"top1": Metric(0.0)})


class NeverTests(Nearest):
    def evaluate(self, *given: Any) -> EvaluationResult:
        backbone, data, _ = given
        gallery, labels = features(data.train, backbone), data.train.labels
        guess = neighbours(gallery, labels, features(data.validation, backbone), 3)
        return EvaluationResult({"top1": Metric(100.0 * float((guess == data.validation.labels).mean()))})


class ReportsValidation(Nearest):
    def evaluate(self, *given: Any) -> EvaluationResult:
        backbone, data, _ = given
        gallery, labels, validation = features(data.train, backbone), data.train.labels, data.validation
        guess = neighbours(gallery, labels, features(validation, backbone), 3)
        data.test()
        return report(guess, validation, len(data.classes))


class ValidationAsTest(Nearest):
    """The score of validation videos under the name of the test's."""

    def evaluate(self, *given: Any) -> EvaluationResult:
        backbone, data, _ = given
        gallery, labels, validation = features(data.train, backbone), data.train.labels, data.validation
        guess = neighbours(gallery, labels, features(validation, backbone), 3)
        data.test()
        return EvaluationResult(
            {"top1": Metric(100.0 * float((guess == validation.labels).mean()), chance=16.7)}
        )


class LabelsOfThePredictions(Nearest):
    """Compares predictions with the labels of the nearest training videos."""

    def evaluate(self, *given: Any) -> EvaluationResult:
        backbone, data, context = given
        gallery, labels = features(data.train, backbone), data.train.labels
        test = data.test()
        queries = features(test, backbone, context.num_test_clips)
        right = neighbours(gallery, labels, queries, 5) == neighbours(gallery, labels, queries, 1)
        per_video = 100.0 * right
        ids = [record.video_id for record in test.records]
        return EvaluationResult({"top1": Metric(float(per_video.mean()), per_video=per_video)}, ids)


class RandomTestClips(Nearest):
    def evaluate(self, *given: Any) -> EvaluationResult:
        backbone, data, _ = given
        gallery, labels = features(data.train, backbone), data.train.labels
        test = data.test()
        queries = np.zeros((len(test.records), backbone.embed_dim))
        with torch.no_grad():
            for video, _, rows in test.batches(batch_size=8, train=True):
                queries[rows] = backbone.eval()(video).numpy()
        return report(neighbours(gallery, labels, queries, 3), test, len(data.classes))


# ------------------------------------------------------------------------------------ batches and order


def batch_features(part: EvaluationPart, backbone: Backbone) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    with torch.no_grad():
        for video, _, rows in part.batches(batch_size=16):
            yield backbone(video).numpy().astype(np.float64), rows


class ForgetsEval(Nearest):
    """Scores in train mode, with the statistics of the batch."""

    def evaluate(self, *given: Any) -> EvaluationResult:
        backbone, data, _ = given
        gallery, labels = features(data.train, backbone), data.train.labels
        test = data.test()
        backbone.train()
        queries = np.concatenate([found for found, _ in batch_features(test, backbone)])
        return report(neighbours(gallery, labels, queries, 3), test, len(data.classes))


class CentresBatches(Nearest):
    def evaluate(self, *given: Any) -> EvaluationResult:
        backbone, data, _ = given
        gallery, labels = features(data.train, backbone), data.train.labels
        test = data.test()
        batches = [found - found.mean(axis=0) for found, _ in batch_features(test, backbone.eval())]
        guess = neighbours(gallery - gallery.mean(axis=0), labels, np.concatenate(batches), 3)
        return report(guess, test, len(data.classes))


class MeanOfBatches(Nearest):
    """Averages the accuracies of batches of different sizes."""

    def evaluate(self, *given: Any) -> EvaluationResult:
        backbone, data, _ = given
        gallery, labels = features(data.train, backbone), data.train.labels
        test = data.test()
        shares = [
            float((neighbours(gallery, labels, found, 3) == test.labels[rows]).mean())
            for found, rows in batch_features(test, backbone.eval())
        ]
        return EvaluationResult({"top1": Metric(100.0 * float(np.mean(shares)))})


class CentresChunks(Nearest):
    """Centres features in chunks of eight videos that stand together."""

    def evaluate(self, *given: Any) -> EvaluationResult:
        backbone, data, context = given
        gallery, labels = features(data.train, backbone), data.train.labels
        test = data.test()
        queries = features(test, backbone, context.num_test_clips)
        chunks = [queries[start : start + 8] for start in range(0, len(queries), 8)]
        centred = np.concatenate([chunk - chunk.mean(axis=0) for chunk in chunks])
        return report(neighbours(gallery - gallery.mean(axis=0), labels, centred, 3), test, len(data.classes))


class SortsIds(Nearest):
    """Names sorted, values as they came."""

    def evaluate(self, *given: Any) -> EvaluationResult:
        result = super().evaluate(*given)
        return EvaluationResult(result.metrics, sorted(result.video_ids))


class DrawsAnew(Nearest):
    """A gallery drawn by a generator that nobody seeded."""

    def evaluate(self, *given: Any) -> EvaluationResult:
        backbone, data, context = given
        gallery, labels = features(data.train, backbone), data.train.labels
        some = np.random.default_rng().permutation(len(gallery))[: len(gallery) // 3]
        test = data.test()
        queries = features(test, backbone, context.num_test_clips)
        return report(neighbours(gallery[some], labels[some], queries, 3), test, len(data.classes))


class DrawsFromTheSystem(Nearest):
    """A gallery drawn by a generator that no seed reaches."""

    def evaluate(self, *given: Any) -> EvaluationResult:
        backbone, data, context = given
        gallery, labels = features(data.train, backbone), data.train.labels
        some = np.random.default_rng().permutation(len(gallery))[: len(gallery) // 3]
        test = data.test()
        queries = features(test, backbone, context.num_test_clips)
        return report(neighbours(gallery[some], labels[some], queries, 3), test, len(data.classes))


# ------------------------------------------------------------------------------------ results


class Fractions(Nearest):
    def evaluate(self, *given: Any) -> EvaluationResult:
        result = super().evaluate(*given)
        per_video = result.metrics["top1"].per_video / 100.0
        return EvaluationResult({"top1": Metric(float(per_video.mean()), per_video)}, result.video_ids)


class ChanceAsFraction(Nearest):
    def evaluate(self, *given: Any) -> EvaluationResult:
        result = super().evaluate(*given)
        metric = result.metrics["top1"]
        return EvaluationResult(
            {"top1": Metric(metric.value, metric.per_video, chance=1 / 6)}, result.video_ids
        )


class NotANumber(Nearest):
    def evaluate(self, *given: Any) -> EvaluationResult:
        result = super().evaluate(*given)
        return EvaluationResult({**result.metrics, "f1": Metric(float("nan"))}, result.video_ids)


class NoMetrics(Nearest):
    def evaluate(self, *given: Any) -> EvaluationResult:
        return EvaluationResult({}, super().evaluate(*given).video_ids)


class PlainNumbers(Nearest):
    def evaluate(self, *given: Any) -> EvaluationResult:
        return EvaluationResult({"top1": super().evaluate(*given).metrics["top1"].value})


class OtherMean(Nearest):
    def evaluate(self, *given: Any) -> EvaluationResult:
        result = super().evaluate(*given)
        per_video = result.metrics["top1"].per_video
        return EvaluationResult({"top1": Metric(per_video.mean() / 2, per_video)}, result.video_ids)


class TooFewValues(Nearest):
    def evaluate(self, *given: Any) -> EvaluationResult:
        result = super().evaluate(*given)
        per_video = result.metrics["top1"].per_video[:-1]
        return EvaluationResult({"top1": Metric(per_video.mean(), per_video)}, result.video_ids)


class PickledArray(Nearest):
    def evaluate(self, *given: Any) -> EvaluationResult:
        result = super().evaluate(*given)
        names = np.array([{"name": name} for name in result.video_ids], dtype=object)
        return EvaluationResult(result.metrics, result.video_ids, arrays={"names": names})


class OneFileForTwo(Nearest):
    def evaluate(self, *given: Any) -> EvaluationResult:
        result = super().evaluate(*given)
        metric = result.metrics["top1"]
        return EvaluationResult({"top 1": metric, "top_1": metric}, result.video_ids)


class StoresOtherScores(Stored):
    """Stores votes that are rounded after they were scored."""

    def evaluate(self, *given: Any) -> EvaluationResult:
        result = super().evaluate(*given)
        rounded = (result.arrays["votes"] / result.arrays["votes"].max()).round(1)
        return EvaluationResult(result.metrics, result.video_ids, arrays={**result.arrays, "votes": rounded})


class ForgetsTheLabels(Stored):
    """Keeps an array that its metrics follow from to itself."""

    def evaluate(self, *given: Any) -> EvaluationResult:
        result = super().evaluate(*given)
        return EvaluationResult(result.metrics, result.video_ids, arrays={"votes": result.arrays["votes"]})


class RemembersTheScore(Nearest):
    """Recomputes from what `evaluate` left in the object, which no other process has."""

    def evaluate(self, *given: Any) -> EvaluationResult:
        result = super().evaluate(*given)
        self.metrics = result.metrics
        return result

    def recompute(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, Metric]:
        return self.metrics


class TurnsTheMetrics(Stored):
    """Recomputes its metrics in another order."""

    def evaluate(self, *given: Any) -> EvaluationResult:
        result = super().evaluate(*given)
        metrics = dict(reversed(self.recompute(result.arrays).items()))
        return EvaluationResult(metrics, result.video_ids, arrays=result.arrays)

    def recompute(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, Metric]:
        return {**super().recompute(arrays), "videos": Metric(float(len(arrays["labels"])), unit="videos")}


class InfiniteCurve(Nearest):
    def evaluate(self, *given: Any) -> EvaluationResult:
        result = super().evaluate(*given)
        return EvaluationResult(result.metrics, result.video_ids, curves={"loss": [float("inf"), 1.0]})


# ------------------------------------------------------------------------------------ side effects


class NormalisesInPlace(Nearest):
    def evaluate(self, *given: Any) -> EvaluationResult:
        shared = given[1].train.features(given[0], num_clips=1)
        shared /= np.linalg.norm(shared, axis=2, keepdims=True) + 1e-12
        return super().evaluate(*given)


class TurnsLabels(Nearest):
    def evaluate(self, *given: Any) -> EvaluationResult:
        labels = given[1].train.labels
        labels += 1
        return super().evaluate(*given)


class WritesBeside(Nearest):
    def evaluate(self, *given: Any) -> EvaluationResult:
        np.save(Path(tempfile.gettempdir()) / "vssl-planted.npy", np.zeros(3))
        return super().evaluate(*given)


class WritesTheCoresFile(Nearest):
    def evaluate(self, *given: Any) -> EvaluationResult:
        (given[2].folder / "result.json").write_text("{}")
        return super().evaluate(*given)


class CentresFrames(Evaluator):
    """Plain pixels, told apart by whether they are brighter than their batch."""

    def __init__(self, options: Any) -> None:
        self.options = options

    def evaluate(self, *given: Any) -> EvaluationResult:
        _, data, context = given
        test, found = data.test(), []
        for video, _ in test.frames(context.clip, batch_size=12):
            brightness = video.float().mean(dim=(1, 2, 3, 4))
            found.append((brightness > brightness.mean()).numpy())
        return report(np.concatenate(found).astype(np.int64), test, len(data.classes))


class RateAsCount(Speed):
    """A rate under the unit of a count, which equal runs share."""

    def evaluate(self, *given: Any) -> EvaluationResult:
        (latency,) = super().evaluate(*given).metrics.values()
        return EvaluationResult({"work": Metric(1e6 / latency.value, unit="GFLOPs")})


class LeavesGradientsOff(Nearest):
    def evaluate(self, *given: Any) -> EvaluationResult:
        torch.set_grad_enabled(False)
        return super().evaluate(*given)


class KeepsItsSeed(Nearest):
    """Not broken: draws, but from a generator of its own."""

    def evaluate(self, *given: Any) -> EvaluationResult:
        backbone, data, context = given
        gallery, labels = features(data.train, backbone), data.train.labels
        some = generator("gallery", context.seed).permutation(len(gallery))[: len(gallery) // 2]
        test = data.test()
        queries = features(test, backbone, context.num_test_clips)
        return report(neighbours(gallery[some], labels[some], queries, 3), test, len(data.classes))


PLANTED = {
    NoMetrics: "check_metrics_are_numbers",
    PlainNumbers: "check_metrics_are_numbers",
    NotANumber: "check_metrics_are_numbers",
    ChanceAsFraction: "check_metrics_are_numbers",
    Fractions: "check_metrics_are_numbers",
    OtherMean: "check_values_per_video_fit",
    TooFewValues: "check_values_per_video_fit",
    ReportsValidation: "check_scored_videos_are_the_test_videos",
    PickledArray: "check_result_can_be_stored",
    OneFileForTwo: "check_result_can_be_stored",
    InfiniteCurve: "check_result_can_be_stored",
    StoresOtherScores: "check_metrics_can_be_recomputed",
    ForgetsTheLabels: "check_metrics_can_be_recomputed",
    RemembersTheScore: "check_metrics_can_be_recomputed",
    TurnsTheMetrics: "check_metrics_can_be_recomputed",
    WritesBeside: "check_writes_stay_in_its_folder",
    WritesTheCoresFile: "check_writes_stay_in_its_folder",
    FitsAfterTest: "check_test_videos_come_last",
    KeepsAPart: "check_test_videos_come_last",
    OpensACopy: "check_test_videos_come_last",
    NeverTests: "check_test_videos_come_last",
    RandomTestClips: "check_test_videos_are_scored_by_even_clips",
    DrawsAnew: "check_equal_runs_give_equal_scores",
    RateAsCount: "check_equal_runs_give_equal_scores",
    DrawsFromTheSystem: "check_equal_runs_give_equal_scores",
    ForgetsEval: "check_scores_do_not_depend_on_batches",
    CentresFrames: "check_scores_do_not_depend_on_batches",
    CentresBatches: "check_scores_do_not_depend_on_batches",
    MeanOfBatches: "check_scores_do_not_depend_on_batches",
    CentresChunks: "check_scores_do_not_depend_on_the_order_of_videos",
    SortsIds: "check_scores_do_not_depend_on_the_order_of_videos",
    ScalesByTest: "check_scores_do_not_depend_on_other_videos",
    AdaptsToTest: "check_scores_do_not_depend_on_other_videos",
    BestEpochOnTest: "check_test_labels_choose_nothing",
    PriorOfTheTestSet: "check_test_labels_choose_nothing",
    ChoosesByTest: "check_test_labels_choose_nothing",
    ChoosesByTestQuietly: "check_test_labels_choose_nothing",
    FitsOnTest: "check_scores_follow_the_test_labels",
    ValidationAsTest: "check_scores_follow_the_test_labels",
    LabelsOfThePredictions: "check_scores_follow_the_test_labels",
    NormalisesInPlace: "check_data_is_not_changed",
    TurnsLabels: "check_data_is_not_changed",
    LeavesGradientsOff: "check_evaluating_leaves_the_settings_alone",
}
