"""How much pretraining a cell gets, counted in one currency."""

from __future__ import annotations

import time
from dataclasses import dataclass

from vssl_core.protocol import Budget

__all__ = ["Meter", "Spent"]


@dataclass(frozen=True, slots=True)
class Spent:
    """What one step cost, over all processes."""

    videos: int
    frames: int
    flops: float


class Meter:
    """Counts what was spent and says how far the budget is used.

    Args:
        budget: Currency and amount.
        num_videos: Videos in the pretraining set (one epoch).
    """

    def __init__(self, budget: Budget, num_videos: int) -> None:
        self._currency = budget.currency
        self._total = budget.amount * (num_videos if budget.currency == "epochs" else 1)
        self.videos = 0
        self.frames = 0
        self.flops = 0.0
        self.seconds = 0.0
        self._mark = time.monotonic()

    def start(self) -> None:
        """Begin to count seconds; called when the first step begins and after each pause."""
        self._mark = time.monotonic()

    def add(self, spent: Spent) -> None:
        """Count one step."""
        now = time.monotonic()
        self.seconds += now - self._mark
        self._mark = now
        self.videos += spent.videos
        self.frames += spent.frames
        self.flops += spent.flops

    @property
    def unit(self) -> str:
        """What is counted, in a word."""
        return "videos" if self._currency == "epochs" else self._currency

    @property
    def left(self) -> float:
        """How much of the budget is left, in `unit`."""
        used = {
            "epochs": float(self.videos),
            "frames": float(self.frames),
            "flops": self.flops,
            "seconds": self.seconds,
        }[self._currency]
        return max(self._total - used, 0.0)

    @property
    def fraction(self) -> float:
        """Share of the budget that is used, in [0, 1]; exactly 1 when it is used up."""
        return 1.0 - self.left / self._total

    @property
    def done(self) -> bool:
        """True when the budget is used up."""
        return self.fraction >= 1.0

    def state(self) -> dict[str, float]:
        """What a checkpoint keeps."""
        return {"videos": self.videos, "frames": self.frames, "flops": self.flops, "seconds": self.seconds}

    def restore(self, state: dict[str, float]) -> None:
        """Go on from a checkpoint."""
        self.videos, self.frames = int(state["videos"]), int(state["frames"])
        self.flops, self.seconds = state["flops"], state["seconds"]
