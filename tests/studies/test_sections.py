"""Sections: findings follow from values per seed, the paper's numbers stand beside ours, figures are data."""

from __future__ import annotations

import csv
import dataclasses
import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_study import document

from vssl_core.files import write_json
from vssl_core.paper import find, load_paper_tables
from vssl_core.progress import quiet_progress
from vssl_core.report.section import STUDY_RESULT_SCHEMA
from vssl_core.report.study_sections import read_sections
from vssl_core.rows import Cost, Row
from vssl_core.studies import StudyPlan, build_study_table, load_study, study_names
from vssl_core.studies.files import included
from vssl_core.studies.grid import expand
from vssl_core.studies.long_form import study_csv
from vssl_core.studies.plan import Scaling, plan_study
from vssl_core.studies.reference import paper_cell
from vssl_core.studies.schema import Study
from vssl_core.studies.scores import MethodScore, method_scores
from vssl_core.studies.sections import paper_table, reference_table, section_document

COST = Cost(parameters=10, gflops=2.0, pretrain_seconds=1, pretrain_clips_per_second=1, peak_memory_mib=1)


def planned(
    tmp_path: Path, *, sizes: dict[str, Any] | None = None, entries: list[Any] | None = None, **more: Any
) -> StudyPlan:
    grid: dict[str, Any] = {
        "seeds": [0, 1, 2],
        "axes": {
            "task": {"a": {"task": "rotnet"}, "b": {"task": "vcop"}},
            "size": sizes
            or {
                "8": {"protocol.data.num_videos": 8},
                "16": {"protocol.data.num_videos": 16},
            },
        },
        "controls": True,
    }
    if entries is not None:
        grid["evaluate"] = entries
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump({**document(**grid), **more}, sort_keys=False))
    return plan_study(load_study(str(path)), Scaling("smoke"), progress=quiet_progress())


def rows_of(plan: StudyPlan) -> list[Row]:
    """b is ten points above a, and grows by five with the size; seeds differ by a little."""
    rows, specs = [], {spec.cell_id: spec for spec, _ in plan.plan.cells}
    for planned_point in plan.points:
        place = planned_point.point.coordinates
        for result in planned_point.results:
            b, large = place["task"] == "b", place["size"] == "16"
            value = 30.0 + 10 * b + 5 * large + (0.2 + 0.2 * b + 0.4 * large) * result.seed
            spec = specs[result.cell_id]
            rows.append(
                Row(
                    cell_id=result.cell_id,
                    evaluation_id=result.evaluation_id,
                    protocol_name="p",
                    protocol_hash=planned_point.protocol_hash,
                    task=spec.task.label,
                    role=spec.role,
                    backbone=spec.backbone.label,
                    pretrain=spec.pretrain.label,
                    target="Tiny",
                    evaluator="retrieval",
                    evaluator_label="retrieval",
                    seed=result.seed,
                    metric="R@1",
                    primary=True,
                    value=value if result.role == "method" else 20.0 + 0.3 * result.seed,
                    unit="%",
                    num_videos=8,
                    coverage=1.0,
                    deterministic=True,
                    cost=COST,
                )
            )
    return rows


SHOWING = {
    "findings": [
        {"kind": "ranking", "axis": "task"},
        {"kind": "trend", "axis": "size", "claim": "more videos help"},
        {"kind": "contrast", "axis": "task", "claim": "b beats a", "first": ["b"], "second": ["a"]},
    ],
    "figures": [
        {"kind": "lines", "axis": "size", "caption": "Size"},
        {"kind": "bubbles", "axis": "task", "caption": "Cost"},
    ],
    "table": {"lines": ["task"], "columns": ["size"]},
}


@pytest.fixture
def section(tmp_path: Path) -> dict[str, Any]:
    plan = planned(tmp_path, **SHOWING)
    rows = rows_of(plan)
    found = section_document(plan, build_study_table(plan, rows), method_scores(plan, rows))
    return json.loads(json.dumps(found, allow_nan=False))  # it is plain data


def test_findings_follow_from_the_values(section: dict[str, Any]) -> None:
    ranking = [text for text in section["findings"] if "is the best of 2" in text]
    assert len(ranking) == 2  # one for each size
    assert all("b is the best" in text for text in ranking)
    trends = [text for text in section["findings"] if "more videos help" in text]
    assert len(trends) == 2
    assert all("more videos help: yes" in text for text in trends)
    contrasts = [text for text in section["findings"] if "b beats a: yes" in text]
    assert len(contrasts) == 2
    assert all("Holm" in text for text in contrasts)


def test_the_table_has_sizes_as_columns_and_controls_in_lines_of_their_own(section: dict[str, Any]) -> None:
    table = section["tables"][0]
    assert [header.split("\n")[0] for header in table["headers"]] == ["task", "8", "16"]
    assert [row[0] for row in table["rows"]] == ["random_init (floor)", "a", "b", "supervised (ceiling)"]
    assert [entry.split()[0] for entry in table["rows"][2][1:]] == ["40.4", "45.8"]
    assert any("data.num_videos" in note for note in section["notes"])


