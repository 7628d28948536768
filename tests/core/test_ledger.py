"""The decode ledger: what it records, when it is out of date, what interrupts and strange files do to it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import pytest
from tiny_dataset import drifting, write_video

from vssl_core.data import audit
from vssl_core.ledger import Decoded, DecodeLedger
from vssl_core.progress import quiet_progress
from vssl_core.protocol import Data
from vssl_core.types import VideoInfo, VideoRecord
from vssl_core.video import FrameReader
from vssl_core.video.decoders import installed_decoders

ODD_NAMES = [
    "a b.mp4",
    "a\nb.mp4",
    "'\"#%[1].mp4",
    "クリップ\N{CLAPPER BOARD}.mp4",
    "-rf.mp4",
    "file:x.mp4",
    "\udcff.mp4",
]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_video(path, drifting(seed=0, step=1))
    return path


def records(*paths: Path) -> list[VideoRecord]:
    return [VideoRecord(path.name, str(path)) for path in paths]


def complete(cache: Path, *paths: Path, retry: bool = False, **arguments: float) -> dict[str, Decoded]:
    known = DecodeLedger(cache).complete(
        records(*paths), progress=quiet_progress(), processes=2, retry=retry, **arguments
    )
    return {Path(path).name: entry for path, entry in known.items()}


def decoded_again(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are decoded from here on."""
    import vssl_core.ledger as module

    real, names = module.look_into, []

    def noted(job: str, paths: list[str], **arguments: float):
        names.extend(Path(path).name for path in paths)
        return real(job, paths, **arguments)

    monkeypatch.setattr(module, "look_into", noted)
    return names


def test_a_sound_video_is_described(clip: Path, tmp_path: Path) -> None:
    info = VideoInfo(30, Fraction(15), 64, 48, "h264", 0, "pts")
    assert complete(tmp_path, clip) == {"clip.mp4": Decoded(info)}


