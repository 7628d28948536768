"""VideoMAE: draw the nine tenths of a clip that are hidden.

Tong et al., VideoMAE: Masked Autoencoders are Data-Efficient Learners for Self-Supervised Video Pre-Training,
NeurIPS 2022. A clip is cut into tokens of t x p x p pixels, and a share ρ of the places is hidden through all
its frames (tubes). The backbone f sees the shown tokens S alone; a small decoder g is given its features and
a learnt vector at each hidden place, and tells the pixels x_h of the hidden tokens H:

    L = mean over h in H of (g(f(x_S))_h - n(x_h))²               mean over pixels and the batch

n gives every channel of every token the mean 0 and the variance 1. The encoder's cost is that of the tenth
that is shown.

`relative_error` is the error beside that of predicting each token's mean: 1 is what can be had without
looking at a clip, 0 is a perfect drawing.

Author's settings: 16 frames at stride 4 (Kinetics) or 2 (Something-Something) of 224 pixels, tokens of
2 x 16 x 16, ρ = 0.9, ViT-B, a decoder of 4 blocks of half the encoder's width, AdamW with β = (0.9, 0.95),
1024 clips a batch, learning rate 6e-4 on a cosine after 40 epochs of warm-up, weight decay 0.05, 800 epochs
and more. The protocol replaces clip, optimiser and budget, so that all tasks train alike; the backbone
says what a token is.

Deviations from the authors' code, each with the option that undoes it where one can:

- Augmentation is that of vssl's built-in tasks: small rotation, crop, colour and flip. `augmentation=paper`
  is a crop of 0.66 to 1 of the side; theirs takes one of thirteen places, this one any.
- At least one place is hidden and one is shown, also where the grid is so small that ρ gives none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from vssl_core import (
    Backbone,
    ClipSpec,
    OptionError,
    Options,
    PretextTask,
    TaskContext,
    TaskOutput,
    ViewSampler,
)
from vssl_core.augmentation import (
    Augmentation,
    ColorJitter,
    HorizontalFlip,
    Op,
    RandomCrop,
    ResizedCrop,
    RotationJitter,
    ViewAugmentation,
)
from vssl_plugin_videomae.decoder import Decoder
from vssl_plugin_videomae.masks import MaskedClip, num_hidden, tubes
from vssl_plugin_videomae.tokens import normalized, tubelets

__all__ = ["VideoMAE", "VideoMAEOptions"]

_OPS: dict[str, tuple[Op, ...]] = {
    "benchmark": (RotationJitter(), RandomCrop(), ColorJitter(), HorizontalFlip()),
    "paper": (ResizedCrop(area=(0.66**2, 1.0), aspect=(0.86, 1.17)),),
}


class VideoMAEOptions(Options):
    """Defaults are the authors', but for `augmentation`."""

    mask_ratio: float = Field(0.9, gt=0, lt=1)
    """Share ρ of the places that are hidden, rounded down to whole places."""
    decoder_dim: Annotated[int, Field(ge=32, multiple_of=32)] | Literal["auto"] = "auto"
    """Width of the decoder, a multiple of 32; `auto`: half of the backbone's, rounded up to such a one."""
    decoder_depth: int = Field(4, ge=1)
    """Blocks of the decoder."""
    augmentation: Literal["benchmark", "paper"] = "benchmark"
    """`benchmark`: rotation, crop, colour and flip; `paper`: a crop of random size."""


class VideoMAE(PretextTask):
    """Masked video modelling with tubes: what do the hidden nine tenths look like?"""

    api_version = 1
    Options = VideoMAEOptions
    requires = frozenset({"masked_tokens"})
    paper = "https://arxiv.org/abs/2203.12602"

    @classmethod
    def sampler(cls, options: Any, clip: ClipSpec) -> ViewSampler:
        """One clip at a uniform place and the number that its mask is made from."""
        del options
        return MaskedClip(clip)

    @classmethod
    def augmentation(cls, options: Any, clip: ClipSpec) -> Augmentation:
        """One view: what is hidden of it is the target of what is shown."""
        del clip
        return {"clip": ViewAugmentation(_OPS[options.augmentation])}

    def __init__(self, make_backbone: Callable[[], Backbone], options: Any, context: TaskContext) -> None:
        """Backbone and decoder.

        Raises:
            OptionError: A frame of one token: it cannot be hidden and shown.
        """
        super().__init__(make_backbone, options, context)
        self.backbone: Any = make_backbone()
        clip, self.token_size = context.clip, self.backbone.token_size
        time, height, width = self.token_size
        self.grid_THW = (clip.num_frames // time, clip.crop_size // height, clip.crop_size // width)
        if self.grid_THW[1] * self.grid_THW[2] < 2:
            raise OptionError(
                "videomae hides some of the tokens of a frame and shows others; got one token of "
                f"{height} x {width} pixels for {clip.crop_size}. Set a smaller -o backbone.patch_size."
            )
        self.hidden = num_hidden(options.mask_ratio, self.grid_THW)
        half = -(-self.backbone.embed_dim // 64) * 32
        self.decoder = Decoder(
            self.backbone.embed_dim,
            dim=half if options.decoder_dim == "auto" else options.decoder_dim,
            depth=options.decoder_depth,
            num_tokens=self.grid_THW[0] * self.grid_THW[1] * self.grid_THW[2],
            out_dim=3 * time * height * width,
        )

    def forward(self, views: Mapping[str, Tensor], info: Mapping[str, Tensor]) -> TaskOutput:
        """Error of the hidden tokens of `clip` (B, 3, T, H, W), hidden as `mask_seed` (B,) says."""
        shown_BN, hidden_BM = tubes(info["mask_seed"], self.grid_THW, hidden=self.hidden)
        target_BMP = self.target(views["clip"], hidden_BM)
        drawn_BMP = self.draw(views["clip"], shown_BN, hidden_BM).float()
        loss = F.mse_loss(drawn_BMP, target_BMP)
        with torch.no_grad():
            error_B = (drawn_BMP - target_BMP).square().mean(dim=(1, 2))
            blind_B = target_BMP.square().mean(dim=(1, 2))
            relative_B = torch.where(blind_B > 0, error_B / blind_B.clamp(min=1e-12), 1.0)
        return TaskOutput(
            loss=loss,
            losses={"reconstruction": loss.detach()},
            metrics={"relative_error": relative_B.mean()},
            chance={"relative_error": 1.0},
        )

    def draw(self, video_BCTHW: Tensor, shown_BN: Tensor, hidden_BM: Tensor) -> Tensor:
        """Pixels (B, M, P) of the hidden tokens, from those of the shown ones alone."""
        return self.decoder(self.backbone.forward_tokens(video_BCTHW, shown_BN), shown_BN, hidden_BM)

    @torch.no_grad()
    def target(self, video_BCTHW: Tensor, hidden_BM: Tensor) -> Tensor:
        """Pixels (B, M, P) of the hidden tokens, normalised token by token."""
        patches_BLP = tubelets(video_BCTHW, self.token_size)
        return normalized(patches_BLP.take_along_dim(hidden_BM[..., None], dim=1))
