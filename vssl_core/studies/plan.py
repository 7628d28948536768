"""From a study to cells: every point planned as a bench would plan it, and merged, so that nothing is twice.

A point that cannot be (a plugin that is missing, a backbone that does not provide what the task requires, a
dataset that is not here) is kept with its reason beside those that can.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vssl_core.cells import CellSpec, EvaluationSpec
from vssl_core.errors import DataError, PluginError, ProtocolError, UsageError
from vssl_core.planning import Known, Plan, Request, make_plan, merge_plans
from vssl_core.progress import Progress
from vssl_core.protocol import Protocol, load_protocol
from vssl_core.studies.grid import Point, changed_fields, check_changes, expand, pick_scale, referred
from vssl_core.studies.schema import EvaluationEntry, Reference, Scale, Study

__all__ = [
    "Impossible",
    "PlannedPoint",
    "PlannedResult",
    "Scaling",
    "StudyPlan",
    "plan_study",
    "told_reasons",
]

_REFUSED = (UsageError, PluginError, DataError)


@dataclass(frozen=True)
class Scaling:
    """What of a study's file the user replaces.

    Args:
        scale: Which grid.
        protocol: Preset or file instead of the scale's; empty: the scale's.
        seeds: Instead of the scale's; none: the scale's.
        changes: Settings that hold at every point.
    """

    scale: str = "laptop"
    protocol: str = ""
    seeds: tuple[int, ...] = ()
    changes: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class PlannedResult:
    """One evaluation of one cell of a point."""

    cell_id: str
    evaluation_id: str
    role: str
    seed: int


@dataclass(frozen=True)
class PlannedPoint:
    """A point, and whose rows are its results."""

    point: Point
    protocol_hash: str
    results: tuple[PlannedResult, ...]


@dataclass(frozen=True)
class Impossible:
    """A point, or an evaluation of it, that cannot be, and why."""

    point: str
    evaluation: str
    reason: str


@dataclass(frozen=True)
class StudyPlan:
    """A study with its cells.

    Args:
        study: The file.
        scale: Which grid.
        points: Those that can be.
        impossible: What cannot be.
        differing: Protocol fields in which the points differ; all others are equal.
        plan: All cells and evaluations, each once.
    """

    study: Study
    scale: str
    points: tuple[PlannedPoint, ...]
    impossible: tuple[Impossible, ...]
    differing: tuple[str, ...]
    plan: Plan


def told_reasons(plans: Sequence[StudyPlan]) -> list[str]:
    """What cannot be, a line for each reason: the first place, how many more there are, and why."""
    places: dict[str, list[str]] = {}
    for plan in plans:
        for one in plan.impossible:
            place = f"{plan.study.name} ({one.point})" + (f", {one.evaluation}" if one.evaluation else "")
            places.setdefault(one.reason, []).append(place)
    return [
        f"{found[0]}{f' and {len(found) - 1} more' if len(found) > 1 else ''}: {reason}"
        for reason, found in places.items()
    ]


def plan_study(
    study: Study, scaling: Scaling, *, progress: Progress, known: Known | None = None
) -> StudyPlan:
    """Plan every point of one grid.

    Raises:
        UsageError: The study has no such scale, its protocol cannot be read, or a change would replace
            what its lines or columns stand for.
    """
    scale = pick_scale(study, scaling.scale)
    check_changes(study, scale, scaling.changes or {})
    return _StudyPlanner(study, scale, scaling, progress, known or Known()).plan()


class _StudyPlanner:
    def __init__(
        self, study: Study, scale: Scale, scaling: Scaling, progress: Progress, known: Known
    ) -> None:
        self._study, self._scale, self._scaling = study, scale, scaling
        self._progress, self._known = progress, known
        self._points = expand(scale, scaling.changes)
        self._seeds = scaling.seeds or scale.seeds
        self._impossible: list[Impossible] = []
        self._methods: dict[str, dict[int, CellSpec]] = {}  # point → seed → cell
        self._bare: dict[str, Plan] = {}  # point → its own cells without evaluations
        self._plans: list[Plan] = []

    def plan(self) -> StudyPlan:
        """Methods first: evaluations may refer to the cells of other points."""
        documents = {point.name: self._document(point) for point in self._points}
        differing = _differing(list(documents.values()), changed_fields(self._scale))
        possible = [point for point in self._points if self._plan_method(point, documents[point.name])]
        planned = [
            PlannedPoint(
                point,
                documents[point.name].hash,
                tuple(
                    result
                    for entry in self._entries(point, documents[point.name])
                    for result in self._plan_entry(point, entry, documents[point.name])
                ),
            )
            for point in possible
        ]
        merged = merge_plans(self._plans)
        return StudyPlan(
            self._study, self._scaling.scale, tuple(planned), tuple(self._impossible), differing, merged
        )

    def _document(self, point: Point) -> Protocol:
        name = self._scaling.protocol or self._scale.protocol or self._scaling.scale
        return load_protocol(name, point.options.get("protocol"))

    def _entries(self, point: Point, document: Protocol) -> Sequence[EvaluationEntry]:
        """The point's evaluations; the protocol's where the scale names none."""
        if self._scale.evaluate:
            return point.entries
        return [EvaluationEntry(eval=name) for name in document.evaluation.evaluators]

    def _plan_method(self, point: Point, document: Protocol) -> bool:
        """Find the point's own cells, which others may need; False where they cannot be."""
        try:
            made = make_plan(
                self._request(point, document, controls=False), document, progress=self._progress,
                known=self._known,
            )  # fmt: skip
        except _REFUSED as error:
            self._impossible.append(Impossible(point.name, "", str(error)))
            return False
        self._methods[point.name] = {spec.seed: spec for spec, _ in made.cells}
        self._bare[point.name] = Plan([(spec, ()) for spec, _ in made.cells], made.classes, made.protocols)
        return True

    def _plan_entry(
        self, point: Point, entry: EvaluationEntry, document: Protocol
    ) -> Iterator[PlannedResult]:
        # Options that name cells differ from seed to seed; all others are planned for all seeds at once.
        groups = [(seed,) for seed in self._seeds] if entry.cells else [self._seeds]
        for target in entry.target or _texts(point.words.get("target", document.target_datasets)):
            for seeds in groups:
                try:
                    made = self._planned(point, entry, document, target, seeds)
                except _REFUSED as error:
                    self._impossible.append(Impossible(point.name, f"{entry.eval} on {target}", str(error)))
                    break
                self._plans.append(made)
                for spec, evaluations in made.cells:
                    for e in evaluations:
                        yield PlannedResult(spec.cell_id, e.evaluation_id, spec.role, spec.seed)

    def _planned(
        self,
        point: Point,
        entry: EvaluationEntry,
        document: Protocol,
        target: str,
        seeds: tuple[int, ...],
    ) -> Plan:
        """The cells of one evaluation on one target, with those of its evaluations that are wanted."""
        named = {option: self._cells(point, found, seeds[0]) for option, found in entry.cells.items()}
        request = self._request(point, document, target=target, entry=entry, seeds=seeds, named=named)
        made = make_plan(request, document, progress=self._progress, known=self._known)
        needs = tuple(dict.fromkeys(name for found in named.values() for name in _texts(found)))
        cells = [
            (spec, [_variant(e, entry, at, needs) for e in evaluations for at in _shares(spec, entry)])
            for spec, evaluations in made.cells
            if spec.role in _roles(entry)
        ]
        return Plan(cells, made.classes, made.protocols)

    def _cells(self, point: Point, found: Reference | tuple[Reference, ...], seed: int) -> str | list[str]:
        """The ids of the cells that references mean, of one seed."""
        if isinstance(found, tuple):
            return [name for reference in found for name in _texts(self._cells(point, reference, seed))]
        other = referred(point, found, self._points)
        if other.name not in self._methods:
            raise UsageError(f"it needs the cell of ({other.name}), which cannot be.")
        self._plans.append(self._bare[other.name])
        return self._methods[other.name][seed].cell_id

    def _request(
        self,
        point: Point,
        document: Protocol,
        *,
        target: str = "",
        entry: EvaluationEntry | None = None,
        seeds: tuple[int, ...] = (),
        named: Mapping[str, Any] | None = None,
        controls: bool = True,
    ) -> Request:
        pretrain = str(point.words.get("pretrain", document.pretrain_dataset))
        targets = (target,) if target else _texts(point.words.get("target", document.target_datasets))
        options = {owner: dict(values) for owner, values in point.options.items() if "data/" not in owner}
        options.pop("protocol", None)
        for owner, name in (("pretrain", pretrain), *(("target", one) for one in targets)):
            options[owner] = {**point.options.get(f"data/{name}", {}), **options.get(owner, {})}
        if entry is not None:
            owner = f"eval/{entry.eval}"
            options[owner] = {**entry.options, **options.get(owner, {}), **(named or {})}
        return Request(
            task=_required(point, "task"),
            backbone=point.words.get("backbone", document.backbone),
            pretrain=pretrain,
            targets=targets,
            evaluators=() if entry is None else (entry.eval,),
            seeds=seeds or self._seeds,
            options=options,
            controls=controls and self._scale.controls,
        )


