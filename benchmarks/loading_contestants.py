"""The ways to load training batches that `loading.py` compares. Each runs in a process of its own.

All do the same work on the clips that the job names: 16 frames, short side 128, a crop of 112 x 112 at a
given place, a given flip, float, normalised, stacked to (B, 3, 16, 112, 112). The styles are written anew
after what the libraries' own code does (torchvision's `read_video` as its `VideoClips` calls it, which
current versions no longer have; pytorchvideo's `EncodedVideoPyAV`), with the transforms of their video
recipes.
"""

from __future__ import annotations

import gc
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch
from contest import Absent, Verdict

from vssl_core.augmentation import apply_geometry, apply_pixels, normalize
from vssl_core.augmentation.drawn import Box, DrawnView, Flipped
from vssl_core.errors import OptionError
from vssl_core.types import VideoRecord
from vssl_core.video import FrameReader
from vssl_core.video.scan import scan
from vssl_core.video.torchcodec_decoder import TorchCodecDecoder

SHORT, CROP = 128, 112
MEAN, STD = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)
_THUMBNAIL = 28
_PIXEL_OFF = (
    (0, 0),
    (-1, 0),
    (1, 0),
    (0, -1),
    (0, 1),
)  # crops of the source and of its resized frames differ


@dataclass(frozen=True)
class ClipJob:
    """A clip: its file, its frames, where the crop lies (shares of the room that there is), the flip."""

    path: str
    index: Sequence[int]
    top: float
    left: float
    flip: bool


@dataclass(frozen=True)
class LoadJob:
    """Batches to load.

    Args:
        clips: All of them; every `batch` clips make one batch.
        packed: Contestant's name → original file → packed file.
        augment: False: frames of short side 128 alone, for the price of reading.
    """

    clips: Sequence[ClipJob]
    packed: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    augment: bool = True
    batch: int = 8


