"""The generators of the whole process (torch's, numpy's and Python's) as a function of a key.

The core draws from none of them. Networks, tasks and evaluators of anybody may: set from a key before they
run, they draw the same in every run, whatever was drawn before.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from vssl_core.seeding import key_seed

__all__ = ["seed_everything", "seeded"]


def seed_everything(*key: str | int) -> None:
    """Set all of them from a key."""
    number = key_seed(*key)
    torch.manual_seed(number)
    random.seed(number)
    np.random.seed(number % 2**32)


@contextmanager
def seeded(*key: str | int) -> Iterator[None]:
    """Set them from a key, and put back afterwards what they were; of torch the host's alone."""
    python, of_numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            seed_everything(*key)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(of_numpy)
