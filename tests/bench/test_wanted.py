"""What a run of a cell sees to: what this bench asked for, as it was planned."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_bench import TINY

import vssl_core
from vssl_core.cells import CellSpec, Component
from vssl_core.errors import PluginLoadError
from vssl_core.files import write_json
from vssl_core.instantiate import component_class, refuse_changed_code
from vssl_core.planning import Plan, _told_apart, component
from vssl_core.progress import quiet_progress
from vssl_core.protocol import load_protocol
from vssl_core.run_cell import Settings, _Cell
from vssl_core.store import CellFolder

BROKEN = """
from vssl_core import Evaluator

class Broken(Evaluator):
    def __init__(self, options): pass
    def evaluate(self, backbone, target, context): raise ValueError("not written yet")
"""


def bench(runs: Path, *evaluators: str) -> vssl_core.BenchResult:
    return vssl_core.bench(
        "rotnet", protocol="smoke", pretrain=TINY, targets=[TINY], evaluators=evaluators, controls=False,
        runs=runs,
    )  # fmt: skip


def test_an_evaluation_that_fails_stands_in_nobodys_way(tmp_path: Path) -> None:
    """Neither in that of those after it, nor in that of a later bench, which does not ask for it."""
    (tmp_path / "broken.py").write_text(BROKEN)
    first = bench(tmp_path / "runs", f"{tmp_path / 'broken.py'}:Broken", "retrieval")
    assert "not written yet" in next(iter(first.failures.values()))
    assert {row.evaluator for row in first.rows} == {"retrieval"}
    second = bench(tmp_path / "runs", "retrieval", "cost")
    assert not second.failures
    assert {row.evaluator for row in second.rows} == {"retrieval", "cost"}


def test_code_that_was_edited_after_planning_does_not_run_under_the_old_id(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("from vssl_plugins.tasks.rotnet import RotNet\n\nclass Mine(RotNet):\n    '''Mine.'''\n")
    made, _ = component("task", f"{path}:Mine", {}, owner="task")
    refuse_changed_code("task", made, {})
    planned = made.model_copy(update={"digest": "0" * 64})
    with pytest.raises(PluginLoadError, match="task 'Mine' has changed since this was planned"):
        refuse_changed_code("task", planned, {})
    refuse_changed_code("task", planned, {planned.spec: object})  # a class of this process: there is no other


def described(root: Path, runs: Path) -> CellFolder:
    dataset, _ = component("dataset", "folder", {"root": str(root)}, owner="pretrain")
    common = {"origin": "built-in", "digest": "d"}
    spec = CellSpec(
        role="method",
        task=Component(spec="rotnet", name="rotnet", label="rotnet", **common),
        backbone=Component(spec="squeezenet", name="squeezenet", label="squeezenet", **common),
        pretrain=dataset,
        pretrain_digest="p",
        seed=0,
        protocol_hash=load_protocol("smoke").hash,
    )
    folder = CellFolder(runs, spec.cell_id)
    folder.create(spec, load_protocol("smoke"))
    return folder


def test_data_that_moved_before_the_cell_was_done_is_read_where_it_lies(tmp_path: Path) -> None:
    for name in ("here", "there", "elsewhere"):
        (tmp_path / name).mkdir()
    assert described(tmp_path / "here", tmp_path).cell_id == described(tmp_path / "there", tmp_path).cell_id
    folder = described(tmp_path / "there", tmp_path)
    assert folder.spec().pretrain.options["root"] == str(tmp_path / "there")
    write_json(folder.pretrain / "result.json", {"schema": 3, "status": "done"})
    described(tmp_path / "elsewhere", tmp_path)
    assert folder.spec().pretrain.options["root"] == str(tmp_path / "there")


def test_training_goes_on_in_the_precision_that_it_began_with(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    folder = described(tmp_path / "videos", tmp_path)
    begun = {"precision": "bf16", "memory_format": "channels_last_3d", "why": "another machine's probe"}
    folder.write_note("precision", begun)
    cell = _Cell(folder, folder.spec(), Settings(cache_gib=0), quiet_progress())
    assert cell._training_precision()["why"] != begun["why"]  # nothing has begun: this machine decides
    folder.write_note("precision", begun)
    (folder.pretrain / "checkpoints").mkdir(parents=True)
    assert cell._training_precision() == begun


def test_two_folders_of_one_name_have_two_labels(tmp_path: Path) -> None:
    made = []
    for name in ("x", "y"):
        (tmp_path / name / "videos").mkdir(parents=True)
        root = str(tmp_path / name / "videos")
        made.append(component("dataset", "folder", {"root": root}, owner="target")[0])
    assert [one.label for one in made] == ["folder(root=videos)"] * 2
    classes = [component_class("dataset", one, {}) for one in made]
    assert [one.label for one in _told_apart(made, classes)] == [
        "folder(root=x/videos)",
        "folder(root=y/videos)",
    ]
    assert [one.label for one in _told_apart(made[:1], classes[:1])] == ["folder(root=videos)"]


def test_a_plan_without_evaluations_asks_for_none(tmp_path: Path) -> None:
    from vssl_core.run_plan import _command, _wanted

    folder = described(tmp_path, tmp_path)
    plan = Plan([(folder.spec(), ())], {}, {})
    settings = _wanted(plan, Settings())[folder.cell_id]
    assert settings.evaluations == ()
    assert _command(folder.cell_id, tmp_path, settings)[-2:] == ("--evaluations", "")
