"""Training a backbone and a new linear head end to end: the loop that finetuning and distillation share.

What is learnt is a loss of (clips, logits, labels); data, order, optimiser, schedule, the choice of the epoch
and every random draw are those of the cell's seed and of the options, whatever the loss.

Axes: B clip of a batch, N clip of a part, V video, D embedding, K class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from vssl_core.classifier import Classifier
from vssl_core.errors import DatasetError, DivergedError
from vssl_core.interfaces import Backbone, EvaluationContext, EvaluationData, EvaluationPart
from vssl_core.metrics import check_labels, top_k_correct
from vssl_core.optim import rate_at
from vssl_core.options import Options
from vssl_core.seeding import key_seed

__all__ = [
    "Loss",
    "TrainingOptions",
    "cross_entropy",
    "rate_factor",
    "train_classifier",
    "without_single_clips",
]

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(clips (B, 3, T, H, W), logits (B, K) float32, labels (B,)) → scalar. It draws no random numbers."""


class TrainingOptions(Options):
    """Options of training a classifier end to end."""

    epochs: int = Field(10, ge=1)
    """Passes over the training videos, one clip of each per pass."""
    batch_size: int = Field(16, ge=2)
    """Clips in one step. A single clip left over at the end of a pass joins the step before it."""
    optimizer: Literal["sgd", "adamw"] = "adamw"
    """SGD with momentum 0.9, or AdamW."""
    lr: float = Field(1e-3, gt=0)
    """Peak learning rate of the backbone."""
    head_lr_scale: float = Field(1.0, gt=0)
    """The head's learning rate as a multiple of the backbone's."""
    weight_decay: float = Field(0.01, ge=0)
    """Weight decay of weights."""
    decay_all: bool = False
    """Weight decay of biases and normalisation as well."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of the training with a linearly rising rate."""
    schedule: Literal["cosine", "steps"] = "cosine"
    """After the warm-up: a cosine to zero, or a tenth of the rate after each of `milestones`."""
    milestones: tuple[float, ...] = ()
    """Shares of the training at which `schedule` steps cuts the rate to a tenth; none: it stays."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the target that is spread evenly over all classes."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of the pooled features set to zero before the head."""
    clip_norm: float | None = Field(5.0, gt=0)
    """Largest gradient norm; null: no clipping."""
    select: Literal["best", "last"] = "best"
    """Score the weights of the best epoch on the validation part, or those of the last epoch."""
    eval_every: int = Field(1, ge=1)
    """Epochs between two validations, of one clip per video. The last epoch is always validated."""

    fit_on: Literal["train", "train_and_validation"] = "train"
    """Train on the train part, or on the validation part, too; then nothing is left to select an epoch by."""

    @model_validator(mode="after")
    def _selectable(self) -> TrainingOptions:
        if self.fit_on != "train" and self.select == "best":
            raise ValueError("fit_on train_and_validation leaves no videos to select by; set select to last")
        return self

    @field_validator("milestones")
    @classmethod
    def _shares(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 < share < 1 for share in value):
            raise ValueError("milestones must be shares of the training between 0 and 1")
        return tuple(sorted(set(value)))


