"""A budget is used up, and its shares are reached, at the step that a person would name."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import pytest

from vssl_core.budget import Meter, Spent
from vssl_core.protocol import Budget

VIDEOS = 8  # of a step


def first_step(share: str, *, steps: int, currency: str = "epochs") -> int:
    """The first step that has reached a share of a budget of so many steps."""
    amount = 1 if currency == "epochs" else VIDEOS * steps
    meter = Meter(Budget(currency=currency, amount=amount), VIDEOS * steps)
    for step in range(1, steps + 1):
        assert not meter.done
        meter.add(Spent(VIDEOS, VIDEOS, float(VIDEOS), 0.0))
        if meter.has_reached(float(share)):
            return step
    raise AssertionError(f"{share} of {steps} steps was never reached")


@pytest.mark.parametrize("currency", ["epochs", "frames", "flops"])
@pytest.mark.parametrize("steps", [1, 3, 5, 10, 20, 30, 70, 100])
def test_a_share_is_reached_by_the_first_step_that_uses_it(steps: int, currency: str) -> None:
    for hundredths in range(1, 101):
        share = Fraction(hundredths, 100)
        assert first_step(str(float(share)), steps=steps, currency=currency) == ceil(share * steps), share


def test_a_budget_is_done_when_all_of_it_is_used() -> None:
    meter = Meter(Budget(currency="frames", amount=100), 10)
    meter.add(Spent(10, 99, 0.0, 0.0))
    assert not meter.done
    meter.add(Spent(10, 99, 0.0, 0.0))
    assert meter.done
    assert meter.fraction == 1.0
    assert meter.left == 0.0
