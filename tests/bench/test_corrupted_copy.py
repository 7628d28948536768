"""Test videos made worse as files: their pixels, their manifest, and the dataset that they are."""

from __future__ import annotations

import hashlib
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from tiny_dataset import drifting, write_video

from vssl_core.cli import main
from vssl_core.corrupted import CorruptedReader
from vssl_core.opening import open_dataset
from vssl_core.planning import dataset_component
from vssl_core.progress import quiet_progress
from vssl_core.registry import load, resolve
from vssl_core.types import ClipSpec, VideoRecord
from vssl_core.video import FrameReader


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes, three parts, one group for two videos."""
    folder = tmp_path_factory.mktemp("videos")
    lines: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    for number in range(10):
        part = ("train", "train", "train", "validation", "test")[number // 2]
        name = f"source {number // 2}/{number}.mp4"
        (folder / name).parent.mkdir(exist_ok=True)
        write_video(folder / name, drifting(seed=number, step=2 * (number % 2) - 1, num_frames=9 + number))
        lines[part].append(f'"{name}" {number % 2}\n')
    for part, rows in lines.items():
        (folder / f"{part}.csv").write_text("".join(rows))
    return folder


def corrupt(videos: Path, to: Path, *words: str) -> dict[str, Any]:
    named = ("list", "--root", str(videos), "--annotations", str(videos), "-o", "group_pattern=^([^/]+)/")
    assert main(["data", "corrupt", *named, "--to", str(to), *words]) == 0
    return json.loads((to / "corrupted.json").read_text())


def pixels(path: Path) -> np.ndarray:
    record, reader = VideoRecord("x", str(path)), FrameReader()
    return reader.read(record, range(reader.info(record).num_frames))


def test_lossless_files_hold_the_pixels_that_evaluators_see(videos: Path, tmp_path: Path) -> None:
    made = corrupt(videos, tmp_path / "a", "--corruption", "shot", "--severity", "3", "--seed", "7")
    shot: Any = load(resolve("corruption", "shot"))
    reader = CorruptedReader(
        FrameReader(), shot(shot.Options()), severity=3, order="native", seed=7,
        clip=ClipSpec(4, 1, 32), crop_scale=1.0,
    )  # fmt: skip
    assert [video["video_id"] for video in made["videos"]] == ["source 4/8.mp4", "source 4/9.mp4"]
    for video in made["videos"]:
        record = VideoRecord(video["video_id"], str(videos / video["video_id"]))
        file = tmp_path / "a" / video["file"]
        found = pixels(file)
        every = reader.read_clips(record, {"clip": np.arange(video["frames"])})["clip"]
        np.testing.assert_array_equal(found, every)
        assert hashlib.sha256(found.tobytes()).hexdigest() == video["pixels_sha256"]
        assert hashlib.sha256(file.read_bytes()).hexdigest() == video["sha256"]
    assert made["corruption"]["options"] == {"constants": "video"}
    assert (made["severity"], made["seed"], made["order"], made["part"]) == (3, 7, "native", "test")
    again = corrupt(videos, tmp_path / "b", "--corruption", "shot", "--severity", "3", "--seed", "7")
    assert again == made


def test_the_folder_is_a_dataset_with_clean_videos_to_fit_on(videos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a"
    made = corrupt(videos, folder, "--corruption", "shot", "-c", "constants=imagenet_c", "--format", "mp4")
    assert made["corruption"]["options"] == {"constants": "imagenet_c"}
    values = {"root": str(folder), "annotations": str(folder), "classes": str(folder / "classes.txt")}
    component = dataset_component("list", {**values, "group_pattern": "/([0-9a-f]{16})/"})
    dataset = open_dataset(component, progress=quiet_progress(), classes={})
    assert list(dataset.classes) == ["0", "1"]
    parts = {split: dataset.records(split) for split in ("train", "validation", "test")}
    assert {split: len(records) for split, records in parts.items()} == {
        "train": 6,
        "validation": 2,
        "test": 2,
    }
    assert [record.label for record in parts["test"]] == [0, 1]
    assert len({record.group for record in parts["train"]}) == 3
    for record in parts["train"]:
        assert Path(record.path).resolve().is_relative_to(videos.resolve())
    assert {pixels(Path(record.path)).shape[1:] for record in parts["test"]} == {(48, 64, 3)}
    assert not list((tmp_path / "a" / "videos").rglob("*.part*"))


def test_classes_whose_names_are_numbers_come_back_as_they_were(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("1\n0\n")
    names = ("-o", f"classes={tmp_path / 'classes.txt'}", "-o", "labels=numbers")
    made = corrupt(videos, tmp_path / "a", "--corruption", "shot", *names)
    place = str(tmp_path / "a")
    values = {"root": place, "annotations": place, "classes": f"{place}/classes.txt", "labels": "numbers"}
    dataset = open_dataset(dataset_component("list", values), progress=quiet_progress(), classes={})
    assert list(dataset.classes) == ["1", "0"]
    written = {video["file"]: video["label"] for video in made["videos"]}
    assert {record.video_id: record.label for record in dataset.records("test")} == written
    assert set(written.values()) == {0, 1}


def test_a_video_is_one_clip_for_what_changes_time(videos: Path, tmp_path: Path) -> None:
    made = corrupt(videos, tmp_path / "a", "--corruption", "reverse", "--no-clean")
    video = made["videos"][0]
    np.testing.assert_array_equal(
        pixels(tmp_path / "a" / video["file"]), pixels(videos / video["video_id"])[::-1]
    )
    assert {path.name for path in (tmp_path / "a").iterdir()} == {
        "corrupted.json", "test.csv", "classes.txt", "videos",
    }  # fmt: skip


def test_what_cannot_be_meant_is_refused(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corrupt(videos, tmp_path / "a", "--corruption", "impulse")
    named = ["data", "corrupt", "list", "--root", str(videos), "--annotations", str(videos)]
    new = ("--to", str(tmp_path / "b"))
    for words, said in (
        (["--corruption", "shot", "--to", str(tmp_path / "a")], "holds a finished copy"),
        (["--corruption", "sot", *new], "Did you mean 'shot'"),
        (
            ["--corruption", "reverse", "--severity", "2", "--to", str(tmp_path / "b")],
            "the severities 1; got 2",
        ),
        (
            ["--corruption", "shot", "-c", "constant=1", "--to", str(tmp_path / "b")],
            "corruption/shot.constant",
        ),
    ):
        assert main([*named, *words]) != 0
        assert said in capsys.readouterr().err
    assert not (tmp_path / "b" / "corrupted.json").exists()


FROZEN = {
    "gaussian": "e9ebe83f5157",
    "impulse": "1db0359ca8d5",
    "shot": "662eada63ded",
    "speckle": "f7c9dd97a005",
}


@pytest.mark.parametrize("name", FROZEN)
def test_two_machines_make_the_same_pixels_of_a_file(name: str, tmp_path: Path) -> None:
    """Decoded pictures of a lossless file with noise, by digests that were written down once."""
    with av.open(str(tmp_path / "a.mkv"), "w") as file:
        stream = file.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "bgr0"
        for frame in drifting(seed=3, step=1, num_frames=6):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode())
    cls: Any = load(resolve("corruption", name))
    reader = CorruptedReader(
        FrameReader(), cls(cls.Options()), severity=2, order="native", seed=1,
        clip=ClipSpec(4, 1, 32), crop_scale=1.0,
    )  # fmt: skip
    found = b"".join(part.tobytes() for part in reader.read_video(VideoRecord("a", str(tmp_path / "a.mkv"))))
    assert hashlib.sha256(found).hexdigest()[:12] == FROZEN[name]


def test_mp4_of_a_fast_camera(tmp_path: Path) -> None:
    """119.88 frames a second are more ticks than MPEG-4 part 2 can count."""
    folder = tmp_path / "videos"
    for part, count in (("train", 2), ("test", 1)):
        (folder / part).mkdir(parents=True)
        for number in range(count):
            video = drifting(seed=number, step=1)
            write_video(folder / part / f"{number}.mp4", video, Fraction(120000, 1001))
        lines = [f"{part}/{number}.mp4 {number}\n" for number in range(count)]
        (folder / f"{part}.csv").write_text("".join(lines))
    made = corrupt(folder, tmp_path / "a", "--corruption", "shot", "--format", "mp4")
    with av.open(str(tmp_path / "a" / made["videos"][0]["file"])) as file:
        assert float(file.streams.video[0].average_rate) == pytest.approx(120000 / 1001, rel=1e-4)
