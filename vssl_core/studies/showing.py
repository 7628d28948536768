"""How a study shows its results: table, findings, figures, and the paper's numbers beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

__all__ = [
    "EVALUATION",
    "SHARE",
    "FigureEntry",
    "FindingEntry",
    "Frozen",
    "Labels",
    "PaperEntry",
    "TableView",
    "keys_as_text",
]

EVALUATION = "evaluation"
"""Among a table's lines: each evaluation by its label."""
SHARE = "at"
"""Among a finding's or figure's axes: the share of the pretraining budget."""


class Frozen(BaseModel):
    """A part of a study's file."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def _texts(value: Any) -> Any:
    """One label or several, as text: YAML reads `10` as a number."""
    values = value if isinstance(value, list | tuple) else [value]
    return tuple(str(v) if isinstance(v, int | float) else v for v in values)


def keys_as_text(value: Any) -> Any:
    """A mapping whose keys YAML may have read as numbers."""
    return {str(key): inner for key, inner in value.items()} if isinstance(value, Mapping) else value


Labels = Annotated[tuple[str, ...], BeforeValidator(_texts)]


class TableView(Frozen):
    """How the study's table is laid out."""

    lines: tuple[str, ...] = ()
    """Axes whose labels name the lines; empty: all that are not columns. `evaluation` puts each evaluation in
    a line of its own."""
    columns: tuple[str, ...] = ()
    """Axes whose labels name columns, beside target and evaluator; empty: all that are not lines. Where both
    are given, every axis of several labels is in one of them."""
    metrics: tuple[str, ...] = ()
    """Metrics to show; empty: each evaluator's first."""


class FindingEntry(Frozen):
    """A question to the results, asked once for each group of points that agree on all other axes."""

    kind: Literal["ranking", "trend", "contrast", "across", "sign"]
    """`ranking`: which label is best. `trend`: whether the score rises along the axis. `contrast`: whether
    the labels in `first` score higher than those in `second`. `across`: one statement over all other axes,
    targets and evaluations: interquartile means, how likely a run is better than random initialisation or
    than a run of another label, and mean ranks. `sign`: whether a gain or drop is above zero."""
    axis: str = ""
    """The axis whose labels are compared; `at` is the share of the budget. A sign needs none."""
    metric: str = ""
    """Of this metric alone; empty: of each that the table shows."""
    claim: str = ""
    """What a trend, contrast or sign would show, as the middle of a sentence."""
    first: Labels = ()
    """One group of a contrast."""
    second: Labels = ()
    """The other group."""
    expected: Literal["higher", "lower"] = "higher"
    """Where the claim says that the end of the axis, the first group, or the gain is."""

    @model_validator(mode="after")
    def _complete(self) -> FindingEntry:
        if self.kind != "sign" and not self.axis:
            raise ValueError(f"a finding of kind {self.kind} needs an axis")
        if self.kind not in ("ranking", "across") and not self.claim:
            raise ValueError(f"a {self.kind} needs a claim, the middle of a sentence")
        if self.kind == "contrast" and not (self.first and self.second):
            raise ValueError("a contrast needs the labels of both groups, first and second")
        return self


class FigureEntry(Frozen):
    """A figure of the results."""

    kind: Literal["lines", "bars", "bubbles", "map", "metrics", "ranks"]
    """`lines` and `bars` over an axis, one series for each group of the other labels; `bubbles`: score over
    FLOPs; `map`: an array of each evaluation as a heat map; `metrics`: bars of the table's metrics beside one
    another, for each evaluation; `ranks`: the critical-difference diagram of a finding `across`."""
    caption: str
    """What it shows."""
    axis: str = ""
    """The axis of lines and bars, the names of bubbles and ranks; `at` is the share of the budget."""
    metric: str = ""
    """Of this metric alone; empty: of each that the table shows."""
    array: str = ""
    """The array of a map."""

    @model_validator(mode="after")
    def _complete(self) -> FigureEntry:
        if self.kind == "map" and not self.array:
            raise ValueError("a map needs the name of an array")
        if self.kind not in ("map", "metrics") and not self.axis:
            raise ValueError(f"{self.kind} need an axis")
        return self


class PaperEntry(Frozen):
    """Where the paper's number for a point stands: coordinates of `vssl_core.paper`.

    Task, backbone, target and evaluator are the point's own; a target that the paper does not have is taken
    for `target`.
    """

    table: str
    """Table of the paper's data."""
    metric: str = "top1"
    """Metric there."""
    ours: str = ""
    """Our metric, where it has another name."""
    target: str = "ucf101"
    """The paper's target for embedded data."""
    common: Mapping[str, str | int] = {}
    """Further coordinates."""
    labels: Mapping[str, Annotated[Mapping[str, Mapping[str, str | int]], BeforeValidator(keys_as_text)]] = {}
    """Axis → label → further coordinates; a label that is not there has no number."""
    task: bool = True
    """Whether its cells have the task as a coordinate."""
