"""Videos for the benchmarks: 320 x 240 at 25 frames per second, every frame carrying its number.

Real footage where the test data lies beside the checkout, otherwise drifting textures. A row of black and
white blocks along the top is the frame's number in binary; it survives encoding and resizing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

SHARED = Path(__file__).resolve().parents[1] / ".." / "shared" / "data" / "clips"
WIDTH, HEIGHT, RATE, BITS = 320, 240, 25, 16
BAR = 30  # pixel rows of the number


@dataclass(frozen=True)
class Kind:
    """How one sort of file is encoded."""

    suffix: str
    codec: str
    options: dict[str, str]
    variable: bool = False  # frame rate
    cut: int = 0  # frames hidden by an edit list


X264 = {"crf": "23"}
KINDS = {
    "H.264, default GOP": Kind(".mp4", "libx264", X264),
    "H.264, GOP 12": Kind(".mp4", "libx264", {**X264, "g": "12"}),
    "Xvid AVI": Kind(".avi", "mpeg4", {"g": "300", "b": "500k"}),
    "H.264, open GOP": Kind(".mp4", "libx264", {**X264, "g": "24", "x264-params": "open-gop=1"}),
    "H.264, cut by copy": Kind(".mp4", "libx264", {**X264, "g": "24"}, cut=17),
    "H.264, variable rate": Kind(".mp4", "libx264", {**X264, "g": "48"}, variable=True),
    "Xvid AVI with B": Kind(".avi", "mpeg4", {"g": "48", "b": "500k", "bf": "2"}),
    "HEVC": Kind(".mp4", "libx265", {"x265-params": "log-level=none:keyint=48"}),
    "VP9 WebM": Kind(
        ".webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "b": "500k", "g": "48"}
    ),
}


def videos(kind: str, folder: Path, *, count: int) -> list[tuple[Path, int]]:
    """(file, number of frames) of `count` videos of one kind; written where they are missing."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for place in range(count):
        frames = 200 + 7 * place
        name = kind.lower().translate(str.maketrans(" ", "-", ",."))
        path = folder / f"{name}-{place}{KINDS[kind].suffix}"
        if not path.exists():
            part = path.with_name(f"part-{path.name}")
            _write(KINDS[kind], part, place, frames)
            part.rename(path)
        found.append((path, frames - KINDS[kind].cut))
    return found


def number_strip(frames_THWC: np.ndarray) -> np.ndarray:
    """The rows of frames of any size in which their numbers stand."""
    height = frames_THWC.shape[1]
    return frames_THWC[:, height // 60 : height // 10]


def numbers(strip_THWC: np.ndarray) -> np.ndarray:
    """The numbers (T,) that frames carry."""
    means = strip_THWC.mean(axis=(1, 3))
    edges = np.arange(BITS + 1) * strip_THWC.shape[2] / BITS
    quarter = edges[1] / 4
    bits = [means[:, round(a + quarter) : round(b - quarter)].mean(1) > 127 for a, b in pairwise(edges)]
    return sum(bit.astype(np.int64) << place for place, bit in enumerate(bits))


def _write(kind: Kind, path: Path, seed: int, count: int) -> None:
    if kind.cut:
        whole = path.with_name(f"whole-{path.name}")
        _encode(kind, whole, seed, count)
        _cut_by_copy(whole, path, kind.cut)
        whole.unlink()
    else:
        _encode(kind, path, seed, count)


def _encode(kind: Kind, path: Path, seed: int, count: int) -> None:
    times = np.cumsum(np.random.default_rng(seed).integers(20, 70, count)) if kind.variable else None
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream(kind.codec, rate=RATE, options=kind.options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        if kind.suffix == ".avi":
            stream.codec_context.codec_tag = "XVID"
        if times is not None:
            stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for index, array in enumerate(_numbered(seed, count)):
            frame = av.VideoFrame.from_ndarray(array, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = int(times[index]), Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


def _cut_by_copy(source: Path, target: Path, first: int) -> None:
    """As `ffmpeg -ss … -c copy` cuts: whole GOPs, and an edit list that hides what comes before."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        origin = first * round(1 / (RATE * stream.time_base))
        for packet in old.demux(stream):
            if packet.dts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - origin, packet.dts - origin, copy
                new.mux(packet)


def _numbered(seed: int, count: int) -> Iterator[np.ndarray]:
    footage = _footage(seed)
    there_and_back = [*range(len(footage)), *range(len(footage) - 2, 0, -1)]
    for index in range(count):
        frame = footage[there_and_back[index % len(there_and_back)]].copy()
        block = WIDTH // BITS
        for bit in range(BITS):
            frame[:BAR, bit * block : (bit + 1) * block] = 255 * (index >> bit & 1)
        yield frame


def _footage(seed: int) -> list[np.ndarray]:
    real = sorted((SHARED / "ucf101").rglob("*.avi"))
    if not real:
        return _texture(seed)
    with av.open(str(real[seed * 2 % len(real)])) as file:
        return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]


def _texture(seed: int) -> list[np.ndarray]:
    noise = np.random.default_rng(seed).integers(0, 256, (2 * HEIGHT, 2 * WIDTH, 3), dtype=np.uint8)
    big = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)
    grain = np.random.default_rng(seed)
    frames = []
    for step in range(120):
        frame = big[step : step + HEIGHT, 2 * step : 2 * step + WIDTH].astype(np.int16)
        frame += grain.integers(-6, 7, (HEIGHT, WIDTH, 1), dtype=np.int16)
        frames.append(frame.clip(0, 255).astype(np.uint8))
    return frames
