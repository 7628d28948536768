"""The examples that the pages show work together, in one bench, as the pages say that they are named."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fake_distributions import install
from pages import ROOT
from tiny_dataset import drifting, write_video

from vssl_core.store import all_cells

NAMED = [
    *("--backbone", "./my_backbone.py:MyBackbone", "-o", "backbone.model=resnet10t"),
    *("--pretrain", "./my_dataset.py:MyDataset", "-o", "pretrain.folder=videos"),
    *("--target", "./my_dataset.py:MyDataset", "-o", "target.folder=videos"),
    *("--eval", "./my_evaluator.py:MyEvaluator"),
    *("--executor", "./my_executor.py:MyExecutor"),
    *("--protocol", "smoke", "--no-controls"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reader's folder: the examples, some videos, and a package with the hook."""
    folder = tmp_path_factory.mktemp("reader")
    for example in (ROOT / "examples").glob("my_*.py"):
        shutil.copy(example, folder)
    rows = [["path", "label", "split"]]
    for number in range(20):
        name = f"day {number // 2}/{number}.mp4"
        (folder / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        write_video(folder / "videos" / name, drifting(seed=number, step=2 * (number % 2) - 1))
        rows.append([name, ("left", "right")[number % 2], "test" if number >= 16 else "train"])
    with (folder / "videos" / "videos.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    modules = {"my_hook.py": (folder / "my_hook.py").read_text(encoding="utf-8")}
    install(folder / "site", "vssl-plugin-noted", "[vssl.hooks]\nmy_hook = my_hook\n", modules=modules)
    return folder


def vssl(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(folder / "site")}
    command = [sys.executable, "-m", "vssl_core.cli", *words]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["my_task.py:MyTask", "my_contrast.py:MyContrast"])
def test_a_bench_of_nothing_but_examples(task: str, folder: Path) -> None:
    done = vssl(folder, "bench", "--task", f"./{task}", *NAMED)
    assert done.returncode == 0, done.stderr
    name = task.rpartition(":")[2]
    assert name in done.stdout
    (cell,) = [cell for cell in all_cells(folder / "runs") if cell.spec().task.name == name]
    rows = cell.rows()
    assert {row.metric for row in rows} == {"top1", "mean_class_accuracy"}
    assert {(row.backbone, row.evaluator) for row in rows} == {("MyBackbone(model=resnet10t)", "MyEvaluator")}
    assert (folder / "logs" / f"{cell.cell_id}.log").stat().st_size > 0
    notes = [json.loads(line) for line in (cell.path / "my_hook.jsonl").read_text().splitlines()]
    assert {note["evaluator"] for note in notes} == {"MyEvaluator"}
    assert [note["top1"] for note in notes if "top1" in note] == [row.value for row in rows if row.primary]


def test_the_hook_is_listed_as_the_page_says(folder: Path) -> None:
    listed = vssl(folder, "plugins", "list", "--kind", "hook", "--load")
    line = listed.stdout.splitlines()[1].split()
    assert line == ["hook", "my_hook", "vssl-plugin-noted", "1.0", "installed", "ok"]
