"""The index of a copy: used again, brought up to date, made again; and what goes wrong with real disks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from subprocess import PIPE

import pytest
from copies import cache_of, counts, ids, make, opened, paths, write

from vssl_core.data import audit
from vssl_core.errors import DatasetError, StoreError, VideoError
from vssl_core.interfaces import DatasetContext
from vssl_core.ledger import DecodeLedger
from vssl_core.progress import quiet_progress
from vssl_core.protocol import Data
from vssl_core.video import FrameReader
from vssl_plugins.datasets import walk
from vssl_plugins.datasets.official import finding
from vssl_plugins.datasets.official.index_file import INDEX_SCHEMA, read_index
from vssl_plugins.datasets.official.journal import WalkJournal
from vssl_plugins.datasets.ucf101 import UCF101
from vssl_plugins.datasets.video_list import VideoList
from vssl_plugins.datasets.walk import FoundVideo

LISTS = {
    "classInd__txt": "1 Run\n2 Jump\n",
    "trainlist01__txt": "".join(f"Run/v_Run_g08_c{i:02d}.avi 1\n" for i in range(1, 9))
    + "Jump/v_Jump_g08_c01.avi 2\n",
    "testlist01__txt": "Run/v_Run_g01_c01.avi\nJump/v_Jump_g01_c01.avi\n",
}
VIDEOS = [line.split()[0] for text in LISTS.values() for line in text.splitlines() if "/" in line]


class Saying:
    """Progress that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.track = quiet_progress().track

    def say(self, message: str) -> None:
        self.said.append(message)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return aged(make(write(tmp_path / "R", **LISTS), VIDEOS))


def aged(root: Path) -> Path:
    """Folders that changed long ago: an index may rely on them."""
    for folder, _, _ in os.walk(root):
        os.utime(folder, (1_600_000_000, 1_600_000_000))
    return root


def index_of(root: Path) -> Path:
    (file,) = (cache_of(root) / "ucf101").glob("*.jsonl")
    return file


def telling(root: Path) -> list[str]:
    """What is said when the copy is opened."""
    progress = Saying()
    UCF101(UCF101.Options(root=str(root)), DatasetContext(cache_of(root), progress)).prepare()
    return progress.said


def verified(root: Path) -> Sequence[str]:
    return UCF101(UCF101.Options(root=str(root)), DatasetContext(cache_of(root), quiet_progress())).verify()


