"""Every kind of number is altered in turn, with and without its digest; each one is found and named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from verification.altering import check, copied, edit, edit_array, evaluation, found, one, seal

import vssl_core
from vssl_core.cells import CELL_SCHEMA
from vssl_core.rows import ROW_SCHEMA
from vssl_core.verification.stages import SEALED_SINCE
from vssl_core.verification.weights_file import file_weights_digest


def in_rows(change: Callable[[dict[str, Any]], None]) -> Callable[[Any], None]:
    """A change of the first row."""
    return lambda document: change(document["rows"][0])


def test_what_nobody_touched_is_all_right(finished: Path, tmp_path: Path) -> None:
    result = vssl_core.verify(finished)
    assert result.ok
    assert len(result.cells) == 3
    for cell in result.cells:
        assert cell.unchecked == ()
        assert cell.files > 20
        # linear: top1 and mean_class_accuracy; retrieval: R@1, 5, 10 of 16 and the vote
        assert len(cell.metrics) == 6
    moved = copied(finished, tmp_path)
    assert vssl_core.verify(moved).digest == result.digest
    alone = one(moved, "vcop").rename(tmp_path / "renamed")
    verified = check(alone)
    assert verified.altered == ()
    assert [note.why for note in verified.unchecked if "renamed" in note.why]


ROW_FIELDS = {
    "value": 1.0,
    "chance": 5.0,
    "num_videos": 9,
    "coverage": 0.5,
    "videos_used": 5,
    "videos_listed": 50,
    "seed": 7,
    "cell_id": "other",
    "evaluation_id": "other",
    "protocol_hash": "0" * 16,
    "protocol_name": "paper",
    "task": "cvrl",
    "role": "ceiling",
    "backbone": "r3d",
    "pretrain": "other",
    "target": "other",
    "evaluator": "finetune",
    "evaluator_label": "linear(x=1)",
    "unit": "ms",
    "higher_is_better": False,
    "at": 0.5,
    "primary": False,
    "verdict": "collapsed",
    "per_video": None,
}


@pytest.mark.parametrize("field", ROW_FIELDS)
@pytest.mark.parametrize("hidden", [False, True], ids=["digest left", "digest made anew"])
def test_a_field_of_a_row(linear: Path, field: str, hidden: bool) -> None:
    cell = linear.parents[1]
    edit(linear / "result.json", in_rows(lambda row: row.update({field: ROW_FIELDS[field]})))
    if hidden:
        seal(cell)
    altered = found(cell)
    file = f"evaluations/{linear.name}/result.json"
    assert (file, f"top1.{field}") in {(one.file, one.field) for one in altered}
    assert ((file, "") in {(one.file, one.field) for one in altered}) is not hidden


@pytest.mark.parametrize("field", ["parameters", "gflops", "pretrain_seconds", "peak_memory_mib"])
def test_the_cost_of_a_row_is_that_of_pretraining(linear: Path, field: str) -> None:
    cell = linear.parents[1]
    edit(linear / "result.json", in_rows(lambda row: row["cost"].update({field: 1})))
    seal(cell)
    assert [one.field for one in found(cell)] == [f"top1.cost.{field}"]


def test_a_value_per_video(linear: Path) -> None:
    cell, file = linear.parents[1], linear / "top1.csv"
    head, first, *rest = file.read_text().splitlines()
    video, group, value = first.split(",")
    file.write_text("\n".join([head, f"{video},{group},{100.0 - float(value)}", *rest]) + "\n")
    seal(cell)
    altered = {(one.file.rpartition("/")[2], one.field) for one in found(cell)}
    assert altered == {("top1.csv", video), ("result.json", "top1.value")}


def test_rows_and_values_per_video_altered_alike_are_found_by_the_predictions(linear: Path) -> None:
    """The most careful one: all values per video, the scores and every digest fit each other."""
    cell, file = linear.parents[1], linear / "top1.csv"
    head, *rest = file.read_text().splitlines()
    wrong = [line for line in rest if line.endswith(",0.0")]
    file.write_text("\n".join([head, *(line.rpartition(",")[0] + ",100.0" for line in rest)]) + "\n")
    edit(linear / "result.json", in_rows(lambda row: row.update(value=100.0)))
    seal(cell)
    altered = found(cell)
    assert {one.by for one in altered} == {"recomputed from the arrays"}
    assert {one.field for one in altered if one.file.endswith("top1.csv")} >= {
        line.split(",")[0] for line in wrong[:5]
    }
    (row,) = [one for one in altered if one.field == "top1.value"]
    assert float(row.stored) == 100.0
    assert float(row.expected) == pytest.approx(100.0 * (1 - len(wrong) / len(rest)))


def test_a_score_alone_is_found_by_its_digest(linear: Path) -> None:
    edit_array(linear / "scores.npy", lambda scores: scores.__setitem__((0, 0), scores[0, 0] + 1e-4))
    (altered,) = found(linear.parents[1])
    assert (altered.file, altered.by) == (
        f"evaluations/{linear.name}/scores.npy",
        f"evaluations/{linear.name}/digests.json",
    )


def test_a_score_that_changes_a_prediction_is_found_without_its_digest(linear: Path) -> None:
    edit_array(linear / "scores.npy", lambda scores: scores.__setitem__(0, scores[0, ::-1].copy()))
    seal(linear.parents[1])
    assert {"top1.value", "mean_class_accuracy.value"} & {one.field for one in found(linear.parents[1])}


@pytest.mark.parametrize("name", ["linear", "retrieval"])
def test_a_label_is_the_one_that_the_core_saw(cell: Path, name: str) -> None:
    folder = evaluation(cell, name)
    edit_array(folder / "labels.npy", lambda labels: labels.__setitem__(0, 1 - labels[0]))
    seal(cell)
    assert ("labels.npy", "labels[0]") in {(o.file.rpartition("/")[2], o.field) for o in found(cell)}


def test_labels_of_array_and_target_altered_alike(linear: Path) -> None:
    edit_array(linear / "labels.npy", lambda labels: labels.__setitem__(0, 1 - labels[0]))
    edit(linear / "target.json", lambda d: d["videos"][0].update(label=1 - d["videos"][0]["label"]))
    seal(linear.parents[1])
    assert "top1.value" in {one.field for one in found(linear.parents[1])}


@pytest.mark.parametrize("array", ["indices", "gallery_labels", "cosines"])
def test_neighbours(cell: Path, array: str) -> None:
    retrieval = evaluation(cell, "retrieval")
    edit_array(retrieval / f"{array}.npy", lambda values: values.__setitem__(..., values[..., ::-1].copy()))
    seal(cell)
    metrics = {one.field.partition(".")[0] for one in found(cell) if one.file.endswith("result.json")}
    assert ("knn_top1" in metrics) if array == "cosines" else (metrics & {"R@1", "R@5", "knn_top1"})


def test_an_index_out_of_the_gallery(cell: Path) -> None:
    retrieval = evaluation(cell, "retrieval")
    edit_array(retrieval / "indices.npy", lambda values: values.__setitem__((0, 0), 10_000))
    seal(cell)
    assert [one.field for one in found(cell)] == ["arrays"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("pretrain.budget.amount", 9.0), ("clip.num_frames", 8), ("data.mean", [0, 0, 0]), ("schema", 0)],
)
def test_a_field_of_the_protocol(cell: Path, field: str, value: object) -> None:
    def change(document: dict[str, Any]) -> None:
        *parents, last = field.split(".")
        for parent in parents:
            document = document[parent]
        document[last] = value

    edit(cell / "protocol.json", change)
    seal(cell)
    assert ("protocol.json", "" if field == "schema" else "hash") in {(o.file, o.field) for o in found(cell)}


def test_the_seed_in_description_key_and_id(cell: Path) -> None:
    edit(cell / "cell.json", lambda document: document["spec"].update(seed=5))
    seal(cell)
    assert "key.seed" in {one.field for one in found(cell)}
    edit(cell / "cell.json", lambda document: document["key"].update(seed=5))
    seal(cell)
    fields = {(one.file, one.field) for one in found(cell)}
    assert ("cell.json", "cell_id") in fields
    assert any(field == "top1.seed" for _, field in fields)


def test_an_option_of_the_evaluator(linear: Path) -> None:
    edit(linear / "request.json", lambda d: d["spec"]["evaluator"]["options"].update(num_train_clips=9))
    edit(linear / "request.json", lambda d: d["key"]["evaluator"]["options"].update(num_train_clips=9))
    seal(linear.parents[1])
    assert [one.field for one in found(linear.parents[1])] == ["evaluation_id"]


@pytest.mark.parametrize("place", [-1, 4000])
def test_a_byte_of_the_weights(cell: Path, place: int) -> None:
    weights = cell / "pretrain" / "backbone.safetensors"
    content = bytearray(weights.read_bytes())
    content[place] ^= 1
    weights.write_bytes(content)
    seal(cell)
    assert any("backbone.safetensors" in (one.file, one.by.rpartition("/")[2]) for one in found(cell))


def test_weights_and_their_digest_are_found_by_the_chain(cell: Path) -> None:
    weights = cell / "pretrain" / "backbone.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    (altered,) = [one for one in found(cell) if one.field == "weights_sha256"]
    digest, _ = file_weights_digest(weights)
    assert altered.expected == digest
    edit(cell / "pretrain" / "result.json", lambda document: document.update(weights_sha256=digest))
    seal(cell, cell / "pretrain")
    altered = found(cell)
    # Each evaluation says that it scored other weights.
    assert {one.file for one in altered} == {
        f"evaluations/{path.name}/digests.json" for path in (cell / "evaluations").iterdir()
    }
    assert {one.by for one in altered} == {"pretrain/digests.json"}


def test_the_floor_has_its_initial_weights(finished: Path, tmp_path: Path) -> None:
    cell = copied(one(finished, "random_init"), tmp_path)
    weights = cell / "pretrain" / "backbone.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    digest, _ = file_weights_digest(weights)
    edit(cell / "pretrain" / "result.json", lambda document: document.update(weights_sha256=digest))
    seal(cell)
    assert [one.field for one in found(cell)] == ["backbone_fingerprint.initial_weights"]


def test_weights_within_the_run(cell: Path) -> None:
    kept = cell / "pretrain" / "backbone-at-0.5.safetensors"
    save_file(load_file(cell / "pretrain" / "backbone.safetensors"), kept, {"share_of_budget": "0.5"})
    digest, _ = file_weights_digest(kept)
    edit(cell / "pretrain" / "result.json", lambda document: document.update(snapshots={"0.5": digest}))
    seal(cell)
    assert [one.stored for one in found(cell)] == ["in no digests.json"]  # the file is one more
    name = "pretrain/backbone-at-0.5.safetensors"
    edit(cell / "pretrain" / "digests.json", lambda document: document["files"].update({name: ""}))
    seal(cell)
    assert found(cell) == ()
    kept.write_bytes(kept.read_bytes()[:-1] + b"\1")
    seal(cell)
    assert [one.field for one in found(cell)] == ["snapshots.0.5"]


@pytest.mark.parametrize("part", ["pretrain", "targets"])
def test_a_count_of_the_ledger(cell: Path, part: str) -> None:
    def change(ledger: dict[str, Any]) -> None:
        (ledger["pretrain"] if part == "pretrain" else next(iter(ledger["targets"].values())))["videos"] += 1

    edit(cell / "ledger.json", change)
    assert {one.file for one in found(cell)} == {"ledger.json"}


def test_a_ledger_that_is_altered_everywhere_does_not_fit_the_rows(cell: Path) -> None:
    edit(cell / "ledger.json", lambda ledger: ledger["pretrain"].update(missing=30))
    edit(cell / "pretrain" / "result.json", lambda result: result["ledger"].update(missing=30))
    seal(cell)
    assert {one.field.partition(".")[2] for one in found(cell)} == {"videos_listed", "coverage"}


@pytest.mark.parametrize("field", ["lr", "fraction", "step", "epoch"])
def test_a_value_of_the_curve(cell: Path, field: str) -> None:
    curve = cell / "pretrain" / "curve.jsonl"
    first, *rest = curve.read_text().splitlines()
    row = json.loads(first)
    row[field] += 0.25 if field in ("lr", "fraction") else 1
    curve.write_text("\n".join([json.dumps(row), *rest]) + "\n")
    seal(cell)
    assert {one.file for one in found(cell)} == {"pretrain/curve.jsonl"}


def test_a_step_that_is_left_out(cell: Path) -> None:
    curve = cell / "pretrain" / "curve.jsonl"
    curve.write_text("".join(line + "\n" for line in curve.read_text().splitlines()[1:]))
    seal(cell)
    assert ("pretrain/result.json", "steps") in {(one.file, one.field) for one in found(cell)}


def test_a_run_that_collapsed_and_says_it_did_not(cell: Path) -> None:
    curve = cell / "pretrain" / "curve.jsonl"
    rows = [json.loads(line) for line in curve.read_text().splitlines()]
    rows = [row | ({"effective_rank": 1.0} if "held_out" in row else {}) for row in rows]
    curve.write_text("".join(json.dumps(row) + "\n" for row in rows))
    seal(cell)
    assert [(one.field, one.stored, one.expected) for one in found(cell)] == [("verdict", "ok", "collapsed")]


def test_another_metric_is_made_the_one_that_tables_show(linear: Path) -> None:
    def turn(document: dict[str, Any]) -> None:
        document["rows"].reverse()
        for number, row in enumerate(document["rows"]):
            row["primary"] = number == 0

    edit(linear / "result.json", turn)
    seal(linear.parents[1])
    assert [(one.field, one.stored, one.expected) for one in found(linear.parents[1])] == [
        ("rows[0].metric", "['mean_class_accuracy']", "['top1']")
    ]


def test_more_classes_than_the_target_has_make_chance_smaller(cell: Path) -> None:
    retrieval, linear = evaluation(cell, "retrieval"), evaluation(cell, "linear")
    edit_array(retrieval / "num_classes.npy", lambda number: number.__imul__(3))
    edit(
        retrieval / "result.json",
        lambda d: [row.update(chance=100 / 6) for row in d["rows"] if row["metric"] == "knn_top1"] and None,
    )
    scores = np.load(linear / "scores.npy")
    np.save(linear / "scores.npy", np.concatenate([scores, np.full_like(scores, -1)], axis=1))
    edit(linear / "result.json", lambda d: [row.update(chance=25.0) for row in d["rows"]] and None)
    seal(cell)
    assert {(one.file.rpartition("/")[2], one.field, one.expected) for one in found(cell)} == {
        ("num_classes.npy", "value", "2"),
        ("scores.npy", "classes", "2"),
    }


@pytest.mark.parametrize("part", ["group", "classes"])
def test_evaluations_of_one_target_contradict_each_other(linear: Path, part: str) -> None:
    """Unique groups would make intervals narrower: target and tables of one evaluation are altered alike."""

    def change(document: dict[str, Any]) -> None:
        for number, video in enumerate(document["videos"]):
            video["group"] = f"g{number}"

    if part == "classes":
        edit(linear / "target.json", lambda document: document.update(classes=["left", "up"]))
    else:
        edit(linear / "target.json", change)
        for file in linear.glob("*.csv"):
            head, *rest = file.read_text().splitlines()
            cells = [line.split(",") for line in rest]
            lines = [f"{video},g{n},{value}" for n, (video, _, value) in enumerate(cells)]
            file.write_text("\n".join([head, *lines]) + "\n")
    seal(linear.parents[1])
    altered = found(linear.parents[1])
    assert {one.file.rpartition("/")[2] for one in altered} == {"target.json"}
    assert all(f"evaluations/{linear.name}" in one.by for one in altered)
    assert altered[0].field == ("classes[1]" if part == "classes" else "videos.test-0")


def test_a_row_that_is_left_out_or_stands_twice(linear: Path) -> None:
    cell = linear.parents[1]
    edit(linear / "result.json", lambda document: {**document, "rows": document["rows"][:1]})
    seal(cell)
    assert [(o.field, o.stored) for o in found(cell)] == [("mean_class_accuracy.value", "no row")]
    edit(linear / "result.json", lambda document: document["rows"].append(document["rows"][0]))
    seal(cell)
    assert "rows[1].metric" in {one.field for one in found(cell)}


def test_an_evaluation_of_another_cell(finished: Path, linear: Path) -> None:
    """The ceiling's scores under the name of the method: everything inside the evaluation fits."""
    cell, other = linear.parents[1], evaluation(one(finished, "supervised"), "linear")
    shutil.rmtree(linear)
    shutil.copytree(other, linear)
    fields = {one.field.partition(".")[2] for one in found(cell)}
    assert fields >= {"cell_id", "role", "task", "cost.pretrain_seconds"}


