"""Which frames a clip of a given pace takes, without the video's length saying which pace it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vssl_core import Sampled, back_and_forth

__all__ = ["PacedClips"]


@dataclass(frozen=True, slots=True)
class PacedClips:
    """Clips `clip_0`, … of every p-th frame, p of 1 … `num_paces` with equal probability.

    The clips of a video have different paces and places of their own; `info["pace"]` holds p - 1 of each
    (int64, one per clip). The pace is drawn before the length is looked at, and the place is uniform over
    all at which the clip fits. A video that is too short for the fastest pace is read forwards, backwards
    and forwards again, at every pace alike: a jump to the beginning would be seen the more often the
    faster a clip is.
    """

    num_frames: int
    num_paces: int
    num_clips: int = 1

    def __call__(self, n_frames: int, fps: float, generator: np.random.Generator) -> Sampled:
        """See `vssl_core.ViewSampler`."""
        del fps
        pace_N = generator.permutation(self.num_paces)[: self.num_clips]
        frames = {
            f"clip_{clip}": self._frames(int(pace) + 1, n_frames, generator)
            for clip, pace in enumerate(pace_N)
        }
        return Sampled(frames, {"pace": pace_N.astype(np.int64)})

    def _frames(self, pace: int, n_frames: int, generator: np.random.Generator) -> np.ndarray:
        steps_T = np.arange(self.num_frames, dtype=np.int64) * pace
        if (self.num_frames - 1) * self.num_paces < n_frames:
            return steps_T + int(generator.integers(n_frames - steps_T[-1]))
        start = int(generator.integers(2 * max(n_frames - 1, 1)))
        return back_and_forth(steps_T + start, n_frames)
