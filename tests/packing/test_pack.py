"""A packed copy has the frames, ids, labels and parts of its source, survives kills, and says what it is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_dataset import drifting, write_video

from vssl_core.cli import main
from vssl_core.data import build_index
from vssl_core.errors import DatasetError, UsageError, VideoError
from vssl_core.interfaces import VideoDataset
from vssl_core.opening import open_dataset
from vssl_core.packing import Packed, PackSettings, pack_dataset, read_manifest
from vssl_core.planning import dataset_component
from vssl_core.progress import quiet_progress
from vssl_core.protocol import Data
from vssl_core.types import VideoRecord
from vssl_core.video import FrameReader
from vssl_core.video.scan import scan


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three videos of each of two classes, 61 x 45, of 20 to 25 frames."""
    monkeypatch.setenv("VSSL_CACHE", str(tmp_path / "cache"))
    for place, name in enumerate(["a b", "it's", "ü [1]", "d", "e", "f"]):
        path = tmp_path / "S" / ("left" if place % 2 else "right") / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        smooth = [cv2.resize(f, (122, 90)) for f in drifting(seed=place, step=2, num_frames=20 + place)]
        write_video(path, np.stack(smooth))
    return tmp_path / "S"


def opened(name: str, **options: object) -> VideoDataset:
    return open_dataset(dataset_component(name, options), progress=quiet_progress(), classes={})


def pack(source: Path, to: Path, *, lenient: bool = False, **settings: object) -> Packed:
    component = dataset_component(str(source), {})
    dataset = open_dataset(component, progress=quiet_progress(), classes={})
    made = PackSettings.model_validate({"short_side": 48, **settings})
    return pack_dataset(
        dataset, component, to, settings=made, progress=quiet_progress(), lenient=lenient, threads=2
    )


def frames(record: VideoRecord, short_side: int | None = None) -> np.ndarray:
    reader = FrameReader(short_side=short_side)
    return reader.read(record, range(reader.info(record).num_frames))


@pytest.mark.parametrize("form", ["mpeg4", "jpeg", "raw"])
def test_it_has_the_frames_ids_labels_and_parts_of_its_source(
    form: str, source: Path, tmp_path: Path
) -> None:
    packed = pack(source, tmp_path / "P", format=form)
    assert (packed.made, packed.kept, packed.unreadable) == (6, 0, {})
    before, after = (build_index("x", opened(str(f)), Data()) for f in (source, tmp_path / "P"))
    assert after.classes == before.classes == ("left", "right")
    for split, part in before.parts.items():
        other = after.parts[split]
        assert [(r.video_id, r.label, r.group) for r in other] == [
            (r.video_id, r.label, r.group) for r in part
        ]
        for one, two in zip(part, other, strict=True):
            want, came = frames(one, 48), frames(two)
            assert came.shape == want.shape
            far = np.abs(came[:, None].astype(int) - want[None]).mean(axis=(2, 3, 4))  # (packed, source)
            assert far.argmin(axis=1).tolist() == list(range(len(want)))
            assert form != "raw" or far.diagonal().max() == 0
            assert FrameReader().info(one).fps == FrameReader().info(two).fps
            assert scan(two.path).direct is not None
            assert np.allclose(scan(two.path).seconds(), scan(one.path).seconds(), atol=1e-4)
    assert (packed.worst_psnr_db is None) == (form == "raw")


def test_an_interrupted_run_goes_on_and_a_finished_one_has_nothing_to_do(
    source: Path, tmp_path: Path
) -> None:
    to = tmp_path / "P"
    broken = source / "left" / "z.mp4"
    broken.write_bytes(b"no video")
    with pytest.raises(VideoError, match=r"z\.mp4"):
        pack(source, to)
    with pytest.raises(DatasetError, match="not finished; run the same `vssl data pack` again"):
        opened(str(to))
    lines = [json.loads(line) for line in (to / "journal.jsonl").read_text().splitlines()[1:]]
    done = {path: path.stat().st_mtime_ns for path in (to / line["file"] for line in lines)}
    with (to / "journal.jsonl").open("ab") as journal:
        journal.write(b'{"video_id": "cut of')
    broken.unlink()
    packed = pack(source, to)
    assert packed.kept == len(done)
    assert packed.made == 6 - len(done)
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert sorted(p.name for p in to.iterdir()) == ["pack.json", "videos"]
    again = pack(source, to)
    assert (again.made, again.kept) == (0, 6)
    assert not list(to.rglob(".*"))


def test_what_changed_in_the_source_is_packed_anew(source: Path, tmp_path: Path) -> None:
    pack(source, tmp_path / "P")
    write_video(source / "left" / "d.mp4", drifting(seed=9, step=1, num_frames=31))
    assert (pack(source, tmp_path / "P").made, len(read_manifest(tmp_path / "P").videos)) == (1, 6)
    entry = next(v for v in read_manifest(tmp_path / "P").videos if v.video_id == "left/d.mp4")
    assert entry.frames == 31


def test_what_cannot_be_read_is_left_out_by_id_and_counted(source: Path, tmp_path: Path) -> None:
    (source / "left" / "z.mp4").write_bytes(b"no video")
    packed = pack(source, tmp_path / "P", lenient=True)
    assert list(packed.unreadable) == ["left/z.mp4"]
    found = opened(str(tmp_path / "P")).inventory()
    assert [name for one in found.lists for name in one.missing] == ["left/z.mp4"]


