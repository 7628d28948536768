"""`vssl bench` from names to rows: the cache of cells, controls, bad input."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from small_bench import TINY, arguments, command
from tiny_dataset import drifting, write_video

import vssl_core
from vssl_core.cli import main
from vssl_core.store import all_cells
from vssl_core.testing.process_state import unchanged


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with VCOP, its controls and three evaluators."""
    runs = tmp_path_factory.mktemp("bench") / "runs"
    words = command("vcop", runs, "--eval", "linear", "--eval", "finetune")
    words.remove("--no-controls")
    subprocess.run(words, check=True, capture_output=True)
    return runs


def test_every_cell_has_rows_predictions_weights_and_notes(finished: Path) -> None:
    cells = all_cells(finished)
    assert sorted(cell.spec().role for cell in cells) == ["ceiling", "floor", "method"]
    for cell in cells:
        assert cell.state() == "finished"
        rows = cell.rows()
        assert {row.evaluator for row in rows} == {"retrieval", "linear", "finetune"}
        for row in rows:
            assert 0 <= row.value <= 100
            if row.per_video is not None:
                table = (finished / row.per_video).read_text().splitlines()
                assert table[0] == "video_id,group,value"
                values = [float(line.rsplit(",", 1)[1]) for line in table[1:]]
                assert np.mean(values) == pytest.approx(row.value)
        assert cell.weights.stat().st_size > 1e6
        assert not list(cell.path.rglob("*.tmp"))
        assert not list(cell.path.rglob("lease*"))
    method = next(cell for cell in cells if cell.spec().role == "method")
    assert sorted(p.name for p in (method.pretrain / "views").iterdir()) == [
        "clip_0.png", "clip_1.png", "clip_2.png",
    ]  # fmt: skip
    assert json.loads((method.path / "environment.json").read_text())["components"]["task"]["digest"]
    assert (finished / "report.html").stat().st_size > 10_000


def test_floor_and_method_start_from_equal_weights_per_seed(finished: Path) -> None:
    documents = {cell.spec().role: cell.document()["key"] for cell in all_cells(finished)}
    assert documents["floor"]["seed"] == documents["method"]["seed"]
    assert documents["floor"]["backbone"] == documents["method"]["backbone"]


def test_finished_cells_are_not_run_again(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {p: p.stat().st_mtime_ns for p in finished.rglob("result.json")}
    assert main(arguments("vcop", finished)) == 0
    captured = capsys.readouterr()
    assert "vcop" in captured.out
    assert "1 of 1 cells are finished already" in captured.err
    assert {p: p.stat().st_mtime_ns for p in finished.rglob("result.json")} == before


def test_why_says_what_differs(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["why", "vcop", "--runs", str(finished)]) == 0
    assert "gives the same cell" in capsys.readouterr().out
    assert main(["why", "nothing", "--runs", str(finished)]) == 2


def test_a_newer_schema_is_refused_and_left_alone(finished: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    subprocess.run(["cp", "-r", str(finished), str(runs)], check=True)
    cell = next(cell for cell in all_cells(runs) if cell.spec().role == "method")
    path = cell.path / "cell.json"
    document = json.loads(path.read_text()) | {"schema": 99}
    path.write_text(json.dumps(document))
    assert main(arguments("vcop", runs)) == 1
    assert json.loads(path.read_text()) == document


def test_a_class_of_this_process_runs_here_and_leaves_its_settings_alone(tmp_path: Path) -> None:
    from vssl_plugins.tasks.vcop import VCOP

    class Mine(VCOP):
        """The same under another name."""

    with unchanged("bench", generators=()):
        result = vssl_core.bench(
            Mine, protocol="smoke", pretrain=TINY, targets=[TINY], evaluators=["retrieval"], controls=False,
            runs=tmp_path / "runs",
        )  # fmt: skip
    assert not result.failures
    assert {row.task for row in result.rows} == {"Mine"}


def test_what_a_task_warns_of_is_a_line_of_the_run(tmp_path: Path) -> None:
    done = subprocess.run(command("tdl", tmp_path / "runs"), check=True, capture_output=True, text=True)
    lines = [line for line in done.stderr.splitlines() if "queue" in line]
    assert len(lines) == 1
    assert lines[0].startswith("tdl: a queue of ")
    assert "instead of 500" in lines[0]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (["--task", "vcopp"], "Did you mean 'vcop'"),
        (["-o", "task.num_clip=3"], "Did you mean 'num_clips'"),
        (["-o", "task.num_clips=9"], "from 2 to 5"),
        (["-o", "protocol.clip.crop=9"], "no such field"),
        (["-o", "tsk.num_clips=3"], "tsk"),
        (["--protocol", "labtop"], "Did you mean 'laptop'"),
        (["--pretrain", "kinetics"], "kinetics"),
        (["--pretrain", "./missing.py:Data"], "missing.py"),
        (["--seeds", "a,b"], "--seeds"),
        (["--backbone", "./nowhere"], "nowhere"),
        (["--eval", "linaer"], "Did you mean 'linear'"),
        (["--executor", "locl"], "Did you mean 'local'"),
    ],
)
def test_wrong_usage_is_named_with_code_2(
    changes: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments("vcop", tmp_path / "runs", *changes)) == 2
    captured = capsys.readouterr()
    assert says in captured.err
    assert "Traceback" not in captured.err
    assert not list((tmp_path / "runs").glob("cells/*"))


