"""Tubes: the stated share, the same in every frame, a function of the number of the video alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from vssl_core import ClipSpec, generator
from vssl_plugin_videomae.masks import MaskedClip, num_hidden, tubes

CLIP = ClipSpec(num_frames=8, frame_stride=2, crop_size=48)
SEEDS = torch.arange(50) * 10**15


@pytest.mark.parametrize(("ratio", "grid", "hidden"), [(0.9, (8, 14, 14), 176), (0.75, (4, 6, 6), 27)])
def test_exactly_the_stated_share_of_places_is_hidden(ratio: float, grid: tuple, hidden: int) -> None:
    assert num_hidden(ratio, grid) == hidden
    shown_BN, hidden_BM = tubes(SEEDS, grid, hidden=hidden)
    assert hidden_BM.shape == (50, grid[0] * hidden)
    together = torch.cat([shown_BN, hidden_BM], dim=1).sort(dim=1).values
    assert torch.equal(together, torch.arange(grid[0] * grid[1] * grid[2]).expand(50, -1))


@pytest.mark.parametrize("ratio", [0.01, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("grid", [(1, 1, 2), (4, 2, 2), (2, 4, 4)])
def test_something_is_always_hidden_and_something_shown(ratio: float, grid: tuple) -> None:
    assert 1 <= num_hidden(ratio, grid) < grid[1] * grid[2]


def test_a_place_is_hidden_in_all_frames_or_in_none() -> None:
    for part in tubes(SEEDS, (4, 3, 5), hidden=11):
        by_frame = part.unflatten(1, (4, -1)) - 15 * torch.arange(4)[:, None]
        assert torch.equal(by_frame, by_frame[:, :1].expand_as(by_frame))
        assert (by_frame.diff(dim=2) > 0).all()


def test_every_place_is_hidden_equally_often() -> None:
    _, hidden_BM = tubes(torch.arange(4000), (1, 3, 3), hidden=4)
    assert stats.chisquare(np.bincount(hidden_BM.flatten(), minlength=9)).pvalue > 1e-3


def test_a_mask_depends_on_its_videos_number_alone() -> None:
    all_of_them = tubes(SEEDS, (4, 6, 6), hidden=32)[1]
    torch.manual_seed(1)
    np.random.seed(1)
    alone = torch.cat([tubes(seed[None], (4, 6, 6), hidden=32)[1] for seed in SEEDS.flip(0)])
    assert torch.equal(all_of_them, alone.flip(0))
    assert len(torch.unique(all_of_them, dim=0)) == 50


def test_the_number_is_drawn_per_video_and_survives_as_a_tensor() -> None:
    sampler = MaskedClip(CLIP)
    seeds = [sampler(90, 25.0, generator("mask", draw)).info["mask_seed"] for draw in range(200)]
    assert len(set(seeds)) == 200
    assert max(seeds) > 2**62
    assert torch.from_numpy(np.array(seeds, dtype=np.int64)).tolist() == seeds
    assert sampler(90, 25.0, generator("mask", 3)).info["mask_seed"] == seeds[3]