@pytest.mark.parametrize("stage", ["pretrain", "linear"])
def test_digests_that_are_taken_away(linear: Path, stage: str) -> None:
    cell = linear.parents[1]
    file = (linear if stage == "linear" else cell / "pretrain") / "digests.json"
    file.unlink()
    assert ("", "it is missing") in {
        (one.field, one.stored) for one in found(cell) if one.file == file.relative_to(cell).as_posix()
    }
    assert check(cell).digest == ""


def test_a_file_that_is_taken_out_of_the_digests(linear: Path) -> None:
    cell, name = linear.parents[1], f"evaluations/{linear.name}/top1.csv"
    edit(linear / "digests.json", lambda document: document["files"].pop(name) and None)
    assert [(one.file, one.stored) for one in found(cell)] == [(name, "in no digests.json")]


def test_a_file_that_came_later_is_told_and_is_no_alteration(linear: Path) -> None:
    (linear / "note.txt").write_text("mine")
    verified = check(linear.parents[1])
    assert verified.altered == ()
    assert [note.file for note in verified.unchecked] == [f"evaluations/{linear.name}/note.txt"]


def test_another_bundle_that_fits_has_another_digest(cell: Path) -> None:
    """Losses are known by digests alone: the published digest is what tells."""
    before = check(cell).digest
    curve = cell / "pretrain" / "curve.jsonl"
    first, *rest = curve.read_text().splitlines()
    curve.write_text("\n".join([json.dumps(json.loads(first) | {"loss": 0.0}), *rest]) + "\n")
    assert [one.file for one in found(cell)] == ["pretrain/curve.jsonl"]
    seal(cell)
    verified = check(cell)
    assert verified.altered == ()
    assert verified.digest not in ("", before)


