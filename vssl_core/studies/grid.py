"""From a scale of a study to its points: the product of its axes, as far as its filters let it through."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from vssl_core.errors import UsageError, did_you_mean
from vssl_core.studies.schema import WORDS, EvaluationEntry, Filter, Reference, Scale, Study

__all__ = [
    "Point",
    "changed_fields",
    "check_changes",
    "expand",
    "fits",
    "owner_of",
    "pick_scale",
    "referred",
    "stands_for",
]


@dataclass(frozen=True)
class Point:
    """One point of a grid.

    Args:
        coordinates: Axis → label.
        words: `task`, `backbone`, `pretrain`, `target` → what the user would name, as far as it is set.
        options: Owner → option → value, as `vssl bench` takes them; owners `data/NAME` too.
        entries: The evaluations that this point has.
    """

    coordinates: Mapping[str, str]
    words: Mapping[str, Any]
    options: Mapping[str, Mapping[str, Any]]
    entries: tuple[EvaluationEntry, ...]

    @property
    def name(self) -> str:
        """The labels, for people."""
        return ", ".join(f"{axis} {label}" for axis, label in self.coordinates.items())


def pick_scale(study: Study, name: str) -> Scale:
    """The grid of one scale.

    Raises:
        UsageError: The study has no such scale.
    """
    if name not in study.scales:
        raise UsageError(f"study {study.name!r} has no scale {name!r}.{did_you_mean(name, study.scales)}")
    return study.scales[name]


def check_changes(study: Study, scale: Scale, changes: Mapping[str, Any]) -> None:
    """Refuse what would make labels untrue: a setting in which the grid's own lines and columns differ.

    Raises:
        UsageError: A change replaces what an axis, an override or an evaluation sets.
    """
    for word in changes:
        by = next(iter(_owners(scale, word)), None)
        if by:
            raise UsageError(
                f"{by} of study {study.name!r} sets {word}; replaced at every point, its labels would be "
                "wrong. Leave it out, or give your values in a study file of your own."
            )


def _owners(scale: Scale, word: str) -> Iterable[str]:
    """What in a grid tells points or evaluations apart by this setting."""
    for axis, labels in scale.axes.items():
        if any(word in settings for settings in labels.values()):
            yield f"axis {axis!r}"
    if any(word in override.set for override in scale.overrides):
        yield "an override"
    owner, _, option = word.rpartition(".")
    same = [entry for entry in scale.evaluate if f"eval/{entry.eval}" == owner]
    if len({repr(entry.options.get(option, entry.cells.get(option))) for entry in same}) > 1:
        yield f"an evaluation by {same[0].eval!r}"


def expand(scale: Scale, changes: Mapping[str, Any] | None = None) -> list[Point]:
    """All points in the order of the file; `changes` are settings that replace the file's everywhere.

    Another target replaces those that evaluations name, too.

    Raises:
        UsageError: The filters leave nothing.
    """
    points = []
    for labels in product(*scale.axes.values()):
        coordinates = dict(zip(scale.axes, labels, strict=True))
        if scale.only and not any(fits(coordinates, one) for one in scale.only):
            continue
        if any(fits(coordinates, one) for one in scale.exclude):
            continue
        settings = {**scale.settings, **stands_for(scale, coordinates)}
        entries = tuple(entry for entry in scale.evaluate if fits(coordinates, entry.only))
        if "target" in (changes or {}):
            entries = tuple(entry.model_copy(update={"target": ()}) for entry in entries)
        points.append(_point(coordinates, settings | dict(changes or {}), entries))
    if not points:
        raise UsageError("only and except of this scale leave no point; widen them.")
    return points


def stands_for(scale: Scale, coordinates: Mapping[str, str]) -> dict[str, Any]:
    """What the labels of a point mean: the settings of its axes, then those of overrides."""
    settings: dict[str, Any] = {}
    for axis, label in coordinates.items():
        settings |= scale.axes[axis][label]
    for override in scale.overrides:
        settings |= override.set if fits(coordinates, override.where) else {}
    return settings


def owner_of(word: str) -> tuple[str, str]:
    """`task.level` → `task`, `level`; `data/x.y.z` → `data/x.y`, `z`; `protocol.a.b` → `protocol`, `a.b`."""
    owner, _, option = word.rpartition(".") if "/" in word else word.partition(".")
    return owner, option


def _point(
    coordinates: Mapping[str, str], settings: Mapping[str, Any], entries: tuple[EvaluationEntry, ...]
) -> Point:
    words = {word: settings[word] for word in WORDS if word in settings}
    options: dict[str, dict[str, Any]] = {}
    for word, value in settings.items():
        if word not in WORDS:
            owner, option = owner_of(word)
            options.setdefault(owner, {})[option] = value
    return Point(coordinates, words, options, entries)


def fits(coordinates: Mapping[str, str], wanted: Filter) -> bool:
    """Whether a point passes a filter."""
    return all(coordinates[axis] in labels for axis, labels in wanted.items())


def referred(point: Point, reference: Reference, points: Iterable[Point]) -> Point:
    """The point that a reference means.

    Raises:
        UsageError: The grid has no such point.
    """
    wanted = {**point.coordinates, **reference}
    for other in points:
        if other.coordinates == wanted:
            return other
    named = ", ".join(f"{axis} {label}" for axis, label in wanted.items())
    raise UsageError(
        f"the point ({point.name}) refers to ({named}), which the study's filters leave out; let it in."
    )


def changed_fields(scale: Scale) -> tuple[str, ...]:
    """Protocol fields that an axis sets: the only ones in which points of one table may differ."""
    words = {word for labels in scale.axes.values() for settings in labels.values() for word in settings}
    words |= {word for override in scale.overrides for word in override.set}
    return tuple(sorted(w.removeprefix("protocol.") for w in words if w.startswith("protocol.")))