def test_figures_are_series_over_the_axis_and_bubbles(section: dict[str, Any]) -> None:
    lines, bubbles = section["figures"]
    assert lines["ticks"] == ["8", "16"]
    assert {one["name"]: [value["mean"] for value in one["values"]] for one in lines["series"]} == {
        "a": pytest.approx([30.2, 35.6]),
        "b": pytest.approx([40.4, 45.8]),
    }
    for one in lines["series"]:
        assert all(value["low"] < value["mean"] < value["high"] for value in one["values"])
    assert [bubble["gflops"] for bubble in bubbles["bubbles"]] == [2.0] * 4


def test_scores_as_csv_are_ours_with_intervals_and_the_papers_with_source(tmp_path: Path) -> None:
    entry: dict[str, Any] = {
        "table": "supplement_table_3",
        "metric": "top1",
        "ours": "R@1",
        "target": "ucf101",
    }
    entry["common"] = {"evaluator": "finetune", "architecture": "shufflenet"}
    plan = planned(tmp_path, **SHOWING, paper=[entry])
    rows = rows_of(plan)
    table, scores = build_study_table(plan, rows), method_scores(plan, rows)
    lines = list(csv.DictReader(StringIO(study_csv(plan, table, scores))))
    (best,) = [line for line in lines if (line["task"], line["size"]) == ("b", "16")]
    assert (best["role"], best["name"], best["seeds"], best["unit"]) == ("method", "vcop", "3", "%")
    assert float(best["mean"]) == pytest.approx(45.8)
    assert float(best["low"]) < 45.8 < float(best["high"])
    theirs = paper_cell(next(s for s in scores if s.point.coordinates["task"] == "b"), plan.study.paper)
    assert theirs is not None
    assert (float(best["paper"]), best["paper_source"]) == (theirs.value, theirs.source)
    floors = [line for line in lines if line["role"] == "floor"]
    assert [(line["task"], line["size"]) for line in floors] == [("", "8"), ("", "16")]
    assert [float(line["mean"]) for line in floors] == pytest.approx([20.3, 20.3])
    assert len(lines) == 4 + len(floors) + sum(line["role"] == "ceiling" for line in lines)


def score(point_of: str, scale: str, number: int, **changes: Any) -> tuple[Study, MethodScore]:
    study = load_study(point_of)
    point = expand(study.scales[scale])[number]
    values: dict[str, Any] = {
        "at": 1.0, "target": "ucf101", "evaluator": "finetune", "label": "finetune", "metric": "top1",
    }  # fmt: skip
    return study, MethodScore(
        point=point, unit="%", higher_is_better=True, chance=None, by_seed={0: 50.0}, interval=None,
        parameters=1, gflops=1, rows=(), **{**values, **changes},
    )  # fmt: skip


def test_the_papers_number_is_that_of_the_point() -> None:
    study, first = score("tasks", "paper", 1)
    assert first.point.coordinates == {"task": "rotnet", "backbone": "r2plus1d"}
    cell = paper_cell(first, study.paper)
    assert cell is not None
    assert (cell.value, cell.table) == (41.2, "supplement_table_3")
    study, embedded = score("tasks", "laptop", 1, target="shapes_motion")
    cell = paper_cell(embedded, study.paper)
    assert cell is not None
    assert cell.value == 40.8


def test_a_target_with_options_is_found_by_its_name() -> None:
    """The study of the distribution scores the paper's version of Diving48, which is not the default."""
    study, first = score("distribution", "paper", 0, target="diving48(version=V1)")
    assert first.point.coordinates == {"task": "rotnet", "source": "K400-30k"}
    cell = paper_cell(first, study.paper)
    assert cell is not None
    assert (cell.at.target, cell.value) == ("diving48", 14.8)


def test_a_difference_is_shown_of_one_dataset_alone(tmp_path: Path) -> None:
    small = planned(tmp_path)
    for target, difference in (("diving48(version=V1)", "+35.2"), ("shapes_motion", "–")):
        study, first = score("distribution", "paper", 0, target=target)
        (table,) = paper_table(dataclasses.replace(small, study=study), [first])
        assert table["rows"][0][table["headers"].index("difference")] == difference


def test_shares_of_the_budget_are_the_papers_epochs() -> None:
    study, _ = score("training_time", "paper", 0)
    points = expand(study.scales["paper"])
    number = next(
        i
        for i, point in enumerate(points)
        if point.coordinates == {"task": "rspnet", "backbone": "shufflenet", "videos": "50k"}
    )
    values = [
        cell.value
        for at in (0.25, 0.5, 0.75, 1.0)
        if (cell := paper_cell(score("training_time", "paper", number, at=at)[1], study.paper))
    ]
    assert values == [68.1, 68.7, 69.4, 68.5]


@pytest.mark.parametrize("name", study_names())
def test_every_reference_of_a_study_finds_numbers(name: str) -> None:
    for study in included(load_study(name)):
        for entry in study.paper:
            assert find(table=entry.table, metric=entry.metric), entry
        if study.paper:
            scale = study.scales["paper"]
            targets = ("ucf101", "hmdb51", "diving48")
            metric = study.paper[0].ours or study.paper[0].metric
            evaluator = scale.evaluate[0].eval
            found = [
                paper_cell(
                    score(study.name, "paper", i, target=t, metric=metric, evaluator=evaluator)[1],
                    study.paper,
                )
                for i in range(len(expand(scale)))
                for t in targets
            ]
            assert any(found)