def test_bad_files_have_reasons_and_stop_nothing(clip: Path, tmp_path: Path) -> None:
    data = clip.read_bytes()
    bad = {"cut.mp4": data[: len(data) // 2], "none.mp4": b"", "text.mp4": b"<html>not found</html>" * 50}
    middle = len(data) // 2
    bad["broken.mp4"] = data[: middle - 300] + bytes(600) + data[middle + 300 :]
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder.mp4").mkdir()
    names = [*bad, "folder.mp4", "gone.mp4"]
    known = complete(tmp_path / "cache", *(tmp_path / name for name in names), clip)
    assert {name for name, entry in known.items() if entry.error} == set(names)
    assert all((entry.info is None) == bool(entry.error) for entry in known.values())
    assert "0 bytes" in known["none.mp4"].error
    assert "No such file" in known["gone.mp4"].error
    assert "folder" in known["folder.mp4"].error


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may read everything")
def test_what_may_not_be_read_is_tried_again_the_next_time(clip: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(clip, tmp_path / "a.mp4"))
    path.chmod(0)
    assert "Permission denied" in complete(tmp_path / "cache", path)["a.mp4"].error
    path.chmod(0o600)
    assert not complete(tmp_path / "cache", path)["a.mp4"].error


def test_odd_names(clip: Path, tmp_path: Path) -> None:
    paths = [Path(shutil.copy(clip, tmp_path / name)) for name in ODD_NAMES]
    assert all(entry.info for entry in complete(tmp_path / "cache", *paths).values())
    ledger = DecodeLedger(tmp_path / "cache")
    assert all(ledger.look_up(record) for record in records(*paths))


def test_a_read_only_root_is_not_written_to(clip: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    path = Path(shutil.copy(clip, root / "a.mp4"))
    root.chmod(0o500)
    try:
        assert complete(tmp_path / "cache", path)["a.mp4"].info
        assert [found.name for found in root.iterdir()] == ["a.mp4"]
    finally:
        root.chmod(0o700)


def test_an_entry_holds_until_the_file_changes(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (Path(shutil.copy(clip, tmp_path / name)) for name in ("one.mp4", "two.mp4"))
    complete(tmp_path / "cache", one, two)
    names = decoded_again(monkeypatch)
    assert complete(tmp_path / "cache", one, two)["one.mp4"].info
    assert names == []
    os.utime(one, ns=(0, 1))
    two.write_bytes(b"another content")
    ledger = DecodeLedger(tmp_path / "cache")
    assert [ledger.look_up(record) for record in records(one, two)] == [None, None]
    known = complete(tmp_path / "cache", one, two)
    assert names == ["one.mp4", "two.mp4"]
    assert known["one.mp4"].info
    assert known["two.mp4"].error


def test_another_decoder_knows_nothing(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    complete(tmp_path, clip)
    (record,) = records(clip)
    assert DecodeLedger(tmp_path).look_up(record)
    newer = {"decoder": "pyav", "pyav": "99", "libavcodec": "99", "libavformat": "99"}
    monkeypatch.setattr("vssl_core.video.pyav_decoder.PyAVDecoder.identity", lambda self: newer)
    assert DecodeLedger(tmp_path).look_up(record) is None


def test_each_decoder_has_a_ledger_of_its_own(clip: Path, tmp_path: Path) -> None:
    """torchcodec opens no file whose folder's name is not UTF-8; PyAV does."""
    if "torchcodec" not in installed_decoders():
        pytest.skip("torchcodec, or an FFmpeg for it, is not installed")
    odd = tmp_path / "Vid\udce9os" / "a.mp4"
    odd.parent.mkdir()
    shutil.copy(clip, odd)
    ledger, some = DecodeLedger(tmp_path / "cache"), records(clip, odd)
    by = {
        name: ledger.complete(some, progress=quiet_progress(), processes=1, decoder=name)
        for name in ("pyav", "torchcodec")
    }
    assert all(entry.info for entry in by["pyav"].values())
    assert by["torchcodec"][str(clip)] == by["pyav"][str(clip)]
    assert by["torchcodec"][str(odd)].error
    again = DecodeLedger(tmp_path / "cache")
    for name, known in by.items():
        assert [again.look_up(record, decoder=name) for record in some] == [*known.values()]
    data = Data(unreadable="lenient", decoder="torchcodec")
    reader = FrameReader(decoder="torchcodec")
    usable, left_out = audit(some, reader, ledger=again, data=data, progress=quiet_progress())
    assert [record.path for record in usable] == [str(clip)]
    assert reader.read(usable[0], [0]).shape == (1, 48, 64, 3)
    assert len(left_out.unreadable) == 1


def test_failures_are_remembered_and_tried_again_on_demand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bad.mp4"
    path.write_bytes(b"not a video")
    complete(tmp_path / "cache", path)
    names = decoded_again(monkeypatch)
    assert complete(tmp_path / "cache", path)["bad.mp4"].error
    assert names == []
    complete(tmp_path / "cache", path, retry=True)
    assert names == ["bad.mp4"]


def test_lines_that_were_cut_off_or_are_strange_are_passed_over(clip: Path, tmp_path: Path) -> None:
    one, two = (Path(shutil.copy(clip, tmp_path / name)) for name in ("one.mp4", "two.mp4"))
    complete(tmp_path / "cache", one)
    (journal,) = (tmp_path / "cache" / "ledger").glob("*.jsonl")
    whole = journal.read_bytes()
    strange = b'[1]\n{"file": 3}\n\xff\xfe\n' + b"[" * 5000 + b"\n"
    journal.write_bytes(whole + strange + whole.splitlines()[-1][:40])
    assert complete(tmp_path / "cache", one, two).keys() == {"one.mp4", "two.mp4"}
    ledger = DecodeLedger(tmp_path / "cache")
    assert all(ledger.look_up(record) for record in records(one, two))
    journal.write_bytes(whole.replace(b'"num_frames"', b'"frames"'))
    assert DecodeLedger(tmp_path / "cache").look_up(records(one)[0]) is None
    assert complete(tmp_path / "cache", one)["one.mp4"].info


COMMAND = """
import sys
from pathlib import Path
from vssl_core.ledger import DecodeLedger
from vssl_core.progress import terminal_progress
from vssl_core.types import VideoRecord
paths = sorted(Path(sys.argv[1]).glob("*.mp4"))
ledger = DecodeLedger(Path(sys.argv[2]))
ledger.complete([VideoRecord(p.name, str(p)) for p in paths], progress=terminal_progress(), processes=2)
"""


def started(root: Path, cache: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(root), str(cache)], stderr=subprocess.PIPE, text=True
    )


def many(clip: Path, folder: Path, count: int) -> list[Path]:
    folder.mkdir()
    return [Path(shutil.copy(clip, folder / f"{i:03d}.mp4")) for i in range(count)]


def lines(cache: Path) -> int:
    return sum(path.read_bytes().count(b'"file"') for path in (cache / "ledger").glob("*.jsonl"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_audit_goes_on_where_it_was(
    number: signal.Signals, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, cache = many(clip, tmp_path / "root", 200), tmp_path / "cache"
    process = started(tmp_path / "root", cache)
    deadline = time.monotonic() + 60
    while lines(cache) < 5 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    process.communicate()
    done = lines(cache)
    assert 5 <= done < 200
    names = decoded_again(monkeypatch)
    assert all(entry.info for entry in complete(cache, *paths).values())
    assert len(names) <= 200 - done + 1  # the last line may have been cut off


def test_two_at_once_decode_everything_once(clip: Path, tmp_path: Path) -> None:
    many(clip, tmp_path / "root", 40)
    both = [started(tmp_path / "root", tmp_path / "cache") for _ in range(2)]
    said = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert lines(tmp_path / "cache") == 40
