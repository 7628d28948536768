"""What the table says about methods: means, intervals, gains over the floor, ties, the best."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from synthetic_runs import Cell, write_cell, write_study

from vssl_core.errors import UsageError
from vssl_core.report import Table, build_table, build_tables, load_report, render, render_rows
from vssl_core.report.table import Line, Score
from vssl_core.report.wording import footnotes, gain_text
from vssl_core.rows import Row
from vssl_core.statistics import paired_difference, seed_interval


def rows_of(by_task: dict[str, list[float]], **fields: Any) -> list[Row]:
    """Rows without values per video: task → score of seed 0, 1, …"""
    roles = {"random_init": "floor", "supervised": "ceiling"}
    cost = {
        "parameters": 1000,
        "gflops": 1.0,
        "pretrain_seconds": 1.0,
        "pretrain_clips_per_second": 1.0,
        "peak_memory_mib": 1.0,
    }
    common = {
        "evaluation_id": "e",
        "protocol_name": "laptop",
        "protocol_hash": "00",
        "backbone": "b",
        "pretrain": "p",
        "target": "t",
        "evaluator": "linear",
        "evaluator_label": "linear",
        "metric": "top1",
        "primary": True,
        "unit": "%",
        "num_videos": 100,
        "coverage": 1.0,
        "deterministic": True,
        "cost": cost,
    }
    return [
        Row.model_validate(
            {
                **common,
                "cell_id": f"{task}-{seed}",
                "task": task,
                "role": roles.get(task, "method"),
                "seed": seed,
                "value": value,
                **fields,
            }
        )
        for task, values in by_task.items()
        for seed, value in enumerate(values)
    ]


def line_of(table: Table, task: str) -> Line:
    return next(line for line in table.lines if line.task == task)


def score_of(table: Table, task: str) -> Score:
    score = line_of(table, task).scores[0]
    assert score is not None
    return score


def test_mean_interval_and_gain_are_those_of_the_statistics() -> None:
    values = {"random_init": [30.0, 31.0, 33.0], "vcop": [40.0, 42.0, 41.0]}
    table = build_table(rows_of(values))
    score = score_of(table, "vcop")
    assert score.mean == 41.0
    assert score.interval == seed_interval([40.0, 42.0, 41.0])
    expected = paired_difference({0: 40.0, 1: 42.0, 2: 41.0}, {0: 30.0, 1: 31.0, 2: 33.0})
    assert score.gain is not None
    assert expected.interval is not None
    assert score.gain.interval == expected.interval
    assert score.gain.p_adjusted == pytest.approx(expected.interval.p_value)
    assert score.gain.effect_size == pytest.approx(expected.effect_size)
    assert score_of(table, "random_init").gain is None


def test_gains_of_a_column_are_corrected_together() -> None:
    floor, gains = [30.0, 31.0, 33.0, 29.0], [8.0, 3.0, 6.0, 4.0]
    values = {"random_init": floor, "a": [f + g for f, g in zip(floor, gains, strict=True)]}
    alone = score_of(build_table(rows_of(values)), "a").gain
    values["b"] = [f + g for f, g in zip(floor, reversed(gains), strict=True)]
    together = score_of(build_table(rows_of(values)), "a").gain
    assert alone is not None
    assert together is not None
    assert alone.p_adjusted is not None
    assert together.p_adjusted == pytest.approx(2 * alone.p_adjusted)


def test_stars_say_what_a_gain_has_withstood() -> None:
    floor = [30.0, 31.0, 33.0]
    clear = [f + g for f, g in zip(floor, [9.9, 10.0, 10.1], strict=True)]
    faint = [f + g for f, g in zip(floor, [6.0, 3.5, 5.0], strict=True)]
    none = [f + g for f, g in zip(floor, [6.0, -6.0, 2.0], strict=True)]
    table = build_table(rows_of({"random_init": floor, "a": clear, "b": faint, "c": none, "d": none}))
    gains = {line.task: line.scores[0].gain for line in table.lines if line.scores[0]}
    texts = {task: gain_text(gain, table.columns[0]) for task, gain in gains.items() if gain}
    assert texts["a"].endswith(" **")
    assert texts["b"].endswith("3.1 *")
    assert texts["c"].endswith(".2")
    assert "over a column's 4 gains" in " ".join(footnotes(table))
    alone = build_table(rows_of({"random_init": floor, "a": clear}))
    gain = score_of(alone, "a").gain
    assert gain is not None
    assert gain_text(gain, alone.columns[0]).endswith("0.2 *")
    assert "Holm" not in " ".join(footnotes(alone))


def test_for_errors_a_gain_is_a_fall() -> None:
    values = {"random_init": [9.0, 9.5, 9.2], "vcop": [4.0, 4.2, 4.6], "cvrl": [7.0, 7.1, 7.3]}
    table = build_table(rows_of(values, unit="nats", higher_is_better=False))
    gain = score_of(table, "vcop").gain
    assert gain is not None
    assert gain.interval is not None
    assert gain.mean > 0
    assert gain.interval.low > 0
    assert score_of(table, "vcop").ties == "a"


@pytest.mark.parametrize("unit", ["clips/s", "ms", "MiB", "GFLOPs", "M"])
def test_costs_stand_beside_one_another_and_are_not_compared(unit: str) -> None:
    """A random network is no floor for a rate, and a method no better for a faster machine."""
    values = {
        task: [10.0 * n, 10.0 * n + 1, 10.0 * n + 2] for n, task in enumerate(("random_init", "a", "b"))
    }
    table = build_table(rows_of(values, unit=unit))
    for line in table.lines:
        score = line.scores[0]
        assert score is not None
        assert score.interval is not None
        assert (score.gain, score.ties, score.ranks, score.best) == (None, "", None, False)
    assert table.columns[0].detectable_gap is None
    notes = " ".join(footnotes(table))
    assert "Gain" not in notes
    assert "could not be told apart" not in notes
    compared = build_table(rows_of(values, unit="%"))
    assert score_of(compared, "a").gain is not None


def test_under_three_seeds_no_interval_and_a_hint() -> None:
    table = build_table(rows_of({"random_init": [30.0, 31.0], "vcop": [40.0, 42.0]}))
    score = score_of(table, "vcop")
    assert score.interval is None
    assert score.gain is not None
    assert (score.gain.mean, score.gain.interval, score.ties) == (10.5, None, "")
    notes = " ".join(footnotes(table))
    assert "add --seeds 0,1,2" in notes
    assert "±" not in notes


@pytest.mark.parametrize(("seeds", "best"), [(4, False), (5, True)])
def test_best_needs_five_seeds_and_a_separation_from_all(seeds: int, best: bool) -> None:
    wobble = [0.0, 0.3, -0.2, 0.1, 0.4]
    values = {
        "random_init": [30.0 + w for w in wobble[:seeds]],
        "vcop": [40.0 - w for w in wobble[:seeds]],
        "cvrl": [60.0 + 2 * w for w in wobble[:seeds]],
    }
    table = build_table(rows_of(values))
    assert score_of(table, "cvrl").best is best
    assert (score_of(table, "cvrl").ties, score_of(table, "vcop").ties) == ("a", "b")
    assert (score_of(table, "cvrl").ranks, score_of(table, "vcop").ranks) == ((1, 1), (2, 2))
    assert not score_of(table, "vcop").best
    assert ("No task is marked best" in " ".join(footnotes(table))) is not best


@pytest.mark.parametrize("rises", [True, False])
def test_the_seeds_that_two_share_say_which_of_them_is_better(rises: bool) -> None:
    """More seeds of one method may turn the means round, and not the pair's difference."""
    sign = 1.0 if rises else -1.0
    ours = [50.0, 51.0, 52.0, 50.5, 51.5]
    theirs = [60.0, 61.0, 62.5, 60.4, 61.7, 5.0, 6.0, 4.0]
    values = {"vcop": [sign * value for value in ours], "cvrl": [sign * value for value in theirs]}
    table = build_table(rows_of(values, higher_is_better=rises))
    vcop, cvrl = score_of(table, "vcop"), score_of(table, "cvrl")
    assert sign * vcop.mean > sign * cvrl.mean
    assert (cvrl.ranks, vcop.ranks) == ((1, 1), (2, 2))
    assert not vcop.best
    assert not cvrl.best


