"""Any bytes in an annotation file give records or an error that names the file; never a crash or a hang.

`VSSL_FUZZ=10000 pytest tests/plugins/datasets/test_annotations_fuzz.py` tries so many inputs of each kind.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import pytest
from copies import make
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vssl_core.errors import DatasetError, VsslError
from vssl_core.interfaces import DatasetContext, VideoDataset
from vssl_core.progress import quiet_progress
from vssl_core.types import Split
from vssl_plugins.datasets import walk
from vssl_plugins.datasets.diving48 import Diving48
from vssl_plugins.datasets.hmdb51 import HMDB51
from vssl_plugins.datasets.kinetics400 import Kinetics400
from vssl_plugins.datasets.official.index_file import read_index
from vssl_plugins.datasets.official.journal import read_journal
from vssl_plugins.datasets.ssv2 import SSv2
from vssl_plugins.datasets.ucf101 import UCF101
from vssl_plugins.datasets.video_list import VideoList

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # where nothing waits for a disk
EXAMPLES = int(os.environ.get("VSSL_FUZZ", "200"))
VIDEOS = ["Run/v_Run_g01_c01.avi", "0.mp4", "x y.mkv", "train/yoga/AAAAAAAAAAA.mp4", "a_1.mp4"]
HEALTH = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
fuzzed = settings(max_examples=EXAMPLES, deadline=5000, suppress_health_check=HEALTH, database=None)

# --------------------------------------------------------------------------- what may stand in the files

PIECES = [
    "Run", "/", "v_Run_g01_c01.avi", " ", "\t", ",", "1", "0", "2", "-1", "\r\n", "\n", '"', '""', "\\", "#",
    "[", "]", "{", "}", ":", "../", "/etc/passwd", "~", "a.mp4", "x y.mkv", "\0", "\ufeff", "\u2028", "\x85",
    "é", "e\u0301", "🐈", "*", "?", "%s", "$HOME", "nan", "1e999", "9" * 5000, "null", "true", "label",
    "youtube_id", "split", "AAAAAAAAAAA", "yoga", "train", '"id"', '"template"', '"vid_name"', '"label"',
    "Closing something", "\ud800",
]  # fmt: skip
soup = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)
contents = st.one_of(soup, st.text(max_size=200)).map(lambda text: text.encode(errors="surrogatepass"))
anything = st.one_of(contents, st.binary(max_size=200))

words = st.one_of(st.text(max_size=8), st.sampled_from(PIECES))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 60), st.floats(), words),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(words, inner, max_size=3)),
    max_leaves=6,
)
rows = st.lists(
    st.one_of(
        values,
        st.fixed_dictionaries(
            {},
            optional={
                "id": st.one_of(values, st.just("0")),
                "template": st.one_of(values, st.just("Closing [something]")),
                "vid_name": st.one_of(values, st.just("a_1")),
                "label": values,
            },
        ),
    ),
    max_size=5,
)
documents = st.one_of(values, rows).map(lambda value: json.dumps(value).encode())


# ------------------------------------------------------------------------------------- what must be true


_touched: list[str] | None = None


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    """Python's audit hook: every file that is opened and every folder that is listed."""
    files = _touched is not None and event in ("open", "os.listdir", "os.scandir")
    if files and isinstance(arguments[0], str | bytes | os.PathLike):
        _touched.append(os.path.normpath(os.fsdecode(arguments[0])))


sys.addaudithook(_hear)


@contextmanager
def _guarded(*allowed: Path) -> Iterator[None]:
    """Nothing is opened, listed or looked at but below the allowed folders and Python's own."""
    global _touched
    _touched, look = [], walk._look_at_file

    def looking(path: str) -> Any:
        assert _touched is not None
        _touched.append(os.path.normpath(path))
        return look(path)

    walk._look_at_file = looking
    try:
        yield
        touched = _touched
    finally:
        _touched, walk._look_at_file = None, look
    own = (*map(str, allowed), sys.prefix, sys.base_prefix, str(Path(__file__).parents[3]), "/proc/")
    assert touched
    assert not [path for path in touched if not path.startswith(own)]


