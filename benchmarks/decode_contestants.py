"""The ways to read clips of a video that `decode.py` compares. Each runs in a process of its own."""

from __future__ import annotations

import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter
from contest import Absent, Verdict
from footage import HEIGHT, KINDS, RATE, WIDTH, number_strip, numbers

from vssl_core.types import VideoRecord
from vssl_core.video import FrameCache, FrameReader, ordered_map
from vssl_core.video.scan import scan
from vssl_core.video.table import FrameTable

SMALL = (171, 128)  # width, height of what is delivered, where it is not the full size

Clip = tuple[str, Sequence[int]]  # (file, frame numbers)


@dataclass(frozen=True)
class Job:
    """Clips to read, and the size to deliver (None: as coded)."""

    clips: Sequence[Clip]
    size: tuple[int, int] | None = SMALL
    nearest: bool = False  # frames carry no numbers: compare with the frames of a plain decode


class Reading:
    """What all contestants share. A clip is let go when it was read, as a loader does after augmenting it;
    only what the check needs is kept: None where the contestant raises.
    """

    def run(self, job: Job) -> list[np.ndarray | None]:
        return [self._glimpse(clip, job) for clip in job.clips]

    def _glimpse(self, clip: Clip, job: Job) -> np.ndarray | None:
        try:
            return glimpse(self.read(*clip, job.size), clip, job)
        except Exception:
            return None

    def read(self, path: str, index: Sequence[int], size: tuple[int, int] | None) -> np.ndarray:
        raise NotImplementedError

    def check(self, job: Job, result: Any) -> Verdict:
        compare = _wrong_by_nearest if job.nearest else _wrong_by_number
        checked = sum(len(index) for _, index in job.clips)
        wrong = sum(
            len(clip[1]) if seen is None else compare(clip, seen)
            for clip, seen in zip(job.clips, result, strict=True)
        )
        return Verdict(items=len(job.clips), wrong=wrong, checked=checked)


def glimpse(frames_THWC: np.ndarray, clip: Clip, job: Job) -> np.ndarray | None:
    """What tells which frames these are; None where they have another shape than was asked for."""
    width, height = job.size or (WIDTH, HEIGHT)
    if frames_THWC.shape != (len(clip[1]), height, width, 3):
        return None
    return frames_THWC if job.nearest else number_strip(frames_THWC).copy()


def _wrong_by_number(clip: Clip, strip_THWC: np.ndarray) -> int:
    path, index = clip
    hidden = KINDS["H.264, cut by copy"].cut if "cut" in Path(path).name else 0
    return int((numbers(strip_THWC) != np.add(index, hidden)).sum())


def _wrong_by_nearest(clip: Clip, frames_THWC: np.ndarray) -> int:
    """Frames that clearly resemble another frame of the file more than the one asked for."""
    path, index = clip
    with av.open(path) as file:
        whole = np.stack([_thumbnail(frame.to_ndarray(format="rgb24")) for frame in file.decode(video=0)])
    wrong = 0
    for number, frame in zip(index, frames_THWC, strict=True):
        distance = ((whole - _thumbnail(np.asarray(frame))) ** 2).mean(axis=(1, 2))
        wrong += bool(distance[number] > 1.5 * distance.min() + 0.05)
    return wrong


