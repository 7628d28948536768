"""The whole contract between vssl and the author of a component, on one page.

Five kinds: a pretext task learns without labels, a backbone turns clips into features, a dataset
says which videos there are, an evaluator scores a frozen or finetuned backbone, an executor runs
cells. (A sixth, small one stands in `vssl_core.corruption`.) A component is a class; options describe
it; the core trains, feeds and scores all of them in the same way. A task for instance is complete with
four methods (`sampler`, `augmentation`, `__init__`, `forward`), and
`vssl bench --task ./my_task.py:MyTask` runs it.

A packaged class states `api_version = 1` literally, so that a host of another version can refuse it;
a class in a file of your own need not.

Axes: B batch, C channel, T frame, H height, W width, D embedding, K class, V video.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, get_args

import numpy as np
import torch
from torch import Tensor, nn

from vssl_core.augmentation.ops import Augmentation
from vssl_core.errors import ContractError, UsageError
from vssl_core.options import Options
from vssl_core.types import ClipSpec, Inventory, InventoryList, Sampled, Split, VideoRecord
from vssl_core.weights import KeyMap

if TYPE_CHECKING:
    from vssl_core.corruption import Corruption
    from vssl_core.progress import Progress

__all__ = [
    "API_VERSION",
    "Backbone",
    "CellHandle",
    "DatasetContext",
    "EvaluationContext",
    "EvaluationData",
    "EvaluationPart",
    "EvaluationResult",
    "Evaluator",
    "Executor",
    "Metric",
    "PretextTask",
    "TaskContext",
    "TaskOutput",
    "TrainProgress",
    "VideoDataset",
    "ViewSampler",
]

API_VERSION = 1

Anything = TypeVar("Anything")

ViewSampler = Callable[[int, float, np.random.Generator], Sampled]
"""(n_frames, fps, generator) → `Sampled`. Pure and picklable; works for every n_frames >= 1."""


# --------------------------------------------------------------------------------------- pretext task


@dataclass(frozen=True, slots=True)
class TaskContext:
    """What a task may know about its run.

    Args:
        clip: Geometry of every view.
        num_videos: Videos in the pretraining set (an upper bound for queues).
        batch_size: Videos in one optimiser step, over all processes.
    """

    clip: ClipSpec
    num_videos: int
    batch_size: int


@dataclass(frozen=True, slots=True)
class TrainProgress:
    """Where pretraining stands. `fraction` runs from 0 to 1 in the currency of the budget."""

    step: int
    epoch: int
    fraction: float


@dataclass(frozen=True, slots=True)
class TaskOutput:
    """Result of one forward pass.

    Args:
        loss: Scalar with gradient: the mean over the samples of this process.
        losses: The parts that it is made of, detached scalars.
        metrics: Detached scalars worth logging, means over samples (`accuracy`, …).
        chance: For metrics that have one, the value that guessing would give.
    """

    loss: Tensor
    losses: Mapping[str, Tensor] = field(default_factory=dict)
    metrics: Mapping[str, Tensor] = field(default_factory=dict)
    chance: Mapping[str, float] = field(default_factory=dict)


class PretextTask(nn.Module, ABC):
    """A way to learn from videos without labels.

    The author gives the sampling, the augmentation, heads and the loss. The core gives everything
    that must be equal between tasks: data, order, optimiser, schedule, budget, precision, seeds. A
    task never sees a label, a class name, a file name or a test video.

    `__init__` must set `self.backbone = make_backbone()`: that module is what is exported. Every call
    of `make_backbone` gives a new module with the same seeded weights, so an EMA twin is a second call.
    What the user should know of choices made there is said with `warnings.warn`: a line of the run.
    All state that training needs (queues, pointers, EMA weights) is in parameters and buffers.
    `forward` changes no state except BatchNorm statistics: what a step changes (queues, EMA) is done in
    `before_step` and `after_step`, so that the held-out pretext evaluation can call `forward` freely.
    """

    Options: ClassVar[type[Options]] = Options
    requires: ClassVar[frozenset[str]] = frozenset({"feature_map"})  # of the words at Backbone
    levels: ClassVar[Mapping[int, Mapping[str, Any]]] = {}
    paper: ClassVar[str] = ""

    backbone: Backbone

    @classmethod
    @abstractmethod
    def sampler(cls, options: Any, clip: ClipSpec) -> ViewSampler:
        """Which frames of a video each clip takes; must be picklable and handle any length >= 1."""

    @classmethod
    @abstractmethod
    def augmentation(cls, options: Any, clip: ClipSpec) -> Augmentation:
        """View name → its ops. The keys are the keys of `views` in `forward`."""

    @abstractmethod
    def __init__(self, make_backbone: Callable[[], Backbone], options: Any, context: TaskContext) -> None:
        """Build `self.backbone`, heads and buffers. Call `super().__init__()` first."""
        super().__init__()

    @abstractmethod
    def forward(self, views: Mapping[str, Tensor], info: Mapping[str, Tensor]) -> TaskOutput:
        """Loss of one batch.

        Args:
            views: View name → float tensor (B, 3, T, H, W), normalised unless declared otherwise.
            info: Key of `Sampled.info` → tensor (B, …), int64 or float32.
        """

    # The rest has working defaults; override what the method needs. `*_step` run once per optimiser
    # step on every process, with equal state everywhere.

    def before_step(self, progress: TrainProgress) -> None:
        """Before the forward pass of a step (schedules, EMA of the MoCo kind)."""

    def after_step(self, progress: TrainProgress) -> None:
        """After the optimiser changed the weights (EMA, queues)."""

    def param_groups(self) -> list[dict[str, Any]]:
        """Groups of trainable parameters: `params`, `lr_scale`, `weight_decay_scale`.

        By default one group, without weight decay for parameters of one axis (biases, norms).
        """
        trainable = [p for p in self.parameters() if p.requires_grad]
        return [
            {"params": [p for p in trainable if p.ndim > 1], "lr_scale": 1.0, "weight_decay_scale": 1.0},
            {"params": [p for p in trainable if p.ndim <= 1], "lr_scale": 1.0, "weight_decay_scale": 0.0},
        ]


# ------------------------------------------------------------------------------------------- backbone


class Backbone(nn.Module, ABC):
    """Turns clips into features. Subclasses set `embed_dim` (D) in `__init__`.

    In eval mode the output of one clip does not depend on the others in its batch. The option `weights`,
    a file, is the core's: after `__init__` it loads the file by the backbone's own names or by `key_maps`.

    `provides` names what a task may build on, in the words of `PretextTask.requires`; a task that needs more
    is refused before anything runs. A word promises members, so that tasks and backbones of different
    authors fit. A method that needs another word coins one and documents it likewise:

    - `feature_map`: what every backbone has, `forward_features`.
    - `masked_tokens`: `token_size` (t, h, w), the frames and pixels of one of the boxes without overlap that
      clips are cut into, and `forward_tokens(video_BCTHW, visible_BN)`, the features (B, N, D) of the tokens
      with the indices `visible_BN` (int64, counted through T', H', W' in this order), which do not depend on
      the pixels of the others.
    """

    Options: ClassVar[type[Options]] = Options
    provides: ClassVar[frozenset[str]] = frozenset({"feature_map"})
    key_maps: Sequence[KeyMap] = ()
    paper: ClassVar[str] = ""

    embed_dim: int

    @abstractmethod
    def __init__(self, options: Any, clip: ClipSpec) -> None:
        """Build the network for clips of this geometry. Call `super().__init__()` first."""
        super().__init__()

    @abstractmethod
    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        """(B, 3, T, H, W) → unpooled map (B, D, T', H', W')."""

    def forward(self, video_BCTHW: Tensor) -> Tensor:
        """(B, 3, T, H, W) → (B, D): the mean over the map's T', H' and W'."""
        return self.forward_features(video_BCTHW).mean(dim=(2, 3, 4))

    @abstractmethod
    def stages(self) -> Mapping[str, nn.Module]:
        """The network's stages in the order in which data passes them, for feature analysis."""


# -------------------------------------------------------------------------------------------- dataset


@dataclass(frozen=True, slots=True)
class DatasetContext:
    """Where a dataset may write, and how it reports.

    Args:
        cache_dir: Folder of the user's cache that outlives the run; made on demand.
        progress: Progress bars for long work.
        refresh: `prepare` looks at the files again, also where it finds what it wrote before.
    """

    cache_dir: Path
    progress: Progress
    refresh: bool = False


class VideoDataset(ABC):
    """An index of videos: which there are, and of which class and group; never pixels.

    `records` of one split gives the same records in the same order on every machine. Splits share no
    `video_id` and no group. Where `inventory` lists no "validation", it is carved out of "train" by group.
    """

    Options: ClassVar[type[Options]] = Options
    licence: ClassVar[str] = ""
    citation: ClassVar[str] = ""

    @abstractmethod
    def __init__(self, options: Any, context: DatasetContext) -> None:
        """Keep what is needed; open no video. Long work belongs in `prepare`."""

    def prepare(self) -> None:  # noqa: B027
        """Make what must exist before `records` (an index, rendered files). Safe to call again."""

    @property
    @abstractmethod
    def classes(self) -> Sequence[str]:
        """Class names by label; empty for unlabelled videos."""

    @abstractmethod
    def records(self, split: Split) -> Sequence[VideoRecord]:
        """The split's videos in canonical order; empty where the dataset has no such split."""

    # The rest has working defaults.

    @property
    def mirrored(self) -> Mapping[str, str]:
        """Classes that a horizontal flip turns into another class → that class."""
        return {}

    def inventory(self) -> Inventory:
        """What is here of what should be. Missing videos are told, and are no error."""
        lists = [(split, tuple(r.video_id for r in self.records(split))) for split in get_args(Split)]
        parts = tuple(InventoryList(split, split, found) for split, found in lists if found)
        return Inventory(parts, classes=len(self.classes))

    def verify(self) -> Sequence[str]:
        """What is no longer as `prepare` found it, a sentence each; makes and changes nothing.

        Raise UsageError where nothing is kept that files could be compared with.
        """
        records = [record for split in get_args(Split) for record in self.records(split)]
        gone = [record for record in records if not Path(record.path).is_file()]
        return [f"{record.video_id}: there is no file {record.path!r}." for record in gone]


# ------------------------------------------------------------------------------------------ evaluator


@dataclass(frozen=True, slots=True)
class Metric:
    """One score. `per_video` (V,), where there is one, has the score as its mean; intervals need it.

    Args:
        value: The score, in `unit`.
        per_video: float array (V,) in the order of `EvaluationResult.video_ids`.
        unit: `"%"` for shares (0 … 100), else a name such as `"ms"`.
        higher_is_better: False for errors and times; None where neither direction is better: tables then
            show no gain, no order and no best.
        chance: The value that guessing would give, where that is known.
    """

    value: float
    per_video: np.ndarray | None = None
    unit: str = "%"
    higher_is_better: bool | None = True
    chance: float | None = None


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """What an evaluator found.

    Args:
        metrics: Name → score; the first one is what tables show.
        video_ids: The scored test videos (V,), the axis of every `per_video`.
        arrays: Anything else per video or not (features, matrices), stored as .npy. Two names have a
            meaning that the report draws: float `scores` (V, K) beside int `labels` (V,) give confusions and
            the hardest videos, int `indices` (V, R) into the records of `data.train`, nearest first, gives
            pictures of queries and their nearest videos.
        curves: Name → values over the evaluator's own epochs (training loss, validation accuracy).
    """

    metrics: Mapping[str, Metric]
    video_ids: Sequence[str] = ()
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)


class EvaluationPart(ABC):
    """The labelled videos of one part of the target dataset, as an evaluator sees them."""

    records: Sequence[VideoRecord]
    labels: np.ndarray  # (V,) int64

    @abstractmethod
    def batches(
        self, *, batch_size: int, epoch: int = 0, train: bool = False, num_clips: int = 1
    ) -> Iterator[tuple[Tensor, Tensor, np.ndarray]]:
        """Clips of every video, in batches on the device of the run.

        With `train`, one random clip of each video under the protocol's finetune augmentation, in an
        order drawn for this epoch; otherwise `num_clips` evenly spaced centre crops of each video, in
        the order of `records`, the clips of one video following one another.

        Yields:
            (video (N, 3, T, H, W) normalised, labels (N,) int64, rows (N,) in `records`).
        """

    def frames(
        self, clip: ClipSpec, *, batch_size: int, num_clips: int = 1
    ) -> Iterator[tuple[Tensor, np.ndarray]]:
        """Plain pixels in another geometry, for networks that bring their own size and normalisation.

        Evenly spaced centre crops of each video, in the order of `records`, the clips of one video
        following one another.

        Yields:
            (video (N, 3, T, H, W) uint8, rows (N,) in `records`).
        """
        raise ContractError(f"{type(self).__name__} gives no plain pixels; take `batches`.")

    @abstractmethod
    def features(self, backbone: Backbone, *, num_clips: int) -> np.ndarray:
        """Pooled features (V, num_clips, D) float32 of evenly spaced centre crops, backbone in eval mode.

        Computed once per backbone weights and kept for the other evaluators of the cell.
        """

    def subset(self, rows: Sequence[int]) -> EvaluationPart:
        """These videos alone, in this order.

        Args:
            rows: Of `records`, each once at most.
        """
        raise ContractError(f"{type(self).__name__} cannot be divided.")

    def corrupted(
        self,
        corruption: Corruption | None,
        *,
        severity: int = 1,
        order: Literal["native", "post_resize"] = "native",
        seed: int = 0,
    ) -> EvaluationPart:
        """The same videos made worse; it gives evenly spaced centre crops, and no training clips.

        Args:
            corruption: What is done to them; None: nothing, but along the same path.
            severity: One of the corruption's `severities`.
            order: On frames of the file's own size, or after they were cropped and resized to the clip's.
            seed: Of what is random; the same for all cells and machines.

        Raises:
            ContractError: A severity that the corruption does not have, or frames of another shape.
        """
        raise ContractError(f"{type(self).__name__} holds no videos that could be made worse.")


class EvaluationData(ABC):
    """The target dataset as one evaluator may use it.

    `train` and `validation` are for fitting and for choosing. `test()` gives the test part and closes
    the other two: an evaluator that has seen the test set can neither fit nor choose any more.
    """

    classes: Sequence[str]
    name: str = ""  # the target's, where it has one

    def keep(self, key: str, make: Callable[[], Anything]) -> Anything:
        """What `make` gives, made once for all evaluators of a cell on this target that use the same key."""
        del key
        return make()

    @property
    @abstractmethod
    def train(self) -> EvaluationPart:
        """Videos to fit on. Raises ContractError after `test()` was called."""

    @property
    @abstractmethod
    def validation(self) -> EvaluationPart:
        """Videos to choose by, of other groups than `train`. Raises ContractError after `test()`."""

    @property
    def train_and_validation(self) -> EvaluationPart:
        """Both in one part, to fit on where nothing is chosen. Raises ContractError after `test()`."""
        raise ContractError(f"{type(self).__name__} gives train and validation videos apart alone.")

    @abstractmethod
    def test(self) -> EvaluationPart:
        """The test videos, for the final scoring alone."""


def no_other_cells(cell_id: str) -> Backbone:
    """Outside a run folder there is no other cell. Raises UsageError."""
    raise UsageError(f"cell {cell_id!r} was asked for, but this evaluation stands in no run folder.")


@dataclass(frozen=True, slots=True)
class EvaluationContext:
    """Everything around an evaluation that must be equal for all.

    Args:
        clip: Geometry of the clips.
        seed: The cell's seed; equal for all tasks.
        device: Where the backbone is and the clips arrive.
        num_test_clips: Evenly spaced clips per test video, averaged per video.
        folder: The evaluator's own folder in the bundle; write artifacts here and nowhere else.
        progress: Progress bars.
        autocast: Context manager factory with the precision that the run has chosen.
        parts: Option that names other components (`Evaluator.parts`) → what it names, made.
        cell: The pretrained backbone of another finished cell of the run folder, by its id, on `device`.
    """

    clip: ClipSpec
    seed: int
    device: torch.device
    num_test_clips: int
    folder: Path
    progress: Progress
    autocast: Callable[[], Any]
    parts: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    cell: Callable[[str], Backbone] = no_other_cells


class Evaluator(ABC):
    """Scores a backbone on a labelled dataset. It owns its copy of the backbone and may train it.

    An option may name other components, one or several: `parts` says which options do, and of what kind.
    They are checked before anything runs, belong to the key, have the options that the run gives them
    (`-o eval/NAME.k=v`, `-o corruption/NAME.k=v`) and arrive made in `context.parts`. `cells` says which
    options are ids of other cells, for `context.cell`. `of_the_backbone` is false for one that scores
    something else (a foundation model of its own), whose scores are equal for all backbones.
    """

    Options: ClassVar[type[Options]] = Options
    parts: ClassVar[Mapping[str, Literal["evaluator", "corruption"]]] = {}
    cells: ClassVar[frozenset[str]] = frozenset()
    of_the_backbone: ClassVar[bool] = True
    paper: ClassVar[str] = ""

    @abstractmethod
    def __init__(self, options: Any) -> None:
        """Keep the options."""

    @abstractmethod
    def evaluate(
        self, backbone: Backbone, data: EvaluationData, context: EvaluationContext
    ) -> EvaluationResult:
        """Fit on `data.train`, choose on `data.validation`, score on `data.test()`, in this order."""

    def recompute(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, Metric] | None:
        """The metrics once more, from stored arrays alone: what `vssl verify` compares a bundle with.

        Optional. Without it, metrics are verified by their values per video and by digests.

        Args:
            arrays: `EvaluationResult.arrays` as they were read back. Verification compares three names with
                the dataset: integers `labels` (V,) are those of the scored videos, `num_classes` and the last
                axis of `scores` and of `scores_NAME` (V, …, K) the number of its classes.

        Returns:
            Those metrics that follow from the arrays, in the order of `evaluate`, with `per_video` and
            `chance`; None: none does.
            Raise KeyError (as `arrays[name]` does) where an array is missing.
        """
        del arrays
        return None


# ------------------------------------------------------------------------------------------- executor


@dataclass(frozen=True, slots=True)
class CellHandle:
    """A cell to run: an id and the run folder that describes it, never a pickled object.

    Args:
        cell_id: The cell.
        runs: The run folder.
        command: Runs the cell to its end wherever `runs` is reachable; exit code 0 when it is done.
        environment: Variables to set for it where the user has not set them.
    """

    cell_id: str
    runs: Path
    command: tuple[str, ...]
    environment: Mapping[str, str]


class Executor(ABC):
    """Runs cells somewhere. The run folder holds the truth; an executor may be killed and rerun."""

    Options: ClassVar[type[Options]] = Options

    @abstractmethod
    def __init__(self, options: Any) -> None:
        """Keep the options."""

    @abstractmethod
    def run(self, cells: Sequence[CellHandle], progress: Progress) -> Mapping[str, str]:
        """Run every cell to its end, retrying lost ones; cell id → reason, for those that failed."""
