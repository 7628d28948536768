"""The arrow of time (Wei et al., CVPR 2018) as a task in one file: is a clip played forwards or backwards?

python examples/my_task.py
vssl bench --task examples/my_task.py:MyTask
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from pydantic import Field
from torch import Tensor, nn

import vssl_core
from vssl_core import Backbone, ClipSpec, Options, PretextTask, Sampled, TaskContext, TaskOutput, UniformClip
from vssl_core.augmentation import Augmentation, ColorJitter, RandomCrop, ViewAugmentation


@dataclass(frozen=True)
class ForwardsOrBackwards:  # a class at the top of the file, because samplers are pickled
    clip: ClipSpec

    def __call__(self, n_frames: int, fps: float, generator: np.random.Generator) -> Sampled:
        frames = UniformClip(self.clip)(n_frames, fps, generator).frames["clip"]
        backwards = int(generator.integers(2))
        return Sampled({"clip": frames[::-1] if backwards else frames}, {"backwards": backwards})


class MyTaskOptions(Options):
    dropout: float = Field(0.2, ge=0, lt=1, description="Share of the features hidden from the head.")


class MyTask(PretextTask):
    Options = MyTaskOptions

    @classmethod
    def sampler(cls, options: MyTaskOptions, clip: ClipSpec) -> ForwardsOrBackwards:
        return ForwardsOrBackwards(clip)

    @classmethod
    def augmentation(cls, options: MyTaskOptions, clip: ClipSpec) -> Augmentation:
        return {"clip": ViewAugmentation((RandomCrop(), ColorJitter()))}

    def __init__(
        self, make_backbone: Callable[[], Backbone], options: MyTaskOptions, context: TaskContext
    ) -> None:
        super().__init__(make_backbone, options, context)
        self.backbone = make_backbone()
        self.head = nn.Sequential(nn.Dropout(options.dropout), nn.Linear(self.backbone.embed_dim, 2))

    def forward(self, views: Mapping[str, Tensor], info: Mapping[str, Tensor]) -> TaskOutput:
        logits = self.head(self.backbone(views["clip"]))
        loss = nn.functional.cross_entropy(logits.float(), info["backwards"])
        accuracy = (logits.detach().argmax(dim=1) == info["backwards"]).float().mean()
        return TaskOutput(loss, metrics={"accuracy": accuracy}, chance={"accuracy": 0.5})


if __name__ == "__main__":
    print("open", vssl_core.bench(task=MyTask, protocol="smoke").report)
