"""The ways to augment clips that `augment.py` compares. Each runs in a process of its own.

All give float32 (B, 3, T, S, S) for the pipeline and uint8 (T, S, S, 3) per clip for a single op, with
parameters that are equal for all frames of a clip. torchvision is told the very parameters that vssl
drew, through its functional form. albumentations draws magnitudes of its own, but applies the same ops
to the same clips; kornia works on the whole batch and draws everything itself, with the same
probabilities and ranges.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import Any

import cv2
import numpy as np
import torch
from contest import Verdict
from torch import Tensor

from vssl_core.augmentation import (
    DrawnView,
    apply_geometry,
    apply_pixels,
    apply_pixels_batched,
    draw_view,
    normalize,
)
from vssl_core.augmentation.drawn import Box, Jittered
from vssl_core.augmentation.ops import (
    ColorJitter,
    GaussianBlur,
    Grayscale,
    HorizontalFlip,
    ResizedCrop,
    ViewAugmentation,
)

SIZE, HEIGHT, WIDTH, FRAMES, CLIPS = 112, 128, 171, 16, 8
BATCHES = 3  # how often a round does its job
MEAN, STD = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)
BOX = Box(10, 20, 100, 120)  # of the single op "resized crop"
VIEW = ViewAugmentation(
    (ResizedCrop(), HorizontalFlip(), ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8), Grayscale(), GaussianBlur())
)


@dataclass(frozen=True)
class Job:
    """Clips (B, T, H, W, 3) and the round's key; `single` is one op alone, None the whole pipeline."""

    clips: np.ndarray
    key: int
    single: DrawnView | None = None


def drawn_for(job: Job) -> list[DrawnView]:
    geometry = {"num_frames": FRAMES, "height": HEIGHT, "width": WIDTH, "crop_size": SIZE}
    return [draw_view(VIEW, key=("benchmark", job.key, i), **geometry) for i in range(len(job.clips))]


def acts(drawn: DrawnView) -> tuple[bool, ...]:
    """Which of flip, jitter, grayscale and blur this clip undergoes."""
    return tuple(step.applied for step in drawn.pixels)


class Augmenting:
    """What all share: one thread, and how results are looked at."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        cv2.setNumThreads(1)

    def run(self, job: Job) -> Any:
        result: Any = None
        for _ in range(BATCHES):  # the last batch's memory serves the next one, as in training
            if job.single is None:
                result = self.pipeline(job)
            else:
                result = [self.one(clip, job.single) for clip in job.clips]
        return result

    def pipeline(self, job: Job) -> Tensor:
        raise NotImplementedError

    def one(self, clip: np.ndarray, drawn: DrawnView) -> np.ndarray:
        raise NotImplementedError

    def check(self, job: Job, result: Any) -> Verdict:
        """Single ops: at most one level from torchvision. Pipeline: the right shape, finite."""
        count = len(job.clips)
        if job.single is not None:
            return Verdict(BATCHES * count, sum(levels > 1 for levels in levels_apart(job, result)), count)
        right = result.shape == (count, 3, FRAMES, SIZE, SIZE) and result.dtype == torch.float32
        return Verdict(BATCHES * count, 0 if right and result.isfinite().all() else count, count)


def levels_apart(job: Job, result: Sequence[np.ndarray]) -> list[int]:
    """The largest difference to torchvision of each clip, in grey levels."""
    wanted = [torchvision_one(clip, job.single) for clip in job.clips]
    return [int(np.abs(a.astype(np.int16) - b).max()) for a, b in zip(result, wanted, strict=True)]


# ----------------------------------------------------------------------------------------------- vssl


class Ours(Augmenting):
    """`threads` work on clips, as the loader's do; floats are made for the whole batch."""

    def __init__(self, threads: int) -> None:
        super().__init__()
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
        torch.set_num_threads(threads)

    def pipeline(self, job: Job) -> Tensor:
        every = self._pool.map if self._threads > 1 else map
        clips = torch.from_numpy(np.stack(list(every(self._clip, job.clips, drawn_for(job)))))
        return normalize(clips, mean=MEAN, std=STD, enabled=True)

    def one(self, clip: np.ndarray, drawn: DrawnView) -> np.ndarray:
        return apply_pixels(clip, drawn) if drawn.pixels else apply_geometry(clip, drawn, crop_size=SIZE)

    def check(self, job: Job, result: Any) -> Verdict:
        """The pipeline must equal the batched path, bit for bit."""
        if job.single is not None:
            return super().check(job, result)
        drawn = drawn_for(job)
        crops = [apply_geometry(c, d, crop_size=SIZE) for c, d in zip(job.clips, drawn, strict=True)]
        batched = apply_pixels_batched(torch.from_numpy(np.stack(crops)), drawn)
        wanted = normalize(batched, mean=MEAN, std=STD, enabled=True)
        wrong = sum(not torch.equal(a, b) for a, b in zip(result, wanted, strict=True))
        return Verdict(BATCHES * len(crops), wrong, len(crops))

    @staticmethod
    def _clip(clip: np.ndarray, drawn: DrawnView) -> np.ndarray:
        return apply_pixels(apply_geometry(clip, drawn, crop_size=SIZE), drawn)


