"""The scores of a study as plain values per seed, with their place in the grid."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from vssl_core.report.evidence import Evidence, PerVideo
from vssl_core.rows import Row
from vssl_core.statistics import Interval
from vssl_core.studies.grid import Point
from vssl_core.studies.plan import PlannedPoint, PlannedResult, StudyPlan
from vssl_core.studies.schema import Study
from vssl_core.studies.showing import SHARE

__all__ = ["MethodScore", "method_scores", "named", "varying"]

_ROLES = ("method", "floor", "ceiling")


@dataclass(frozen=True)
class MethodScore:
    """One metric of one evaluation of a point: of its method, or of a control where only those are asked for.

    Args:
        point: Where it stands.
        at: Share of the budget after which the weights were taken.
        target: Dataset that is scored, as tables call it: its name, and options that are not the defaults.
        evaluator: Its name.
        label: What tables call the evaluation, without the share.
        metric: The metric.
        unit: Its unit.
        higher_is_better: False for errors and times; None where neither direction is better.
        chance: What guessing gives, where known.
        by_seed: Seed → value.
        interval: None under three seeds.
        parameters: Of the backbone.
        gflops: Of one clip.
        rows: What it is made of.
        shown: Whether the table shows the metric; others are there for those who name them.
        floor: Seed → value of random initialisation, where the score is a method's.
    """

    point: Point
    at: float
    target: str
    evaluator: str
    label: str
    metric: str
    unit: str
    higher_is_better: bool | None
    chance: float | None
    by_seed: Mapping[int, float]
    interval: Interval | None
    parameters: float
    gflops: float
    rows: tuple[Row, ...]
    shown: bool = True
    floor: Mapping[int, float] = field(default_factory=dict)

    def asked_by(self, metric: str) -> bool:
        """Whether a finding or figure speaks of it: of the metric that it names, else of what is shown."""
        return self.metric == metric if metric else self.shown

    @property
    def mean(self) -> float:
        """Over seeds."""
        return fmean(self.by_seed.values())

    @property
    def dataset(self) -> str:
        """The name of the dataset that is scored."""
        return self.target.partition("(")[0]

    @property
    def what(self) -> str:
        """What is scored how."""
        return f"{self.label} {self.metric} on {self.target}"

    def place(self, axis: str) -> str:
        """Its label on an axis."""
        return f"{100 * self.at:g} %" if axis == SHARE else self.point.coordinates[axis]

    def others(self, axis: str) -> tuple[tuple[str, str], ...]:
        """Its labels on all other axes, the share of the budget among them."""
        labels = {**self.point.coordinates, SHARE: self.place(SHARE)}
        return tuple((name, label) for name, label in labels.items() if name != axis)


def varying(labels: Iterable[Iterable[tuple[str, str]]]) -> set[str]:
    """Axes on which these places differ."""
    seen: dict[str, set[str]] = {}
    for one in labels:
        for name, label in one:
            seen.setdefault(name, set()).add(label)
    return {name for name, found in seen.items() if len(found) > 1}


def named(scores: Sequence[MethodScore]) -> list[tuple[str, MethodScore]]:
    """Each score with what is scored how, and the labels in which it differs from others."""
    places = [score.others("") for score in scores]
    differing = varying(places)
    return [
        (", ".join([score.what, *(label for name, label in place if name in differing)]), score)
        for score, place in zip(scores, places, strict=True)
    ]


def method_scores(
    plan: StudyPlan,
    rows: Iterable[Row],
    *,
    per_video: Callable[[Row], PerVideo | None] = lambda row: None,
) -> list[MethodScore]:
    """Every metric that the study shows or names elsewhere, in the order of its points.

    An evaluation that the study asks of controls alone (a student without pretraining) has their scores.
    """
    asked, found = _named(plan.study), dict[tuple[str, str], list[Row]]()
    for row in rows:
        if row.metric in asked or _shown(plan.study, row):
            found.setdefault((row.cell_id, row.evaluation_id), []).append(row)
    scores = []
    for planned in plan.points:
        groups: dict[tuple[str, str, str, float], list[Row]] = {}
        for result in _foremost(planned.results):
            for row in found.get((result.cell_id, result.evaluation_id), ()):
                groups.setdefault((row.target, row.evaluator_label, row.metric, row.at), []).append(row)
        made = [
            _score(planned.point, group, per_video, shown=_shown(plan.study, group[0]))
            for group in groups.values()
        ]
        scores += [_beside_floor(score, planned, found) for score in made]
    return scores


def _beside_floor(
    score: MethodScore, planned: PlannedPoint, found: Mapping[tuple[str, str], Sequence[Row]]
) -> MethodScore:
    """With what random initialisation has in the same evaluation; it does not depend on the budget."""
    if score.rows[0].role != "method":
        return score
    floor = {
        row.seed: row.value
        for result in planned.results
        if result.role == "floor"
        for row in found.get((result.cell_id, result.evaluation_id), ())
        if (row.target, row.evaluator_label, row.metric) == (score.target, score.label, score.metric)
    }
    return replace(score, floor=floor)


def _named(study: Study) -> set[str]:
    """Metrics that findings, figures and the paper's numbers name."""
    asked = {entry.metric for entry in study.findings} | {entry.metric for entry in study.figures}
    return asked | {entry.ours or entry.metric for entry in study.paper}


def _shown(study: Study, row: Row) -> bool:
    return row.metric in study.table.metrics if study.table.metrics else row.primary


def _foremost(results: Sequence[PlannedResult]) -> list[PlannedResult]:
    """Of each evaluation the results of the method; without one, of the floor, else of the ceiling."""
    roles: dict[str, set[str]] = {}
    for result in results:
        roles.setdefault(result.evaluation_id, set()).add(result.role)
    first = {name: min(found, key=_ROLES.index) for name, found in roles.items()}
    return [result for result in results if result.role == first[result.evaluation_id]]


def _score(
    point: Point, rows: list[Row], per_video: Callable[[Row], PerVideo | None], *, shown: bool
) -> MethodScore:
    one, evidence = rows[0], Evidence(rows, per_video)
    return MethodScore(
        point=point,
        at=one.at,
        target=one.target,
        evaluator=one.evaluator,
        label=one.evaluator_label.removesuffix(f" at {100 * one.at:g} %"),
        metric=one.metric,
        unit=one.unit,
        higher_is_better=one.higher_is_better,
        chance=one.chance,
        by_seed=evidence.by_seed,
        interval=evidence.interval,
        parameters=fmean(row.cost.parameters for row in rows),
        gflops=fmean(row.cost.gflops for row in rows),
        rows=tuple(rows),
        shown=shown,
    )
