"""What samplers are made of: one clip anywhere, clips spread over a video, and a way through short videos."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vssl_core.types import ClipSpec, Sampled

__all__ = ["EvenClips", "UniformClip", "back_and_forth"]


def back_and_forth(places: np.ndarray, n_frames: int) -> np.ndarray:
    """Frames at these places of a video that is read forwards, backwards and forwards again, without a cut.

    Places below `n_frames` are the frames themselves; all repeats after 2 · (`n_frames` - 1) places. For
    clips of several speeds: in a video that loops, a jump to its beginning is the more frequent the faster
    a clip is, and tells the speed without a look at motion.

    Args:
        places: Counted from the first frame, >= 0, any shape.
        n_frames: Frames of the video.
    """
    turning = 2 * max(n_frames - 1, 1)
    walked = places % turning
    frames: np.ndarray = np.minimum(np.minimum(walked, turning - walked), n_frames - 1)
    return frames


def _last_start(n_frames: int, clip: ClipSpec) -> int:
    """The last start from which a whole clip fits; 0 where none does (the clip then loops)."""
    return max(n_frames - 1 - (clip.num_frames - 1) * clip.frame_stride, 0)


@dataclass(frozen=True, slots=True)
class UniformClip:
    """One clip named `name` at a uniformly drawn place; a short video loops."""

    clip: ClipSpec
    name: str = "clip"

    def __call__(self, n_frames: int, fps: float, generator: np.random.Generator) -> Sampled:
        """See `vssl_core.interfaces.ViewSampler`."""
        del fps
        start = int(generator.integers(_last_start(n_frames, self.clip) + 1))
        steps = np.arange(self.clip.num_frames) * self.clip.frame_stride
        return Sampled({self.name: (start + steps) % n_frames})


@dataclass(frozen=True, slots=True)
class EvenClips:
    """`num_clips` clips from the first possible start to the last, named `clip_0` …; draws nothing.

    One clip is taken from the middle. A short video loops.
    """

    clip: ClipSpec
    num_clips: int

    def __call__(self, n_frames: int, fps: float, generator: np.random.Generator) -> Sampled:
        """See `vssl_core.interfaces.ViewSampler`."""
        del fps, generator
        last = _last_start(n_frames, self.clip)
        starts = np.linspace(0, last, self.num_clips) if self.num_clips > 1 else np.array([last / 2])
        steps = np.arange(self.clip.num_frames) * self.clip.frame_stride
        rows = (starts.round().astype(np.int64)[:, None] + steps) % n_frames
        return Sampled({f"clip_{i}": row for i, row in enumerate(rows)})
