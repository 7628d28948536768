"""Finetuning: the backbone and a new linear head trained end to end on the labelled target.

The benchmark paper finetunes all weights almost everywhere (arXiv 2306.06010, supplementary; the length,
100 epochs, is stated once, for its out-of-distribution experiment) and scores ten evenly spaced centre
crops of each test video, as the code of its methods does. Its optimiser, rates and schedule are not stated;
the defaults here are for small data and a few epochs, and a protocol states its own.

Axes: B clip of a batch, N clip of a part, V video, D embedding, K class.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from vssl_core.errors import DatasetError, DivergedError
from vssl_core.interfaces import (
    Backbone,
    EvaluationContext,
    EvaluationData,
    EvaluationPart,
    EvaluationResult,
    Evaluator,
)
from vssl_core.metrics import (
    average_clips,
    check_labels,
    classification_metrics,
    top_k_correct,
    unseen_classes,
)
from vssl_core.optim import rate_at
from vssl_core.options import Options
from vssl_core.seeding import key_seed

__all__ = ["Finetune", "FinetuneOptions"]


class FinetuneOptions(Options):
    """Options of finetuning."""

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
    """Weight decay of weights; biases and normalisation have none."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of the training with a linearly rising rate; then a cosine to zero."""
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
    patience: int = Field(0, ge=0)
    """With `select` best, stop after this many validations without improvement; 0: never."""


class _Classifier(nn.Module):
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


@dataclass
class _Training:
    """What is known after some epochs, and the weights to score: the best so far, or None for the last."""

    train_loss: list[float] = field(default_factory=list)
    validation_epoch: list[float] = field(default_factory=list)
    validation_top1: list[float] = field(default_factory=list)
    best: tuple[float, float] = (-1.0, 0.0)  # validation top-1, then mean log-likelihood
    best_weights: Mapping[str, Tensor] | None = None
    worse_in_a_row: int = 0


