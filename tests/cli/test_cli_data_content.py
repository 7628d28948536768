"""`vssl data audit` and `vssl data overlap`, and what a bench makes of both."""

from __future__ import annotations

import csv
import shlex
import shutil
from pathlib import Path

import pytest
from tiny_dataset import Tiny, drifting, write_video

from vssl_core.bench import BenchResult, bench
from vssl_core.cli import main
from vssl_core.errors import DatasetError
from vssl_core.interfaces import DatasetContext
from vssl_core.planning import Plan, Request, make_plan
from vssl_core.progress import quiet_progress
from vssl_core.protocol import load_protocol
from vssl_core.report import load_report, render

TINY = f"{Path(__file__).resolve().parents[1] / 'tiny_dataset.py'}:Tiny"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Eight videos, two of them bad, and a cache of its own."""
    monkeypatch.setenv("VSSL_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "R"
    folder.mkdir()
    for i in range(6):
        write_video(folder / f"v{i}.mp4", drifting(seed=i, step=1 + i % 2))
    (folder / "none.mp4").touch()
    (folder / "odd\nname.mp4").write_bytes(b"<html>404</html>")
    return folder


def run(*words: object) -> int:
    return main(["data", *map(str, words)])


def test_audit_names_what_cannot_be_read_and_is_fast_the_second_time(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("audit", root, "--to", tmp_path / "audit.csv") == 1
    shown = capsys.readouterr().out
    assert "6 videos can be read of 8 that are listed" in shown
    assert "missing from this copy: 0; here and not to be read: 2" in shown
    assert "  none.mp4: expected a video file, but it has 0 bytes" in shown
    assert "  'odd\\nname.mp4': " in shown
    assert "frames: 180 in all; 30 to 30 a video" in shown
    assert "codecs: h264 (6)" in shown
    with (tmp_path / "audit.csv").open(newline="") as file:
        rows = {row["video_id"]: row for row in csv.DictReader(file)}
    assert len(rows) == 8
    facts = ("part", "frames", "fps", "width", "height", "codec", "rotation", "error")
    assert [rows["v0.mp4"][name] for name in facts] == ["train", "30", "15", "64", "48", "h264", "0", ""]
    assert rows["odd\nname.mp4"]["error"]
    (root / "none.mp4").unlink()
    (root / "odd\nname.mp4").unlink()
    monkeypatch.setattr("vssl_core.ledger.look_into", None)
    assert run("audit", root) == 0
    (tmp_path / "list.txt").write_text("v0.mp4\ngone.mp4\n")
    capsys.readouterr()
    assert run("audit", "list", "--root", root, "--annotations", tmp_path / "list.txt") == 0
    assert "missing from this copy: 1; here and not to be read: 0" in capsys.readouterr().out


def test_overlap_of_folders(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(root / "v1.mp4", other / "copy of 1.mp4")
    write_video(other / "new.mp4", drifting(seed=77, step=1))
    assert run("overlap", root, other, "--to", tmp_path / "pairs.csv") == 1
    shown = capsys.readouterr().out
    assert "8 x 2 videos compared: 1 pairs that show the same (0 same file, 1 exact, 0 near)" in shown
    assert "exact  0.000     +0.00     v1.mp4  copy of 1.mp4" in shown
    assert "not to be read, and so compared by their bytes at most: 2 videos" in shown
    with (tmp_path / "pairs.csv").open(newline="") as file:
        (pair,) = csv.DictReader(file)
    assert (pair["kind"], pair["a"], pair["b"]) == ("exact", "v1.mp4", "copy of 1.mp4")
    assert pair["b_path"] == str(other / "copy of 1.mp4")
    assert run("overlap", other) == 0
    assert "2 videos compared: 0 pairs" in capsys.readouterr().out
    assert run("overlap", root, other, "--part-b", "test") == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["x", "-o", "root=."], "-o takes SIDE.OPTION=VALUE here"),
        (["folder", "-o", "b.root=."], "no dataset B"),
        (["folder", "folder", "-o", "a.rot=."], "no option"),
        (["nothing"], "nothing"),
    ],
)
def test_mistakes_are_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("overlap", *words) == 2
    assert message in capsys.readouterr().err


def small_bench(runs: Path, pretrain: Path, *, unreadable: str) -> BenchResult:
    return bench(
        "rotnet", pretrain=str(pretrain), targets=[Tiny], evaluators=["retrieval"],
        protocol="smoke", runs=runs, controls=False, progress=quiet_progress(),
        options={"protocol": {"data.unreadable": unreadable}},
    )  # fmt: skip


def planned(pretrain: Path, overlap: str, unreadable: str = "lenient") -> Plan:
    request = Request(
        task="rotnet", backbone="shufflenet", pretrain=str(pretrain), targets=[TINY],
        evaluators=["retrieval"], seeds=[0], options={}, controls=False,
    )  # fmt: skip
    document = load_protocol("smoke", {"data.overlap": overlap, "data.unreadable": unreadable})
    return make_plan(request, document, progress=quiet_progress())


def test_a_protocol_can_forbid_overlap(root: Path, tmp_path: Path) -> None:
    made = Tiny(Tiny.Options(), DatasetContext(tmp_path / "cache" / "datasets", quiet_progress()))
    made.prepare()
    assert planned(root, "forbid").cells
    with pytest.raises(DatasetError, match="cannot be compared"):
        planned(root, "forbid", "strict")
    shutil.copy(made.records("test")[3].path, root / "leak.mp4")
    message = r"'leak\.mp4' and 'test-3' \(exact.*`vssl data overlap folder .* -o a\.root=.*/R`"
    with pytest.raises(DatasetError, match=message) as caught:
        planned(root, "forbid")
    assert planned(root, "allow").cells
    words = shlex.split(str(caught.value).split("`")[1])
    assert main(words[1:]) == 1


def test_lenient_rows_say_how_many_videos_were_used(root: Path, tmp_path: Path) -> None:
    result = small_bench(tmp_path / "runs", root, unreadable="lenient")
    assert result.failures == {}
    row = result.rows[0]
    listed = 8 + 16 + 8 + 8
    assert (row.videos_used, row.videos_listed) == (listed - 2, listed)
    assert row.coverage == (listed - 2) / listed
    assert "38/40" in render(load_report(tmp_path / "runs"), "md")
    strict = small_bench(tmp_path / "strict", root, unreadable="strict")
    (reason,) = strict.failures.values()
    assert "none.mp4" in reason or "odd" in reason
    assert "vssl data audit" in reason
