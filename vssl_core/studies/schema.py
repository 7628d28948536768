"""A study: a named grid of cells and evaluations that answers one question, as a small file.

Built-in studies are YAML files beside this module; a user writes the same file and names it by its path.
A file has one grid for each scale (`laptop`, `paper`, `smoke`), because what two cores can do in an hour and
what the paper did are different grids for the same question.

Settings are the words of `vssl bench`: `task`, `backbone`, `pretrain`, `target`, and every `OWNER.OPTION`
that `-o` takes; `data/NAME.OPTION` sets an option of the dataset NAME wherever it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from vssl_core.errors import did_you_mean
from vssl_core.options import OPTION_OWNERS, split_option
from vssl_core.paper import load_paper_tables
from vssl_core.studies.showing import (
    EVALUATION,
    SHARE,
    FigureEntry,
    FindingEntry,
    Frozen,
    Labels,
    PaperEntry,
    TableView,
    keys_as_text,
)

__all__ = ["STUDY_SCHEMA", "WORDS", "EvaluationEntry", "Filter", "Override", "Reference", "Scale", "Study"]

STUDY_SCHEMA = 1
WORDS = ("task", "backbone", "pretrain", "target")
"""Settings that name a component; all others are options."""

_NAMED = ("eval/", "corruption/", "data/")
_OWNERS = tuple(owner for owner in OPTION_OWNERS if owner != "executor")


def _settings(value: Any) -> Any:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ValueError(f"settings are a mapping such as {{task: vcop, task.level: 2}}; got {value!r}")
    for word in value:
        _check_word(str(word))
    return dict(value)


def _check_word(word: str) -> None:
    if word in WORDS:
        return
    found = split_option(word)
    owner = found[0] if found else ""
    if owner in _OWNERS or owner.startswith(_NAMED):
        return
    known = [*WORDS, *(f"{owner}.OPTION" for owner in (*_OWNERS, *(f"{kind}NAME" for kind in _NAMED)))]
    raise ValueError(f"there is no setting {word!r}.{did_you_mean(word, known) or ''}".rstrip("."))


Label = Annotated[str, BeforeValidator(lambda v: str(v) if isinstance(v, int | float) else v)]
Settings = Annotated[Mapping[str, Any], BeforeValidator(_settings)]
Filter = Mapping[str, Labels]
"""Axis → labels: the points whose label on each of these axes is among them."""
Reference = Mapping[str, Label]
"""Axis → label: another point, which agrees with this one on all other axes."""


class EvaluationEntry(Frozen):
    """One evaluator, on every point of the grid or on some."""

    eval: str
    """Evaluator, as `--eval` names it."""
    options: Mapping[str, Any] = {}
    """Its options."""
    label: str = ""
    """What tables call it; empty: its name and the options that are not as usual."""
    target: Labels = ()
    """Targets; empty: those of the point, or the protocol's."""
    roles: tuple[Literal["method", "floor", "ceiling"], ...] = ()
    """Which cells of a point; empty: the method and its controls, or the method alone where `cells` is
    given."""
    at: tuple[float, ...] = (1.0,)
    """Shares of the pretraining budget after which the weights are evaluated; those before the end are
    evaluated of the method alone. They are snapshots of one run, not runs of smaller budgets."""
    cells: Mapping[str, Reference | tuple[Reference, ...]] = {}
    """Option → other points of the grid, whose cells the evaluator needs."""
    only: Filter = Field({})
    """On these points alone."""

    @field_validator("at")
    @classmethod
    def _shares(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not value or not all(0 < share <= 1 for share in value):
            raise ValueError("at must be one or more shares above 0 and up to 1")
        return tuple(sorted(set(value)))


class Override(Frozen):
    """Settings of some points, over those of their axes."""

    where: Filter
    """The points."""
    set: Settings
    """What holds there."""


class Scale(Frozen):
    """The grid of one scale: the product of the axes, as far as the filters let it through."""

    about: str = ""
    """What it costs and what it leaves out, for people."""
    protocol: str = ""
    """Preset or file; empty: the preset of the scale's name."""
    seeds: tuple[int, ...] = (0,)
    """One cell of each point for each."""
    settings: Settings = Field({})
    """Equal at all points."""
    axes: Mapping[str, Annotated[Mapping[str, Settings], BeforeValidator(keys_as_text)]]
    """Axis → label → settings of the points that bear it."""
    overrides: tuple[Override, ...] = ()
    """Settings of some points, over those of their axes; a later one over an earlier one."""
    only: tuple[Filter, ...] = ()
    """Points that fit none of these are left out; empty: none is."""
    exclude: tuple[Filter, ...] = Field((), alias="except")
    """Points that fit one of these are left out."""
    evaluate: tuple[EvaluationEntry, ...] = ()
    """Evaluations; empty: the protocol's."""
    controls: bool = True
    """Random initialisation and the supervised control for every point, shared where they are equal."""

    @field_validator("seeds")
    @classmethod
    def _some_seeds(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value:
            raise ValueError("a scale needs at least one seed")
        return tuple(dict.fromkeys(value))

    @model_validator(mode="after")
    def _consistent(self) -> Scale:
        if not self.axes or not all(self.axes.values()):
            raise ValueError("axes must have at least one axis, and every axis at least one label")
        self._check_words_are_set_once()
        where = tuple(one.where for one in self.overrides)
        for place, filters in (("only", self.only), ("except", self.exclude), ("overrides: where", where)):
            for one in filters:
                self._check_labels(place, one)
        for entry in self.evaluate:
            self._check_labels(f"evaluate {entry.eval}: only", entry.only)
            for option, found in entry.cells.items():
                for reference in found if isinstance(found, tuple) else (found,):
                    labels = {axis: (label,) for axis, label in reference.items()}
                    self._check_labels(f"evaluate {entry.eval}: cells.{option}", labels)
        return self

    def _check_words_are_set_once(self) -> None:
        owner: dict[str, str] = {}
        for axis, labels in self.axes.items():
            for word in {word for settings in labels.values() for word in settings}:
                if word in owner:
                    raise ValueError(f"axes {owner[word]!r} and {axis!r} both set {word!r}; only one may")
                owner[word] = axis

    def _check_labels(self, place: str, labels: Filter) -> None:
        for axis, wanted in labels.items():
            if axis not in self.axes:
                raise ValueError(f"{place}: there is no axis {axis!r}.{did_you_mean(axis, self.axes)}")
            for label in wanted:
                if label not in self.axes[axis]:
                    known = did_you_mean(label, self.axes[axis])
                    raise ValueError(f"{place}: axis {axis!r} has no label {label!r}.{known}")


class Study(Frozen):
    """The whole file."""

    study_schema: int = Field(STUDY_SCHEMA, alias="schema")
    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    """What `vssl study` calls it, and the name of its results in the run folder."""
    title: str
    """Heading of its section."""
    question: str
    """What it answers, as a question."""
    answers: tuple[str, ...] = ()
    """Tables and figures of the paper that it repeats."""
    notes: tuple[str, ...] = ()
    """What a reader must know beside the numbers."""
    table: TableView = TableView()
    """Its table."""
    findings: tuple[FindingEntry, ...] = ()
    """Its findings."""
    figures: tuple[FigureEntry, ...] = ()
    """Its figures."""
    paper: tuple[PaperEntry, ...] = ()
    """The paper's numbers for its points; the first that has one counts."""
    references: tuple[str, ...] = ()
    """Tables of the paper's data that are shown as they are, because no point of ours has their numbers."""
    scales: Mapping[str, Scale] = {}
    """Scale → grid."""
    includes: tuple[str, ...] = ()
    """Other studies, by name: this one is all of them together, with shared cells computed once."""

    @field_validator("references")
    @classmethod
    def _tables_of_the_paper(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        known = [table.name for table in load_paper_tables()]
        for name in value:
            if name not in known:
                raise ValueError(f"the paper's data have no table {name!r}.{did_you_mean(name, known)}")
        return value

    @model_validator(mode="after")
    def _one_kind(self) -> Study:
        if bool(self.scales) == bool(self.includes):
            raise ValueError("a study has either scales, each with a grid, or includes, the names of others")
        for name, scale in self.scales.items():
            for axis in (*self.table.lines, *self.table.columns):
                if axis not in (*scale.axes, EVALUATION):
                    known = did_you_mean(axis, (*scale.axes, EVALUATION))
                    raise ValueError(f"table: scale {name!r} has no axis {axis!r}.{known}")
            self._check_every_point_has_an_entry(name, scale)
            for place, entries in (("findings", self.findings), ("figures", self.figures)):
                for axis in filter(None, (entry.axis for entry in entries)):
                    if axis not in (*scale.axes, SHARE):
                        known = did_you_mean(axis, (*scale.axes, SHARE))
                        raise ValueError(f"{place}: scale {name!r} has no axis {axis!r}.{known}")
        return self

    def _check_every_point_has_an_entry(self, name: str, scale: Scale) -> None:
        lines, columns = self.table.lines, self.table.columns
        for axis, labels in scale.axes.items():
            if lines and columns and axis not in (*lines, *columns) and len(labels) > 1:
                raise ValueError(
                    f"table: axis {axis!r} of scale {name!r} is among neither lines nor columns, so that its "
                    f"{len(labels)} labels would share one entry; add it to either, or leave columns out"
                )
