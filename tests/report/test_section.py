"""Sections that studies hand to the page: all is shown, numbers are told, wrong shapes are named."""

from __future__ import annotations

from pathlib import Path

import pytest
from markupsafe import Markup
from synthetic_runs import write_study

from vssl_core.errors import ContractError
from vssl_core.report import Section, SectionFigure, SectionTable, load_report
from vssl_core.report.page import render_page


def test_columns_of_numbers_are_told_by_their_entries() -> None:
    table = SectionTable(
        "x", ("a", "b", "c", "d"), (("vcop", "41.2 ± 2", "–", "3 of 4"), ("cvrl", "−1,200", "–", "no"))
    )
    assert table.numeric == (False, True, False, False)
    assert table.values(table.rows[1]) == ("", "-1200", "", "")
    assert SectionTable("x", ("a", "b"), ()).numeric == (False, False)


def test_a_row_of_another_length_is_named() -> None:
    with pytest.raises(
        ContractError, match=r"table 'drop': a row needs 2 entries, one per header; got 1 \(a\)"
    ):
        SectionTable("drop", ("a", "b"), (("a",),))


def test_a_name_that_cannot_stand_in_a_link_is_refused() -> None:
    with pytest.raises(ContractError, match="letters, digits, _ and -; got 'a b'"):
        Section("a b", "A B")


def test_the_page_shows_sections_in_their_order_and_escapes_their_text(tmp_path: Path) -> None:
    report = load_report(write_study(tmp_path, seeds=(0,)))
    table = SectionTable("Ours <beside> theirs", ("a\nb", "c"), (("<i>", "1.5"),), notes=("n & m",))
    figure = SectionFigure("F", Markup('<svg viewBox="0 0 1 1" role="img" aria-label="drawn"></svg>'))
    second = Section(
        "second", "Second", findings=("f < g.",), tables=(table,), figures=(figure,), notes=("o",)
    )
    html = render_page(report, [], [], sections=[Section("first", "First"), second])
    assert html.index('id="study-first"') < html.index('id="study-second"')
    assert "Ours &lt;beside&gt; theirs" in html
    assert "&lt;i&gt;" in html
    assert '<td class="number" data-value="1.5">1.5</td>' in html
    assert "n &amp; m" in html
    assert 'aria-label="drawn"' in html
    assert 'href="#studies"' in html
    assert 'id="studies"' not in render_page(report, [], [])
