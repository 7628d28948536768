"""Methods over several targets and evaluators: means, probabilities of improvement, mean ranks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from synthetic_runs import write_study
from test_report_table import rows_of

from vssl_core.findings import overall
from vssl_core.report import build_table, load_report, render
from vssl_core.report.across import FLOOR, across
from vssl_core.report.across_section import across_sections
from vssl_core.report.section import Section
from vssl_core.rows import Row

SEEDS = 8


def scores(level: float, *, blocks: int) -> dict[str, dict[int, float]]:
    """Seeds and blocks that move all methods together, and a little of each method's own."""
    return {
        f"target {block}": {
            seed: level + 3.0 * block + 0.5 * seed + 0.3 * ((seed * 7 + block * 3 + int(level)) % 5)
            for seed in range(SEEDS)
        }
        for block in range(blocks)
    }


def test_every_method_is_compared_with_random_initialisation_and_with_the_others() -> None:
    good, weak, floor = (scores(level, blocks=3) for level in (60.0, 40.0, 20.0))
    found = across({"a": good, "b": weak}, {"a": floor, "b": floor}, higher_is_better=True, unit="%")
    assert found is not None
    assert found.means["a"] == overall(good)
    assert [found.wins[name].estimate for name in "ab"] == [1.0, 1.0]
    assert found.pairs["a", "b"].estimate == 1.0
    assert all(f"better than one of {FLOOR}: yes" in text for text in found.sentences[:2])
    assert "needs at least 5" in found.sentences[-1]
    table = found.table("All", "task")
    assert table["headers"] == [
        "task", "interquartile mean, %", f"mean over {FLOOR}", f"P over {FLOOR}", "P over a", "P over b",
    ]  # fmt: skip
    assert [row[-2:] for row in table["rows"]] == [["–", "1.00 *"], ["0.00 *", "–"]]


def test_errors_are_better_where_they_are_lower() -> None:
    good, weak = scores(20.0, blocks=2), scores(40.0, blocks=2)
    found = across({"a": good, "b": weak}, {}, higher_is_better=False, unit="%")
    assert found is not None
    assert found.pairs["a", "b"].estimate == 1.0
    assert list(found.ranks.mean_ranks) == ["a", "b"]
    assert found.wins == {}
    assert not any(FLOOR in head for head in found.table("All", "task")["headers"])


def test_one_block_or_one_method_says_nothing_across() -> None:
    one, two = scores(20.0, blocks=1), scores(40.0, blocks=2)
    assert across({"a": one, "b": two}, {}, higher_is_better=True, unit="%") is None
    assert across({"a": two}, {}, higher_is_better=True, unit="%") is None
    assert across({}, {}, higher_is_better=True, unit="%") is None


def folder_rows(*, targets: int) -> list[Row]:
    """Six tasks and random initialisation on several targets."""
    draw = np.random.default_rng(0)
    levels = {"random_init": 20.0} | {f"task{n}": 30.0 + 8.0 * n for n in range(6)}
    return [
        row
        for target in range(targets)
        for row in rows_of(
            {name: [level + float(draw.normal()) for _ in range(SEEDS)] for name, level in levels.items()},
            target=f"target {target}",
            evaluation_id=f"e{target}",
        )
    ]


@pytest.mark.parametrize(("targets", "diagram"), [(1, None), (3, False), (12, True)])
def test_six_tasks_on_several_targets_have_a_section(targets: int, diagram: bool | None) -> None:
    sections = across_sections([build_table(folder_rows(targets=targets))])
    if diagram is None:
        assert sections == []
        return
    (section,) = sections
    assert isinstance(section, Section)
    assert sum(f"better than one of {FLOOR}: yes" in text for text in section.findings) == 6
    (table,) = section.tables
    assert [row[0] for row in table.rows] == [f"task{n}" for n in range(6)]
    assert bool(section.figures) is diagram
    assert ("critical difference" in section.findings[-1].replace("No critical", "")) is diagram


def test_a_report_has_the_section_in_text_and_on_the_page_and_not_among_studies(tmp_path: Path) -> None:
    report = load_report(write_study(tmp_path / "runs"))
    for fmt in ("rich", "md", "latex", "html"):
        assert "Over all targets and evaluators" in render(report, fmt)
    assert json.loads(render(report, "json")).get("studies", []) == []
