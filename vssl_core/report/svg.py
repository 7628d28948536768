"""Figures as inline SVG: byte-stable, coloured by the page's CSS variables, readable by a screen reader."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import escape
from io import StringIO
from typing import Any

import matplotlib as mpl
from cycler import cycler
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

__all__ = ["INK", "MUTED", "SERIES", "drawing", "inline", "opening"]

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
    "axes.prop_cycle": cycler(color=[INK]),
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


def inline(
    figure: Figure,
    *,
    salt: str,
    label: str,
    description: str = "",
    tips: Mapping[str, str] | None = None,
) -> Markup:
    """The figure as an `<svg>` element; call inside `drawing`.

    Args:
        figure: The figure.
        salt: Unique on the page, so that ids are.
        label: What the figure shows, in words.
        description: Its numbers in words, for those who cannot see it.
        tips: Group id of an artist → what is told of it on hover.
    """
    with mpl.rc_context({"svg.hashsalt": salt}):
        out = StringIO()
        FigureCanvasSVG(figure).print_svg(out, metadata={"Date": None})  # type: ignore[no-untyped-call]
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", text)
    text = re.sub(
        r"<svg[^>]*?viewBox=\"([^\"]*)\"[^>]*>",
        lambda found: opening(found[1], label, description),
        text,
        count=1,
    )
    for gid, words in (tips or {}).items():
        text = text.replace(f'<g id="{gid}">', f"<g><title>{escape(words)}</title>")
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    return Markup(_without_idle_ids(text))


def opening(view_box: str, label: str, description: str = "") -> str:
    """The tag that begins an `<svg>` element, with its name and its description for screen readers.

    Its width is bounded, so that letters of all figures are about as large.
    """
    width = 1.2 * float(view_box.split()[2])
    name = escape(label, quote=True)
    tag = f'<svg viewBox="{view_box}" role="img" aria-label="{name}" style="max-width: {width:.0f}pt">'
    return f"{tag}<desc>{escape(description)}</desc>" if description else tag


def _without_idle_ids(text: str) -> str:
    """matplotlib names every group, alike in every figure; only what is referred to needs its id."""
    used = set(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", text))
    return re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", text)