class Loading:
    """What all share. Results: per clip the batch's slice (3, T, 112, 112), or None where it raised."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        self._thumbnails: dict[str, np.ndarray] = {}

    def run(self, job: LoadJob) -> list[Any]:
        out: list[Any] = []
        for start in range(0, len(job.clips), job.batch):
            made = [self._one(clip, job) for clip in job.clips[start : start + job.batch]]
            good = [clip for clip in made if clip is not None]
            stacked = iter(self.collate(good)) if good and job.augment else iter(good)
            out += [None if clip is None else next(stacked) for clip in made]
        return out

    def _one(self, clip: ClipJob, job: LoadJob) -> Any:
        try:
            return self.load(clip, job)
        except Exception:
            return None

    def load(self, clip: ClipJob, job: LoadJob) -> Any:
        """One clip, ready to be stacked; with `augment` off, frames as the reader gives them."""
        raise NotImplementedError

    def collate(self, clips: Sequence[Any]) -> torch.Tensor:
        return torch.stack(list(clips))

    def check(self, job: LoadJob, result: list[Any]) -> Verdict:
        wrong = sum(
            len(clip.index) if came is None else self._wrong(clip, came, job)
            for clip, came in zip(job.clips, result, strict=True)
        )
        return Verdict(items=len(job.clips), wrong=wrong, checked=sum(len(c.index) for c in job.clips))

    def _wrong(self, clip: ClipJob, came: Any, job: LoadJob) -> int:
        """Frames that clearly resemble another frame of the file more than the one asked for."""
        whole = self._whole(clip.path)
        if job.augment:
            if tuple(came.shape) != (3, len(clip.index), CROP, CROP):
                return len(clip.index)
            shown, views = _denormalized(came), [_cropped(whole, clip, at) for at in _PIXEL_OFF]
        else:
            shown, views = np.asarray(came), [whole]
        reference = np.stack([_thumbnail(frame) for frame in views[0]])
        shown_TSS = np.stack([_thumbnail(one) for one in shown])
        distance = np.stack([((reference - one) ** 2).mean(axis=(1, 2)) for one in shown_TSS])
        index = list(clip.index)
        wanted = [np.stack([_thumbnail(frame) for frame in view[index]]) for view in views]
        asked = np.min([((one - shown_TSS) ** 2).mean(axis=(1, 2)) for one in wanted], axis=0)
        share, slack = (2, 25) if job.augment else (1.5, 4)
        return int((asked > share * distance.min(axis=1) + slack).sum())

    def _whole(self, path: str) -> np.ndarray:
        """Every frame of the file, grey and of short side 128, by a plain decode."""
        if path not in self._thumbnails:
            by_pts = scan(path).rule == "pts"
            with av.open(path, metadata_errors="ignore") as file:
                frames = [(f.pts, f.to_ndarray(format="rgb24")) for f in file.decode(video=0)]
            if by_pts:
                frames.sort(key=lambda pair: pair[0])
            self._thumbnails[path] = np.stack([_small(frame) for _, frame in frames])
        return self._thumbnails[path]


def _small(frame_HWC: np.ndarray) -> np.ndarray:
    height, width = frame_HWC.shape[:2]
    scale = SHORT / min(height, width)
    grey = cv2.cvtColor(frame_HWC, cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)


def _cropped(whole_THW: np.ndarray, clip: ClipJob, off: tuple[int, int]) -> np.ndarray:
    """The crop, so many pixels down and to the right, as far as the picture goes."""
    height, width = whole_THW.shape[1:]
    side = round(min(height, width) * CROP / SHORT)
    top, left = round(clip.top * (height - side)), round(clip.left * (width - side))
    top, left = np.clip((top + off[0], left + off[1]), 0, (height - side, width - side))
    part = whole_THW[:, top : top + side, left : left + side]
    return part[:, :, ::-1] if clip.flip else part


def _denormalized(video_CTHW: torch.Tensor) -> np.ndarray:
    mean, std = (torch.tensor(v).view(3, 1, 1, 1) for v in (MEAN, STD))
    values = ((video_CTHW.float() * std + mean) * 255).clamp(0, 255)
    return values.permute(1, 2, 3, 0).numpy().astype(np.uint8)


def _thumbnail(frame: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) if frame.ndim == 3 else np.ascontiguousarray(frame)
    return cv2.resize(grey, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA).astype(np.float32)


class Ours(Loading):
    """vssl: exact frames, one resize of the crop in uint8, float at the end for the whole batch.

    Args:
        packed: Read the packed copies of this name instead of the originals.
    """

    def __init__(self, *, packed: str = "") -> None:
        super().__init__()
        self._packed = packed
        self._whole_size, self._small_size = FrameReader(), FrameReader(short_side=SHORT)

    def load(self, clip: ClipJob, job: LoadJob) -> np.ndarray:
        path = job.packed[self._packed][clip.path] if self._packed else clip.path
        reader = self._whole_size if job.augment else self._small_size
        frames = reader.read(VideoRecord("v", path), clip.index)
        if not job.augment:
            return frames
        height, width = frames.shape[1:3]
        side = round(min(height, width) * CROP / SHORT)
        box = Box(round(clip.top * (height - side)), round(clip.left * (width - side)), side, side)
        drawn = DrawnView(0, box, (Flipped(clip.flip),))
        return apply_pixels(apply_geometry(frames, drawn, crop_size=CROP), drawn)

    def collate(self, clips: Sequence[np.ndarray]) -> torch.Tensor:
        return normalize(torch.from_numpy(np.stack(clips)), mean=MEAN, std=STD, enabled=True)


class Transforming(Loading):
    """Rivals: their reader, then the transforms of torchvision's or pytorchvideo's recipes."""

    def load(self, clip: ClipJob, job: LoadJob) -> Any:
        video_TCHW = self.read(clip)
        if not job.augment:
            return _resized(video_TCHW).permute(0, 2, 3, 1).numpy()
        return self.transform(video_TCHW, clip)

    def read(self, clip: ClipJob) -> torch.Tensor:
        """uint8 (T, 3, H, W)."""
        raise NotImplementedError

    def transform(self, video_TCHW: torch.Tensor, clip: ClipJob) -> torch.Tensor:
        """Resize in uint8, crop, flip, then float: the quick order, as torchvision v2 recommends."""
        part = _crop(_resized(video_TCHW), clip)
        return _normalized(part.float() / 255).permute(1, 0, 2, 3)


def _resized(video_TCHW: torch.Tensor, *, antialias: bool = True) -> torch.Tensor:
    height, width = video_TCHW.shape[2:]
    scale = SHORT / min(height, width)
    size = (round(height * scale), round(width * scale))
    return torch.nn.functional.interpolate(video_TCHW, size=size, mode="bilinear", antialias=antialias)


def _crop(video_TCHW: torch.Tensor, clip: ClipJob) -> torch.Tensor:
    height, width = video_TCHW.shape[2:]
    top, left = round(clip.top * (height - CROP)), round(clip.left * (width - CROP))
    part = video_TCHW[..., top : top + CROP, left : left + CROP]
    return part.flip(-1) if clip.flip else part


def _normalized(video_TCHW: torch.Tensor) -> torch.Tensor:
    return (video_TCHW - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


class TorchVisionStyle(Transforming):
    """`VideoClips`: time stamps of each file are known, `read_video` from the first to the last wanted one,
    every frame of it converted, then the wanted ones taken; float first, then resize, flip, crop."""

    def __init__(self) -> None:
        super().__init__()
        self._stamps: dict[str, list[int]] = {}
        self._calls = 0

    def read(self, clip: ClipJob) -> torch.Tensor:
        if clip.path not in self._stamps:
            with av.open(clip.path, metadata_errors="ignore") as file:
                self._stamps[clip.path] = sorted(p.pts for p in file.demux(video=0) if p.pts is not None)
        stamps = self._stamps[clip.path]
        first, last = stamps[clip.index[0]], stamps[clip.index[-1]]
        self._calls += 1
        if self._calls % 10 == 0:
            gc.collect()  # as torchvision does against PyAV's reference cycles
        with av.open(clip.path, metadata_errors="ignore") as file:
            stream = file.streams.video[0]
            file.seek(max(first - 5, 0), any_frame=False, backward=True, stream=stream)
            found, after = {}, 0
            for frame in file.decode(video=0):
                found[frame.pts] = frame
                after += frame.pts >= last
                if after > 5:
                    break
            wanted = [found[pts] for pts in sorted(found) if first <= pts <= last]
            video = torch.as_tensor(np.stack([frame.to_rgb().to_ndarray() for frame in wanted]))
        return video[[i - clip.index[0] for i in clip.index]].permute(0, 3, 1, 2)

    def transform(self, video_TCHW: torch.Tensor, clip: ClipJob) -> torch.Tensor:
        video = video_TCHW.float() / 255
        return _crop(_normalized(_resized(video, antialias=False)), clip).permute(1, 0, 2, 3)


class PyTorchVideoStyle(Transforming):
    """`EncodedVideoPyAV` and its transforms: the file in memory, all frames between two times converted to
    float, evenly spaced ones taken, short side scaled, then normalised and cropped."""

    def read(self, clip: ClipJob) -> torch.Tensor:
        content = io.BytesIO(Path(clip.path).read_bytes())
        with av.open(content, metadata_errors="ignore") as file:
            stream = file.streams.video[0]
            rate, base, start = stream.average_rate, stream.time_base, stream.start_time or 0
            first = math.ceil(clip.index[0] / rate / base) + start
            end = math.ceil((clip.index[-1] + 1) / rate / base) + start
            file.seek(max(first - 1024, 0), any_frame=False, backward=True, stream=stream)
            found = {}
            for frame in file.decode(video=0):
                if first <= frame.pts < end:
                    found[frame.pts] = frame
                elif frame.pts >= end:
                    break
            video = torch.stack([torch.from_numpy(found[pts].to_rgb().to_ndarray()) for pts in sorted(found)])
        even = torch.linspace(0, len(video) - 1, len(clip.index)).clamp(0, len(video) - 1).long()
        return video.permute(0, 3, 1, 2).float()[even]

    def transform(self, video_TCHW: torch.Tensor, clip: ClipJob) -> torch.Tensor:
        scaled = _resized(video_TCHW / 255, antialias=False)
        return _crop(_normalized(scaled), clip).permute(1, 0, 2, 3)


class TorchCodecPipeline(Transforming):
    """`VideoDecoder.get_frames_at`, one FFmpeg thread."""

    def __init__(self, *, mode: str) -> None:
        super().__init__()
        from torchcodec.decoders import VideoDecoder

        try:
            TorchCodecDecoder()
        except OptionError as error:  # it is there, and finds no FFmpeg
            raise Absent(str(error)) from error
        self._decoder, self._mode = VideoDecoder, mode

    def read(self, clip: ClipJob) -> torch.Tensor:
        decoder = self._decoder(clip.path, num_ffmpeg_threads=1, seek_mode=self._mode)
        return decoder.get_frames_at(list(clip.index)).data


class DecordPipeline(Transforming):
    """`VideoReader.get_batch`, which scales to the short side itself."""

    def __init__(self) -> None:
        super().__init__()
        import decord

        self._decord = decord
        self._sizes: dict[str, tuple[int, int]] = {}

    def read(self, clip: ClipJob) -> torch.Tensor:
        if clip.path not in self._sizes:
            height, width = self._decord.VideoReader(clip.path, num_threads=1)[0].shape[:2]
            scale = SHORT / min(height, width)
            self._sizes[clip.path] = (round(width * scale), round(height * scale))
        width, height = self._sizes[clip.path]
        reader = self._decord.VideoReader(clip.path, width=width, height=height, num_threads=1)
        return torch.from_numpy(reader.get_batch(list(clip.index)).asnumpy()).permute(0, 3, 1, 2)
