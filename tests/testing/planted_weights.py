"""Backbones with a bug each in where their weights come from."""

from __future__ import annotations

from typing import Any

import torch
from planted_backbones import Small

from vssl_core import ClipSpec

__all__ = ["PLANTED", "StartsFromAPattern"]


class BringsItsStem(Small):
    """The first layer comes with weights of its own, as if it had been trained; the others are drawn."""

    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        own = torch.Generator().manual_seed(5)
        with torch.no_grad():
            self.stem[0].weight.copy_(torch.randn(self.stem[0].weight.shape, generator=own))


class StartsFromAPattern(Small):
    """Not broken: a layer starts as the identity, for every seed."""

    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        torch.nn.init.dirac_(self.stem[0].weight)


PLANTED = {BringsItsStem: "check_seed_decides_the_weights"}
