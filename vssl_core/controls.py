"""The two controls that stand in every table: random initialisation and supervised from scratch.

They run by the path of every task. Only here does a label reach training: the supervised control is the
ceiling, no pretext task, and cannot be named on the command line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from vssl_core.augmentation.ops import Augmentation, RandomCrop, ViewAugmentation
from vssl_core.interfaces import Backbone, PretextTask, TaskContext, TaskOutput, ViewSampler
from vssl_core.options import Options
from vssl_core.sampling import UniformClip
from vssl_core.types import ClipSpec

__all__ = ["RANDOM_INIT", "SUPERVISED", "Supervised"]

RANDOM_INIT = "random_init"
SUPERVISED = "supervised"


class SupervisedOptions(Options):
    """Set by the core."""

    num_classes: int = 2
    """Classes of the labelled set."""


class Supervised(PretextTask):
    """Cross-entropy on the labels, with the protocol's optimiser, budget and data order."""

    Options: ClassVar[type[Options]] = SupervisedOptions

    @classmethod
    def sampler(cls, options: Any, clip: ClipSpec) -> ViewSampler:
        """One clip at a uniform place."""
        del options
        return UniformClip(clip)

    @classmethod
    def augmentation(cls, options: Any, clip: ClipSpec) -> Augmentation:
        """A random crop: a flip would change the class of directed motion."""
        del options, clip
        return {"clip": ViewAugmentation((RandomCrop(),))}

    def __init__(self, make_backbone: Callable[[], Backbone], options: Any, context: TaskContext) -> None:
        super().__init__(make_backbone, options, context)
        self.backbone = make_backbone()
        self.num_classes = options.num_classes
        self.head = nn.Linear(self.backbone.embed_dim, options.num_classes)

    def forward(self, views: Mapping[str, Tensor], info: Mapping[str, Tensor]) -> TaskOutput:
        """Mean cross-entropy of `info["label"]`."""
        logits_BK = self.head(self.backbone(views["clip"])).float()
        loss = F.cross_entropy(logits_BK, info["label"])
        accuracy = (logits_BK.argmax(1) == info["label"]).float().mean()
        return TaskOutput(
            loss, metrics={"accuracy": accuracy.detach()}, chance={"accuracy": 1.0 / self.num_classes}
        )