def test_a_run_folder_that_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "runs").write_text("")
    assert main(arguments("vcop", tmp_path / "runs")) == 2
    assert "is a file" in capsys.readouterr().err


def _folder(path: Path, count: int = 12, *, num_frames: int = 20) -> Path:
    path.mkdir()
    for i in range(count):
        write_video(path / f"{i:02d}.mp4", drifting(seed=i, step=1, num_frames=num_frames))
    return path


def _pretrain(folder: Path, runs: Path, *more: str) -> subprocess.CompletedProcess[str]:
    words = command("vcop", runs, "--pretrain", str(folder), *more)
    return subprocess.run(words, check=False, capture_output=True, text=True)


@pytest.mark.parametrize("damage", ["text", "truncated", "empty"])
def test_a_damaged_video_stops_the_cell_and_is_named(damage: str, tmp_path: Path) -> None:
    folder = _folder(tmp_path / "videos")
    broken = folder / "05.mp4"
    content = {"text": b"no video", "empty": b"", "truncated": broken.read_bytes()[:-400]}[damage]
    broken.write_bytes(content)
    done = _pretrain(folder, tmp_path / "runs")
    assert done.returncode == 1
    assert "05.mp4" in done.stderr
    assert "Traceback" not in done.stderr
    (cell,) = all_cells(tmp_path / "runs")
    assert "05.mp4" in (cell.failure() or "")
    assert cell.pretrain_result() is None


def test_lenient_leaves_it_out_and_counts_it(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "videos")
    (folder / "05.mp4").write_bytes(b"no video")
    done = _pretrain(folder, tmp_path / "runs", "-o", "protocol.data.unreadable=lenient")
    assert done.returncode == 0, done.stderr
    (cell,) = all_cells(tmp_path / "runs")
    ledger = cell.read_note("ledger")["pretrain"]
    assert [row["video_id"] for row in ledger["unreadable"]] == ["05.mp4"]
    assert all(row.coverage < 1 for row in cell.rows())


def test_videos_shorter_than_the_clips_are_used(tmp_path: Path) -> None:
    done = _pretrain(_folder(tmp_path / "videos", num_frames=3), tmp_path / "runs")
    assert done.returncode == 0, done.stderr


def test_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    done = _pretrain(tmp_path / "videos", tmp_path / "runs")
    assert done.returncode in (1, 2)
    assert "videos" in done.stderr
    assert "Traceback" not in done.stderr


def test_two_benches_on_one_folder_wait_for_each_other(tmp_path: Path) -> None:
    words = command("vcop", tmp_path / "runs")
    both = [
        subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    ends = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], ends
    assert ends[0][0] == ends[1][0]
    (cell,) = all_cells(tmp_path / "runs")
    steps = [json.loads(line) for line in (cell.pretrain / "curve.jsonl").read_text().splitlines()]
    assert len([row for row in steps if "loss" in row]) == 2


def test_flips_are_refused_where_they_swap_classes(tmp_path: Path) -> None:
    with pytest.raises(vssl_core.UsageError, match=r"a horizontal flip swaps, such as 'slide_left' and"):
        vssl_core.bench(
            "vcop",
            protocol="smoke",
            targets=["shapes_motion"],
            evaluators=["retrieval"],
            options={
                "protocol": {"evaluation.augmentation": "crop_flip"},
                "target": {"train_videos": 16, "validation_videos": 8, "test_videos": 8, "size": 32},
            },
            runs=tmp_path,
        )
