"""Checks of what a backbone gives: shapes, pooling, and what an output may depend on."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

from vssl_core import precision
from vssl_core.errors import VsslError
from vssl_core.interfaces import Backbone
from vssl_core.testing.backbone_builds import CLIPS, BackboneSubject, clips, difference, train_steps
from vssl_core.testing.outcome import CheckFailed, CheckSkipped
from vssl_core.testing.process_state import disturbed, preserved
from vssl_core.types import ClipSpec

__all__ = ["FEATURE_CHECKS"]

_CLOSE = 1e-4  # share of the largest value that other kernels may round away
_SIZES = {
    "small": ClipSpec(num_frames=4, frame_stride=1, crop_size=32),
    "long": ClipSpec(num_frames=16, frame_stride=1, crop_size=32),
    "wide": ClipSpec(num_frames=4, frame_stride=1, crop_size=64),
}


def check_embed_dim_is_set(subject: BackboneSubject) -> None:
    """`__init__` sets `embed_dim`, a whole number of at least 1."""
    width = getattr(subject.settled, "embed_dim", None)
    if not isinstance(width, int) or isinstance(width, bool) or width < 1:
        raise CheckFailed(f"expected __init__ to set embed_dim to an int of at least 1; got {width!r}.")


def check_features_are_a_map(subject: BackboneSubject) -> None:
    """`forward_features` gives a float32 map (B, D, T', H', W') and `forward` (B, D), all finite."""
    backbone, video = subject.settled, clips(3, subject.clip)
    with torch.no_grad():
        features = backbone.forward_features(video)
    width = backbone.embed_dim
    expected = f"expected forward_features to give float32 (3, {width}, T', H', W')"
    if not isinstance(features, Tensor) or features.ndim != 5 or features.shape[:2] != (3, width):
        raise CheckFailed(f"{expected} for {tuple(video.shape)}; got {_shape(features)}.")
    if 0 in features.shape or features.dtype != torch.float32:
        raise CheckFailed(f"{expected} with no empty axis; got {_shape(features)}.")
    with torch.no_grad():
        pooled = backbone(video)
    if not isinstance(pooled, Tensor) or pooled.shape != (3, width) or pooled.dtype != torch.float32:
        raise CheckFailed(f"expected forward to give float32 (3, {width}); got {_shape(pooled)}.")
    for name, output in (("forward_features", features), ("forward", pooled)):
        if not output.isfinite().all():
            raise CheckFailed(
                f"expected finite features, but {name} of a new backbone gives NaN or infinity."
            )


def check_forward_is_the_mean_of_the_map(subject: BackboneSubject) -> None:
    """`forward` is the mean over the map, unless its docstring says in words what it is instead."""
    own = next(vars(cls)["forward"] for cls in subject.cls.__mro__ if "forward" in vars(cls))
    if own is not Backbone.forward and len(re.findall(r"[A-Za-z]{3,}", own.__doc__ or "")) >= 3:
        return
    video = clips(3, subject.clip)
    with torch.no_grad():
        pooled, mean = subject.settled(video), subject.settled.forward_features(video).mean(dim=(2, 3, 4))
    if (gap := difference(pooled, mean)) > _CLOSE:
        raise CheckFailed(
            "expected forward to be the mean of forward_features over T', H' and W', but they differ by "
            f"{gap:.2g} of the largest value; leave forward out, or say in its docstring what it gives."
        )


def check_clip_sizes(subject: BackboneSubject) -> None:
    """Clips of every preset work, or are refused with a vssl error that says what is possible."""
    inherits = subject.cls.forward is Backbone.forward
    for clip in CLIPS:
        video = clips(1, clip)
        try:
            with torch.no_grad():
                backbone = subject.build(clip=clip).eval()
                features = backbone.forward_features(video)
                pooled = features.mean(dim=(2, 3, 4)) if inherits else backbone(video)
        except VsslError:
            continue
        except Exception as error:
            raise CheckFailed(
                f"expected clips of shape {tuple(video.shape)} to work, or to be refused with a UsageError "
                f"that says what is possible; got {type(error).__name__}: {error}"
            ) from error
        _check_one(features, pooled, backbone.embed_dim, video)


def check_map_axes_are_time_height_width(subject: BackboneSubject) -> None:
    """More frames change T' alone, larger frames H' and W' alone."""
    sizes = {}
    for what, clip in _SIZES.items():
        try:
            with torch.no_grad():
                sizes[what] = subject.build(clip=clip).eval().forward_features(clips(1, clip)).shape[2:]
        except Exception as error:
            raise CheckSkipped(f"it does not take {clip.num_frames} x {clip.crop_size}²: {error}") from error
    small, long, wide = sizes["small"], sizes["long"], sizes["wide"]
    if long[1:] != small[1:] or wide[0] != small[0]:
        raise CheckFailed(
            "expected a map (B, D, T', H', W'), where more frames change T' alone and larger ones H' and W' "
            f"alone; got {tuple(small)}, with four times the frames {tuple(long)}, with twice the side "
            f"{tuple(wide)}. Put the axes in this order."
        )


def check_a_single_clip_keeps_its_axis(subject: BackboneSubject) -> None:
    """One clip gives (1, D, T', H', W') and (1, D), in train mode too unless it is refused clearly."""
    video = clips(1, subject.clip)
    backbone = subject.copy()
    with torch.no_grad():
        _check_one(backbone.forward_features(video), backbone(video), backbone.embed_dim, video)
        try:
            backbone.train()
            _check_one(backbone.forward_features(video), backbone(video), backbone.embed_dim, video)
        except VsslError:
            return
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):  # torch's own clear words of BatchNorm
                raise