class Floor(Augmenting):
    """Levels to floats and nothing else: what no augmentation can save."""

    def pipeline(self, job: Job) -> Tensor:
        crops = torch.from_numpy(job.clips)[:, :, :SIZE, :SIZE]
        return normalize(crops, mean=MEAN, std=STD, enabled=True)


# ---------------------------------------------------------------------------------------- torchvision


def torchvision_steps(video_TCSS: Tensor, drawn: DrawnView) -> Tensor:
    """The drawn steps after the crop by torchvision.transforms.v2.functional, clip-level contrast."""
    from torchvision.transforms.v2 import functional as tv

    def contrast(video: Tensor, factor: float) -> Tensor:
        frames, channels, height, width = video.shape
        tall = video.transpose(0, 1).reshape(channels, frames * height, width)
        return tv.adjust_contrast(tall, factor).view(channels, frames, height, width).transpose(0, 1)

    change = {
        "brightness": tv.adjust_brightness,
        "contrast": contrast,
        "saturation": tv.adjust_saturation,
        "hue": tv.adjust_hue,
    }
    for step in drawn.pixels:
        if not step.applied:
            continue
        match type(step).__name__:
            case "Flipped":
                video_TCSS = tv.horizontal_flip(video_TCSS)
            case "Greyed":
                video_TCSS = tv.rgb_to_grayscale(video_TCSS, num_output_channels=3)
            case "Blurred":
                size, sigma = step.size, step.sigma
                video_TCSS = tv.gaussian_blur(video_TCSS, [size, size], [sigma, sigma])
            case "Jittered":
                for component in step.order:
                    video_TCSS = change[component](video_TCSS, getattr(step, component))
    return video_TCSS


def torchvision_one(clip: np.ndarray, drawn: DrawnView) -> np.ndarray:
    from torchvision.transforms.v2 import functional as tv

    video, box = torch.from_numpy(clip).permute(0, 3, 1, 2), drawn.crop
    if drawn.pixels:
        video = torchvision_steps(video, drawn)
    else:
        size = [SIZE, SIZE]
        video = tv.resized_crop(video, box.top, box.left, box.height, box.width, size, antialias=True)
    return video.permute(0, 2, 3, 1).numpy()


class Torchvision(Augmenting):
    """v2 on uint8 T, C, H, W, clip by clip (on a batch it would give all clips the same parameters)."""

    def __init__(self) -> None:
        super().__init__()
        from torchvision.transforms.v2 import functional

        self._tv = functional

    def pipeline(self, job: Job) -> Tensor:
        views = [self._clip(clip, drawn) for clip, drawn in zip(job.clips, drawn_for(job), strict=True)]
        return torch.stack(views).transpose(1, 2)

    def one(self, clip: np.ndarray, drawn: DrawnView) -> np.ndarray:
        return torchvision_one(clip, drawn)

    def _clip(self, clip: np.ndarray, drawn: DrawnView) -> Tensor:
        box, video = drawn.crop, torch.from_numpy(clip).permute(0, 3, 1, 2)
        size = [SIZE, SIZE]
        video = self._tv.resized_crop(video, box.top, box.left, box.height, box.width, size, antialias=True)
        video = self._tv.to_dtype(torchvision_steps(video, drawn), torch.float32, scale=True)
        return self._tv.normalize(video, list(MEAN), list(STD))


