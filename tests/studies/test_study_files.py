"""Study files: what ships is sound, what a user writes wrongly is named."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from vssl_core.errors import UnknownNameError, UsageError
from vssl_core.studies.files import included, load_study, study_names
from vssl_core.studies.grid import check_changes, expand, fits

MINE = """
schema: 1
name: mine
title: Mine
question: Which?
table: {lines: [task]}
scales:
  smoke:
    settings: {protocol.data.num_videos: 16}
    axes:
      task:
        a: {task: vcop}
        b: {task: rotnet, task.num_rotations: 3}
      backbone:
        10: {backbone: shufflenet}
        20: {backbone: squeezenet}
    except:
      - {task: b, backbone: 20}
    evaluate:
      - eval: retrieval
        only: {task: a}
"""


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("name", study_names())
def test_every_study_that_ships_expands_at_every_scale(name: str) -> None:
    study = load_study(name)
    assert study.name == name
    for part in included(study):
        assert {"laptop", "smoke"} <= set(part.scales) or part.name == "zero_shot"
        for scale in part.scales.values():
            points = expand(scale)
            assert len({point.name for point in points}) == len(points)
            assert all(point.words.get("task") for point in points)
            assert scale.about


def test_paper_includes_every_other_study() -> None:
    assert sorted(load_study("paper").includes) == sorted(set(study_names()) - {"paper"})


def test_a_file_of_the_user_is_read_the_same_way(tmp_path: Path) -> None:
    points = expand(load_study(written(tmp_path, MINE)).scales["smoke"])
    assert [point.name for point in points] == [
        "task a, backbone 10", "task a, backbone 20", "task b, backbone 10",
    ]  # fmt: skip
    assert points[2].words == {"task": "rotnet", "backbone": "shufflenet"}
    assert points[2].options == {"protocol": {"data.num_videos": 16}, "task": {"num_rotations": 3}}
    assert [len(point.entries) for point in points] == [1, 1, 0]


def test_changes_of_the_command_hold_everywhere(tmp_path: Path) -> None:
    scale = load_study(written(tmp_path, MINE)).scales["smoke"]
    points = expand(scale, {"protocol.data.num_videos": 8, "data/ucf101.root": "/data"})
    assert all(point.options["protocol"] == {"data.num_videos": 8} for point in points)
    assert all(point.options["data/ucf101"] == {"root": "/data"} for point in points)


def test_another_target_replaces_those_of_evaluations() -> None:
    scale = load_study("cka").scales["laptop"]
    assert {entry.target for point in expand(scale) for entry in point.entries} == {("shapes_motion",)}
    points = expand(scale, {"target": ["ucf101"]})
    assert {entry.target for point in points for entry in point.entries} == {()}
    assert all(point.words["target"] == ["ucf101"] for point in points)


@pytest.mark.parametrize(
    ("name", "word", "by"),
    [
        ("noise", "eval/noise.severities", "axis 'severity'"),
        ("distribution", "pretrain", "axis 'source'"),
        ("complexity", "task.level", "axis 'complexity'"),
        ("cka", "eval/cka.other", "an evaluation by 'cka'"),
    ],
)
def test_what_the_lines_stand_for_cannot_be_replaced(name: str, word: str, by: str) -> None:
    study = load_study(name)
    with pytest.raises(UsageError, match=f"{by} of study '{name}' sets {word}"):
        check_changes(study, study.scales["laptop"], {word: 1})


def test_what_tells_nothing_apart_can_be_replaced() -> None:
    study = load_study("cka")
    check_changes(study, study.scales["laptop"], {"eval/cka.num_videos": 64, "target": ["ucf101"]})


def test_overrides_hold_where_they_say() -> None:
    points = expand(load_study("complexity").scales["laptop"])
    levels = {
        (p.coordinates["task"], p.coordinates["complexity"]): p.options["task"]["level"] for p in points
    }
    assert levels["rotnet", "C1"] == 1
    assert levels["vcop", "C1"] == 2
    assert levels["vcop", "C3"] == 4


def test_a_filter_takes_one_label_or_several() -> None:
    assert fits({"a": "x", "b": "y"}, {"a": ("x", "z")})
    assert not fits({"a": "x", "b": "y"}, {"a": ("x",), "b": ("z",)})


def changed(**scale: object) -> str:
    document = yaml.safe_load(MINE)
    document["scales"]["smoke"].update(scale)
    return yaml.safe_dump(document)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- a", "must be a mapping"),
        ("a: [", "not valid YAML"),
        ("schema: 9", "understands up to 1"),
        (MINE.replace("question", "qestion"), "Did you mean 'question'"),
        (MINE.replace("except:", "excep:"), "Did you mean 'except'"),
        (MINE.replace("eval: retrieval", "evl: retrieval"), "scales.smoke.evaluate.0.evl: no such field"),
        (MINE.replace("{task: vcop}", "{tsk: vcop}"), "there is no setting 'tsk'"),
        (MINE.replace("task.num_rotations", "tsk.num_rotations"), "there is no setting 'tsk.num_rotations'"),
        (MINE.replace("{task: b, backbone: 20}", "{tsk: b}"), "except: there is no axis 'tsk'"),
        (MINE.replace("{task: b, backbone: 20}", "{task: c}"), "axis 'task' has no label 'c'"),
        (MINE.replace("only: {task: a}", "at: [0]"), "at must be one or more shares"),
        (MINE.replace("only: {task: a}", "cells: {other: {task: z}}"), "has no label 'z'"),
        (MINE.replace("lines: [task]", "lines: [tsk]"), "has no axis 'tsk'"),
        (
            MINE.replace("lines: [task]", "lines: [task], columns: [rate]").replace(
                "      backbone:\n", "      rate: {1: {}}\n      backbone:\n"
            ),
            "axis 'backbone' of scale 'smoke' is among neither lines nor columns",
        ),
        (MINE.replace("backbone: squeezenet", "task: prp"), "both set 'task'"),
        (changed(seeds=[]), "at least one seed"),
        (changed(axes={}), "at least one axis"),
        (MINE + "includes: [tasks]", "either scales"),
    ],
)
def test_a_mistake_is_told_by_file_and_field(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load_study(written(tmp_path, text))
    assert says in str(caught.value)
    assert "mine.yaml" in str(caught.value)


def test_a_study_that_is_not_there() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'tasks'"):
        load_study("taskss")


def test_filters_that_leave_nothing(tmp_path: Path) -> None:
    scale = load_study(written(tmp_path, changed(**{"except": [{"task": ["a", "b"]}]}))).scales["smoke"]
    with pytest.raises(UsageError, match="leave no point"):
        expand(scale)