def check_a_black_clip_gives_finite_features(subject: BackboneSubject) -> None:
    """Clips without any contrast occur, and give finite features."""
    video = torch.zeros_like(clips(2, subject.clip))
    with torch.no_grad():
        for name, constant in (("black", -2.0), ("grey", 0.0)):
            if not subject.settled(video + constant).isfinite().all():
                raise CheckFailed(
                    f"expected finite features, but a {name} clip gives NaN or infinity; keep a small number "
                    "below every division."
                )


def check_eval_output_does_not_depend_on_the_batch(subject: BackboneSubject) -> None:
    """In eval mode the output of one clip does not depend on the others in its batch."""
    backbone, video = subject.copy().eval(), clips(3, subject.clip)
    loud = 6.0 * clips(2, subject.clip, seed=1) + 3.0
    with torch.no_grad():
        for name, call in (("forward_features", backbone.forward_features), ("forward", backbone)):
            together = call(video)
            batches = {
                "alone": torch.cat([call(clip[None]) for clip in video]),
                "beside other clips": call(torch.cat([loud, video]))[2:],
            }
            for how, output in batches.items():
                if (gap := difference(output, together)) > _CLOSE:
                    raise CheckFailed(
                        f"expected {name} of a clip in eval mode not to depend on the rest of its batch, but "
                        f"{how} it differs by {gap:.2g} of the largest value; use no statistic of the batch "
                        "in eval mode, and let train() reach every module."
                    )


def check_eval_repeats(subject: BackboneSubject) -> None:
    """In eval mode equal clips give equal features: nothing is drawn, and no call leaves a trace."""
    backbone = subject.copy().eval()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    with torch.no_grad():
        outputs = []
        for number in range(2):
            with disturbed(number):
                outputs.append(backbone(clips(2, subject.clip)))
                backbone(clips(3, subject.clip, seed=7))  # clips in between leave no trace
    outputs.append(backbone(clips(2, subject.clip)).detach())  # whether gradients are wanted does not matter
    if (gap := max(difference(outputs[0], output) for output in outputs[1:])) > 1e-6:
        raise CheckFailed(
            f"expected equal features of equal clips in eval mode, but they differ by {gap:.2g} of the "
            "largest value from call to call; draw nothing in eval mode (dropout: training=self.training) "
            "and keep nothing from earlier calls."
        )
    changed = [name for name, value in backbone.state_dict().items() if not torch.equal(value, before[name])]
    if changed:
        raise CheckFailed(
            f"expected a call in eval mode to change no state, but it changed {_some(changed)}."
        )


def check_input_is_not_changed(subject: BackboneSubject) -> None:
    """The clips that are handed in are the same afterwards, in either mode and memory layout."""
    backbone = subject.copy()
    for training in (False, True):
        backbone.train(training)
        for layout in (torch.contiguous_format, torch.channels_last_3d):
            video = clips(2, subject.clip).contiguous(memory_format=layout)
            before = video.clone()
            with torch.no_grad():
                backbone.forward_features(video)
                if subject.cls.forward is not Backbone.forward:
                    backbone(video)
            if not torch.equal(video, before):
                raise CheckFailed(
                    "expected the clips that are handed in to stay as they are, but they were changed in "
                    f"place in {'train' if training else 'eval'} mode; the first operation on them must make "
                    "a new tensor (no x += …, no inplace=True)."
                )


