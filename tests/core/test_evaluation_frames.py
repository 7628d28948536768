"""Plain pixels for networks with a size of their own: the clips of `batches`, in the geometry asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vssl_core.errors import ContractError
from vssl_core.evaluate import FeatureStore, TargetData
from vssl_core.testing.evaluator_target import target
from vssl_core.types import ClipSpec


@pytest.fixture
def data() -> TargetData:
    return TargetData(target().index, around=target().around, store=FeatureStore())


def test_in_the_protocols_geometry_they_are_the_clips_of_batches_before_normalisation(
    data: TargetData,
) -> None:
    part, protocol = data.test(), target().around.protocol
    mean, std = (torch.tensor(values).view(3, 1, 1, 1) for values in (protocol.data.mean, protocol.data.std))
    given = part.batches(batch_size=12, num_clips=2)
    plain = part.frames(protocol.clip.spec(), batch_size=12, num_clips=2)
    videos = 0
    for (video_NCTHW, _, rows_N), (frames_NCTHW, frame_rows_N) in zip(given, plain, strict=True):
        assert frames_NCTHW.dtype == torch.uint8
        assert torch.equal((255 * (video_NCTHW * std + mean)).round(), frames_NCTHW.float())
        assert np.array_equal(rows_N, frame_rows_N)
        videos += len(rows_N) / 2
    assert videos == len(part.records)


def test_another_geometry_is_that_of_the_same_region(data: TargetData) -> None:
    part, clip = data.test(), target().around.protocol.clip.spec()
    own = ClipSpec(num_frames=3, frame_stride=2, crop_size=2 * clip.crop_size)
    video_NCTHW, rows_N = next(iter(part.frames(own, batch_size=4)))
    assert video_NCTHW.shape == (4, 3, 3, own.crop_size, own.crop_size)
    assert rows_N.tolist() == [0, 1, 2, 3]
    small, _ = next(iter(part.frames(ClipSpec(3, 2, clip.crop_size), batch_size=4)))
    halved = torch.nn.functional.avg_pool2d(video_NCTHW.float().flatten(1, 2), 2)
    assert (halved - small.float().flatten(1, 2)).abs().mean() < 6  # grey levels of 255


def test_a_batch_holds_whole_videos(data: TargetData) -> None:
    clip = target().around.protocol.clip.spec()
    sizes = [len(rows) for _, rows in data.test().frames(clip, batch_size=7, num_clips=3)]
    assert sizes == [6] * (len(target().index.parts["test"]) // 2)


def test_training_pixels_are_closed_once_test_videos_were_opened(data: TargetData) -> None:
    part = data.train
    next(iter(part.frames(target().around.protocol.clip.spec(), batch_size=2)))
    data.test()
    with pytest.raises(ContractError, match="closed once"):
        next(iter(part.frames(target().around.protocol.clip.spec(), batch_size=2)))


def test_a_target_says_its_name(data: TargetData) -> None:
    assert data.name == "checks"
