"""Figures of studies: byte-stable, in the page's colours, with words, and drawn from the numbers given."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import vssl_core.report
from vssl_core.errors import ContractError
from vssl_core.report.estimates import Bubble, Estimate, Series
from vssl_core.report.figures_cost import bubble_chart
from vssl_core.report.figures_groups import MARKERS, bar_chart, line_chart
from vssl_core.report.figures_matrix import MAX_CELLS, heat_map
from vssl_core.report.figures_ranks import rank_diagram
from vssl_core.report.svg import SERIES

SIZES = ("10k", "50k", "100k")
GROUPS = (
    Series("vcop <a>", (Estimate(40.0, 38.0, 42.0), None, Estimate(45.25, 43.0, 47.5))),
    Series("cvrl", (Estimate(41.0), Estimate(44.0), Estimate(46.0))),
    Series("paper: cvrl", (Estimate(50.0), Estimate(51.0), Estimate(52.0)), reference=True),
)
BUBBLES = (
    Bubble("c3d", "vcop", 77.0, 27.7e6, Estimate(50.0, 48.0, 52.0)),
    Bubble("shufflenet", "cvrl", 0.9, 3.6e6, Estimate(45.0)),
    Bubble("shufflenet", "cvrl", 0.9, 3.6e6, Estimate(60.0), reference=True),
)
MATRIX = np.array([[1.0, 0.5, 0.0], [0.25, float("nan"), 2.0]])


def lines() -> str:
    return line_chart(
        GROUPS, ticks=SIZES, title="Lines & size", x_label="videos", y_label="top1, %", salt="l", chance=12.5
    )


def bars() -> str:
    return bar_chart(GROUPS, ticks=SIZES, title="Bars", x_label="noise", y_label="drop, %", salt="b")


def bubbles() -> str:
    return bubble_chart(BUBBLES, title="Bubbles", y_label="top1, %", salt="c")


def matrix() -> str:
    return heat_map(MATRIX, rows=("a<1>", "a2"), columns=("b1", "b2", "b3"), title="CKA")


def ranks() -> str:
    found = {"vcop": 2.5, "cvrl": 1.5, "rotnet": 3.9, "tdl": 2.1}
    return rank_diagram(
        found, ties=[("vcop", "tdl"), ("cvrl", "tdl"), ("tdl",), ("vcop", "rotnet")], title="Ranks", salt="r"
    )


FIGURES = [lines, bars, bubbles, matrix, ranks]


@pytest.mark.parametrize("figure", FIGURES)
def test_a_figure_is_stable_well_formed_and_has_words(figure: Callable[[], str]) -> None:
    text = figure()
    assert figure() == text
    root = ET.fromstring(f'<a xmlns:xlink="x">{text}</a>')[0]
    assert root.get("role") == "img"
    assert root.get("aria-label")
    assert root[0].tag == "desc"
    assert root[0].text
    assert not re.findall(r"url\((?!#)|href=\"(?!#)", text)
    ids = re.findall(r' id="([^"]*)"', text)
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("figure", [lines, bars, bubbles, ranks])
def test_colours_are_those_of_the_page_so_that_they_change_in_the_dark(figure: Callable[[], str]) -> None:
    text = figure()
    assert "var(--s0)" in text
    assert "var(--ink)" in text
    assert not re.findall(r"(?:fill|stroke): #[0-9a-f]{6}", text)


def titles(text: str) -> list[str]:
    return [found.text or "" for found in ET.fromstring(f'<a xmlns:xlink="x">{text}</a>').iter("title")]


def test_every_point_tells_its_numbers_on_hover() -> None:
    for text in (lines(), bars()):
        told = titles(text)
        assert len(told) == 8  # nine values, one of them missing
        assert "vcop <a>, 100k: 45.25 (43 to 47.5)" in told
        assert "cvrl, 50k: 44" in told
    assert "c3d (vcop): 50 (48 to 52) at 77 GFLOPs, 27.7 M parameters" in titles(bubbles())
    assert "shufflenet (cvrl, reference): 60 at 0.9 GFLOPs, 3.6 M parameters" in titles(bubbles())


def test_the_description_holds_all_numbers() -> None:
    assert "vcop &lt;a&gt;: 40 (38 to 42) at 10k, 45.25 (43 to 47.5) at 100k." in lines()
    assert "Not told apart: cvrl and tdl; tdl and vcop; vcop and rotnet." in ranks()
    assert "2 rows, 3 columns; lowest 0.000, mean 0.750, highest 2.000." in matrix()


def test_the_area_of_a_bubble_is_its_parameters() -> None:
    def widest(text: str) -> list[float]:
        found = []
        for group in re.findall(r"<g><title>[^<]*</title>(.*?)</g>\s*</g>", text, flags=re.DOTALL):
            numbers = [float(x) for x in re.findall(r"[ML C](-?[\d.]+) ", group)]
            found.append(max(numbers) - min(numbers))
        return found

    big = Bubble("big", "a", 1.0, 40e6, Estimate(50.0))
    small = Bubble("small", "a", 4.0, 10e6, Estimate(60.0))
    first, second = widest(bubble_chart([big, small], title="t", y_label="y", salt="s"))
    assert first / second == pytest.approx(2.0, rel=0.02)  # four times the area


def test_a_matrix_starts_at_the_lower_left_and_its_scale_is_fixed() -> None:
    root = ET.fromstring(matrix())
    rows = [group for group in root.iter("g") if group.get("shape-rendering")]
    tops = [float(re.findall(r"[\d.]+", group.get("transform") or "")[1]) for group in rows]
    assert tops[0] > tops[1]  # the first row is the lowest
    told = [[cell[0].text for cell in group] for group in rows]
    assert told[0] == ["a<1> × b1: 1.000", "a<1> × b2: 0.500", "a<1> × b3: 0.000"]
    assert told[1][1] == "a2 × b2: no value"
    fills = [[cell.get("fill") for cell in group] for group in rows]
    other = ET.fromstring(heat_map(np.array([[0.5]]), rows=["x"], columns=["y"], title="t"))
    assert next(cell.get("fill") for cell in other.iter("rect")) == fills[0][1]
    assert fills[1][2] == fills[0][0]  # beyond the scale is its end
    assert fills[1][1] == "var(--panel)"


def test_a_large_matrix_is_shown_in_blocks_of_layers() -> None:
    values = np.arange(100 * 80, dtype=float).reshape(100, 80) / 8000
    rows, columns = [f"r{i}" for i in range(100)], [f"c{i}" for i in range(80)]
    told = titles(heat_map(values, rows=rows, columns=columns, title="t"))
    assert len(told) == 50 * 40 <= MAX_CELLS
    assert told[0] == f"r0 … r1 × c0 … c1: {values[:2, :2].mean():.3f}"


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(ContractError, match="series 'x' needs 3 values"):
        line_chart([Series("x", ())], ticks=SIZES, title="t", x_label="x", y_label="y", salt="s")
    with pytest.raises(ContractError, match=r"\(rows, columns\) = \(1, 3\).*got \(2, 3\)"):
        heat_map(MATRIX, rows=["a"], columns=["b", "c", "d"], title="t")
    with pytest.raises(ContractError, match="needs GFLOPs and parameters above 0"):
        bubble_chart([Bubble("x", "a", 0.0, 1.0, Estimate(1.0))], title="t", y_label="y", salt="s")
    with pytest.raises(ContractError, match="the unknown nobody"):
        rank_diagram({"a": 1.0, "b": 2.0}, ties=[("a", "nobody")], title="t", salt="s")


def test_a_reference_shares_the_colour_of_what_it_is_like() -> None:
    ours, theirs = (Estimate(1.0),), (Estimate(2.0),)
    series = [Series("a", ours), Series("b", ours), Series("paper: a", theirs, reference=True, like="a")]
    for draw in (line_chart, bar_chart):
        text = draw(series, ticks=["x"], title="t", x_label="x", y_label="y", salt="s")
        assert "var(--s1)" in text
        assert "var(--s2)" not in text


def test_more_groups_than_colours_differ_in_shape() -> None:
    many = [Series(f"t{i}", (Estimate(float(i)),)) for i in range(len(SERIES) + 2)]
    text = line_chart(many, ticks=["x"], title="t", x_label="x", y_label="y", salt="s")
    assert len(titles(text)) == len(many)
    assert len(MARKERS) >= len(many)
    hatched = bar_chart(many, ticks=["x"], title="t", x_label="x", y_label="y", salt="s")
    assert "<pattern" in hatched


def test_colours_of_groups_stand_out_from_the_paper_in_both_schemes() -> None:
    css = (Path(vssl_core.report.__file__).parent / "templates" / "report.css").read_text()
    pairs = dict(re.findall(r"--(\w+): light-dark\(([^)]*)\)", css))
    colours = {name: pair.split(", ") for name, pair in pairs.items()}
    for scheme in (0, 1):
        paper = _luminance(colours["paper"][scheme])
        for place in range(len(SERIES)):
            own = _luminance(colours[f"s{place}"][scheme])
            assert (max(own, paper) + 0.05) / (min(own, paper) + 0.05) >= 3.0, (place, scheme)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))