class _Model(nn.Module):
    """The backbone under a linear head with small random weights; (B, 3, T, H, W) → (B, K)."""

    def __init__(self, backbone: Backbone, *, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(backbone.embed_dim, num_classes)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward(self, video_BCTHW: Tensor) -> Tensor:
        logits: Tensor = self.head(self.dropout(self.backbone(video_BCTHW)))
        return logits


class _Trained(Classifier):
    """The trained model, in eval mode from now on."""

    def __init__(self, model: _Model, labels: np.ndarray, curves: Mapping[str, Sequence[float]]) -> None:
        self.model, self.labels, self.curves = model.eval(), labels, curves

    @torch.no_grad()
    def logits(self, video_NCTHW: Tensor) -> Tensor:
        """(N, 3, T, H, W) → (N, K)."""
        self.model.eval()
        logits_NK: Tensor = self.model(video_NCTHW)
        return logits_NK


def cross_entropy(label_smoothing: float) -> Loss:
    """The usual loss of a classifier, which looks at logits and labels alone."""

    def loss(video_BCTHW: Tensor, logits_BK: Tensor, labels_B: Tensor) -> Tensor:
        del video_BCTHW
        return nn.functional.cross_entropy(logits_BK, labels_B, label_smoothing=label_smoothing)

    return loss


def train_classifier(
    backbone: Backbone,
    data: EvaluationData,
    context: EvaluationContext,
    *,
    options: TrainingOptions,
    loss: Loss,
    name: str,
    patience: int = 0,
) -> Classifier:
    """Train on the train part and choose the epoch on the validation part.

    The given backbone is trained in place. The global random generators are left as they were.

    Args:
        name: The evaluator's, for messages and progress.
        patience: With `select` best, stop after this many validations without improvement; 0: never.

    Returns:
        With the curves `train_loss` per epoch and `validation_top1` with `validation_epoch`.

    Raises:
        DatasetError: No two classes to fit, an unlabelled video, an empty part that is needed.
        DivergedError: The loss, the gradient or a validation score is no finite number.
    """
    train, labels, validation = _checked_parts(data, options, name)
    devices = [context.device] if context.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), torch.enable_grad():
        torch.manual_seed(key_seed("finetune", context.seed))  # one for all losses, so that they are paired
        model = _Model(backbone, num_classes=len(data.classes), dropout=options.dropout)
        model.to(context.device)
        training = _Training(model, options, loss, context, name)
        training.run(train, validation, patience)
    if training.best_weights is not None:
        model.load_state_dict(training.best_weights)
    curves = {"train_loss": training.train_loss}
    if training.validation_top1:
        curves["validation_top1"] = training.validation_top1
        curves["validation_epoch"] = training.validation_epoch
    return _Trained(model, labels, curves)


def _checked_parts(
    data: EvaluationData, options: TrainingOptions, name: str
) -> tuple[EvaluationPart, np.ndarray, EvaluationPart | None]:
    """What to fit on, its labels, and the validation part where it has videos that are not fitted on."""
    train = data.train if options.fit_on == "train" else data.train_and_validation
    labels = check_labels(train, data.classes, name="train")
    if len(np.unique(labels)) < 2:
        raise DatasetError(
            f"{name} needs training videos of at least two classes; all {len(labels)} are "
            f"{data.classes[labels[0]]!r}. Give the dataset's train split more classes."
        )
    if options.fit_on != "train":
        return train, labels, None
    if data.validation.records:
        check_labels(data.validation, data.classes, name="validation")
        return train, labels, data.validation
    if options.select == "best":
        raise DatasetError(
            f"{name} selects the best epoch on the validation part, which is empty. Give the dataset "
            f"a validation split, or score the last epoch with -o eval/{name}.select=last."
        )
    return train, labels, None


