"""Figures as inline SVG: byte-stable, coloured by the page's CSS variables, readable by a screen reader."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from io import StringIO
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

__all__ = ["INK", "MUTED", "SERIES", "drawing", "inline"]

INK, MUTED = "#010203", "#040506"
"""Stand for the page's text and rule colours."""
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's colours, told apart by colour-blind readers; the page lightens them in the dark."""

_VARIABLES = {INK: "var(--ink)", MUTED: "var(--rule)"} | {c: f"var(--s{i})" for i, c in enumerate(SERIES)}
_STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 9.0,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": MUTED,
    "grid.linewidth": 0.5,
    "grid.alpha": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "lines.linewidth": 1.4,
}


@contextmanager
def drawing() -> Iterator[None]:
    """Everything of a figure must be made inside."""
    with mpl.rc_context(_STYLE):
        yield


def inline(figure: Figure, *, salt: str, label: str) -> Markup:
    """The figure as an `<svg>` element; call inside `drawing`.

    Args:
        figure: The figure.
        salt: Unique on the page, so that ids are.
        label: What the figure shows, in words.
    """
    with mpl.rc_context({"svg.hashsalt": salt}):
        out = StringIO()
        FigureCanvasSVG(figure).print_svg(out, metadata={"Date": None})  # type: ignore[no-untyped-call]
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", text)
    text = re.sub(r"<svg[^>]*?viewBox=\"([^\"]*)\"[^>]*>", _opening(label), text, count=1)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    return Markup(_without_idle_ids(text))


def _opening(label: str) -> str:
    name = escape(label, quote=True).replace("\\", r"\\")
    return rf'<svg viewBox="\1" role="img" aria-label="{name}">'


def _without_idle_ids(text: str) -> str:
    """matplotlib names every group, alike in every figure; only what is referred to needs its id."""
    used = set(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", text))
    return re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", text)
