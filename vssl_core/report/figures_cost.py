"""Score over FLOPs, as bubbles whose area is the number of parameters (paper, Fig. 1), with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log10, sqrt

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from vssl_core.errors import ContractError
from vssl_core.report.estimates import Bubble, words
from vssl_core.report.svg import INK, SERIES, drawing, inline

__all__ = ["bubble_chart"]

_LARGEST = 900.0  # area of the largest bubble in square points
_SMALLEST = 12.0


def bubble_chart(bubbles: Sequence[Bubble], *, title: str, y_label: str, salt: str) -> Markup:
    """FLOPs of one clip on a logarithmic axis against score.

    Args:
        bubbles: The points, at least one.
        title: What the chart shows, in words.
        y_label: Metric and unit.
        salt: Unique on the page.

    Raises:
        ContractError: There is no bubble, or one has no FLOPs or no parameters.
    """
    for bubble in bubbles:
        if not (bubble.gflops > 0 and bubble.parameters > 0):
            raise ContractError(
                f"bubble {bubble.name!r} needs GFLOPs and parameters above 0; got {bubble.gflops} and "
                f"{bubble.parameters}."
            )
    if not bubbles:
        raise ContractError("a bubble chart needs at least one bubble; got none.")
    groups = list(dict.fromkeys(bubble.group for bubble in bubbles))
    largest = max(bubble.parameters for bubble in bubbles)
    tips: dict[str, str] = {}
    with drawing():
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        axes = figure.add_subplot()
        axes.set_xscale("log")
        _decades(axes, [bubble.gflops for bubble in bubbles])
        for number, bubble in enumerate(sorted(bubbles, key=lambda each: -each.parameters)):
            colour = SERIES[groups.index(bubble.group) % len(SERIES)]
            area = max(_SMALLEST, _LARGEST * bubble.parameters / largest)
            _draw(axes, bubble, colour, area, gid=f"tip-{number}")
            tips[f"tip-{number}"] = _tell(bubble)
        axes.set_xlabel("GFLOPs of one clip; area: parameters")
        axes.set_ylabel(y_label)
        axes.margins(y=0.14)
        if len(groups) > 1:
            for place, group in enumerate(groups):
                axes.plot([], [], "o", color=SERIES[place % len(SERIES)], label=group)
            figure.legend(loc="outside upper left", ncols=4, fontsize="small")
        description = " ".join(f"{_tell(bubble)}." for bubble in bubbles)
        return inline(figure, salt=salt, label=title, description=description, tips=tips)


def _draw(axes: Axes, bubble: Bubble, colour: str, area: float, *, gid: str) -> None:
    score = bubble.score
    if score.low is not None and score.high is not None:
        ends = [[score.mean - score.low], [score.high - score.mean]]
        axes.errorbar(
            [bubble.gflops], [score.mean], yerr=ends, fmt="none", ecolor=INK, elinewidth=0.8, capsize=2
        )
    points = axes.scatter(
        [bubble.gflops],
        [score.mean],
        s=area,
        facecolor="none" if bubble.reference else colour,
        edgecolor=colour,
        alpha=None if bubble.reference else 0.75,
        linewidth=1.2,
    )
    points.set_gid(gid)
    offset = (sqrt(area) / 2 + 3, -3)
    axes.annotate(
        bubble.name,
        (bubble.gflops, score.mean),
        xytext=offset,
        textcoords="offset points",
        fontsize="small",
    )


def _tell(bubble: Bubble) -> str:
    whose = ", reference" if bubble.reference else ""
    return (
        f"{bubble.name} ({bubble.group}{whose}): {words(bubble.score)} at {bubble.gflops:.4g} GFLOPs, "
        f"{bubble.parameters / 1e6:.3g} M parameters"
    )


def _decades(axes: Axes, gflops: Sequence[float]) -> None:
    """Ticks at 1, 2 and 5 of each decade that the points span, as plain numbers."""
    decades = range(floor(log10(min(gflops))) - 1, floor(log10(max(gflops))) + 2)
    low, high = min(gflops) / 1.8, max(gflops) * 2.2  # room for names at the right
    axes.set_xlim(low, high)
    places = [step * 10.0**decade for decade in decades for step in (1, 2, 5)]
    shown = [place for place in places if low <= place <= high]
    axes.xaxis.set_major_locator(FixedLocator(shown))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(shown, [f"{place:g}" for place in shown])
