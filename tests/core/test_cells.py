"""A cell's key follows everything that decides about its numbers, and nothing else."""

from __future__ import annotations

import pytest

from vssl_core.cells import (
    NUMBERS_VERSION,
    SCORES_VERSION,
    CellSpec,
    Component,
    EvaluationSpec,
    differences,
)


def _component(name: str = "x", **changes: object) -> Component:
    fields = {"spec": name, "name": name, "label": name, "origin": "file", "digest": "d", "options": {"a": 1}}
    return Component.model_validate(fields | changes)


def _cell(**changes: object) -> CellSpec:
    fields = {
        "role": "method",
        "task": _component("task"),
        "backbone": _component("backbone"),
        "pretrain": _component("data"),
        "pretrain_digest": "p",
        "seed": 0,
        "protocol_hash": "h",
        "decoder": {"decoder": "pyav", "pyav": "1"},
    }
    return CellSpec.model_validate(fields | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"protocol_hash": "other"},
        {"pretrain_digest": "other"},
        {"task": _component("task", digest="edited")},
        {"task": _component("task", options={"a": 2})},
        {"backbone": _component("backbone", digest="edited")},
        {"decoder": {"decoder": "pyav", "pyav": "2"}},
    ],
)
def test_what_changes_the_key(changes: dict[str, object]) -> None:
    assert _cell(**changes).cell_id != _cell().cell_id
    assert len(differences(_cell().key(), _cell(**changes).key())) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"task": _component("task", spec="/elsewhere/x.py:T", dist="d 2", origin="module")},
        {"pretrain": _component("data", spec="/elsewhere", options={"root": "/elsewhere"})},
    ],
)
def test_where_things_are_stored_does_not(changes: dict[str, object]) -> None:
    assert _cell(**changes).cell_id == _cell().cell_id


def test_ids_are_safe_folder_names() -> None:
    name = _cell(task=_component("../Évil name/…" * 9)).cell_id
    assert "/" not in name
    assert not name.startswith(".")
    assert name.isascii()
    assert len(name) < 160


def test_evaluation_key() -> None:
    def spec(**changes: object) -> EvaluationSpec:
        fields = {
            "evaluator": _component("e"), "label": "e", "target": _component("t"), "target_digest": "q",
            "protocol_hash": "h",
        }  # fmt: skip
        return EvaluationSpec.model_validate(fields | changes)

    assert spec().evaluation_id == spec(label="other").evaluation_id
    assert spec().evaluation_id != spec(target_digest="r").evaluation_id
    assert spec().evaluation_id != spec(decoder={"decoder": "torchcodec"}).evaluation_id
    assert spec().evaluation_id != spec(evaluator=_component("e", options={})).evaluation_id


def test_scores_can_be_outdated_where_weights_are_not() -> None:
    fields = {"evaluator": _component("e"), "label": "e", "target": _component("t"), "target_digest": "q"}
    evaluation = EvaluationSpec.model_validate({**fields, "protocol_hash": "h"})
    assert evaluation.key()["numbers_version"] == SCORES_VERSION
    assert _cell().key()["numbers_version"] == NUMBERS_VERSION


def test_differences_say_what_and_how() -> None:
    one = {"a": 1, "b": {"c": "x" * 200, "d": [1]}}
    other = {"a": 1, "b": {"c": "y" * 200}, "e": True}
    lines = differences(one, other)
    assert lines[0].startswith("b.c: ")
    assert len(lines[0]) < 140
    assert lines[1:] == ["b.d: [1] → null", "e: null → true"]