def check_channels_last_gives_the_same(subject: BackboneSubject) -> None:
    """Clips and weights in `channels_last_3d` memory, as the core keeps them, give the same features."""
    video = clips(2, subject.clip)
    moved = precision.to_device(subject.copy(), torch.device("cpu"))
    with torch.no_grad():
        expected = subject.settled(video)
        found = moved(video.contiguous(memory_format=torch.channels_last_3d))
    if (gap := difference(found, expected)) > _CLOSE:
        raise CheckFailed(
            "expected the memory layout not to matter, but features of channels_last_3d clips differ by "
            f"{gap:.2g} of the largest value; use reshape and permute by axis, never the order in memory."
        )
    loss = moved.train()(video.contiguous(memory_format=torch.channels_last_3d)).square().mean()
    if loss.requires_grad:
        loss.backward()


def check_bf16_is_finite(subject: BackboneSubject) -> None:
    """Under bfloat16 autocast features are finite, in either mode.

    Gradients are not asked for: on CPUs without bfloat16 units torch gives wrong ones for some convolutions.
    """
    backbone = subject.copy()
    for training in (False, True):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            features = backbone.train(training)(clips(2, subject.clip))
        if not features.isfinite().all():
            raise CheckFailed(
                "expected finite features under bfloat16 autocast; got NaN or infinity. Compute what "
                "overflows in float32 (torch.autocast(..., enabled=False))."
            )


def check_gradient_reaches_every_parameter(subject: BackboneSubject) -> None:
    """Every parameter that requires a gradient gets one through the map and the pooled features."""
    backbone = subject.copy().train()
    video = clips(2, subject.clip)
    map_BDTHW = backbone.forward_features(video)
    weights = torch.randn(map_BDTHW.shape, generator=torch.Generator().manual_seed(0))
    trainable = {name: p for name, p in backbone.named_parameters() if p.requires_grad}
    if not trainable:
        return
    if not map_BDTHW.requires_grad:
        raise CheckFailed(
            "expected features with a gradient, but forward_features gives none: remove no_grad and detach."
        )
    loss: Any = (map_BDTHW * weights).sum()
    loss.backward()
    more = subject.cls.provides - {"feature_map"}  # another capability may have parameters of its own
    alone = [name for name, p in trainable.items() if p.grad is None]
    if alone and not more:
        backbone(video).sum().backward()
        alone = [name for name, p in trainable.items() if p.grad is None]
    if (alone and not more) or len(alone) == len(trainable):
        raise CheckFailed(
            f"expected a gradient for every trainable parameter, but none reaches {_some(alone)}; remove "
            "detach, no_grad and .data on the way, and parameters that nothing uses."
        )
    if not all(p.grad.isfinite().all() for p in trainable.values() if p.grad is not None):
        raise CheckFailed("expected finite gradients in train mode; got NaN or infinity.")


def check_training_repeats(subject: BackboneSubject) -> None:
    """Two trainings from one seed give the same weights, under torch's deterministic algorithms."""
    states = []
    for _ in range(2):
        with preserved():
            torch.use_deterministic_algorithms(True)
            backbone = subject.build()
            train_steps(backbone, subject.clip, steps=2, rate=0.01)
            states.append(backbone.state_dict())
    first, second = states
    apart = [name for name in first if difference(first[name].double(), second[name].double()) > 1e-6]
    if apart:
        raise CheckFailed(
            f"expected equal weights of two equal trainings, but {_some(apart)} differ; draw from torch's "
            "generator alone, and keep nothing outside the module."
        )


def _check_one(features: Tensor, pooled: Tensor, width: int, video: Tensor) -> None:
    if features.ndim != 5 or features.shape[:2] != (1, width) or 0 in features.shape:
        raise CheckFailed(
            f"expected forward_features to give (1, {width}, T', H', W') for {tuple(video.shape)}; got "
            f"{_shape(features)}."
        )
    if pooled.shape != (1, width):
        raise CheckFailed(
            f"expected forward to give (1, {width}) for {tuple(video.shape)}; got {_shape(pooled)}; name the "
            "axes that squeeze or flatten may remove."
        )


def _shape(value: object) -> str:
    return f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


FEATURE_CHECKS = (
    check_embed_dim_is_set,
    check_features_are_a_map,
    check_forward_is_the_mean_of_the_map,
    check_clip_sizes,
    check_map_axes_are_time_height_width,
    check_a_single_clip_keeps_its_axis,
    check_a_black_clip_gives_finite_features,
    check_eval_output_does_not_depend_on_the_batch,
    check_eval_repeats,
    check_input_is_not_changed,
    check_channels_last_gives_the_same,
    check_bf16_is_finite,
    check_gradient_reaches_every_parameter,
    check_training_repeats,
)