class Finetune(Evaluator):
    """End-to-end training with cross-entropy, seeded by the cell's seed.

    With `select` best, the epoch with the highest validation top-1 is scored (of equal ones the one with
    the higher likelihood, of equal ones the earlier). A test video's score is the mean of its clips' softmax
    scores (paper, supplementary: full finetuning, ten evenly spaced centre crops).
    """

    api_version = 1
    Options = FinetuneOptions
    paper = "https://arxiv.org/abs/2306.06010"

    def __init__(self, options: FinetuneOptions) -> None:
        self.options = options

    def evaluate(
        self, backbone: Backbone, data: EvaluationData, context: EvaluationContext
    ) -> EvaluationResult:
        """Train on the train part, choose the epoch on the validation part, score the test part.

        The given backbone is trained in place. The global random generators are left as they were.

        Returns:
            `top1`, `top5` (more than five classes), `mean_class_accuracy`; arrays `scores` (V, K) and
            `labels` (V,); curves `train_loss` per epoch and `validation_top1` with `validation_epoch`.

        Raises:
            DatasetError: No two classes to fit, an unlabelled video, an empty part that is needed.
            DivergedError: The loss, the gradient or a score is no finite number.
        """
        fit_labels, validation = self._checked_parts(data)
        devices = [context.device] if context.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), torch.enable_grad():
            torch.manual_seed(key_seed("finetune", context.seed))
            model = _Classifier(backbone, num_classes=len(data.classes), dropout=self.options.dropout)
            model.to(context.device)
            training = self._train(model, data.train, validation, context)
        if training.best_weights is not None:
            model.load_state_dict(training.best_weights)

        test = data.test()
        labels_V = check_labels(test, data.classes, name="test")
        if unseen := unseen_classes(fit_labels, labels_V, data.classes):
            context.progress.say(f"finetune: no training video has the test classes {', '.join(unseen)}.")
        scores_VK = self._score(model, test, context, num_clips=context.num_test_clips)
        curves = {"train_loss": training.train_loss}
        if training.validation_top1:
            curves["validation_top1"] = training.validation_top1
            curves["validation_epoch"] = training.validation_epoch
        return EvaluationResult(
            metrics=classification_metrics(scores_VK, labels_V),
            video_ids=[record.video_id for record in test.records],
            arrays={"scores": scores_VK.astype(np.float32), "labels": labels_V},
            curves=curves,
        )

    def _checked_parts(self, data: EvaluationData) -> tuple[np.ndarray, EvaluationPart | None]:
        """The training labels, and the validation part where it holds any video."""
        labels = check_labels(data.train, data.classes, name="train")
        if len(np.unique(labels)) < 2:
            raise DatasetError(
                f"finetuning needs training videos of at least two classes; all {len(labels)} are "
                f"{data.classes[labels[0]]!r}. Give the dataset's train split more classes."
            )
        if data.validation.records:
            check_labels(data.validation, data.classes, name="validation")
            return labels, data.validation
        if self.options.select == "best":
            raise DatasetError(
                "finetune selects the best epoch on the validation part, which is empty. Give the dataset "
                "a validation split, or score the last epoch with -o eval/finetune.select=last."
            )
        return labels, None

    # ----------------------------------------------------------------------------------- training

    def _train(
        self,
        model: _Classifier,
        train: EvaluationPart,
        validation: EvaluationPart | None,
        context: EvaluationContext,
    ) -> _Training:
        optimizer = _build_optimizer(model, self.options)
        training = _Training()
        total = self.options.epochs * len(train.records)
        with context.progress.track("finetune", total, "clips") as bar:
            for epoch in range(self.options.epochs):
                model.train()
                losses: list[float] = []
                sizes: list[int] = []
                batches = train.batches(batch_size=self.options.batch_size, epoch=epoch, train=True)
                for video_BCTHW, labels_B in _without_single_clips(batches):
                    # Counted in clips, at the middle of the step.
                    seen = epoch * len(train.records) + sum(sizes) + 0.5 * len(labels_B)
                    rate = self.options.lr * rate_at(seen / total, self.options.warmup)
                    losses.append(self._step(model, optimizer, video_BCTHW, labels_B, rate, context))
                    sizes.append(len(labels_B))
                    bar.advance(len(labels_B), note=f"epoch {epoch + 1}, loss {losses[-1]:.3f}")
                training.train_loss.append(float(np.average(losses, weights=sizes)))
                due = (epoch + 1) % self.options.eval_every == 0 or epoch + 1 == self.options.epochs
                if validation is not None and due:
                    self._validate(model, validation, training, context)
                    if 0 < self.options.patience <= training.worse_in_a_row:
                        break
        return training

    def _step(
        self,
        model: _Classifier,
        optimizer: torch.optim.Optimizer,
        video_BCTHW: Tensor,
        labels_B: Tensor,
        rate: float,
        context: EvaluationContext,
    ) -> float:
        """One optimiser step; gives the loss."""
        for group in optimizer.param_groups:
            group["lr"] = rate * group["lr_scale"]
        with context.autocast():
            logits_BK = model(video_BCTHW)
        loss = nn.functional.cross_entropy(
            logits_BK.float(), labels_B, label_smoothing=self.options.label_smoothing
        )
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), self.options.clip_norm or float("inf"))
        value = float(loss.detach())
        if not np.isfinite(value) or not np.isfinite(float(norm)):
            raise DivergedError(
                f"finetuning diverged: loss {value}, gradient norm {float(norm)} at a rate of {rate:.3g}. "
                "Lower -o eval/finetune.lr or -o eval/finetune.clip_norm."
            )
        optimizer.step()
        return value

    def _validate(
        self, model: _Classifier, validation: EvaluationPart, training: _Training, context: EvaluationContext
    ) -> None:
        """Note the validation top-1 of the epoch that just ended, and keep its weights if they are best."""
        labels_V = np.asarray(validation.labels, dtype=np.int64)
        scores_VK = self._score(model, validation, context, num_clips=1)
        top1 = 100.0 * float(top_k_correct(scores_VK, labels_V, k=1).mean())
        own_V1 = np.take_along_axis(scores_VK, labels_V[:, None], axis=1)
        training.validation_epoch.append(float(len(training.train_loss)))
        training.validation_top1.append(top1)
        if self.options.select == "last":
            return
        quality = (top1, float(np.log(np.maximum(own_V1, 1e-12)).mean()))
        if quality > training.best:
            training.best, training.worse_in_a_row = quality, 0
            training.best_weights = {name: value.clone() for name, value in model.state_dict().items()}
        else:
            training.worse_in_a_row += 1

    # ------------------------------------------------------------------------------------ scoring

    @torch.no_grad()
    def _score(
        self, model: _Classifier, part: EvaluationPart, context: EvaluationContext, *, num_clips: int
    ) -> np.ndarray:
        """Mean softmax score (V, K) float64 of every video's evenly spaced centre crops."""
        model.eval()
        scores: list[np.ndarray] = []
        rows: list[np.ndarray] = []
        for video_NCTHW, _, rows_N in part.batches(batch_size=self.options.batch_size, num_clips=num_clips):
            with context.autocast():
                logits_NK = model(video_NCTHW)
            scores.append(logits_NK.float().softmax(dim=1).cpu().numpy())
            rows.append(rows_N)
        scores_NK = np.concatenate(scores)
        if not np.isfinite(scores_NK).all():
            raise DivergedError(
                "the finetuned model gives scores that are not finite. Lower -o eval/finetune.lr."
            )
        return average_clips(scores_NK, np.concatenate(rows), num_videos=len(part.records))


def _build_optimizer(model: _Classifier, options: FinetuneOptions) -> torch.optim.Optimizer:
    """The optimiser over backbone and head, without decay for parameters of one axis."""
    groups: list[dict[str, Any]] = []
    for module, scale in ((model.backbone, 1.0), (model.head, options.head_lr_scale)):
        trainable = [p for p in module.parameters() if p.requires_grad]
        weights, others = [p for p in trainable if p.ndim > 1], [p for p in trainable if p.ndim <= 1]
        groups += [
            {"params": weights, "lr_scale": scale, "weight_decay": options.weight_decay},
            {"params": others, "lr_scale": scale, "weight_decay": 0.0},
        ]
    groups = [group for group in groups if group["params"]]
    if options.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=options.lr, momentum=0.9)
    return torch.optim.AdamW(groups, lr=options.lr)


def _without_single_clips(
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
