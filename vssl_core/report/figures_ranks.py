"""A critical-difference diagram: mean ranks on a line, bars over methods that could not be told apart.

Demšar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7 (2006), section 3.2.2. The
groups are given, so that the bars say what the table's letters say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vssl_core.errors import ContractError
from vssl_core.report.svg import INK, MUTED, SERIES, drawing, inline

__all__ = ["rank_diagram"]

_STEP = 0.3  # inches from one name to the next
_BAR_STEP = 0.14


def rank_diagram(
    ranks: Mapping[str, float], *, ties: Sequence[Sequence[str]], title: str, salt: str
) -> Markup:
    """Names on both sides of a line of ranks, the best at the left.

    Args:
        ranks: Name → mean rank, 1 being the best.
        ties: Groups of names between which no difference was found.
        title: What it shows, in words.
        salt: Unique on the page.

    Raises:
        ContractError: Fewer than two names, a rank below 1, or a tie of an unknown name.
    """
    unknown = sorted({name for group in ties for name in group} - set(ranks))
    if len(ranks) < 2 or min(ranks.values()) < 1 or unknown:
        raise ContractError(
            "a rank diagram needs ranks of at least two methods, from 1 on, and ties among them; got "
            f"{dict(ranks)} and the unknown {', '.join(unknown) or 'none'}."
        )
    ordered = sorted(ranks, key=lambda name: (ranks[name], name))
    bars = _bars(ordered, ties)
    rows = (len(ordered) + 1) // 2
    with drawing():
        depth = 0.25 + _BAR_STEP * len(bars)
        height = 0.45 + depth + _STEP * rows
        figure = Figure(figsize=(6.4, height))
        axes = figure.add_axes((0.24, 0.02, 0.52, 0.96))
        axes.set_axis_off()
        last = max(2, len(ordered))
        axes.set_xlim(1, last)
        axes.set_ylim(-(depth + _STEP * rows), 0.45)
        _scale(axes, last)
        for place, (first, end) in enumerate(bars):
            y = -0.12 - _BAR_STEP * place
            ends = [ranks[ordered[first]] - 0.03, ranks[ordered[end]] + 0.03]
            axes.plot(ends, [y, y], color=SERIES[1], linewidth=4, solid_capstyle="butt", clip_on=False)
        for place, name in enumerate(ordered):
            _name(axes, name, ranks[name], place, len(ordered), depth=depth, last=last)
        return inline(figure, salt=salt, label=title, description=_tell(ordered, ranks, bars))


def _bars(ordered: Sequence[str], ties: Sequence[Sequence[str]]) -> list[tuple[int, int]]:
    """First and last place of each group of two or more, none within another."""
    spans = {
        (min(map(ordered.index, group)), max(map(ordered.index, group))) for group in ties if len(group) > 1
    }
    kept = [(a, b) for a, b in spans if not any((c, d) != (a, b) and c <= a and b <= d for c, d in spans)]
    return sorted(kept)


def _scale(axes: Axes, last: int) -> None:
    axes.plot([1, last], [0, 0], color=INK, linewidth=1.2, clip_on=False)
    for rank in range(1, last + 1):
        axes.plot([rank, rank], [0, 0.08], color=INK, linewidth=1, clip_on=False)
        axes.text(rank, 0.14, str(rank), ha="center", va="bottom")


def _name(axes: Axes, name: str, rank: float, place: int, count: int, *, depth: float, last: int) -> None:
    """A line from the rank down and out: the better half to the left, the other to the right."""
    left = place < (count + 1) // 2
    row = place if left else count - 1 - place
    y = -(depth + _STEP * row + 0.1)
    edge = 1 - 0.02 * last if left else last + 0.02 * last
    axes.plot([rank, rank, edge], [0, y, y], color=MUTED, linewidth=1, clip_on=False)
    axes.plot([rank], [0], "o", color=SERIES[0], markersize=4, clip_on=False)
    text = f"{name}  {rank:.2f}" if left else f"{rank:.2f}  {name}"
    axes.text(edge, y, f" {text} ", ha="right" if left else "left", va="center", clip_on=False)


def _tell(ordered: Sequence[str], ranks: Mapping[str, float], bars: Sequence[tuple[int, int]]) -> str:
    listed = ", ".join(f"{name} {ranks[name]:.2f}" for name in ordered)
    tied = "; ".join(" and ".join(ordered[first : end + 1]) for first, end in bars)
    return f"Mean ranks: {listed}. Not told apart: {tied or 'none'}."
