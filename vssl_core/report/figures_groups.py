"""Charts that compare groups: lines over an ordered axis, and grouped bars, both with intervals."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vssl_core.report.estimates import Estimate, Series, check_series, describe, words
from vssl_core.report.svg import INK, SERIES, drawing, inline

__all__ = ["MARKERS", "bar_chart", "line_chart"]

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
_DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)))
_HATCHES = ("", "////", "....", "xxxx")


def line_chart(
    series: Sequence[Series],
    *,
    ticks: Sequence[str],
    title: str,
    x_label: str,
    y_label: str,
    salt: str,
    chance: float | None = None,
) -> Markup:
    """One line per group over an ordered axis (sizes, epochs, levels), with intervals as whiskers.

    Args:
        series: The groups.
        ticks: Places of the axis, in their order.
        title: What the chart shows, in words.
        x_label: Name of the axis.
        y_label: Metric and unit.
        salt: Unique on the page.
        chance: What guessing gives.

    Raises:
        ContractError: A series does not have one value per tick.
    """
    check_series(series, ticks)
    tips: dict[str, str] = {}
    with drawing():
        figure, axes = _axes(series, width=max(4.6, 0.7 * len(ticks) + 1.5), height=3.3)
        for number, each in enumerate(series):
            look = _look(series, number)
            known = [(place, value) for place, value in enumerate(each.values) if value is not None]
            shift = 0.05 * (number - (len(series) - 1) / 2) if len(series) > 1 else 0.0
            style = "--" if each.reference else _DASHES[look // len(SERIES) % len(_DASHES)]
            colour = SERIES[look % len(SERIES)]
            axes.plot(
                [place + shift for place, _ in known],
                [v.mean for _, v in known],
                color=colour,
                ls=style,
                lw=1.4,
            )
            for place, value in known:
                gid = f"tip-{number}-{place}"
                tips[gid] = f"{each.name}, {ticks[place]}: {words(value)}"
                _point(axes, place + shift, value, look, reference=each.reference, gid=gid)
        _ticks(axes, ticks)
        axes.set_xlim(-0.4, len(ticks) - 0.6)
        _labels(axes, x_label, y_label, chance)
        _legend(axes, series)
        return inline(figure, salt=salt, label=title, description=describe(series, ticks), tips=tips)


def bar_chart(
    series: Sequence[Series],
    *,
    ticks: Sequence[str],
    title: str,
    x_label: str,
    y_label: str,
    salt: str,
    chance: float | None = None,
) -> Markup:
    """Bars of every group side by side at each tick, with intervals as whiskers. Arguments as `line_chart`.

    Raises:
        ContractError: A series does not have one value per tick.
    """
    check_series(series, ticks)
    tips: dict[str, str] = {}
    width = 0.8 / max(1, len(series))
    with drawing():
        figure, axes = _axes(
            series, width=max(4.6, 0.22 * len(ticks) * max(3, len(series)) + 1.2), height=3.3
        )
        for number, each in enumerate(series):
            look = _look(series, number)
            colour = SERIES[look % len(SERIES)]
            for place, value in enumerate(each.values):
                if value is None:
                    continue
                x = place + (number - (len(series) - 1) / 2) * width
                (bar,) = axes.bar(
                    [x],
                    [value.mean],
                    width=0.9 * width,
                    facecolor="none" if each.reference else colour,
                    edgecolor=colour if each.reference else INK,
                    linewidth=1.2 if each.reference else 0.4,
                    hatch=_HATCHES[look // len(SERIES) % len(_HATCHES)],
                )
                bar.set_gid(f"tip-{number}-{place}")
                tips[f"tip-{number}-{place}"] = f"{each.name}, {ticks[place]}: {words(value)}"
                _whisker(axes, x, value)
        axes.axhline(0, color=INK, linewidth=0.8)
        _ticks(axes, ticks)
        axes.grid(axis="x", visible=False)
        axes.set_axisbelow(True)
        _labels(axes, x_label, y_label, chance)
        _legend(axes, series, bars=True)
        return inline(figure, salt=salt, label=title, description=describe(series, ticks), tips=tips)


def _look(series: Sequence[Series], number: int) -> int:
    """The series whose colour and shape this one has."""
    names = [each.name for each in series]
    like = series[number].like
    return names.index(like) if like in names else number


def _axes(series: Sequence[Series], *, width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height + 0.16 * ((len(series) + 2) // 3)), layout="constrained")
    return figure, figure.add_subplot()


def _point(
    axes: Axes, x: float, value: Estimate, look: int, *, reference: bool = False, gid: str = ""
) -> None:
    colour = SERIES[look % len(SERIES)]
    _whisker(axes, x, value, colour=colour)
    (mark,) = axes.plot(
        [x],
        [value.mean],
        marker=MARKERS[look % len(MARKERS)],
        color=colour,
        markersize=5.5,
        markerfacecolor="none" if reference else colour,
        linestyle="none",
    )
    mark.set_gid(gid)


def _whisker(axes: Axes, x: float, value: Estimate, *, colour: str = INK) -> None:
    if value.low is not None and value.high is not None:
        ends = [[value.mean - value.low], [value.high - value.mean]]
        axes.errorbar([x], [value.mean], yerr=ends, fmt="none", ecolor=colour, elinewidth=1, capsize=2.5)


def _ticks(axes: Axes, ticks: Sequence[str]) -> None:
    slanted = max((len(tick) for tick in ticks), default=0) * len(ticks) > 60
    axes.set_xticks(
        range(len(ticks)), ticks, rotation=30 if slanted else 0, ha="right" if slanted else "center"
    )


def _labels(axes: Axes, x_label: str, y_label: str, chance: float | None) -> None:
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    if chance is not None:
        axes.axhline(chance, color=INK, linestyle=":", linewidth=1)


def _legend(axes: Axes, series: Sequence[Series], *, bars: bool = False) -> None:
    if len(series) < 2:
        return
    for number, each in enumerate(series):
        look = _look(series, number)
        colour = SERIES[look % len(SERIES)]
        fill = "none" if each.reference else colour
        if bars:
            hatch = _HATCHES[look // len(SERIES) % len(_HATCHES)]
            axes.bar([0], [0], facecolor=fill, edgecolor=colour, hatch=hatch, label=each.name)
        else:
            marker = MARKERS[look % len(MARKERS)]
            axes.plot([], [], marker=marker, color=colour, markerfacecolor=fill, label=each.name)
    axes.figure.legend(loc="outside upper left", ncols=3, fontsize="small")
