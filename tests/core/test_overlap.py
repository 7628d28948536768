"""Which videos show the same: found in spite of codec, size, light and cuts; not found where they do not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from vssl_core.errors import DatasetError, VideoError
from vssl_core.overlap import Overlap, find_overlap
from vssl_core.overlap.buckets import candidates, hash_distance
from vssl_core.overlap.guard import refuse_overlap
from vssl_core.overlap.likeness import ALIKE, align, look_closely
from vssl_core.progress import quiet_progress
from vssl_core.protocol import Data
from vssl_core.types import VideoRecord
from vssl_core.video import worker_pool
from vssl_core.video.fingerprint import fingerprint, frame_hashes, nearest
from vssl_core.video.pixels import grey

HEIGHT, WIDTH, RATE = 96, 128, 25


def scene(seed: int, *, background: int = 0, count: int = 60) -> list[np.ndarray]:
    """Blobs that wander before a background: equal seeds move alike, equal backgrounds look alike."""
    still = np.random.default_rng(1000 + background).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    still = cv2.resize(still, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    draw = np.random.default_rng(seed)
    phase, speed = draw.uniform(0, 6.3, (3, 2)), draw.uniform(0.05, 0.2, (3, 2))
    colour = draw.integers(0, 256, (3, 3)).tolist()
    frames = []
    for t in range(count):
        frame = still.copy()
        for blob in range(3):
            x, y = (0.5 + 0.4 * np.sin(phase[blob] + speed[blob] * t)) * (WIDTH, HEIGHT)
            cv2.circle(frame, (int(x), int(y)), 14, colour[blob], -1)
        frames.append(frame)
    return frames


def write(
    path: Path,
    frames: list[np.ndarray],
    *,
    codec: str = "libx264",
    size: tuple[int, int] = (WIDTH, HEIGHT),
    **options: str,
) -> Path:
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=Fraction(RATE), options=options)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for frame in frames:
            small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(small, format="rgb24")))
        file.mux(stream.encode())
    return path


def brighter(frames: list[np.ndarray], gain: float = 0.85, offset: float = 35) -> list[np.ndarray]:
    return [np.clip(f.astype(np.float32) * gain + offset, 0, 255).astype(np.uint8) for f in frames]


COPIES: dict[str, Callable[[Path, list[np.ndarray]], Path]] = {
    "bitrate": lambda folder, frames: write(folder / "bitrate.mp4", frames, crf="36"),
    "codec": lambda folder, frames: write(folder / "codec.avi", frames, codec="mpeg4", b="200k"),
    "size": lambda folder, frames: write(folder / "size.mp4", frames, size=(80, 64)),
    "beginning": lambda folder, frames: write(folder / "beginning.mp4", frames[6:]),
    "end": lambda folder, frames: write(folder / "end.mp4", frames[:-6]),
    "light": lambda folder, frames: write(folder / "light.mp4", brighter(frames)),
    "clipped": lambda folder, frames: write(folder / "clipped.mp4", brighter(frames, 1.15, 20)),
    "all": lambda folder, frames: write(
        folder / "all.webm", brighter(frames[5:]), codec="libvpx-vp9", size=(96, 80), deadline="realtime"
    ),
}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Six scenes, two of them before each background, and copies of the first."""
    folder = tmp_path_factory.mktemp("videos")
    found = {
        f"scene{i}": write(folder / f"scene{i}.mp4", scene(i, background=i // 2), crf="20") for i in range(6)
    }
    return found | {name: make(folder, scene(0)) for name, make in COPIES.items()}


def records(*paths: Path) -> list[VideoRecord]:
    return [VideoRecord(path.stem, str(path)) for path in paths]


def search(cache: Path, left: list[VideoRecord], right: list[VideoRecord] | None = None) -> Overlap:
    return find_overlap(left, right, cache=cache, progress=quiet_progress(), processes=2)


def named(found: Overlap) -> set[tuple[str, str, str]]:
    return {(pair.kind, pair.left.video_id, pair.right.video_id) for pair in found.pairs}


def test_copies_are_found_and_others_are_not(videos: dict[str, Path], tmp_path: Path) -> None:
    scenes = records(*(path for name, path in videos.items() if name.startswith("scene")))
    copies = records(*(videos[name] for name in COPIES))
    found = search(tmp_path, scenes, copies)
    assert named(found) == {("near", "scene0", name) for name in COPIES}
    assert found.compared == (6, len(COPIES))
    assert all(0 < pair.distance <= ALIKE for pair in found.pairs)
    offsets = {pair.right.video_id: round(pair.offset_seconds * RATE) for pair in found.pairs}
    assert offsets == dict.fromkeys(COPIES, 0) | {"beginning": -6, "all": -5}
    assert named(search(tmp_path, scenes)) == set()


def test_scenes_before_one_background_are_candidates_and_told_apart_by_what_moves(
    videos: dict[str, Path],
) -> None:
    one, other, elsewhere = (look_closely(str(videos[f"scene{i}"])) for i in (0, 1, 2))
    assert align(one, other).distance > 3 * ALIKE
    assert align(one, elsewhere).distance > 3 * ALIKE
    assert align(one, one).distance == pytest.approx(0, abs=1e-5)
    there, back = align(one, look_closely(str(videos["all"]))), align(look_closely(str(videos["all"])), one)
    assert there.distance == pytest.approx(back.distance, rel=0.2)
    assert there.offset_seconds == -back.offset_seconds


def test_equal_bytes_and_the_same_file(videos: dict[str, Path], tmp_path: Path) -> None:
    twin = Path(shutil.copy(videos["scene1"], tmp_path / "twin\n 'é'.mp4"))
    broken = [tmp_path / "one.mp4", tmp_path / "two.mp4"]
    for path in broken:
        path.write_bytes(b"no video")
    gone = VideoRecord("gone", str(tmp_path / "gone.mp4"))
    left = [*records(videos["scene1"], broken[0]), gone]
    found = search(tmp_path / "cache", left, [*records(videos["scene1"], twin, broken[1]), gone])
    assert named(found) == {
        ("same file", "scene1", "scene1"), ("exact", "scene1", twin.stem), ("exact", "one", "two"),
    }  # fmt: skip
    assert set(found.unreadable) == {str(path) for path in (*broken, tmp_path / "gone.mp4")}
    assert "No such file" in found.unreadable[gone.path]
    within = search(tmp_path / "cache", records(twin, videos["scene1"], videos["scene2"]))
    assert [{pair.left.path, pair.right.path} for pair in within.pairs] == [
        {str(twin), str(videos["scene1"])}
    ]


def test_hashes_are_kept_until_the_file_changes(
    videos: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(shutil.copy(videos["scene1"], tmp_path / "a.mp4"))
    some = records(videos["scene0"], path)
    assert search(tmp_path / "cache", some).pairs == ()
    monkeypatch.setattr("vssl_core.ledger.look_into", None)
    assert search(tmp_path / "cache", some).pairs == ()
    monkeypatch.undo()
    shutil.copy(videos["bitrate"], path)
    assert [pair.kind for pair in search(tmp_path / "cache", some).pairs] == ["near"]


def test_a_video_that_breaks_between_hashing_and_comparing_is_named(
    videos: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str) -> None:
        raise VideoError(path, "it is gone")

    monkeypatch.setattr("vssl_core.overlap.look_closely", refuse)
    found = search(tmp_path, records(videos["scene0"], videos["light"]))
    assert found.pairs == ()
    assert set(found.unreadable.values()) == {"it is gone"}


def test_the_guard_names_pairs_and_the_way_out(videos: dict[str, Path], tmp_path: Path) -> None:
    around = {"names": ("mine", "theirs"), "command": "vssl data overlap mine theirs", "cache": tmp_path}
    around |= {"progress": quiet_progress(), "processes": 2, "data": Data()}
    test = records(videos["size"], videos["scene3"])
    refuse_overlap(records(videos["scene1"]), test, **around)
    message = (
        r"1 pair of 'mine' and 'theirs' do: 'scene0' and 'size' \(near, distance 0\.\d+\)\. "
        r"`vssl data overlap mine theirs` shows .*data\.overlap=allow"
    )
    with pytest.raises(DatasetError, match=message):
        refuse_overlap(records(videos["scene0"], videos["scene1"]), test, **around)


def test_the_guard_lets_nothing_through_that_it_could_not_compare(
    videos: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An undecodable video may show anything; where every cell leaves it out, it does not matter."""
    around = {"names": ("mine", "theirs"), "command": "vssl data overlap mine theirs"}
    around |= {"progress": quiet_progress(), "processes": 1}
    twin = Path(shutil.copy(videos["scene0"], tmp_path / "twin.mp4"))
    test = records(videos["scene3"], twin)
    killed_at(twin.name, monkeypatch)
    message = (
        r"1 of 'mine' and 'theirs' cannot be compared: 'twin': .*SIGKILL.*`vssl data overlap mine theirs`"
    )
    for data in (Data(), Data(unreadable="lenient")):
        with pytest.raises(DatasetError, match=message):
            refuse_overlap(records(videos["scene1"]), test, data=data, cache=tmp_path / "cache", **around)
    monkeypatch.undo()
    with pytest.raises(DatasetError, match="'scene0' and 'twin'"):
        refuse_overlap(records(videos["scene0"]), test, data=Data(), cache=tmp_path / "cache", **around)
    twin.write_bytes(b"no video")
    refuse_overlap(
        records(videos["scene1"]), test, data=Data(unreadable="lenient"), cache=tmp_path / "cache", **around
    )
    with pytest.raises(DatasetError, match=r"cannot be compared: 'twin': .*no video"):
        refuse_overlap(records(videos["scene1"]), test, data=Data(), cache=tmp_path / "cache", **around)


def killed_at(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on the process that gets this file is killed from outside."""
    real = worker_pool._Worker.give

    def give(self: Any, path: str | None) -> bool:
        begun = real(self, path)
        if path and Path(path).name == name:
            self._process.kill()
        return begun

    monkeypatch.setattr(worker_pool._Worker, "give", give)


def test_hashes_are_of_one_decoder(
    videos: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(tmp_path, records(videos["scene0"]))
    monkeypatch.setattr("vssl_core.overlap.pyav_versions", lambda: {"pyav": "99"})
    monkeypatch.setattr("vssl_core.ledger.look_into", None)
    with pytest.raises(TypeError):  # it is hashed anew
        search(tmp_path, records(videos["scene0"]))


# ---------------------------------------------------------------------------------------------- hashing


def test_a_hash_ignores_light_and_contrast_and_is_none_of_noise() -> None:
    frame = np.random.default_rng(0).uniform(60, 180, (4, 4)).astype(np.float32)
    frame = cv2.resize(frame, (32, 32), interpolation=cv2.INTER_CUBIC)
    one, other = frame_hashes(np.stack([frame, 0.6 * frame + 40]))
    assert one == other != 0
    noise = np.random.default_rng(1).normal(128, 1, (1, 32, 32))
    assert frame_hashes(noise).tolist() == [0]


def test_frames_are_taken_by_time() -> None:
    seconds = np.array([0, 0.1, 0.2, 1.0, 1.1])
    assert nearest(seconds, np.array([0, 0.14, 0.15, 0.5, 0.7, 9])).tolist() == [0, 1, 1, 2, 3, 4]
    assert nearest(np.array([0.0]), np.array([0, 3.0])).tolist() == [0, 0]


def test_grey_frames_are_those_of_a_reformatter_of_their_own(videos: dict[str, Path]) -> None:
    with av.open(str(videos["size"])) as file:
        for frame in file.decode(video=0):
            assert np.array_equal(grey(frame), frame.reformat(format="gray").to_ndarray())


def test_a_fingerprint_is_as_long_as_the_video(videos: dict[str, Path]) -> None:
    found = fingerprint(str(videos["scene0"]))
    assert len(bytes.fromhex(found["hashes"])) == 8 * 10  # 60 frames at 25 a second, one every quarter


def test_candidates_are_those_of_all_pairs_that_are_near() -> None:
    draw = np.random.default_rng(0)
    hashes = [draw.integers(1, 2**63, 12, dtype=np.uint64) for _ in range(60)]
    for place in range(0, 60, 3):  # a neighbour with two bits changed in every frame, shifted by one
        flipped = np.uint64(1) << draw.integers(0, 63, 12).astype(np.uint64)
        hashes[place + 1] = (hashes[place] ^ flipped)[1:]
    expected = {(place, place + 1) for place in range(0, 60, 3)}
    assert set(candidates(hashes, num_left=0)) == expected
    assert set(candidates(hashes, num_left=31)) == {(30, 31)}
    assert hash_distance(hashes[0], hashes[1]) == 1.0
    assert hash_distance(hashes[0], hashes[2]) > 20
    assert list(candidates([], num_left=0)) == []
    assert list(candidates([np.zeros(5, np.uint64)] * 3, num_left=0)) == []


def test_a_large_bucket_is_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vssl_core.overlap.buckets._LARGE", 4)
    common = np.uint64(0xABCD)
    hashes = [np.array([common | np.uint64((i + 1) << 40)], np.uint64) for i in range(10)]
    hashes.append(hashes[3].copy())
    assert (3, 10) in set(candidates(hashes, num_left=0))


# ------------------------------------------------------------------------------------------- real videos


def test_twins_among_real_videos(shared_data: Path, tmp_path: Path) -> None:
    """Byte-identical originals, and their re-encoded copies at another size."""
    originals = sorted((shared_data / "clips" / "ucf101" / "BasketballDunk").glob("*.avi"))
    copies = shared_data / "ucf101-6" / "UCF-101" / "BasketballDunk"
    found = search(tmp_path, records(*originals), records(*sorted(copies.glob("*_g08_*.mp4"))))
    near = {(pair.left.video_id, pair.right.video_id) for pair in found.pairs}
    twins = {"v_BasketballDunk_g08_c03", "v_BasketballDunk_g08_c04"}
    assert {(one, other) for one in twins for other in twins} <= near
    assert all(one == other or {one, other} == twins for one, other in near)
    within = search(tmp_path, records(*originals))
    assert ("exact", *sorted(twins)) in named(within)