def _thumbnail(frame_HWC: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(frame_HWC, cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (80, 60), interpolation=cv2.INTER_AREA).astype(np.float32)


class Ours(Reading):
    """`FrameReader`. Tables are made in the warm-up; with `anew` each clip makes its own."""

    def __init__(self, *, cached: bool = False, anew: bool = False) -> None:
        self._anew = anew
        self._folder = tempfile.TemporaryDirectory() if cached else None
        self._readers: dict[int | None, FrameReader] = {}

    def reader(self, size: tuple[int, int] | None) -> FrameReader:
        side = min(size) if size else None
        if self._anew or side not in self._readers:
            cache = FrameCache(Path(self._folder.name), max_bytes=1 << 33) if self._folder else None
            self._readers[side] = FrameReader(short_side=side, cache=cache)
        return self._readers[side]

    def read(self, path: str, index: Sequence[int], size: tuple[int, int] | None) -> np.ndarray:
        return self.reader(size).read(VideoRecord("v", path), index)


class TwoViews(Ours):
    """Both views of each video: by one call with both clips, or by a call for each."""

    def __init__(self, *, one_pass: bool) -> None:
        super().__init__()
        self._one_pass = one_pass

    def run(self, job: Job) -> list[np.ndarray | None]:
        if not self._one_pass:
            return super().run(job)
        reader = self.reader(job.size)
        out: list[np.ndarray | None] = []
        for place in range(0, len(job.clips), 2):
            one, two = job.clips[place : place + 2]
            both = reader.read_clips(VideoRecord("v", one[0]), {"a": np.array(one[1]), "b": np.array(two[1])})
            out += [glimpse(both["a"], one, job), glimpse(both["b"], two, job)]
        return out


class Threads(Ours):
    """The same clips through `ordered_map`."""

    def __init__(self, *, threads: int) -> None:
        super().__init__()
        self._threads = threads

    def run(self, job: Job) -> list[np.ndarray | None]:
        reader = self.reader(job.size)

        def read(clip: Clip) -> np.ndarray | None:
            return glimpse(reader.read(VideoRecord("v", clip[0]), clip[1]), clip, job)

        return list(ordered_map(read, job.clips, threads=self._threads, prefetch=2 * self._threads))


class PlainPyAV(Reading):
    """As one writes it: seek to the time, decode until the last frame, convert the wanted ones."""

    def read(self, path: str, index: Sequence[int], size: tuple[int, int] | None) -> np.ndarray:
        found: dict[int, np.ndarray] = {}
        how = {"width": size[0], "height": size[1]} if size else {}
        with av.open(path) as file:
            stream = file.streams.video[0]
            file.seek(int(index[0] / RATE / stream.time_base), stream=stream)
            for frame in file.decode(stream):
                number = round(frame.pts * stream.time_base * RATE)
                if number in index:
                    found[number] = frame.to_ndarray(format="rgb24", **how)
                if number >= index[-1]:
                    break
        return np.stack([found[number] for number in index])


class TorchCodec(Reading):
    """With torch's antialiased uint8 resize, the quickest that delivers the size."""

    def __init__(self, *, mode: str) -> None:
        import torch
        from torchcodec.decoders import VideoDecoder

        torch.set_num_threads(1)
        self._torch, self._decoder, self._mode = torch, VideoDecoder, mode

    def read(self, path: str, index: Sequence[int], size: tuple[int, int] | None) -> np.ndarray:
        decoder = self._decoder(path, num_ffmpeg_threads=1, seek_mode=self._mode)
        frames = decoder.get_frames_at(indices=list(index)).data
        if size:
            frames = self._torch.nn.functional.interpolate(
                frames, size=size[::-1], mode="bilinear", antialias=True
            )
        return np.ascontiguousarray(frames.permute(0, 2, 3, 1).numpy())


class OpenCV(Reading):
    """`VideoCapture`: set the position, grab up to each wanted frame, convert it."""

    def __init__(self) -> None:
        cv2.setNumThreads(1)

    def read(self, path: str, index: Sequence[int], size: tuple[int, int] | None) -> np.ndarray:
        capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        capture.set(cv2.CAP_PROP_POS_FRAMES, index[0])
        frames, place = [], index[0]
        for number in index:
            while place < number:
                capture.grab()
                place += 1
            frame = capture.read()[1]
            place += 1
            if size:
                frame = cv2.resize(frame, size)
            frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
        capture.release()
        return np.stack(frames)


class Decord(Reading):
    """`VideoReader.get_batch`."""

    def __init__(self) -> None:
        import decord

        self._decord = decord

    def read(self, path: str, index: Sequence[int], size: tuple[int, int] | None) -> np.ndarray:
        width, height = size or (-1, -1)
        reader = self._decord.VideoReader(path, width=width, height=height, num_threads=1)
        return np.asarray(reader.get_batch(list(index)).asnumpy())


class Floor:
    """What cannot be avoided: `ffmpeg -threads 1` for every frame from the key frame to the last wanted one,
    opening the file, and converting the wanted frames. Each part is measured alone in every round."""

    def __init__(self) -> None:
        if shutil.which("ffmpeg") is None:
            raise Absent("there is no ffmpeg command")
        self._tables: dict[str, FrameTable] = {}
        self._reformatter = VideoReformatter()

    def run(self, job: Job) -> float:
        paths = sorted({path for path, _ in job.clips})
        for path in paths:
            if path not in self._tables:
                self._tables[path] = scan(path)
        begin = _ffmpeg_seconds(paths[:1], "-frames:v", "1")
        frames = sum(self._tables[path].num_frames for path in paths)
        per_frame = (_ffmpeg_seconds(paths) - begin) / frames
        needed = sum(_needed(self._tables[path], index) for path, index in job.clips)
        return needed * per_frame + sum(self._rest(path, len(index), job.size) for path, index in job.clips)

    def check(self, job: Job, result: float) -> Verdict:
        return Verdict(items=len(job.clips), cpu_seconds=result)

    def _rest(self, path: str, count: int, size: tuple[int, int] | None) -> float:
        with av.open(path) as file:
            frame = next(file.decode(video=0))
        width, height = size or (WIDTH, HEIGHT)
        begin = time.process_time()
        av.open(path).close()
        for _ in range(count):
            self._reformatter.reformat(frame, width=width, height=height, format="rgb24", threads=1)
        return time.process_time() - begin


def _ffmpeg_seconds(paths: Sequence[str], *options: str) -> float:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as listed:
        listed.write("".join(f"file '{path}'\n" for path in paths))
        listed.flush()
        source = ("-threads", "1", "-f", "concat", "-safe", "0", "-i", listed.name)
        sink = ("-an", "-fps_mode", "passthrough", *options, "-f", "null", "-")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(["ffmpeg", "-v", "quiet", *source, *sink], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _needed(table: FrameTable, index: Sequence[int]) -> int:
    """Frames from the key frame of each GOP to the last wanted one in it."""
    keys = np.array([key.frame for key in table.keys])
    groups = np.searchsorted(keys, np.asarray(index), side="right") - 1
    return int(sum(np.max(np.asarray(index)[groups == g]) - keys[g] + 1 for g in np.unique(groups)))
