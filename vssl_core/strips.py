"""Pictures of what a task is given: a strip of frames of each view, several videos below one another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from vssl_core.augmentation import apply_pixels
from vssl_core.files import write_bytes
from vssl_core.types import VideoRecord
from vssl_core.views import Key, Sample, ViewPipeline

__all__ = ["write_strips"]

_VIDEOS = 4
_FRAMES = 8
_GAP = 2  # pixels between two pictures


def write_strips(folder: Path, pipeline: ViewPipeline, records: Sequence[VideoRecord]) -> None:
    """Write `<view>.png` for every view of the first samples of epoch 0."""
    samples = [pipeline(Key(0, record)) for record in records[:_VIDEOS]]
    for name in pipeline.augmentation:
        rows = [_strip(_pixels(sample, name)) for sample in samples]
        picture = np.concatenate([_pad(row, axis=0) for row in rows])[:-_GAP]
        ok, png = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        if ok:
            write_bytes(folder / f"{name}.png", png.tobytes())


def _pixels(sample: Sample, name: str) -> np.ndarray:
    frames = sample.views[name]
    return apply_pixels(frames, sample.drawn[name]) if sample.drawn else frames


def _strip(frames_TSSC: np.ndarray) -> np.ndarray:
    chosen = np.linspace(0, len(frames_TSSC) - 1, min(_FRAMES, len(frames_TSSC))).round().astype(int)
    return np.concatenate([_pad(frames_TSSC[i], axis=1) for i in chosen], axis=1)[:, :-_GAP]


def _pad(picture: np.ndarray, axis: int) -> np.ndarray:
    margin = [(0, 0)] * 3
    margin[axis] = (0, _GAP)
    return np.pad(picture, margin, constant_values=255)
