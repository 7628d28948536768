"""Small videos whose frames carry their own number, and the plain way to decode, to compare with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
BITS = 8

X264 = {"crf": "23"}
GOP12 = {**X264, "g": "12"}
VPX = {
    "deadline": "good",
    "cpu-used": "5",
    "b": "300k",
    "auto-alt-ref": "1",
    "lag-in-frames": "16",
    "g": "30",
}
X265 = "log-level=none:keyint=12:min-keyint=12"
VARIABLE_MS = np.cumsum(np.random.default_rng(0).integers(10, 120, 300))


def frames_with_numbers(count: int, width: int, height: int) -> list[np.ndarray]:
    """A texture that moves, under a row of black and white blocks: the frame's number in binary."""
    noise = np.random.default_rng(7).integers(0, 256, (2 * height, 2 * width, 3), dtype=np.uint8)
    texture = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)
    block = width // BITS
    frames = []
    for index in range(count):
        x, y = index * 2 % width, index % height
        frame = texture[y : y + height, x : x + width].copy()
        for bit in range(BITS):
            frame[: height // 7, bit * block : (bit + 1) * block] = 255 * (index >> bit & 1)
        frames.append(frame)
    return frames


def number_of(frame_HWC: np.ndarray) -> int:
    """The number that a frame carries."""
    height, width = frame_HWC.shape[:2]
    block = width // BITS
    strip = frame_HWC[height // 28 : height // 10]
    means = [strip[:, b * block + block // 4 : (b + 1) * block - block // 4].mean() for b in range(BITS)]
    return sum(int(mean > 127) << bit for bit, mean in enumerate(means))


@contextmanager
def usual_priority() -> Iterator[None]:
    """SVT-AV1 makes the thread that encodes a real-time one where it may, as root, and leaves it so; all that
    it starts later would be, too, and push everything else off the machine."""
    if not hasattr(os, "sched_setscheduler"):  # not on macOS
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


def write_video(
    path: Path,
    codec: str = "libx264",
    *,
    count: int = 80,
    size: tuple[int, int] = (128, 96),
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    pix_fmt: str = "yuv420p",
    times_ms: np.ndarray | None = None,
    b_frames: int | None = None,
    gop: int | None = None,
    tag: str | None = None,
    rotation: int = 0,
) -> Path:
    """Encode `frames_with_numbers` at 25 frames per second, or at the given times."""
    with usual_priority(), av.open(str(path), "w", options=container or {}) as file:
        stream = file.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        context = stream.codec_context
        context.thread_count = 1
        if b_frames is not None:
            context.max_b_frames = b_frames
        if gop is not None:
            context.gop_size = gop
        if tag is not None:
            context.codec_tag = tag
        if times_ms is not None:
            context.time_base = stream.time_base = Fraction(1, 1000)
        if rotation:
            stream.set_display_rotation(-rotation)
        for index, array in enumerate(frames_with_numbers(count, *size)):
            frame = av.VideoFrame.from_ndarray(array, format="rgb24")
            if times_ms is not None:
                frame.pts, frame.time_base = int(times_ms[index]), Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def cut_by_copy(source: Path, target: Path, *, first: int) -> Path:
    """What `ffmpeg -ss … -c copy` does: whole GOPs, and an edit list that hides the frames before `first`."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        packets = [packet for packet in old.demux(stream) if packet.dts is not None]
        origin = first * round(1 / (25 * stream.time_base))
        begin = max(packet.pts for packet in packets if packet.is_keyframe and packet.pts <= origin)
        place = next(place for place, packet in enumerate(packets) if packet.pts == begin)
        for packet in packets[place:]:
            packet.pts -= origin
            packet.dts -= origin
            packet.stream = copy
            new.mux(packet)
    return target


def plain_decode(path: Path, *, by_pts: bool) -> list[np.ndarray]:
    """Every frame, decoded from the beginning in one go; as they come out, or sorted by time stamp."""
    with av.open(str(path), metadata_errors="ignore") as file:
        found = [(frame.pts, frame.to_ndarray(format="rgb24")) for frame in file.decode(video=0)]
    if by_pts:
        found.sort(key=lambda pair: pair[0])
    return [array for _, array in found]


# kind → (file name, how it is written, rule by which its frames must be counted)
GENERATED: dict[str, tuple[str, dict, str]] = {
    "h264 default GOP": ("a.mp4", {"options": X264}, "pts"),
    "h264 GOP 12": ("a.mp4", {"options": GOP12}, "pts"),
    "h264 intra only": ("a.mp4", {"options": {**X264, "g": "1"}}, "pts"),
    "h264 GOP 2 with B": ("a.mp4", {"options": {**X264, "g": "2", "bf": "1"}}, "pts"),
    "h264 open GOP, mp4": ("a.mp4", {"options": {**GOP12, "x264-params": "open-gop=1"}}, "pts"),
    "h264 open GOP, mkv": ("a.mkv", {"options": {**GOP12, "x264-params": "open-gop=1"}}, "pts"),
    "h264 intra refresh, mp4": ("a.mp4", {"options": {**GOP12, "x264-params": "intra-refresh=1"}}, "pts"),
    "h264 intra refresh, mkv": (
        "a.mkv",
        {"options": {**GOP12, "x264-params": "intra-refresh=1:bframes=0"}},
        "pts",
    ),
    "h264 fragments": (
        "a.mp4",
        {"options": GOP12, "container": {"movflags": "frag_keyframe+empty_moov"}},
        "pts",
    ),
    "h264 interlaced": (
        "a.mp4",
        {"options": {**GOP12, "flags": "+ilme+ildct", "x264-params": "tff=1"}},
        "pts",
    ),
    "h264 10 bit": ("a.mp4", {"options": X264, "pix_fmt": "yuv420p10le"}, "pts"),
    "h264 variable rate, mp4": ("a.mp4", {"options": GOP12, "times_ms": VARIABLE_MS}, "pts"),
    "h264 variable rate, mkv": ("a.mkv", {"options": GOP12, "times_ms": VARIABLE_MS}, "pts"),
    "h264 transport stream": ("a.ts", {"options": GOP12}, "pts"),
    "h264 flv": ("a.flv", {"options": GOP12}, "pts"),
    "h264 avi": ("a.avi", {"options": GOP12}, "emission"),
    "h264 without container": ("a.h264", {"options": GOP12}, "emission"),
    "hevc": ("a.mp4", {"codec": "libx265", "options": {"x265-params": f"{X265}:open-gop=0"}}, "pts"),
    "hevc open GOP": ("a.mp4", {"codec": "libx265", "options": {"x265-params": f"{X265}:open-gop=1"}}, "pts"),
    "hevc temporal layers": (
        "a.mkv",
        {"codec": "libx265", "options": {"x265-params": f"{X265}:temporal-layers=3"}},
        "pts",
    ),
    "vp8 with hidden frames": ("a.webm", {"codec": "libvpx", "options": VPX}, "pts"),
    "vp9 with hidden frames": ("a.webm", {"codec": "libvpx-vp9", "options": VPX}, "pts"),
    "av1": ("a.mkv", {"codec": "libsvtav1", "options": {"preset": "10", "crf": "40", "g": "30"}}, "pts"),
    "av1, mp4": ("a.mp4", {"codec": "libsvtav1", "options": {"preset": "10", "crf": "40", "g": "30"}}, "pts"),
    "mpeg4 avi": ("a.avi", {"codec": "mpeg4", "b_frames": 0, "gop": 12, "tag": "XVID"}, "emission"),
    "mpeg4 avi with B": ("a.avi", {"codec": "mpeg4", "b_frames": 2, "gop": 12, "tag": "XVID"}, "emission"),
    "mpeg4 mp4 with B": ("a.mp4", {"codec": "mpeg4", "b_frames": 2, "gop": 12}, "pts"),
    "mpeg2 program stream": ("a.mpg", {"codec": "mpeg2video", "b_frames": 2, "gop": 12}, "pts"),
    "motion jpeg": ("a.avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}, "emission"),
    "one frame": ("a.mp4", {"options": X264, "count": 1}, "pts"),
}


def generate(kind: str, folder: Path) -> Path:
    """Write the generated video of this kind."""
    name, arguments, _ = GENERATED[kind]
    return write_video(folder / name, **arguments)
