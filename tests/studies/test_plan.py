"""`vssl plan`: what a study would cost, from what is recorded or a short probe; nothing is run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_study import TINY, write_study
from tiny_dataset import drifting, write_video

from vssl_core.cli import main
from vssl_core.progress import quiet_progress
from vssl_core.run_cell import Settings
from vssl_core.store import all_cells
from vssl_core.studies import Scaling, run_study
from vssl_core.studies.outlook import Outlook, hours, render_outlook
from vssl_core.studies.run import look_ahead


def outlook(path: str, runs: Path, *, probe: bool = False, **changes: Any) -> Outlook:
    scaling = Scaling("smoke", changes={k.replace("__", "."): v for k, v in changes.items()})
    return look_ahead(
        path, scaling=scaling, runs=runs, probe=probe, settings=Settings(), progress=quiet_progress()
    )


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A study with controls, of which nothing is run, and a run folder with its probes."""
    folder = tmp_path_factory.mktemp("plan")
    path = write_study(folder, controls=True)
    outlook(path, folder / "runs", probe=True)
    return path, folder / "runs"


def test_without_a_probe_what_is_not_recorded_is_unknown_and_nothing_is_written(tmp_path: Path) -> None:
    found = outlook(write_study(tmp_path), tmp_path / "runs")
    assert [cell.state for cell in found.cells] == ["new", "new"]
    assert found.seconds is None
    assert len(found.unknown) == 2
    assert "unknown" in render_outlook(found)
    assert not (tmp_path / "runs").exists()


def test_a_probe_is_kept_and_gives_every_cell_its_time(probed: tuple[str, Path]) -> None:
    path, runs = probed
    assert sorted(p.name for p in runs.iterdir()) == ["rates.json"]
    kinds = json.loads((runs / "rates.json").read_text())["probes"]
    assert len(kinds) == 3  # two tasks and the supervised control; random initialisation trains nothing
    found = outlook(path, runs)  # from what the probe left
    assert not found.unknown
    assert {cell.role for cell in found.cells} == {"method", "floor", "ceiling"}
    floor = next(cell for cell in found.cells if cell.role == "floor")
    assert floor.pretraining.seconds == 0
    assert floor.evaluating.source == "rule"
    for cell in found.cells:
        assert cell.seconds is not None
        assert cell.seconds > 0
        assert cell.role == "floor" or cell.bottleneck in ("decoding", "compute")


def test_amounts_agree_with_one_another_in_every_currency(probed: tuple[str, Path]) -> None:
    path, runs = probed
    method = outlook(path, runs).cells[0]
    assert method.amounts is not None
    assert method.amounts.epochs == 1
    for currency, amount in (
        ("frames", method.amounts.frames),
        ("flops", method.amounts.gflops * 1e9),
    ):
        same = outlook(
            path,
            runs,
            protocol__pretrain__budget__currency=currency,
            protocol__pretrain__budget__amount=amount,
        )
        again = same.cells[0].amounts
        assert again is not None
        assert again.epochs == pytest.approx(1.0)
        assert again.seconds == pytest.approx(method.amounts.seconds)
    twice = outlook(path, runs, protocol__pretrain__budget__amount=2).cells[0].amounts
    assert twice is not None
    assert twice.frames == pytest.approx(2 * method.amounts.frames)


def test_what_is_finished_costs_nothing_and_is_the_record_for_other_seeds(tmp_path: Path) -> None:
    path, runs = write_study(tmp_path), tmp_path / "runs"
    result = run_study(path, scaling=Scaling("smoke"), runs=runs, progress=quiet_progress())
    assert result.expected is None
    assert result.took > 0
    found = outlook(path, runs)
    assert [cell.state for cell in found.cells] == ["finished", "finished"]
    assert found.seconds == 0
    more = look_ahead(
        path, scaling=Scaling("smoke", seeds=(0, 1)), runs=runs, probe=False, settings=Settings(),
        progress=quiet_progress(),
    )  # fmt: skip
    new = [cell for cell in more.cells if cell.seed == 1]
    assert {cell.pretraining.source for cell in new} == {"recorded"}
    assert {cell.evaluating.source for cell in new} == {"recorded"}
    seconds = {cell.spec().task.label: cell.pretrain_result()["seconds"] for cell in all_cells(runs)}
    assert {cell.task: cell.pretraining.seconds for cell in new} == pytest.approx(seconds)


def test_a_snapshot_that_was_not_kept_is_said_beforehand(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    run_study(write_study(tmp_path), scaling=Scaling("smoke"), runs=runs, progress=quiet_progress())
    found = outlook(write_study(tmp_path, evaluate=[{"eval": "retrieval", "at": [0.5, 1]}]), runs)
    assert [cell.state for cell in found.cells] == ["again", "again"]
    assert "2 pretrained again" in render_outlook(found)


def test_the_command_says_what_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    axes = {"task": {"good": {"task": "rotnet"}, "wrong": {"task": "vcop", "task.num_clips": 9}}}
    path = write_study(tmp_path, axes=axes)
    words = ["plan", path, "--protocol", "smoke", "--runs", str(tmp_path / "runs"), "--no-probe"]
    assert main(words) == 0
    assert "cannot be: small (task wrong): " in capsys.readouterr().out
    assert main([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [one["point"] for one in document["impossible"]] == ["task wrong"]
    assert [cell["state"] for cell in document["cells"]] == ["new"]
    assert document["total"]["cells_of_unknown_time"] == 1
    assert document["trust"]


def test_brackets_of_an_option_are_neither_markup_nor_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    folder = tmp_path / "clips" / "wave"
    folder.mkdir(parents=True)
    for name in ("ann", "bob", "cid", "dan"):
        write_video(folder / f"{name}_1.mp4", drifting(seed=0, step=1))
    settings = {
        "pretrain": "folder", "data/folder.root": str(tmp_path / "clips"), "target": TINY,
        "data/folder.group_pattern": "/([a-z]+)_",
    }  # fmt: skip
    found = outlook(write_study(tmp_path, settings=settings), tmp_path / "runs")
    assert "folder(root=clips, group_pattern=/([a-z]+)_)" in " ".join(render_outlook(found).split())


def test_a_plan_of_several_studies_counts_shared_cells_once(tmp_path: Path) -> None:
    found = outlook("paper", tmp_path / "runs")
    alone = sum(len(plan.plan.cells) for plan in found.plans)
    assert len(found.plans) > 5
    assert len({cell.cell_id for cell in found.cells}) == len(found.cells) < alone


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "unknown"), (12.3, "12 s"), (150.0, "2.5 min"), (3900.0, "1 h 05 min"), (7170.0, "2 h 00 min")],
)
def test_durations_in_words(seconds: float | None, text: str) -> None:
    assert hours(seconds) == text
