"""Tube masks: which places of the image are hidden, the same in every frame.

A place is hidden or shown through the whole clip, so that nothing can be copied from a neighbouring frame.
The sampler knows nothing of tokens: it draws one number for each video, and the task makes the tubes from
it once it knows the backbone's grid. So a mask is a function of (seed, epoch, video), of held-out videos
too, and of neither batch nor process.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vssl_core import ClipSpec, Sampled, UniformClip, generator
from vssl_plugin_videomae.tokens import Size3d

__all__ = ["MaskedClip", "num_hidden", "tubes"]


@dataclass(frozen=True, slots=True)
class MaskedClip:
    """One clip `clip` at a uniform place; `info["mask_seed"]` is the number that its tubes are made from."""

    clip: ClipSpec

    def __call__(self, n_frames: int, fps: float, generator: np.random.Generator) -> Sampled:
        """See `vssl_core.ViewSampler`."""
        sampled = UniformClip(self.clip)(n_frames, fps, generator)
        return Sampled(sampled.frames, {"mask_seed": int(generator.integers(2**63))})


def num_hidden(ratio: float, grid_THW: Size3d) -> int:
    """Hidden places of the H'·W': the share rounded down as in the authors' code, and at least one."""
    return max(int(ratio * grid_THW[1] * grid_THW[2]), 1)


def tubes(seed_B: Tensor, grid_THW: Size3d, *, hidden: int) -> tuple[Tensor, Tensor]:
    """Indices of the shown (B, N) and the hidden tokens (B, M) of each video, int64, rising.

    Args:
        seed_B: One number per video.
        grid_THW: Tokens of a clip, T' x H' x W'; an index counts through them in this order.
        hidden: Places hidden of the H'·W'; M is T' times that.
    """
    frames, places = grid_THW[0], grid_THW[1] * grid_THW[2]
    orders = [generator("videomae tubes", seed).permutation(places) for seed in seed_B.tolist()]
    order_BS = torch.from_numpy(np.stack(orders)).to(seed_B.device)
    first_T = torch.arange(frames, device=seed_B.device) * places
    parts = (order_BS[:, hidden:], order_BS[:, :hidden])
    shown, masked = ((first_T[:, None] + part.sort(dim=1).values[:, None]).flatten(1) for part in parts)
    return shown, masked