def _required(point: Point, word: str) -> str:
    if word not in point.words:
        raise UsageError(f"the point ({point.name}) has no {word}; set {word} in settings or on an axis.")
    return str(point.words[word])


def _texts(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _roles(entry: EvaluationEntry) -> tuple[str, ...]:
    if entry.roles:
        return entry.roles
    return ("method",) if entry.cells else ("method", "floor", "ceiling")


def _shares(spec: CellSpec, entry: EvaluationEntry) -> tuple[float, ...]:
    """Controls are evaluated at the end alone."""
    return entry.at if spec.role == "method" else tuple(share for share in entry.at if share == 1.0)


def _variant(
    spec: EvaluationSpec, entry: EvaluationEntry, at: float, needs: tuple[str, ...]
) -> EvaluationSpec:
    label = entry.label or (_reference_label(entry) if entry.cells else spec.label)
    label = label if at == 1.0 else f"{label} at {100 * at:g} %"
    return spec.model_copy(update={"label": label, "at": at, "needs": needs})


def _reference_label(entry: EvaluationEntry) -> str:
    """The evaluator with its options in the words of the file; cells by their labels, not by their ids."""
    words = [f"{option}={value}" for option, value in entry.options.items()]
    for option, found in entry.cells.items():
        references = found if isinstance(found, tuple) else (found,)
        words.append(f"{option}={' + '.join('/'.join(one.values()) for one in references)}")
    return f"{entry.eval}({', '.join(words)})"


def _differing(documents: Sequence[Protocol], allowed: Sequence[str]) -> tuple[str, ...]:
    """Fields in which protocols differ.

    Raises:
        ProtocolError: One of them is not set by an axis: then the table would compare what is not alike.
    """
    flat = [
        dict(_flat(document.model_dump(mode="json", exclude={"name", "description"})))
        for document in documents
    ]
    names = sorted({name for one in flat for name in one})
    differing = tuple(name for name in names if any(one.get(name) != flat[0].get(name) for one in flat))
    stray = [name for name in differing if not any(f"{name}.".startswith(f"{field}.") for field in allowed)]
    if stray:
        raise ProtocolError(
            f"the points of this study differ in protocol fields that no axis sets: {', '.join(stray)}. "
            "Points of one table must be equal in everything but their axes."
        )
    return differing


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _flat(inner, f"{prefix}.{name}" if prefix else str(name))
    else:
        yield prefix, value
