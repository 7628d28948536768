"""Two honest classifiers of rendered videos: one sees a single frame, one sees movement and no texture."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from scipy.ndimage import median_filter
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from vssl_core.types import VideoRecord

SIDE = 48  # pixels at which the single-frame classifier looks
BLUR = 2.0  # of 32 pixels, where objects are 12 to 24 wide


@dataclass(frozen=True)
class Seen:
    """What the classifiers see of one part: frames (V, T, S, S, 3) uint8 and tracks (V, T-1, 3)."""

    frames: np.ndarray
    tracks: np.ndarray


def look(records: Sequence[VideoRecord]) -> Seen:
    """Decode every video once."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        parts = list(pool.map(_look_at, records))
    return Seen(np.stack([frames for frames, _ in parts]), np.stack([track for _, track in parts]))


def _look_at(record: VideoRecord) -> tuple[np.ndarray, np.ndarray]:
    video_THWC = decode(Path(record.path))
    frames = [cv2.resize(f, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for f in video_THWC]
    return np.stack(frames), difference_track(video_THWC)


def decode(path: Path) -> np.ndarray:
    """All frames, uint8 (T, H, W, 3)."""
    with av.open(path) as container:
        frames = [frame.to_ndarray(format="yuv420p") for frame in container.decode(video=0)]
    return np.stack([cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_I420) for planes in frames])


def difference_track(video_THWC: np.ndarray) -> np.ndarray:
    """Where and how wide frames differ from the next: centre x, centre y and log of the spread (T-1, 3).

    As blind as can be to what the object looks like: of the differences only the blurred energy is used, its
    root so that contrast counts little, a median over frames against the flicker of patterns, and of the
    spread only the change over time.
    """
    luma_THW = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in video_THWC])
    luma_THW = np.float32([cv2.resize(luma, (32, 32), interpolation=cv2.INTER_AREA) for luma in luma_THW])
    energy_THW = np.stack([cv2.GaussianBlur(d, (0, 0), BLUR) for d in np.abs(np.diff(luma_THW, axis=0))])
    energy_THW = np.maximum(energy_THW - 1.5 * np.median(energy_THW, axis=(1, 2), keepdims=True), 0)
    share_THW = np.sqrt(energy_THW) + 1e-6
    share_THW /= share_THW.sum(axis=(1, 2), keepdims=True)
    y_HW, x_HW = np.mgrid[:32, :32] / 32 - 0.5
    x_T, y_T = ((share_THW * axis).sum(axis=(1, 2)) for axis in (x_HW, y_HW))
    away_THW = (x_HW - x_T[:, None, None]) ** 2 + (y_HW - y_T[:, None, None]) ** 2
    spread_T = 0.5 * np.log((share_THW * away_THW).sum(axis=(1, 2)))
    track_T3 = np.stack([x_T, y_T, spread_T - spread_T.mean()], axis=-1)
    return median_filter(track_T3, size=(5, 1), mode="nearest").astype(np.float32)


def single_frame_accuracy(
    train: Seen, train_labels: np.ndarray, test: Seen, test_labels: np.ndarray
) -> float:
    """Accuracy of a small CNN on one random frame of each test video; fitted on frames of the train part."""
    layers: list[nn.Module] = []
    for before, after in ((3, 16), (16, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]

    def draw(seen: Seen, rows: np.ndarray, rng: np.random.Generator) -> Tensor:
        pick = rng.integers(0, seen.frames.shape[1], size=len(rows))
        return (torch.from_numpy(seen.frames[rows, pick]).permute(0, 3, 1, 2).float() / 255 - 0.45) / 0.25

    torch.manual_seed(0)
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 8))
    return _fit_and_score(model, draw, train, train_labels, test, test_labels, epochs=40)


def movement_accuracy(train: Seen, train_labels: np.ndarray, test: Seen, test_labels: np.ndarray) -> float:
    """Accuracy of a small network over time that sees where frames differ, in order, and nothing else."""

    def draw(seen: Seen, rows: np.ndarray, rng: np.random.Generator) -> Tensor:
        del rng
        return torch.from_numpy(seen.tracks[rows]).transpose(1, 2) * 5

    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv1d(3, 32, 5, padding=2),
        nn.BatchNorm1d(32),
        nn.ReLU(),
        nn.Conv1d(32, 64, 5, stride=2, padding=2),
        nn.BatchNorm1d(64),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(64, 8),
    )
    return _fit_and_score(model, draw, train, train_labels, test, test_labels, epochs=60)


def _fit_and_score(
    model: nn.Module,
    draw: Callable[[Seen, np.ndarray, np.random.Generator], Tensor],
    train: Seen,
    train_labels: np.ndarray,
    test: Seen,
    test_labels: np.ndarray,
    *,
    epochs: int,
) -> float:
    rng, batch = np.random.default_rng(0), 32
    steps = epochs * (len(train_labels) // batch)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, steps)
    for _ in range(epochs):
        order = rng.permutation(len(train_labels))
        for start in range(0, len(order) - batch + 1, batch):
            rows = order[start : start + batch]
            loss = F.cross_entropy(model(draw(train, rows, rng)), torch.from_numpy(train_labels[rows]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
    with torch.no_grad():
        guess = model(draw(test, np.arange(len(test_labels)), rng)).argmax(dim=1)
    return float((guess.numpy() == test_labels).mean())
