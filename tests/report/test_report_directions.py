"""Metrics without a better direction are shown, and compared with nothing."""

from __future__ import annotations

import pytest
from test_report_table import rows_of, score_of

from vssl_core.report import FORMATS, Report, build_table, render
from vssl_core.report.wording import header

VALUES = {"random_init": [0.9, 0.91, 0.92], "vcop": [0.2, 0.21, 0.22], "cvrl": [0.5, 0.51, 0.52]}


def test_neither_direction_means_no_gain_no_order_and_no_best() -> None:
    table = build_table(rows_of(VALUES, unit="share of layers", metric="block_share", higher_is_better=None))
    for task in ("vcop", "cvrl"):
        score = score_of(table, task)
        assert (score.gain, score.ties, score.ranks, score.best) == (None, "", None, False)
        assert score.interval is not None
    assert score_of(table, "vcop").mean == pytest.approx(0.21)
    (column,) = table.columns
    assert header(column)[2] == "block_share, share of layers"
    assert (column.num_gains, column.num_pairs, column.detectable_gap) == (0, 0, None)


@pytest.mark.parametrize("fmt", FORMATS)
def test_every_format_takes_it(fmt: str) -> None:
    rows = rows_of(VALUES, unit="share of layers", metric="block_share", higher_is_better=None)
    text = render(Report(None, (), tuple(rows), ()), fmt)
    assert "block_share" in text.replace("\\", "")  # Markdown and LaTeX escape the underscore
