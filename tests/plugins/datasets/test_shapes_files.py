"""The rendered files: what is in them, and that nothing in the cache can be half-done or trusted blindly."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import PictureType
from scipy import stats
from shapes_probes import decode

from vssl_core.errors import StoreError
from vssl_core.interfaces import DatasetContext
from vssl_core.progress import quiet_progress
from vssl_plugins.datasets.shapes import ShapesAppearance, ShapesMotion
from vssl_plugins.datasets.shapes_render.frames import render_frames
from vssl_plugins.datasets.shapes_render.options import ShapesOptions
from vssl_plugins.datasets.shapes_render.plan import plan_videos

SMALL = {"train_videos": 24, "validation_videos": 8, "test_videos": 8, "size": 48, "num_frames": 20}

RENDER = """
import json, sys
from pathlib import Path
from vssl_core.progress import quiet_progress
from vssl_plugins.datasets.shapes_render.options import ShapesOptions
from vssl_plugins.datasets.shapes_render.plan import plan_videos
from vssl_plugins.datasets.shapes_render.store import ensure_rendered
options = ShapesOptions(**json.loads(sys.argv[2]))
print("ready", flush=True)
sys.stdin.readline()
folder = Path(sys.argv[1]) / "shapes" / options.digest
ensure_rendered(folder, plan_videos(options), options, quiet_progress())
"""


def dataset(cache: Path, **changes: object) -> ShapesMotion:
    options = ShapesOptions(**{**SMALL, **changes})
    return ShapesMotion(options, DatasetContext(cache, quiet_progress()))


def prepared(cache: Path, **changes: object) -> ShapesMotion:
    made = dataset(cache, **changes)
    made.prepare()
    return made


def folder_of(made: ShapesMotion) -> Path:
    return Path(made.records("train")[0].path).parent


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def start(cache: Path, **changes: object) -> subprocess.Popen[str]:
    """A process that has imported everything and renders as soon as it is told to."""
    options = json.dumps({**SMALL, **changes})
    process = subprocess.Popen(
        [sys.executable, "-c", RENDER, str(cache), options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShapesMotion]:
    return prepared(tmp_path_factory.mktemp("whole"))


# ------------------------------------------------------------------------------------ what is in the files


def test_every_record_is_an_h264_file_with_the_frames_asked_for(whole: ShapesMotion) -> None:
    for split in ("train", "validation", "test"):
        records = whole.records(split)
        assert len(records) == SMALL[f"{split}_videos"]
        for record in records:
            with av.open(record.path) as container:
                stream = container.streams.video[0]
                assert stream.codec_context.name == "h264"
                assert stream.average_rate == Fraction(12)
                kinds = [PictureType(frame.pict_type).name for frame in container.decode(stream)]
            assert len(kinds) == SMALL["num_frames"]
            assert kinds[0] == "I"
            assert "B" in kinds
            assert decode(Path(record.path)).shape == (20, 48, 48, 3)


def test_what_is_decoded_is_what_was_drawn(whole: ShapesMotion) -> None:
    options = ShapesOptions(**SMALL)
    for video, record in zip(plan_videos(options)[:6], whole.records("train"), strict=False):
        error = decode(Path(record.path)).astype(float) - render_frames(video, options)
        assert np.sqrt((error**2).mean()) < 8


def test_pixels_are_a_function_of_options_and_video_alone() -> None:
    options = ShapesOptions(**SMALL)
    videos = plan_videos(options)
    first = render_frames(videos[3], options)
    render_frames(videos[17], options)
    np.testing.assert_array_equal(render_frames(videos[3], options), first)
    assert (render_frames(videos[4], options) != first).mean() > 0.5
    assert (render_frames(videos[3], ShapesOptions(**SMALL, seed=1)) != first).mean() > 0.5


def test_rendering_again_gives_the_same_bytes(whole: ShapesMotion, tmp_path: Path) -> None:
    assert digests(folder_of(prepared(tmp_path))) == digests(folder_of(whole))


def test_both_label_sets_are_over_the_same_files(whole: ShapesMotion) -> None:
    cache = folder_of(whole).parents[1]
    looks = ShapesAppearance(ShapesOptions(**SMALL), DatasetContext(cache, quiet_progress()))
    looks.prepare()
    for split in ("train", "validation", "test"):
        moves = whole.records(split)
        assert [(r.video_id, r.path, r.group) for r in looks.records(split)] == [
            (r.video_id, r.path, r.group) for r in moves
        ]
        assert {r.label for r in moves} <= set(range(len(whole.classes)))
        assert moves == dataset(cache).records(split)
    assert set(looks.classes).isdisjoint(whole.classes)


def test_names_in_the_folder_tell_no_class_but_the_index_does(whole: ShapesMotion) -> None:
    names = {path.name for path in folder_of(whole).iterdir()}
    assert names == {f"shapes-{i:06d}.mp4" for i in range(40)} | {"index.json"}
    rows = json.loads((folder_of(whole) / "index.json").read_text())["videos"]
    by_id = {row["video_id"]: row for row in rows}
    for split in ("train", "validation", "test"):
        for record in whole.records(split):
            row = by_id[record.video_id]
            assert row["motion"] == whole.classes[record.label or 0]
            assert (row["split"], row["group"]) == (split, record.group)
            assert row["bytes"] == Path(record.path).stat().st_size


def test_the_bit_rate_tells_no_motion(tmp_path: Path) -> None:
    made = prepared(tmp_path, train_videos=256, validation_videos=0, num_frames=24)
    sizes: dict[int | None, list[int]] = {}
    for record in made.records("train"):
        sizes.setdefault(record.label, []).append(Path(record.path).stat().st_size)
    assert len(sizes) == 8
    assert stats.kruskal(*sizes.values()).pvalue > 1e-3


@pytest.mark.parametrize(
    "changes",
    [
        {"size": 34, "num_frames": 2},
        {"size": 200, "num_frames": 3, "train_videos": 2},
        {
            "noise": 0.0,
            "camera_jitter": 0.0,
            "background_motion": 0.0,
            "background_contrast": 0.0,
            "light_variation": 0.0,
        },
        {
            "noise": 64.0,
            "camera_jitter": 8.0,
            "background_motion": 8.0,
            "background_contrast": 8.0,
            "light_variation": 4.0,
        },
        {"train_videos": 1, "validation_videos": 0, "test_videos": 1, "videos_per_scene": 1000},
    ],
)
def test_the_ends_of_the_options_ranges_render(tmp_path: Path, changes: dict[str, float]) -> None:
    made = prepared(tmp_path, **changes)
    options = ShapesOptions(**{**SMALL, **changes})
    video = decode(Path(made.records("train")[0].path))
    assert video.shape == (options.num_frames, options.size, options.size, 3)
    assert video.std() > 5


# ----------------------------------------------------------------------------------- the cache folder


def test_a_whole_folder_is_used_as_it_is(whole: ShapesMotion) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in folder_of(whole).iterdir()}
    whole.prepare()
    assert {path.name: path.stat().st_mtime_ns for path in folder_of(whole).iterdir()} == before


def test_lost_cut_and_grown_files_are_noticed_and_made_again(tmp_path: Path) -> None:
    made = prepared(tmp_path)
    before = digests(folder_of(made))
    lost, cut, grown = (Path(record.path) for record in made.records("train")[:3])
    lost.unlink()
    cut.write_bytes(cut.read_bytes()[:100])
    grown.write_bytes(grown.read_bytes() + b"x")
    made.prepare()
    assert digests(folder_of(made)) == before


@pytest.mark.parametrize("garbage", ["", "{", "[]", '{"videos": 3}', '{"videos": [{"video_id": "a"}]}'])
def test_an_index_that_is_none_is_made_again(tmp_path: Path, garbage: str) -> None:
    made = prepared(tmp_path)
    before = digests(folder_of(made))
    (folder_of(made) / "index.json").write_text(garbage)
    Path(made.records("test")[0].path).write_bytes(b"")
    made.prepare()
    assert digests(folder_of(made)) == before


def test_a_killed_rendering_goes_on_and_ends_the_same(whole: ShapesMotion, tmp_path: Path) -> None:
    folder = folder_of(dataset(tmp_path))
    process = start(tmp_path)
    go(process)
    deadline = time.monotonic() + 60
    while len(list(folder.glob("*.mp4"))) < 5:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.mp4")}
    assert 5 <= len(finished) < 40
    assert not (folder / "index.json").exists()
    expected = digests(folder_of(whole))
    for name, digest in digests(folder).items():
        assert name.startswith(".") or digest == expected[name]  # what has its name is whole

    for temporary in folder.glob(".*.tmp"):
        os.utime(temporary, (0, 0))  # long ago, as far as the next run can tell
    prepared(tmp_path)
    assert digests(folder) == expected
    for name, modified in finished.items():
        assert (folder / name).stat().st_mtime_ns == modified  # kept, not made again


def test_two_processes_at_once_share_the_work_and_end_with_the_same_files(
    whole: ShapesMotion, tmp_path: Path
) -> None:
    processes = [start(tmp_path) for _ in range(2)]
    for process in processes:
        go(process)
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    assert digests(folder_of(dataset(tmp_path))) == digests(folder_of(whole))


def test_a_cache_that_cannot_be_written_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file, not a folder")
    with pytest.raises(StoreError, match="VSSL_CACHE"):
        dataset(tmp_path / "cache").prepare()


def test_a_full_disk_is_a_store_error_and_leaves_nothing_to_trust(
    whole: ShapesMotion, tmp_path: Path
) -> None:
    resource = pytest.importorskip("resource")
    size = int(np.median([Path(record.path).stat().st_size for record in whole.records("train")]))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    made = dataset(tmp_path)
    try:  # files may grow to the median size: about half of them fit
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        with pytest.raises(StoreError, match=r"cannot be rendered into the cache.*VSSL_CACHE"):
            made.prepare()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    expected = digests(folder_of(whole))
    left = digests(folder_of(made))
    assert len(left) < 40
    assert left.items() <= expected.items()
    made.prepare()
    assert digests(folder_of(made)) == expected
