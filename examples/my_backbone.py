"""A backbone in one file, without packaging: an image network, frame by frame (TSN, Wang et al., ECCV 2016).

    vssl bench --task vcop --backbone examples/my_backbone.py:MyBackbone -o backbone.model=resnet34

It sees what is in a frame and nothing of the order of frames: how far it comes is how far stills suffice.
"""

from collections.abc import Mapping
from typing import Literal

import timm
from pydantic import Field
from torch import Tensor, nn

from vssl_core import Backbone, ClipSpec, ContractError, Options


class MyBackboneOptions(Options):
    model: Literal["resnet10t", "resnet18", "resnet34"] = Field("resnet18", description="Network of timm.")


class MyBackbone(Backbone):
    Options = MyBackboneOptions

    def __init__(self, options: MyBackboneOptions, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        self.network = timm.create_model(options.model, pretrained=False, num_classes=0, global_pool="")
        self.embed_dim = self.network.num_features

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        if video_BCTHW.ndim != 5:
            raise ContractError(f"MyBackbone takes clips (B, 3, T, H, W); got {tuple(video_BCTHW.shape)}.")
        batch, _, frames, _, _ = video_BCTHW.shape
        images_NCHW = video_BCTHW.transpose(1, 2).flatten(0, 1)  # N = B·T
        maps_NDHW = self.network(images_NCHW)
        return maps_NDHW.unflatten(0, (batch, frames)).transpose(1, 2)  # (B, D, T, H/32, W/32)

    def stages(self) -> Mapping[str, nn.Module]:
        return {name: self.network.get_submodule(name) for name in ("layer1", "layer2", "layer3", "layer4")}
