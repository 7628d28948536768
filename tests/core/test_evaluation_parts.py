"""Train and validation videos as one part: its order in every epoch, and the latch."""

from __future__ import annotations

import numpy as np
import pytest

from vssl_core.errors import ContractError
from vssl_core.evaluate import FeatureStore, TargetData
from vssl_core.testing.evaluator_target import ColourBackbone, target


def order(part, epoch: int) -> list[str]:
    batches = part.batches(batch_size=16, epoch=epoch, train=True)
    return [part.records[row].video_id for _, labels, rows in batches for row in rows]


def test_both_parts_as_one() -> None:
    data = TargetData(target().index, around=target().around, store=FeatureStore())
    train, validation, both = data.train, data.validation, data.train_and_validation
    assert both.records == (*train.records, *validation.records)
    np.testing.assert_array_equal(both.labels, np.concatenate([train.labels, validation.labels]))
    first, second = order(both, 0), order(both, 1)
    assert sorted(first) == sorted(second) == sorted(record.video_id for record in both.records)
    assert first != second
    # What joins does not change the order of the others.
    ids = {record.video_id for record in train.records}
    assert [name for name in first if name in ids] == order(train, 0)
    data.test()
    with pytest.raises(ContractError, match="closed"):
        _ = data.train_and_validation
    with pytest.raises(ContractError, match="closed"):
        next(both.batches(batch_size=2))


def test_targets_of_one_name_do_not_share_features() -> None:
    """A study may score one cell on several splits or versions of a dataset, all called by its name."""
    store, found = FeatureStore(), target()
    backbone = ColourBackbone(None, found.around.protocol.clip.spec())
    usual, other = (
        TargetData(index, around=found.around, store=store).test()
        for index in (found.index, found.with_loud_videos())
    )
    alone = TargetData(found.with_loud_videos(), around=found.around, store=FeatureStore()).test()
    first, second = usual.features(backbone, num_clips=1), other.features(backbone, num_clips=1)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(second, alone.features(backbone, num_clips=1))