# ------------------------------------------------------------------------------------- albumentations


class Albumentations(Augmenting):
    """`images=`: one draw for all frames. One composition for every set of ops that a clip undergoes."""

    def __init__(self) -> None:
        super().__init__()
        import albumentations as A  # noqa: N812

        self._a = A
        jitter = dict.fromkeys(("brightness", "contrast", "saturation"), (0.6, 1.4))
        ops = (
            A.HorizontalFlip(p=1),
            A.ColorJitter(**jitter, hue=(-0.1, 0.1), p=1),
            A.ToGray(p=1),
            A.GaussianBlur(blur_limit=(11, 11), sigma_limit=(0.1, 2.0), p=1),
        )
        crop = A.RandomResizedCrop((SIZE, SIZE), scale=(0.3, 1.0), ratio=(0.5, 2.0), p=1)
        last = A.Normalize(MEAN, STD)
        self._compositions = {
            chosen: A.Compose([crop, *(op for op, on in zip(ops, chosen, strict=True) if on), last])
            for chosen in product((False, True), repeat=4)
        }
        self._singles: dict[DrawnView, Any] = {}

    def pipeline(self, job: Job) -> Tensor:
        draws = zip(job.clips, drawn_for(job), strict=True)
        views = [self._compositions[acts(drawn)](images=clip)["images"] for clip, drawn in draws]
        return torch.from_numpy(np.stack(views)).permute(0, 4, 1, 2, 3)

    def one(self, clip: np.ndarray, drawn: DrawnView) -> np.ndarray:
        if drawn not in self._singles:  # made in the round that does not count
            self._singles[drawn] = self._a.Compose(self._single(drawn))
        found: np.ndarray = self._singles[drawn](images=clip)["images"]
        return found

    def _single(self, drawn: DrawnView) -> Sequence[Any]:
        A, box = self._a, drawn.crop
        if not drawn.pixels:
            crop = A.Crop(box.left, box.top, box.left + box.width, box.top + box.height, p=1)
            return [crop, A.Resize(SIZE, SIZE, p=1)]
        step = drawn.pixels[0]
        if isinstance(step, Jittered):
            names = ("brightness", "contrast", "saturation", "hue")
            return [A.ColorJitter(**{n: (getattr(step, n), getattr(step, n)) for n in names}, p=1)]
        if type(step).__name__ == "Blurred":
            size, sigma = step.size, step.sigma
            return [A.GaussianBlur(blur_limit=(size, size), sigma_limit=(sigma, sigma), p=1)]
        return [A.HorizontalFlip(p=1) if type(step).__name__ == "Flipped" else A.ToGray(p=1)]


# --------------------------------------------------------------------------------------------- kornia


class Kornia(Augmenting):
    """VideoSequential on the whole batch in float32, `same_on_frame`."""

    def __init__(self) -> None:
        super().__init__()
        from kornia import augmentation as K  # noqa: N812

        self._sequence = K.VideoSequential(
            K.RandomResizedCrop((SIZE, SIZE), scale=(0.3, 1.0), ratio=(0.5, 2.0), p=1.0),
            K.RandomHorizontalFlip(p=0.5),
            K.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8),
            K.RandomGrayscale(p=0.2),
            K.RandomGaussianBlur((11, 11), (0.1, 2.0), p=0.5),
            K.Normalize(torch.tensor(MEAN), torch.tensor(STD), p=1.0),
            data_format="BTCHW",
            same_on_frame=True,
        )

    def pipeline(self, job: Job) -> Tensor:
        torch.manual_seed(job.key)
        video = torch.from_numpy(job.clips).permute(0, 1, 4, 2, 3).to(torch.float32) / 255
        views: Tensor = self._sequence(video)
        return views.transpose(1, 2)