def test_ties_are_shown_as_ties() -> None:
    values = {"vcop": [40.0, 44.0, 41.0, 39.0, 45.0], "cvrl": [41.0, 42.0, 43.0, 40.0, 44.0]}
    table = build_table(rows_of(values))
    assert (score_of(table, "vcop").ties, score_of(table, "cvrl").ties) == ("a", "a")
    assert (score_of(table, "vcop").ranks, score_of(table, "cvrl").ranks) == ((1, 2), (1, 2))
    assert not any(score_of(table, task).best for task in values)
    assert "share a letter could not be told apart" in " ".join(footnotes(table))


def test_a_lone_task_is_neither_tied_nor_best() -> None:
    table = build_table(rows_of({"random_init": [30.0] * 5, "vcop": [40.0, 41.0, 42.0, 43.0, 44.0]}))
    assert (score_of(table, "vcop").ties, score_of(table, "vcop").best) == ("", False)
    assert score_of(table, "vcop").ranks is None


def test_the_floor_of_the_same_backbone_is_taken() -> None:
    rows = rows_of({"random_init": [30.0], "vcop": [40.0]})
    rows += rows_of({"random_init": [10.0], "vcop": [40.0]}, backbone="other")
    table = build_table(rows)
    gains = {
        line.backbone: line.scores[0].gain for line in table.lines if line.task == "vcop" and line.scores[0]
    }
    assert {name: gain.mean for name, gain in gains.items() if gain} == {"b": 10.0, "other": 30.0}


