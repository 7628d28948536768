"""`vssl data`: what it prints for people and for programs, its exit codes, and a bench right after it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vssl_core.cli import main
from vssl_core.store import all_cells

LISTS = {
    "classInd.txt": "1 Run\n2 Jump\n3 Sit\n",
    "trainlist01.txt": "Run/v_Run_g08_c01.avi 1\nRun/v_Run_g08_c02.avi 1\nJump/v_Jump_g08_c01.avi 2\n",
    "testlist01.txt": "Run/v_Run_g01_c01.avi\n",
}
VIDEOS = ["Run/v_Run_g08_c01.avi", "Run/v_Run_g08_c01.mp4", "Jump/v_Jump_g08_c01.avi", "Jump/x\ny.mp4"]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small copy of UCF101, and a cache of its own."""
    monkeypatch.setenv("VSSL_CACHE", str(tmp_path / "cache"))
    for name, text in [*LISTS.items(), *dict.fromkeys(VIDEOS, "x").items()]:
        path = tmp_path / "R" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "R"


def run(*words: str) -> int:
    return main(["data", *words])


def test_help_and_the_list_of_commands_import_nothing_heavy() -> None:
    code = (
        "import sys; from vssl_core.cli import main; main(sys.argv[1:]);"
        "print([m for m in ('torch', 'numpy', 'pydantic', 'rich', 'av', 'vssl_plugins') if m in sys.modules])"
    )
    for words in (["data", "--help"], ["data", "prepare", "--help"]):
        shown = subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True
        )
        assert shown.stdout.splitlines()[-1] == "[]"
        assert "prepare" in shown.stdout