def _as_before_digests(cell: Path) -> None:
    """The bundle as an earlier version of vssl wrote it."""
    for file in [*cell.rglob("digests.json"), *cell.rglob("target.json")]:
        file.unlink()
    for file in [cell / "cell.json", *cell.rglob("result.json"), *cell.rglob("request.json")]:
        edit(file, lambda document: document.update(schema=2))
    edit(cell / "pretrain" / "result.json", lambda document: document.pop("ledger") and None)
    for file in (cell / "evaluations").glob("*/result.json"):
        edit(file, lambda document: document.pop("arrays") and None)


def test_a_bundle_without_digests_is_checked_as_far_as_it_goes(linear: Path) -> None:
    cell = linear.parents[1]
    _as_before_digests(cell)
    verified = check(cell)
    assert verified.altered == ()
    assert (verified.files, verified.digest) == (0, "")
    assert {note.file for note in verified.unchecked} == {
        "pretrain",
        *(f"evaluations/{path.name}" for path in (cell / "evaluations").iterdir()),
    }
    assert len(verified.metrics) == 6
    edit(linear / "result.json", in_rows(lambda row: row.update(value=99.0)))
    assert {one.field for one in found(cell)} == {"top1.value"}


@pytest.mark.parametrize("stage", ["pretrain", "linear"])
def test_a_stage_that_says_it_is_older_than_its_cell(linear: Path, stage: str) -> None:
    """Without digests and target nothing else says what its labels were."""
    cell = linear.parents[1]
    folder = linear if stage == "linear" else cell / "pretrain"
    for name in ("digests.json", "target.json"):
        (folder / name).unlink(missing_ok=True)
    edit(folder / "result.json", lambda document: document.update(schema=2))
    name = (folder / "result.json").relative_to(cell).as_posix()
    assert (name, "schema") in {(one.file, one.field) for one in found(cell)}