def test_seeds_that_only_one_side_has_do_not_enter_a_gain() -> None:
    table = build_table(rows_of({"random_init": [30.0], "vcop": [40.0, 90.0, 90.0]}))
    gain = score_of(table, "vcop").gain
    assert gain is not None
    assert (gain.mean, gain.interval) == (10.0, None)


def test_rows_of_two_protocols_refuse_one_table() -> None:
    rows = rows_of({"vcop": [40.0]}) + rows_of({"cvrl": [41.0]}, protocol_hash="11", protocol_name="paper")
    with pytest.raises(UsageError, match=r"laptop \(00\), paper \(11\)"):
        build_table(rows)
    assert render_rows(rows, "md").count("## protocol") == 2


def test_two_cells_for_one_entry_are_refused() -> None:
    rows = rows_of({"vcop": [40.0]})
    with pytest.raises(UsageError, match="both claim seed 0"):
        build_table([*rows, rows[0].model_copy(update={"cell_id": "another"})])


def test_no_rows_make_no_table() -> None:
    with pytest.raises(UsageError, match="at least one row"):
        build_table([])
    assert "no results yet" in render_rows([], "rich")


def test_controls_marks_and_missing_controls(tmp_path: Path) -> None:
    for seed in range(3):
        verdict = "collapsed" if seed == 1 else "ok"
        write_cell(tmp_path, Cell("vcop", seed, verdict=verdict, coverage=0.9996))
        write_cell(tmp_path, Cell("random_init", seed))
    report = load_report(tmp_path)
    (table,), _ = build_tables(report)
    assert [line.role for line in table.lines] == ["floor", "method"]
    line = line_of(table, "vcop")
    assert (line.collapsed, line.coverage) == ((1,), 0.9996)
    text = render(report, "md")
    assert "collapsed in 1 of 3 seeds" in text
    assert "99.9 % of listed videos used" in text
    assert "random\\_init (floor)" in text
    assert "No supervised training control for shufflenet" in text


def test_intervals_cover_the_test_set_where_it_is_known(tmp_path: Path) -> None:
    report = load_report(write_study(tmp_path))
    (table,), notes = build_tables(report)
    assert notes == []
    estimators = {
        score.interval.estimator for line in table.lines for score in line.scores if score and score.interval
    }
    assert estimators == {"t over 3 seeds + bootstrap over 24 source groups, Satterthwaite"}
    assert all(column.detectable_gap and column.detectable_gap > 0 for column in table.columns)
    assert "Smallest gap" in " ".join(footnotes(table))


def test_ceilings_of_several_targets_share_a_line() -> None:
    rows = rows_of({"supervised": [80.0]}, target="x", pretrain="x")
    rows += rows_of({"supervised": [70.0]}, target="y", pretrain="y", cell_id="supervised-y")
    table = build_table(rows)
    assert len(table.lines) == 1
    assert [score.mean for score in table.lines[0].scores if score] == [80.0, 70.0]


def test_columns_without_a_result_stay_empty() -> None:
    table = build_table([*rows_of({"vcop": [40.0]}), *rows_of({"cvrl": [41.0]}, target="other")])
    assert line_of(table, "vcop").scores[0] is None
    assert "–" in render_rows([*rows_of({"vcop": [40.0]}), *rows_of({"cvrl": [41.0]}, target="other")], "md")