def test_prepare_tells_what_is_there(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("prepare", "ucf101", "--root", str(root)) == 0
    shown, told = capsys.readouterr()
    index = next((root.parent / "cache" / "datasets" / "ucf101").iterdir())
    assert shown.splitlines() == [
        "list   used for  here  missing  published  official list",
        "train  train        2        1      9,537             no",
        "test   test         0        1      3,783             no",
        "classes with videos: 2 of 3",
        "classes without videos: 1: Sit",
        "missing: 2: v_Run_g08_c02, v_Run_g01_c01",
        "unexpected: 1: 'Jump/x\\ny.mp4'",
        "several files for one video, the first is used: 1: v_Run_g08_c01 "
        "(Run/v_Run_g08_c01.avi, Run/v_Run_g08_c01.mp4)",
        f"index of ucf101: {index}",
    ]
    assert "ucf101: 2 of 4 videos are here; 1 of 3 classes have none" in told


def test_json_has_every_id(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("prepare", "ucf101", "--root", str(root), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["lists"][0]["missing"] == ["v_Run_g08_c02"]
    assert found["lists"][0]["official"] is False
    assert found["unexpected"] == ["Jump/x\ny.mp4"]


def test_verify_goes_from_wrong_to_right(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", "ucf101", "--root", str(root)) == 1
    assert "there is no index" in capsys.readouterr().out
    assert run("prepare", "ucf101", "--root", str(root)) == 0
    assert run("verify", "ucf101", "--root", str(root)) == 0
    (root / "Run" / "v_Run_g08_c01.avi").unlink()
    for i in range(15):
        (root / f"extra{i:02d}.avi").touch()
    capsys.readouterr()
    assert run("verify", "ucf101", "--root", str(root)) == 1
    shown, told = capsys.readouterr()
    assert shown.splitlines()[0] == "'Run/v_Run_g08_c01.avi' is gone."
    assert shown.splitlines()[-1] == "… and 6 more"
    assert "16 differences; `vssl data prepare` takes them over." in told
    assert run("prepare", "ucf101", "--root", str(root)) == 0
    assert run("verify", "ucf101", "--root", str(root)) == 0


def test_ids_are_a_plain_list_with_the_digest_of_its_text(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("ids", "ucf101", "--root", str(root)) == 0
    shown, told = capsys.readouterr()
    assert shown == "v_Jump_g08_c01\nv_Run_g08_c01\nv_Run_g08_c02\n"
    assert f"3 ids, sha256 {hashlib.sha256(shown.encode()).hexdigest()}" in told
    file = tmp_path / "ids.txt"
    assert run("ids", "ucf101", "--root", str(root), "--list", "test", "--to", str(file)) == 0
    assert file.read_text() == "v_Run_g01_c01\n"
    assert run("ids", "ucf101", "--root", str(root), "--list", "val") == 2
    assert "there is no list 'val'; there are: train, test." in capsys.readouterr().err


def test_a_subset_travels_as_a_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"{'yoga' if i % 2 else 'zumba'},{i:011d},0,10,train" for i in range(20)]
    table = "\n".join(["label,youtube_id,time_start,time_end,split", *rows])
    for lab in "AB":
        (tmp_path / lab).mkdir()
        (tmp_path / lab / "train.csv").write_text(table)
    drawn = tmp_path / "ids.txt"
    words = ("ids", "kinetics400", "--root")
    assert run(*words, str(tmp_path / "A"), "-o", "num_videos=6", "--to", str(drawn)) == 0
    assert len(drawn.read_text().splitlines()) == 6
    first = capsys.readouterr().err.splitlines()[-1]
    assert run(*words, str(tmp_path / "B"), "-o", f"subset_file={drawn}") == 0
    shown, told = capsys.readouterr()
    assert shown == drawn.read_text()
    assert told.splitlines()[-1] == first


def test_a_folder_is_a_dataset_too(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("prepare", str(root), "-o", "test_fraction=0") == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[1].split() == ["train", "train", "4", "0", "not", "known", "not", "known"]
    assert run("verify", str(root)) == 2  # it keeps nothing that its files could be compared with
    assert "dataset 'folder' keeps nothing of what it finds" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["prepare", "ucf101"], 2, "needs the folder of your copy"),
        (["prepare", "ucf10", "--root", "."], 2, "Did you mean 'ucf101'"),
        (["prepare", "ucf101", "--root", "/no/where"], 2, "does not exist"),
        (["prepare", "ucf101", "--root", ".", "-o", "split=4"], 2, "dataset.split: expected one of"),
        (["prepare", "ucf101", "--root", ".", "-o", "split"], 2, "-o takes OPTION=VALUE here"),
        (
            ["prepare", "ucf101", "--root", ".", "-o", "sprit=1"],
            2,
            "no option dataset.sprit. Did you mean 'split'",
        ),
        (["prepare", "ucf101", "--root", "."], 1, "needs classInd.txt"),
        (["verify", "shapes_motion", "--root", "."], 2, "no option dataset.root"),
    ],
)
def test_mistakes_are_one_line(
    words: list[str], code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VSSL_CACHE", str(tmp_path / "cache"))
    assert run(*words) == code
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_a_bench_needs_no_prepare(shared_data: Path, tmp_path: Path) -> None:
    lists = shared_data / "annotations" / "ucfTrainTestlist"
    words = ["bench", "--task", "rotnet", "--protocol", "smoke", "--runs", "runs", "--no-controls"]
    words += ["--pretrain", "ucf101", "--target", "ucf101", "--eval", "retrieval"]
    words += ["-o", "protocol.evaluation.num_videos=8", "-o", "protocol.data.num_videos=8"]
    for owner in ("pretrain", "target"):
        words += ["-o", f"{owner}.root={shared_data / 'ucf101-6'}", "-o", f"{owner}.annotations={lists}"]
    environment = {**os.environ, "VSSL_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-m", "vssl_core.cli", *words],
        capture_output=True, text=True, env=environment, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "ucf101: 731 of 13,320 videos are here; 95 of 101 classes have none" in done.stderr
    (cell,) = all_cells(tmp_path / "runs")
    row = cell.rows()[0]
    assert (row.pretrain, row.target, row.coverage) == ("ucf101", "ucf101", 1.0)
    assert len(list((tmp_path / "cache" / "datasets" / "ucf101").glob("*.jsonl"))) == 1