@pytest.fixture
def walks(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The roots that are walked."""
    seen: list[Path] = []
    real = finding.walk_videos

    def note(root: Path, *args: object, **kwargs: object) -> object:
        seen.append(root)
        return real(root, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(finding, "walk_videos", note)
    return seen


# ----------------------------------------------------------------------------------------- the index file


def test_an_index_says_everything_in_json_lines(root: Path) -> None:
    opened(UCF101, root)
    lines = [json.loads(line) for line in index_of(root).read_text().splitlines()]
    head = lines[0]["index"]
    assert head["schema"] == INDEX_SCHEMA
    assert head["root"] == str(root)
    assert set(head["annotations"]) == {str(root / name.replace("__", ".")) for name in LISTS}
    assert all(len(digest) == 64 for digest in head["annotations"].values())
    video = next(line for line in lines if line.get("video") == "v_Jump_g01_c01")
    size = len(b"not looked into")
    changed = (root / "Jump/v_Jump_g01_c01.avi").stat().st_mtime_ns
    assert video == {
        "video": "v_Jump_g01_c01", "key": "v_jump_g01_c01", "list": "test", "label": 1, "group": "Jump/g01",
        "path": "Jump/v_Jump_g01_c01.avi", "bytes": size, "changed_ns": changed,
    }  # fmt: skip
    assert [path.name for path in index_of(root).parent.iterdir()] == [index_of(root).name]


def test_a_copy_is_walked_once(root: Path, walks: list[Path]) -> None:
    first = opened(UCF101, root)
    again = opened(UCF101, root)
    assert walks == [root]
    assert again.records("train") == first.records("train")
    assert again.inventory() == first.inventory()
    opened(UCF101, root, refresh=True)
    assert walks == [root] * 2


def test_what_came_or_went_is_noticed(root: Path, walks: list[Path]) -> None:
    (root / "Jump/v_Jump_g01_c01.avi").unlink()
    aged(root)
    assert counts(opened(UCF101, root).inventory())["test"] == (1, 1)
    make(root, ["Jump/v_Jump_g01_c01.avi"])
    assert counts(opened(UCF101, root).inventory())["test"] == (2, 0)
    shutil.rmtree(root / "Run")
    assert counts(opened(UCF101, root).inventory()) == {"train": (1, 8), "test": (1, 1)}
    assert len(walks) == 3


def test_changed_annotations_are_noticed(root: Path, walks: list[Path]) -> None:
    opened(UCF101, root)
    write(root, testlist01__txt="Run/v_Run_g01_c01.avi\n")
    aged(root)
    assert counts(opened(UCF101, root).inventory())["test"] == (1, 0)
    assert len(walks) == 2


def test_a_folder_of_videos_that_appears_is_noticed(root: Path) -> None:
    opened(UCF101, root)
    make(root / "UCF-101", VIDEOS)
    assert paths(opened(UCF101, root), root)["v_Jump_g01_c01"].startswith("UCF-101/")


def test_each_root_and_each_split_has_an_index_of_its_own(root: Path, tmp_path: Path) -> None:
    write(root, trainlist02__txt=LISTS["testlist01__txt"], testlist02__txt=LISTS["trainlist01__txt"])
    cache = DatasetContext(cache_of(root), quiet_progress())
    for options in ({}, {"split": 2}):
        UCF101(UCF101.Options(root=str(root), **options), cache).prepare()  # type: ignore[arg-type]
    (tmp_path / "S").symlink_to(root)
    UCF101(UCF101.Options(root=str(tmp_path / "S")), cache).prepare()
    assert len(list((cache_of(root) / "ucf101").glob("*.jsonl"))) == 3


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"label":1', '"label":0', 1),
        lambda text: text.rpartition("\n{")[0],
        lambda text: "\0" * 100,
        lambda text: "[]\n" * 5,
        lambda text: text.replace("index", "xedni", 1),
    ],
)
def test_a_damaged_index_is_told_and_made_again(root: Path, walks: list[Path], damage: object) -> None:
    first = opened(UCF101, root)
    index_of(root).write_text(damage(index_of(root).read_text()))  # type: ignore[operator]
    assert "damaged" in verified(root)[0]
    assert "damaged" in telling(root)[0]
    assert opened(UCF101, root).inventory() == first.inventory()
    assert telling(root) == []
    assert len(walks) == 2


@pytest.mark.parametrize("schema", [0, INDEX_SCHEMA + 1, None, "x"])
def test_an_index_of_another_schema_is_told_and_made_again(root: Path, schema: object) -> None:
    opened(UCF101, root)
    text = index_of(root).read_text()
    index_of(root).write_text(text.replace(f'"schema":{INDEX_SCHEMA}', f'"schema":{json.dumps(schema)}', 1))
    assert f"has schema {schema!r}" in telling(root)[0]
    assert telling(root) == []


def test_an_index_from_another_machine_is_not_believed(root: Path, walks: list[Path]) -> None:
    """The same cache and the same path, and other files below it."""
    opened(UCF101, root)
    shutil.rmtree(root)
    aged(make(write(root, **LISTS), VIDEOS[:3], b"other"))
    os.utime(root / "Run", (1_500_000_000, 1_500_000_000))
    data = opened(UCF101, root)
    assert len(paths(data, root)) == 3
    text = index_of(root).read_text().replace(str(root), "/elsewhere")
    index_of(root).write_text(text)
    assert paths(opened(UCF101, root), root) == paths(data, root)


# --------------------------------------------------------------------------------------------------- verify


def test_verify_finds_every_difference_and_writes_nothing(root: Path) -> None:
    assert "there is no index" in verified(root)[0]
    assert not cache_of(root).exists()
    opened(UCF101, root)
    assert verified(root) == []
    before = index_of(root).read_bytes()
    (root / "Run/v_Run_g08_c01.avi").unlink()
    (root / "Run/v_Run_g08_c02.avi").write_bytes(b"longer than it was before")
    os.utime(root / "Run/v_Run_g08_c03.avi", (1, 1))
    make(root, ["Jump/new.mp4"])
    write(root, testlist01__txt=LISTS["testlist01__txt"] + "\n")
    problems = verified(root)
    assert [problem.replace(str(root), "R") for problem in problems] == [
        "annotation file 'R/testlist01.txt' changed.",
        "'Jump/new.mp4' is new.",
        "'Run/v_Run_g08_c01.avi' is gone.",
        "'Run/v_Run_g08_c02.avi' changed: 15 bytes then, 25 now.",
        "'Run/v_Run_g08_c03.avi' changed: it was written again, of equal size.",
    ]
    assert index_of(root).read_bytes() == before
    opened(UCF101, root, refresh=True)
    assert verified(root) == []


# ----------------------------------------------------------------------------------- interrupted, together


def test_an_interrupted_search_goes_on_where_it_was(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "CHUNK", 2)
    looked: list[str] = []
    look, note = walk._look_at_file, WalkJournal.looked

    def count(path: str) -> object:
        looked.append(Path(path).name)
        return look(path)

    def stop(self: WalkJournal, videos: Sequence[FoundVideo]) -> None:
        note(self, videos)
        if len(looked) >= 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(walk, "_look_at_file", count)
    monkeypatch.setattr(WalkJournal, "looked", stop)
    with pytest.raises(KeyboardInterrupt):
        opened(UCF101, root)
    (journal,) = (cache_of(root) / "ucf101").glob("*.partial")
    assert not list(journal.parent.glob("*.jsonl"))
    with journal.open("a") as file:
        file.write('{"videos": [["Run/cut off')  # as a kill in the middle of a line would leave it
    done = {
        name
        for line in journal.read_text().splitlines()
        if '"videos"' in line
        for name in looked
        if name in line
    }
    assert done
    monkeypatch.setattr(WalkJournal, "looked", note)
    looked.clear()
    data = opened(UCF101, root)
    assert not done & set(looked)
    assert counts(data.inventory()) == {"train": (9, 0), "test": (2, 0)}
    assert not journal.exists()


def test_an_interrupted_list_looks_again_for_what_went_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = aged(make(tmp_path / "R", ["a.mp4", "b.mp4"]))
    lists = {"annotations": str(write(tmp_path, l__txt="a.mp4 0\nb.mp4 1\n") / "l.txt")}

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(finding, "write_index", killed)
        with pytest.raises(KeyboardInterrupt):
            opened(VideoList, root, **lists)
    (root / "b.mp4").unlink()
    aged(root)
    assert ids(opened(VideoList, root, refresh=True, **lists), "train") == ["a.mp4"]
    assert counts(opened(VideoList, root, **lists).inventory()) == {"train": (1, 1)}


def test_a_folder_that_could_not_be_listed_for_a_while_is_listed_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan, tried = os.scandir, list[str]()

    def stale(path: str) -> object:
        tried.append(path)
        if str(path).endswith("/Jump"):
            raise OSError(116, "Stale file handle")
        return scan(path)

    with monkeypatch.context() as patch:
        patch.setattr(walk.os, "scandir", stale)
        lacking = opened(UCF101, root).inventory()
        assert (counts(lacking), lacking.unreadable) == ({"train": (8, 1), "test": (1, 1)}, ("Jump",))
        tried.clear()
        assert opened(UCF101, root).inventory() == lacking
        assert tried == [str(root / "Jump")]  # asked again, and no other folder
    assert counts(opened(UCF101, root).inventory()) == {"train": (9, 0), "test": (2, 0)}


def test_a_killed_process_leaves_nothing_in_the_way(root: Path) -> None:
    opened(UCF101, root)
    folder, name = index_of(root).parent, index_of(root).name
    (folder / f".{name}.abc.tmp").write_text("half")
    index_of(root).with_suffix(".lease").write_text(
        json.dumps({"host": os.uname().nodename, "pid": 2**22 + 1, "token": "dead"})
    )
    index_of(root).with_suffix(".partial").write_text("\0\n[1]\n{}\n" + "[" * 5000)
    opened(UCF101, root, refresh=True)
    assert [path.name for path in folder.iterdir()] == [name]


@pytest.mark.slow
def test_two_processes_prepare_one_copy(root: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from vssl_core.interfaces import DatasetContext\n"
        "from vssl_core.progress import quiet_progress\n"
        "from vssl_plugins.datasets.ucf101 import UCF101\n"
        "root = Path(sys.argv[1])\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "context = DatasetContext(root.parent / 'cache', quiet_progress(), True)\n"
        "for _ in range(2):\n"
        "    data = UCF101(UCF101.Options(root=str(root)), context)\n"
        "    data.prepare()\n"
        "print([r.video_id for r in data.records('train')], len(data.inventory().lists))\n"
    )
    command = [sys.executable, "-c", code, str(root)]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True))
            for _ in range(2)
        ]
        for process in processes:
            stack.callback(process.kill)
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        answers = {process.communicate(timeout=120)[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert len(answers) == 1
    assert "v_Run_g08_c08" in answers.pop()
    (index,) = (tmp_path / "cache" / "ucf101").iterdir()
    assert read_index(index).about["root"] == str(root)


# ------------------------------------------------------------------------------------------- odd disks, files


def test_nothing_is_written_into_the_copy(root: Path) -> None:
    def state() -> list[tuple[str, int, int]]:
        return sorted((str(p), p.lstat().st_mtime_ns, p.lstat().st_size) for p in root.rglob("*"))

    before = state()
    opened(UCF101, root)
    opened(UCF101, root, refresh=True)
    verified(root)
    assert state() == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_copy_that_may_only_be_read(root: Path) -> None:
    for folder, _, _ in os.walk(root):
        Path(folder).chmod(0o555)
    try:
        assert counts(opened(UCF101, root).inventory())["train"] == (9, 0)
    finally:
        for folder, _, _ in os.walk(root):
            Path(folder).chmod(0o755)


def test_a_cache_that_cannot_be_written_is_named_with_the_way_out(root: Path, tmp_path: Path) -> None:
    (tmp_path / "R-cache").write_text("a file")
    with pytest.raises(StoreError, match="Set VSSL_CACHE"):
        opened(UCF101, root)


@pytest.mark.parametrize(
    "folder",
    ["two words", 'it\'s "quoted"', "line\nbreak", "🐈 ça", "[x](1)#&;+~@%20$HOME", "back\\slash", "-rf"],
)
def test_a_root_may_have_any_name(tmp_path: Path, folder: str) -> None:
    root = aged(make(write(tmp_path / folder / "R", **LISTS), [f"{folder}/{name}" for name in VIDEOS]))
    data = opened(UCF101, root)
    assert all(Path(record.path).is_file() for record in data.records("train"))
    assert counts(opened(UCF101, tmp_path / folder / ".." / folder / "R").inventory())["train"] == (9, 0)
    assert opened(UCF101, root).inventory() == data.inventory()
    assert verified(root) == []


def test_names_that_are_no_unicode_and_links_that_lead_nowhere_are_told(root: Path) -> None:
    try:
        with open(os.fsencode(root) + b"/Run/bad\xff.avi", "wb") as file:  # noqa: PTH123
            file.write(b"x")
    except OSError:
        pytest.skip("this file system takes no such names")
    (root / "Run/v_Run_g01_c01.avi").unlink()
    (root / "Run/v_Run_g01_c01.avi").symlink_to(root / "nowhere")
    (root / "Run/v_Run_g08_c01.avi").write_bytes(b"")
    (root / "Run/up").symlink_to(root)
    aged(root)
    data = opened(UCF101, root)
    found = data.inventory()
    assert found.unexpected == ("Run/bad\udcff.avi",)
    assert found.unreadable == ("Run/v_Run_g01_c01.avi", "Run/v_Run_g08_c01.avi")
    assert "v_Run_g08_c01" in ids(data, "train")  # for the decoder to judge, not to be dropped in silence
    assert opened(UCF101, root).inventory() == found
    assert verified(root) == []


def test_a_video_that_is_gone_when_it_is_needed_is_named(root: Path, tmp_path: Path) -> None:
    data = opened(UCF101, root)
    gone = data.records("test")[0]
    Path(gone.path).unlink()
    with pytest.raises(VideoError, match="v_Jump_g01_c01"):
        audit([gone], FrameReader(), ledger=DecodeLedger(tmp_path), data=Data(), progress=quiet_progress())


def test_annotations_that_are_no_files_do_not_hang(root: Path) -> None:
    (root / "classInd.txt").unlink()
    os.mkfifo(root / "classInd.txt")
    with pytest.raises(DatasetError, match="is not a file"):
        opened(UCF101, root)
    (root / "classInd.txt").unlink()
    (root / "classInd.txt").symlink_to("/dev/zero")
    with pytest.raises(DatasetError, match="is not a file"):
        opened(UCF101, root)
    (root / "classInd.txt").unlink()
    with (root / "classInd.txt").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(DatasetError, match="less than 1 GiB"):
        opened(UCF101, root)


def test_how_much_is_here_is_said_where_some_is_missing(root: Path) -> None:
    assert telling(root) == []
    shutil.rmtree(root / "Jump")
    assert telling(root) == ["ucf101: 9 of 11 videos are here; 1 of 2 classes have none"]