def test_where_it_is_from_stands_beside_it(source: Path, tmp_path: Path) -> None:
    pack(source, tmp_path / "P")
    manifest = read_manifest(tmp_path / "P")
    assert manifest.dataset["name"] == "folder"
    assert manifest.decoder["decoder"] == "pyav"
    assert manifest.encoder["codec"] == "mpeg4"
    assert manifest.settings["gop"] == 8
    video = manifest.videos[0]
    assert Path(video.source.path).stat().st_size == video.source.size
    assert len(video.source.sha256) == len(video.sha256) == 64
    assert [key.frame for key in scan(str(tmp_path / "P" / video.file)).keys][:3] == [0, 8, 16]


def test_spans_become_files_of_their_own(source: Path, tmp_path: Path) -> None:
    whole = next((source / "left").glob("*.mp4"))
    span = VideoRecord("part", str(whole), span_seconds=(0.2, 0.6))

    class Spans(VideoDataset):
        def __init__(self, options: object, context: object) -> None: ...

        classes = ()

        def records(self, split: str) -> list[VideoRecord]:
            return [span] if split == "train" else []

    settings = PackSettings(format="raw", short_side=48)
    pack_dataset(
        Spans(None, None), dataset_component(str(source), {}), tmp_path / "P", settings=settings,
        progress=quiet_progress(),
    )  # fmt: skip
    record = opened(str(tmp_path / "P")).records("train")[0]
    assert record.span_seconds is None
    assert np.array_equal(frames(record), frames(span, 48))


def test_folders_that_hold_something_else_are_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds other files"):
        pack(source, source)
    pack(source, tmp_path / "P")
    with pytest.raises(UsageError, match="made otherwise: its settings"):
        pack(source, tmp_path / "P", quality=9)
    changed = dataset_component(str(source), {"test_fraction": 0.5})
    with pytest.raises(UsageError, match="made otherwise: its dataset"):
        pack_dataset(
            open_dataset(changed, progress=quiet_progress(), classes={}), changed, tmp_path / "P",
            settings=PackSettings(short_side=48), progress=quiet_progress(),
        )  # fmt: skip
    (tmp_path / "P" / "pack.json").write_text('{"schema": 1, "videos": 3}')
    with pytest.raises(DatasetError, match="pack the dataset again"):
        opened(str(tmp_path / "P"))


def test_another_folder_of_videos_does_not_replace_a_copy(source: Path, tmp_path: Path) -> None:
    pack(source, tmp_path / "P")
    before = (tmp_path / "P" / "pack.json").read_bytes()
    other = tmp_path / "O" / "up" / "x.mp4"
    other.parent.mkdir(parents=True)
    write_video(other, drifting(seed=0, step=1))
    with pytest.raises(UsageError, match="made otherwise: its dataset"):
        pack(tmp_path / "O", tmp_path / "P")
    assert (tmp_path / "P" / "pack.json").read_bytes() == before


@pytest.mark.parametrize(
    ("place", "name"), [("dataset", "name"), ("dataset", "options"), ("encoder", "codec")]
)
def test_a_manifest_that_does_not_say_what_it_is_is_malformed(
    place: str, name: str, source: Path, tmp_path: Path
) -> None:
    pack(source, tmp_path / "P")
    manifest = json.loads((tmp_path / "P" / "pack.json").read_text())
    del manifest[place][name]
    (tmp_path / "P" / "pack.json").write_text(json.dumps(manifest))
    with pytest.raises(DatasetError, match=rf"(?s)expected .*{name}.*pack the dataset again"):
        opened(str(tmp_path / "P"))


def test_a_folder_with_nothing_but_a_dead_lease_is_taken(source: Path, tmp_path: Path) -> None:
    (tmp_path / "P").mkdir()
    (tmp_path / "P" / "lease.json").write_text('{"host": "x", "pid": 1, "token": "t"}')
    os.utime(tmp_path / "P" / "lease.json", (0, 0))
    assert pack(source, tmp_path / "P")


@pytest.mark.parametrize("file", ["../../secret.mp4", "/etc/hostname", "videos/ab/../../../x.mp4", "x.mp4"])
def test_a_manifest_names_no_file_outside_its_folder(file: str, source: Path, tmp_path: Path) -> None:
    pack(source, tmp_path / "P")
    manifest = json.loads((tmp_path / "P" / "pack.json").read_text())
    manifest["videos"][0]["file"] = file
    (tmp_path / "P" / "pack.json").write_text(json.dumps(manifest))
    with pytest.raises(DatasetError, match="pack the dataset again"):
        opened(str(tmp_path / "P"))


def test_the_command_and_verify(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    to = tmp_path / "P"
    assert main(["data", "pack", str(source), "--to", str(to), "--short-side", "48"]) == 0
    shown = capsys.readouterr().out
    assert "packed 6 videos, 0 were there" in shown
    assert "x the bytes of their originals" in shown
    assert main(["data", "verify", "packed", "--root", str(to)]) == 0
    file = next(iter(to.rglob("*.mp4")))
    content = bytearray(file.read_bytes())
    content[-9] ^= 255
    file.write_bytes(content)
    os.utime(file)
    capsys.readouterr()
    assert main(["data", "verify", "packed", "--root", str(to)]) == 1
    assert "is not as it was packed" in capsys.readouterr().out
    assert json.loads((to / "pack.json").read_text())["schema"] == 1
