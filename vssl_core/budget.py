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
    seconds: float


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

    def lap(self) -> float:
        """Seconds on this process's clock since `start` or the last lap."""
        before, self._mark = self._mark, time.monotonic()
        return self._mark - before

    def add(self, spent: Spent) -> None:
        """Count one step."""
        self.seconds += spent.seconds
        self.videos += spent.videos
        self.frames += spent.frames
        self.flops += spent.flops

    @property
    def unit(self) -> str:
        """What is counted, in a word."""
        return "videos" if self._currency == "epochs" else self._currency

    @property
    def _used(self) -> float:
        return {
            "epochs": float(self.videos),
            "frames": float(self.frames),
            "flops": self.flops,
            "seconds": self.seconds,
        }[self._currency]

    @property
    def left(self) -> float:
        """How much of the budget is left, in `unit`."""
        return max(self._total - self._used, 0.0)

    @property
    def fraction(self) -> float:
        """Share of the budget that is used, in [0, 1]; exactly 1 when it is used up.

        Rounding may leave it just below a share that is reached: ask `has_reached` for that.
        """
        return 1.0 - self.left / self._total

    def has_reached(self, share: float) -> bool:
        """True when at least this share of the budget is used: 2 of 10 steps have reached 0.2."""
        return self._used / self._total >= share

    @property
    def done(self) -> bool:
        """True when the budget is used up."""
        return self._used >= self._total

    def state(self) -> dict[str, float]:
        """What a checkpoint keeps."""
        return {"videos": self.videos, "frames": self.frames, "flops": self.flops, "seconds": self.seconds}

    def restore(self, state: dict[str, float]) -> None:
        """Go on from a checkpoint."""
        self.videos, self.frames = int(state["videos"]), int(state["frames"])
        self.flops, self.seconds = state["flops"], state["seconds"]
