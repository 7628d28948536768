"""Signs of collapse on clouds of known shape."""

from __future__ import annotations

import pytest
import torch

from vssl_core.monitors import collapse_verdict, effective_rank, feature_std


def test_spread_features_are_healthy() -> None:
    cloud = torch.randn(400, 16, generator=torch.Generator().manual_seed(0))
    assert feature_std(cloud) == pytest.approx(1.0, abs=0.05)
    assert 14 < effective_rank(cloud) <= 16
    assert collapse_verdict([1.0], [15.0]) == "ok"


def test_equal_features_are_collapsed() -> None:
    cloud = torch.ones(50, 8)
    assert feature_std(cloud) == pytest.approx(0.0, abs=1e-6)
    assert effective_rank(cloud) == 0.0
    assert collapse_verdict([0.0], [0.0]) == "collapsed"


def test_one_direction_is_rank_one() -> None:
    line = torch.linspace(-1, 1, 50)[:, None] * torch.ones(1, 8)
    assert effective_rank(line) == pytest.approx(1.0, abs=1e-6)
    assert collapse_verdict([1.0], [1.0]) == "collapsed"


def test_too_few_features_say_nothing() -> None:
    assert feature_std(torch.ones(1, 8)) is None
    assert effective_rank(torch.ones(1, 8)) is None
    pair = torch.eye(8)[:2]
    assert feature_std(pair) is not None
    assert effective_rank(pair) is None, "two features differ in one direction, whatever they are"
    assert collapse_verdict([None], [None]) == "ok"
    assert collapse_verdict([0.0], [None]) == "collapsed"
    assert collapse_verdict([], []) == "ok"


def test_rank_counts_equal_directions() -> None:
    assert effective_rank(torch.cat([torch.eye(4), -torch.eye(4)])) == pytest.approx(4.0)
