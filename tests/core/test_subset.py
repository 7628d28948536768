"""Some videos of a part, in another order: the same clips, labels and features as in the whole part."""

from __future__ import annotations

import numpy as np
import pytest

from vssl_core.errors import ContractError
from vssl_core.evaluate import FeatureStore, TargetData
from vssl_core.interfaces import EvaluationPart
from vssl_core.testing.evaluator_target import ColourBackbone, target

ROWS = [7, 0, 20]


def data() -> TargetData:
    return TargetData(target().index, around=target().around, store=FeatureStore())


def clips(part: EvaluationPart) -> np.ndarray:
    return np.concatenate([video.numpy() for video, *_ in part.batches(batch_size=5, num_clips=2)])


def test_videos_come_in_the_order_that_was_asked_for() -> None:
    whole = data().test()
    some = whole.subset(ROWS)
    assert list(some.records) == [whole.records[row] for row in ROWS]
    assert some.labels.tolist() == whole.labels[ROWS].tolist()
    np.testing.assert_array_equal(
        clips(some), clips(whole).reshape(36, 2, *clips(some).shape[1:])[ROWS].reshape(clips(some).shape)
    )
    rows = np.concatenate([rows for *_, rows in some.batches(batch_size=1)])
    assert rows.tolist() == [0, 1, 2]
    assert [record.video_id for record in some.subset([2]).records] == [whole.records[20].video_id]


def test_features_are_those_of_the_subset() -> None:
    whole = data().test()
    network = ColourBackbone(None, target().around.protocol.clip.spec())
    everything = whole.features(network, num_clips=1)
    np.testing.assert_allclose(whole.subset(ROWS).features(network, num_clips=1), everything[ROWS], atol=1e-6)


def test_a_video_twice_is_refused_and_the_latch_holds() -> None:
    found = data()
    train = found.train.subset([0, 1])
    with pytest.raises(ContractError, match="once at most"):
        found.train.subset([0, 0])
    assert len(clips(train)) == 4
    found.test()
    with pytest.raises(ContractError, match="closed once test"):
        clips(train)
