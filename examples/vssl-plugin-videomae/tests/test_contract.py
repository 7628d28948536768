"""The checks that vssl has for every task and backbone, and which pairs it lets pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import vssl_core
from vssl_core import UsageError
from vssl_core.testing import parametrize_with_checks
from vssl_plugin_videomae import VideoMAE, VideoMAEViT


@parametrize_with_checks(task=[VideoMAE], backbone=[VideoMAEViT])
def test_contract(check: Callable[[], None]) -> None:
    check()


def test_a_convolutional_backbone_is_refused_with_those_that_fit(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"requires masked_tokens.*--backbone .*videomae_vit"):
        vssl_core.bench("videomae", backbone="r2plus1d", protocol="smoke", runs=tmp_path)
    assert not list(tmp_path.glob("cells/*"))