OVER_ALL = {
    "findings": [
        {"kind": "across", "axis": "task"},
        {"kind": "sign", "claim": "the score is above zero"},
    ],
    "figures": [
        {"kind": "ranks", "axis": "task", "caption": "Ranks"},
        {"kind": "metrics", "caption": "Metrics"},
    ],
    "table": {"lines": ["task"], "columns": ["size"]},
}


@pytest.mark.parametrize("sizes", [2, 5])
def test_a_study_can_ask_for_one_statement_over_all_that_it_varies(sizes: int, tmp_path: Path) -> None:
    grid = {str(size): {"protocol.data.num_videos": size} for size in range(12, 12 + sizes)}
    plan = planned(tmp_path, sizes=grid, **OVER_ALL)
    rows = rows_of(plan)
    found = section_document(plan, build_study_table(plan, rows), method_scores(plan, rows))
    found = json.loads(json.dumps(found, allow_nan=False))
    wins = [text for text in found["findings"] if "more likely better than one of random init" in text]
    assert [text.split(" is more")[0][-1] for text in wins] == ["a", "b"]
    assert sum("the score is above zero: yes" in text for text in found["findings"]) == 2 * sizes
    over_all = found["tables"][1]
    assert [row[0] for row in over_all["rows"]] == ["a", "b"]
    assert over_all["headers"][-2:] == ["P over a", "P over b"]
    assert over_all["rows"][1][-2] == "1.00"
    kinds = [figure["kind"] for figure in found["figures"]]
    assert kinds == (["ranks", "bars"] if sizes == 5 else ["bars"])
    if sizes == 5:
        assert found["figures"][0]["ranks"] == {"b": 1.0, "a": 2.0}
    write_json(tmp_path / "studies" / "small.json", {"schema": STUDY_RESULT_SCHEMA, "section": found})
    (section,), unread = read_sections(tmp_path)
    assert (len(section.figures), unread) == (len(kinds), [])


@pytest.mark.parametrize(
    ("name", "coordinates", "changes", "value", "table"),
    [
        ("distillation", {"task": "rspnet", "backbone": "shufflenet", "source": "K400-30k"},
         {"evaluator": "distill"}, 94.6, "distill_architectures"),
        ("distillation", {"task": "rspnet", "backbone": "shufflenet", "source": "K400-10k"},
         {"evaluator": "distill", "target": "hmdb51"}, 45.3, "distill_architectures"),
        ("distillation", {"task": "prp", "backbone": "r2plus1d", "complexity": "C1"},
         {"evaluator": "distill"}, 61.0, "distill_complexities"),
        ("distillation", {"task": "cvrl", "backbone": "r2plus1d", "source": "K400-30k"},
         {"evaluator": "distill"}, 66.6, "distill_sources"),
        ("distillation", {"task": "cvrl", "backbone": "shufflenet"},
         {"evaluator": "distill"}, 70.3, "distill_tasks"),
        ("noise", {"task": "prp", "backbone": "r2plus1d", "severity": "1"},
         {"metric": "accuracy_impulse", "evaluator": "noise"}, 5.4, "supplement_table_6"),
        ("retrieval", {"task": "vcop", "pretrained on": "SSv2-30k"},
         {"metric": "R@5", "evaluator": "retrieval"}, 26.4, "retrieval_sources"),
    ],
)  # fmt: skip
def test_the_papers_number_of_a_place(
    name: str, coordinates: dict[str, str], changes: dict[str, Any], value: float, table: str
) -> None:
    points = expand(load_study(name).scales["paper"])
    number = next(i for i, point in enumerate(points) if coordinates.items() <= point.coordinates.items())
    study, found = score(name, "paper", number, **changes)
    cell = paper_cell(found, study.paper)
    assert cell is not None
    assert (cell.value, cell.table) == (value, table)


def test_scores_of_an_evaluation_of_controls_alone_are_the_controls(tmp_path: Path) -> None:
    plan = planned(tmp_path, entries=[{"eval": "retrieval", "roles": ["floor"]}])
    found = method_scores(plan, rows_of(plan))
    assert found
    assert {row.role for one in found for row in one.rows} == {"floor"}
    assert not any(one.floor for one in found)


def test_every_table_of_the_paper_is_in_a_study() -> None:
    studies = [load_study(name) for name in study_names()]
    named = {entry.table for study in studies for entry in study.paper}
    named |= {name for study in studies for name in study.references}
    assert {table.name for table in load_paper_tables()} == named


def test_a_table_of_the_paper_is_shown_as_it_is() -> None:
    shown = reference_table("supplement_noise_videos")
    assert shown["headers"] == ["target", "noise", "severity", "videos, videos", "source", "trust"]
    assert shown["rows"][0] == ["ucf101", "gaussian", "1", "3783", "supplement section 3.6", "printed"]
    assert shown["notes"] == ["About."]