def test_a_cell_of_an_earlier_version_may_be_evaluated_by_a_later_one(linear: Path) -> None:
    cell = linear.parents[1]
    for name in ("cell.json", "pretrain/result.json"):
        edit(cell / name, lambda document: document.update(schema=2))
    (cell / "pretrain" / "digests.json").unlink()
    for path in (cell / "evaluations").iterdir():
        edit(path / "digests.json", lambda document: document.update(pretrain=None))
        seal(cell, path)
    assert found(cell) == ()


def test_what_is_not_finished_is_no_alteration(linear: Path) -> None:
    cell = linear.parents[1]
    (linear / "result.json").unlink()
    (linear / ".result.json.x1.tmp").write_text("{")
    verified = check(cell)
    assert verified.altered == ()
    assert [note.why for note in verified.unchecked] == ["the evaluation is not finished"]
    (cell / "pretrain" / "result.json").unlink()
    (cell / "lease.json").write_text("{}")
    assert "pretraining is not finished" in {note.why for note in check(cell).unchecked}


def test_the_schema_of_rows_and_cells_is_that_of_digests() -> None:
    assert ROW_SCHEMA >= SEALED_SINCE
    assert CELL_SCHEMA >= SEALED_SINCE


@pytest.mark.parametrize("word", ["label", "name"])
def test_the_ledger_calls_targets_by_label_and_earlier_ones_by_name(cell: Path, word: str) -> None:
    """A target with options has a label that is not its name."""
    for folder in (cell / "evaluations").iterdir():
        edit(folder / "request.json", lambda d: d["spec"]["target"].update(label="Tiny(train=16)"))
        edit(
            folder / "result.json", lambda d: [r.update(target="Tiny(train=16)") for r in d["rows"]] and None
        )
    seal(cell)
    if word == "label":
        edit(cell / "ledger.json", lambda d: d.update(targets={"Tiny(train=16)": d["targets"]["Tiny"]}))
    assert found(cell) == ()
    edit(cell / "ledger.json", lambda d: [one.update(videos=99) for one in d["targets"].values()] and None)
    assert {one.file for one in found(cell)} == {"ledger.json"}