@dataclass
class _Training:
    """A model on its way: what is known after some epochs, and the weights to score.

    Args:
        best: Validation top-1, then mean log-likelihood, of the best epoch so far.
        best_weights: Its weights; None: those of the last epoch are scored.
    """

    model: _Model
    options: TrainingOptions
    loss: Loss
    context: EvaluationContext
    name: str
    train_loss: list[float] = field(default_factory=list)
    validation_epoch: list[float] = field(default_factory=list)
    validation_top1: list[float] = field(default_factory=list)
    best: tuple[float, float] = (-1.0, 0.0)
    best_weights: Mapping[str, Tensor] | None = None
    worse_in_a_row: int = 0

    def run(self, train: EvaluationPart, validation: EvaluationPart | None, patience: int) -> None:
        options, optimizer = self.options, _build_optimizer(self.model, self.options)
        total = options.epochs * len(train.records)
        with self.context.progress.track(self.name, total, "clips") as bar:
            for epoch in range(options.epochs):
                self.model.train()
                losses: list[float] = []
                sizes: list[int] = []
                batches = train.batches(batch_size=options.batch_size, epoch=epoch, train=True)
                for video_BCTHW, labels_B in without_single_clips(batches):
                    # Counted in clips, at the middle of the step.
                    seen = epoch * len(train.records) + sum(sizes) + 0.5 * len(labels_B)
                    rate = options.lr * rate_factor(options, seen / total)
                    losses.append(self._step(optimizer, video_BCTHW, labels_B, rate))
                    sizes.append(len(labels_B))
                    bar.advance(len(labels_B), note=f"epoch {epoch + 1}, loss {losses[-1]:.3f}")
                self.train_loss.append(float(np.average(losses, weights=sizes)))
                due = (epoch + 1) % options.eval_every == 0 or epoch + 1 == options.epochs
                if validation is not None and due:
                    self._validate(validation)
                    if 0 < patience <= self.worse_in_a_row:
                        break

    def _step(
        self, optimizer: torch.optim.Optimizer, video_BCTHW: Tensor, labels_B: Tensor, rate: float
    ) -> float:
        """One optimiser step; gives the loss."""
        for group in optimizer.param_groups:
            group["lr"] = rate * group["lr_scale"]
        with self.context.autocast():
            logits_BK = self.model(video_BCTHW)
        loss = self.loss(video_BCTHW, logits_BK.float(), labels_B)
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.options.clip_norm or float("inf"))
        value = float(loss.detach())
        if not np.isfinite(value) or not np.isfinite(float(norm)):
            raise DivergedError(
                f"{self.name} diverged: loss {value}, gradient norm {float(norm)} at a rate of {rate:.3g}. "
                f"Lower -o eval/{self.name}.lr or -o eval/{self.name}.clip_norm."
            )
        optimizer.step()
        return value

    def _validate(self, validation: EvaluationPart) -> None:
        """Note the validation top-1 of the epoch that just ended, and keep its weights if they are best."""
        labels_V = np.asarray(validation.labels, dtype=np.int64)
        scores_VK = _Trained(self.model, labels_V, {}).scores(validation, self.context, num_clips=1)
        top1 = 100.0 * float(top_k_correct(scores_VK, labels_V, k=1).mean())
        own_V1 = np.take_along_axis(scores_VK, labels_V[:, None], axis=1)
        self.validation_epoch.append(float(len(self.train_loss)))
        self.validation_top1.append(top1)
        if self.options.select == "last":
            return
        quality = (top1, float(np.log(np.maximum(own_V1, 1e-12)).mean()))
        if quality > self.best:
            self.best, self.worse_in_a_row = quality, 0
            self.best_weights = {name: value.clone() for name, value in self.model.state_dict().items()}
        else:
            self.worse_in_a_row += 1


def rate_factor(options: TrainingOptions, fraction: float) -> float:
    """The learning rate at a share of the training, as a share of the peak."""
    if options.schedule == "cosine" or fraction < options.warmup:
        return rate_at(fraction, options.warmup)
    return 0.1 ** sum(fraction >= milestone for milestone in options.milestones)


def _build_optimizer(model: _Model, options: TrainingOptions) -> torch.optim.Optimizer:
    """The optimiser over backbone and head; parameters of one axis decay only where all do."""
    groups: list[dict[str, Any]] = []
    for module, scale in ((model.backbone, 1.0), (model.head, options.head_lr_scale)):
        trainable = [p for p in module.parameters() if p.requires_grad]
        weights, others = [p for p in trainable if p.ndim > 1], [p for p in trainable if p.ndim <= 1]
        decay = options.weight_decay
        groups += [
            {"params": weights, "lr_scale": scale, "weight_decay": decay},
            {"params": others, "lr_scale": scale, "weight_decay": decay if options.decay_all else 0.0},
        ]
    groups = [group for group in groups if group["params"]]
    if options.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=options.lr, momentum=0.9)
    return torch.optim.AdamW(groups, lr=options.lr)


def without_single_clips(
    batches: Iterator[tuple[Tensor, Tensor, np.ndarray]],
) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches, a last one of a single clip joined to the one before.

    BatchNorm has no variance over one clip whose last map is one pixel; leaving the clip out would train on
    another set of videos than was asked for.
    """
    held: Sequence[Tensor] | None = None
    for video_BCTHW, labels_B, _ in batches:
        if held is not None and len(labels_B) == 1:
            held = (torch.cat([held[0], video_BCTHW]), torch.cat([held[1], labels_B]))
            continue
        if held is not None:
            yield held[0], held[1]
        held = (video_BCTHW, labels_B)
    if held is not None:
        yield held[0], held[1]