def check(
    cls: type[VideoDataset], files: dict[str, bytes], options: Callable[[Path], dict[str, Any]]
) -> None:
    """Records, each a file of the copy with a known class, or an expected error that names a file."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        root = make(make(Path(name).resolve(), ["secret.mp4"]) / "R", VIDEOS)
        for file, content in files.items():
            (root / file).write_bytes(content)
        context = DatasetContext(root.parent / "cache", quiet_progress())
        with _guarded(root, root.parent / "cache"):
            data = cls(cls.Options(root=str(root), **options(root)), context)
            try:
                data.prepare()
            except DatasetError as error:
                message = str(error)
            else:
                message = ""
                for record in [record for split in get_args(Split) for record in data.records(split)]:
                    assert Path(record.path).resolve().is_relative_to(root)
                    assert record.label is None or 0 <= record.label < len(data.classes)
                assert data.verify() == []
        assert not message or any(file in message for file in (*files, "train.csv"))


def nothing(root: Path) -> dict[str, Any]:
    del root
    return {}


@fuzzed
@given(anything, anything, anything)
def test_ucf101(classes: bytes, train: bytes, test: bytes) -> None:
    known = b"1 Run\n2 Jump\n"
    check(UCF101, {"classInd.txt": classes, "trainlist01.txt": train, "testlist01.txt": test}, nothing)
    check(UCF101, {"classInd.txt": known, "trainlist01.txt": train, "testlist01.txt": test}, nothing)


@fuzzed
@given(anything, anything)
def test_hmdb51(one: bytes, other: bytes) -> None:
    check(HMDB51, {"run_test_split1.txt": one, "climb_run_test_split1.txt": other}, nothing)


@fuzzed
@given(anything, anything)
def test_kinetics400(train: bytes, body: bytes) -> None:
    head = b"label,youtube_id,time_start,time_end,split\n"
    check(Kinetics400, {"train.csv": train}, nothing)
    check(Kinetics400, {"train.csv": head + body, "val.csv": train}, nothing)


@fuzzed
@given(st.one_of(anything, documents), st.one_of(anything, documents))
def test_ssv2(labels: bytes, train: bytes) -> None:
    known = b'{"Closing something": "0"}'
    check(SSv2, {"labels.json": labels, "train.json": train}, nothing)
    check(SSv2, {"labels.json": known, "train.json": train}, nothing)


@fuzzed
@given(st.one_of(anything, documents), st.one_of(anything, documents))
def test_diving48(train: bytes, vocabulary: bytes) -> None:
    files = {"Diving48_V2_train.json": train, "Diving48_V2_test.json": b"[]"}
    check(Diving48, files, nothing)
    check(Diving48, {**files, "Diving48_vocab.json": vocabulary}, nothing)


@fuzzed
@given(anything, anything)
def test_lists(train: bytes, classes: bytes) -> None:
    files = {"list.txt": train, "classes.txt": classes}
    check(VideoList, files, lambda root: {"train": str(root / "list.txt")})
    check(
        VideoList, files, lambda root: {"train": str(root / "list.txt"), "classes": str(root / "classes.txt")}
    )


@fuzzed
@given(st.one_of(anything, documents))
def test_lists_of_ids(content: bytes) -> None:
    table = b"label,youtube_id,time_start,time_end,split\nyoga,AAAAAAAAAAA,0,10,train\n"
    files = {"train.csv": table, "ids.txt": content}
    check(Kinetics400, files, lambda root: {"subset_file": str(root / "ids.txt")})


@fuzzed
@given(anything, st.one_of(values, rows))
def test_an_index_or_a_journal_of_any_content_is_refused_or_passed_over(content: bytes, value: Any) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        file = Path(name) / "index.jsonl"
        for text in (
            content,
            json.dumps({"index": value}).encode() + b"\n" + content,
            json.dumps(value).encode(),
        ):
            file.write_bytes(text)
            with pytest.raises(VsslError):
                read_index(file)
            read_journal(file, "/root")
        line = json.dumps({"videos": value, "listing": value, "folder": "a"})
        file.write_text(line)
        read_journal(file, "/root")


@pytest.mark.parametrize("run", [100_000, 1_000_000])
@pytest.mark.parametrize("piece", [" ", ",", "a.mp4 ", '"', "[", "\n", "\t,", "(", "../"])
def test_long_runs_of_anything_take_no_time(tmp_path: Path, piece: str, run: int) -> None:
    """Quadratic steps would take minutes here."""
    text = ("a.mp4" + piece * (run // len(piece)) + "b 1").encode()
    check(VideoList, {"list.txt": text}, lambda root: {"train": str(root / "list.txt")})
    check(UCF101, {"classInd.txt": b"1 Run\n", "trainlist01.txt": text, "testlist01.txt": b""}, nothing)
    check(HMDB51, {"run_test_split1.txt": text}, nothing)
    check(Diving48, {"Diving48_V2_train.json": text, "Diving48_V2_test.json": b"[]"}, nothing)
    check(Kinetics400, {"train.csv": text}, nothing)
