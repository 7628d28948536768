"""Digests of predictions, by which a copy of another cell's evaluation is known."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from vssl_core.cells import digest

__all__ = ["telling_prints"]

_FEWEST_VALUES = 8  # of an array whose bits two runs do not have by chance
_LOOKED_AT = 100_000  # values of an array


def telling_prints(arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Digests of what two trained networks never share: of `scores`, and of all arrays together.

    A dead network gives every video the same scores, and so does another one; integers and a few values may
    be equal by chance. Where no array tells more, there is no digest.
    """
    prints = {name: _digest(array) for name, array in arrays.items()}
    telling = {name for name, array in arrays.items() if _tells(array)}
    found = {"scores": prints["scores"]} if "scores" in telling else {}
    return found | ({"arrays": digest(prints)} if telling else {})


def _digest(array: np.ndarray) -> str:
    head = f"{array.dtype} {array.shape} ".encode()
    return hashlib.sha256(head + np.ascontiguousarray(array).tobytes()).hexdigest()


def _tells(array: np.ndarray) -> bool:
    if array.dtype.kind != "f" or array.ndim < 2 or not array.size or (array[1:] == array[:1]).all():
        return False
    return len(np.unique(array.reshape(-1)[:_LOOKED_AT])) >= _FEWEST_VALUES
