"""The evaluation data of the core with a notebook: who was asked for what, when, and what was changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, cast

import numpy as np
from torch import Tensor

from vssl_core.corrupted import Order
from vssl_core.corruption import Corruption
from vssl_core.interfaces import Backbone, EvaluationData, EvaluationPart
from vssl_core.types import ClipSpec

__all__ = ["Access", "Notebook", "WatchedData"]

Part = Literal["train", "validation", "test"]
Batch = TypeVar("Batch", bound=tuple[Any, ...])


@dataclass(frozen=True, slots=True)
class Access:
    """One request.

    Args:
        part: Of what.
        what: `opened`, `batches`, `frames`, `features`, `subset` or `corrupted`.
        train: Whether random training clips were asked for.
        after_test: Whether the test part had been opened before.
    """

    part: Part
    what: str
    train: bool = False
    after_test: bool = False


@dataclass
class Notebook:
    """What an evaluator did with its data."""

    accesses: list[Access] = field(default_factory=list)
    lent: list[tuple[str, np.ndarray, np.ndarray]] = field(default_factory=list)
    opened: bool = False

    def note(self, part: Part, what: str, *, train: bool = False) -> None:
        """Write an access down."""
        self.accesses.append(Access(part, what, train, self.opened))

    def lend(self, name: str, array: np.ndarray) -> np.ndarray:
        """Hand out an array and remember what it held."""
        self.lent.append((name, array, array.copy()))
        return array

    def changed(self) -> list[str]:
        """Names of the arrays that are not what they were."""
        return [name for name, array, before in self.lent if not np.array_equal(array, before)]


class WatchedPart(EvaluationPart):
    """A part that notes what it is asked for.

    Args:
        inner: The core's.
        part: Its name.
        notebook: Where to.
        recut: Give other batches than asked for: fewer videos in each, and not always as many.
    """

    def __init__(self, inner: EvaluationPart, part: Part, notebook: Notebook, *, recut: bool) -> None:
        self.records = inner.records
        self.labels = notebook.lend(f"{part} labels", inner.labels)
        self._inner, self._part, self._notebook, self._recut = inner, part, notebook, recut

    def batches(
        self, *, batch_size: int, epoch: int = 0, train: bool = False, num_clips: int = 1
    ) -> Iterator[tuple[Tensor, Tensor, np.ndarray]]:
        """See `EvaluationPart.batches`."""
        self._notebook.note(self._part, "batches", train=train)
        given = self._inner.batches(batch_size=batch_size, epoch=epoch, train=train, num_clips=num_clips)
        return given if train or not self._recut else _recut(given, num_clips)

    def subset(self, rows: Sequence[int]) -> EvaluationPart:
        """See `EvaluationPart.subset`."""
        self._notebook.note(self._part, "subset")
        return WatchedPart(self._inner.subset(rows), self._part, self._notebook, recut=self._recut)

    def corrupted(
        self, corruption: Corruption | None, *, severity: int = 1, order: Order = "native", seed: int = 0
    ) -> EvaluationPart:
        """See `EvaluationPart.corrupted`."""
        self._notebook.note(self._part, "corrupted")
        inner = self._inner.corrupted(corruption, severity=severity, order=order, seed=seed)
        return WatchedPart(inner, self._part, self._notebook, recut=self._recut)

    def frames(
        self, clip: ClipSpec, *, batch_size: int, num_clips: int = 1
    ) -> Iterator[tuple[Tensor, np.ndarray]]:
        """See `EvaluationPart.frames`."""
        self._notebook.note(self._part, "frames")
        given = self._inner.frames(clip, batch_size=batch_size, num_clips=num_clips)
        return _recut(given, num_clips) if self._recut else given

    def features(self, backbone: Backbone, *, num_clips: int) -> np.ndarray:
        """See `EvaluationPart.features`."""
        self._notebook.note(self._part, "features")
        features = self._inner.features(backbone, num_clips=num_clips)
        return self._notebook.lend(f"{self._part} features", features)


class WatchedData(EvaluationData):
    """Evaluation data that notes what it is asked for. A copy of it is itself: its latch has no twin."""

    def __init__(self, inner: EvaluationData, notebook: Notebook, *, recut: bool) -> None:
        self.classes, self.name = inner.classes, inner.name
        self._inner, self._notebook, self._recut = inner, notebook, recut

    def __copy__(self) -> WatchedData:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> WatchedData:
        return self

    @property
    def train(self) -> EvaluationPart:
        """See `EvaluationData.train`."""
        self._notebook.note("train", "opened")
        return WatchedPart(self._inner.train, "train", self._notebook, recut=self._recut)

    @property
    def validation(self) -> EvaluationPart:
        """See `EvaluationData.validation`."""
        self._notebook.note("validation", "opened")
        return WatchedPart(self._inner.validation, "validation", self._notebook, recut=self._recut)

    @property
    def train_and_validation(self) -> EvaluationPart:
        """See `EvaluationData.train_and_validation`."""
        self._notebook.note("train", "opened")
        self._notebook.note("validation", "opened")
        return WatchedPart(self._inner.train_and_validation, "train", self._notebook, recut=self._recut)

    def test(self) -> EvaluationPart:
        """See `EvaluationData.test`."""
        self._notebook.note("test", "opened")
        part = self._inner.test()
        self._notebook.opened = True
        return WatchedPart(part, "test", self._notebook, recut=self._recut)


def _recut(batches: Iterator[Batch], num_clips: int) -> Iterator[Batch]:
    """The same clips in the same order, in batches of two, one, three and again two videos."""
    sizes = (2, 1, 3)
    turn = 0
    for batch in batches:
        start = 0
        while start < len(batch[0]):
            end = start + sizes[turn % len(sizes)] * num_clips
            yield cast(Batch, tuple(part[start:end] for part in batch))
            start, turn = end, turn + 1
