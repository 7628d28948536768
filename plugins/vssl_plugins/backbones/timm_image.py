"""Any image model of timm over the frames of a clip: the baseline that ignores time.

Frames are images of one batch; the map is the image model's last one for each frame, with whatever its head
does before pooling, and `forward` the mean over frames and places. So the features of a clip do not change
when its frames change places: what a network of clips reaches above this one, it has from motion or order,
and not from what a frame shows.

Nothing is downloaded; `-o backbone.weights=FILE` loads a file of timm's, with the classifier left out and the
positions of a ViT for images of another size interpolated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import timm
from einops import rearrange
from pydantic import Field, field_validator
from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn

from vssl_core.errors import UsageError, did_you_mean
from vssl_core.interfaces import Backbone
from vssl_core.options import Options
from vssl_core.types import ClipSpec
from vssl_core.weights import KeyMap
from vssl_plugins.backbones.token_weights import Tensors
from vssl_plugins.backbones.tokens import check_and_pad

__all__ = ["TimmImage", "TimmImageOptions"]

# How an image model is told the size of its images: those that take any size know none of these words.
SIZE_ARGUMENTS: tuple[dict[str, bool], ...] = (
    {"dynamic_img_size": True, "dynamic_img_pad": True},
    {"strict_img_size": False},
    {},
)

_ABOUT_SIZE = re.compile(r"\d|siz|divi|even|resolution", re.IGNORECASE).search


class TimmImageOptions(Options):
    """Which image model; the default is small enough for a CPU."""

    model: str = "resnet18"
    """Name of a model in timm (`timm.list_models()`), with or without the tag of its weights."""
    drop_path: float = Field(0.0, ge=0, lt=1)
    """Stochastic depth; more than 0 is refused by models that have none."""

    @field_validator("model")
    @classmethod
    def _is_known(cls, model: str) -> str:
        if not timm.is_model(model):
            raise ValueError(
                f"timm {timm.__version__} has no such model.{did_you_mean(model, timm.list_models())}"
            )
        return model


def make_image_model(options: TimmImageOptions, size: int) -> tuple[nn.Module, bool]:
    """The model without its classifier, for images of this size where it must know it.

    Returns:
        The model, and whether it does without pooling. Those that do not give a map by `forward_features`
        alone; their `head` is taken off, as all of it comes after pooling.

    Raises:
        UsageError: The model takes no such option, or images of this size cannot pass it.
    """
    try:
        return _made(options, size, global_pool=""), True
    except UsageError:
        net = _made(options, size)  # says what else is wrong
    if list(getattr(net, "head", nn.Identity()).parameters()):
        net.head = nn.Identity()
    return net, False


def _made(options: TimmImageOptions, size: int, **more: Any) -> nn.Module:
    make = partial(timm.create_model, options.model, pretrained=False, num_classes=0, **more)
    if options.drop_path:
        make = partial(make, drop_path_rate=options.drop_path)
    unknown: TypeError | None = None
    for sized in (*({"img_size": size, **words} for words in SIZE_ARGUMENTS), {}):
        try:
            return make(**sized)
        except TypeError as error:
            unknown = error  # a word that this model does not know
        except (AssertionError, RuntimeError, ValueError) as error:
            reason = str(error).rstrip(".")
            other = (
                "another crop_size, for instance that in the model's name, or " if _ABOUT_SIZE(reason) else ""
            )
            raise UsageError(
                f"timm's {options.model} cannot be built for images of {size} x {size}: {reason}. "
                f"Take {other}another model."
            ) from error
    raise UsageError(f"timm's {options.model} cannot be built with these options: {unknown}.") from unknown


def near_square(tokens: int, height: int, width: int) -> tuple[int, int]:
    """Rows and columns of a grid of so many tokens whose sides come nearest to those of the image."""
    rows = [n for n in range(1, tokens + 1) if tokens % n == 0]
    best = min(rows, key=lambda n: abs(n * width - tokens // n * height))
    return best, tokens // best


def _positions_of_size(tensors: Tensors, module: nn.Module) -> Tensors:
    """Positions of a ViT for images of another size, interpolated as timm does."""
    net, key = module.get_submodule("net"), "net.pos_embed"
    wanted = module.state_dict().get(key)
    grid = getattr(getattr(net, "patch_embed", None), "grid_size", None)
    if key not in tensors or wanted is None or grid is None or tensors[key].shape == wanted.shape:
        return tensors
    prefix = wanted.shape[1] - grid[0] * grid[1]
    resized = resample_abs_pos_embed(tensors[key], list(grid), num_prefix_tokens=prefix)
    return {**tensors, key: resized}


class TimmImage(Backbone):
    """An image model on every frame: clips (B, 3, T, H, W) → map (B, D, T, H', W'), no frame knows another.

    D, H' and W' are the image model's. Clips of any number of frames pass; of which sizes, the image model
    says: convolutional ones take all that leave a map, most others the size that they were built for.
    """

    api_version = 1
    Options = TimmImageOptions
    paper = "https://doi.org/10.5281/zenodo.4414861"

    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        self.name = options.model
        self.size = clip.crop_size
        self.net, self.unpooled = make_image_model(options, clip.crop_size)
        before_head = getattr(self.net, "head_hidden_size", None) if self.unpooled else None
        self.embed_dim = int(before_head or self.net.num_features)
        heads = (self.net.pretrained_cfg or {}).get("classifier") or ()
        heads = (heads,) if isinstance(heads, str) else tuple(heads)
        heads = heads if self.unpooled else (*heads, "head")
        self.key_maps = (
            KeyMap(
                f"timm {options.model}",
                rename=((r"^", "net."),),
                drop=tuple(re.escape(f"{head}.") for head in heads),
                convert=_positions_of_size,
            ),
        )

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        """(B, 3, T, H, W) → (B, D, T, H', W').

        Raises:
            UsageError: Not (B, 3, T, H, W), an empty axis, or frames that the image model does not take.
        """
        video_BCTHW = check_and_pad(video_BCTHW, name="TimmImage", patch_THW=(1, 1, 1), repeat_frames=False)
        frames, height, width = video_BCTHW.shape[2:]
        images_NCHW = rearrange(video_BCTHW, "b c t h w -> (b t) c h w")
        try:
            found = self.net(images_NCHW) if self.unpooled else self.net.forward_features(images_NCHW)
        except (AssertionError, IndexError, RuntimeError, ValueError) as error:
            if (height, width) == (self.size, self.size):
                raise
            raise UsageError(
                f"timm's {self.name}, built for {self.size} x {self.size}, does not take frames of {height} "
                f"x {width}: {error}. Give it clips of that size, or build it for these by crop_size."
            ) from error
        return rearrange(self._map(found, height, width), "(b t) d h w -> b d t h w", t=frames)

    def _map(self, found: Any, height: int, width: int) -> Tensor:
        """What the image model gave, as (N, D, H', W').

        Raises:
            UsageError: It gave no map.
        """
        if isinstance(found, Tensor) and found.ndim == 4:
            return found.movedim(-1, 1) if getattr(self.net, "output_fmt", "") == "NHWC" else found
        others = getattr(self.net, "num_prefix_tokens", None)
        if isinstance(found, Tensor) and found.ndim == 3 and (self.unpooled or others is not None):
            patches_NLD = found[:, others or 0 :]
            rows, columns = near_square(patches_NLD.shape[1], height, width)
            return rearrange(patches_NLD, "n (h w) d -> n d h w", h=rows, w=columns)
        given = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise UsageError(
            f"timm's {self.name} gives no map of features without its classifier: expected (N, D, H', W') or "
            f"tokens (N, L, D) of which it says how many are no patches, got {given}. Take another model."
        )

    def stages(self) -> Mapping[str, nn.Module]:
        """The image model's parts that have weights, as its author lists them, lists of blocks one by one.

        Their outputs have B·T for their first axis, the frames of one clip following one another.
        """
        stages: dict[str, nn.Module] = {}
        for name, child in self.net.named_children():
            parts = child.named_children() if isinstance(child, nn.Sequential | nn.ModuleList) else ()
            blocks = {f"{name}.{inner}": block for inner, block in parts}
            stages |= {
                key: part for key, part in (blocks or {name: child}).items() if list(part.parameters())
            }
        return stages
