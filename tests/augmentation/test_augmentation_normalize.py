"""Levels to floats: the values, and memory that a channels-last network takes as it is."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms.v2 import functional as reference

from vssl_core.augmentation import normalize

MEAN, STD = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)


@pytest.mark.parametrize("shape", [(1, 1, 7, 7, 3), (3, 4, 112, 112, 3), (2, 5, 31, 45, 3)])
def test_it_is_torchvisions_normalize(shape):
    video = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    kept = video.clone()
    found = normalize(video, mean=MEAN, std=STD, enabled=True)
    scaled = reference.to_dtype(video.permute(0, 1, 4, 2, 3), torch.float32, scale=True)
    wanted = reference.normalize(scaled, list(MEAN), list(STD)).permute(0, 2, 1, 3, 4)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, wanted, rtol=0, atol=2e-6)
    assert torch.equal(video, kept)


def test_a_target_stays_in_zero_to_one_exactly():
    video = torch.arange(256, dtype=torch.uint8).repeat(3).view(1, 1, 16, 16, 3)
    found = normalize(video, mean=MEAN, std=STD, enabled=False)
    assert torch.equal(found, video.permute(0, 4, 1, 2, 3) / 255)
    assert (found.min().item(), found.max().item()) == (0.0, 1.0)


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("memory", ["contiguous", "strided", "channels first"])
def test_memory_is_channels_last(enabled, memory):
    video = torch.zeros(2, 8, 20, 20, 3, dtype=torch.uint8)
    if memory == "strided":
        video = torch.zeros(2, 16, 20, 20, 3, dtype=torch.uint8)[:, ::2]
    elif memory == "channels first":
        video = torch.zeros(2, 3, 8, 20, 20, dtype=torch.uint8).permute(0, 2, 3, 4, 1)
    found = normalize(video, mean=MEAN, std=STD, enabled=enabled)
    assert found.shape == (2, 3, 8, 20, 20)
    assert found.is_contiguous(memory_format=torch.channels_last_3d)
    assert found.permute(0, 2, 3, 4, 1).is_contiguous()
