"""Checks of backbones that provide `masked_tokens`: chosen tokens, from their own pixels alone."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor

from vssl_core.testing.backbone_builds import BackboneSubject, clips, difference
from vssl_core.testing.outcome import CheckFailed, CheckSkipped

__all__ = ["TOKEN_CHECKS"]

_CLOSE = 1e-4


def check_masked_tokens_come_from_their_own_pixels(subject: BackboneSubject) -> None:
    """`forward_tokens` gives (B, N, D) in the order asked for, whatever the pixels of other tokens are."""
    if "masked_tokens" not in subject.cls.provides:
        raise CheckSkipped("it does not provide masked_tokens")
    backbone: Any = subject.copy().eval()
    video_BCTHW = clips(3, subject.clip)
    box_THW = _token_size(backbone, video_BCTHW)
    grid_THW = tuple(size // box for size, box in zip(video_BCTHW.shape[2:], box_THW, strict=True))
    visible_BN = _some_tokens(len(video_BCTHW), prod(grid_THW))
    with torch.no_grad():
        tokens_BND = backbone.forward_tokens(video_BCTHW, visible_BN)
        expected = (*visible_BN.shape, backbone.embed_dim)
        if (
            not isinstance(tokens_BND, Tensor)
            or tokens_BND.shape != expected
            or not tokens_BND.isfinite().all()
        ):
            got = tuple(tokens_BND.shape) if isinstance(tokens_BND, Tensor) else type(tokens_BND).__name__
            raise CheckFailed(f"expected forward_tokens to give finite (B, N, D) = {expected}; got {got}.")
        seen_B1THW = _boxes(visible_BN, grid_THW, box_THW)
        noise = torch.randn(video_BCTHW.shape, generator=torch.Generator().manual_seed(3))
        _check_pixels(backbone, video_BCTHW, noise, seen_B1THW, visible_BN, tokens_BND)
        turned = backbone.forward_tokens(video_BCTHW, visible_BN.flip(1)).flip(1)
        if (gap := difference(turned, tokens_BND)) > _CLOSE:
            raise CheckFailed(
                "expected features in the order of visible_BN, but with the indices in another order they "
                f"differ by {gap:.2g} of the largest value; do not sort the indices."
            )


def _check_pixels(
    backbone: Any,
    video_BCTHW: Tensor,
    noise: Tensor,
    seen_B1THW: Tensor,
    visible_BN: Tensor,
    tokens_BND: Tensor,
) -> None:
    hidden = backbone.forward_tokens(torch.where(seen_B1THW, video_BCTHW, noise), visible_BN)
    if (gap := difference(hidden, tokens_BND)) > _CLOSE:
        raise CheckFailed(
            "expected features of visible tokens not to depend on the pixels of others, but with other "
            f"pixels there they differ by {gap:.2g} of the largest value. Tokens are counted through T', H', "
            "W' in this order; take the visible ones before anything mixes tokens."
        )
    shown = backbone.forward_tokens(torch.where(seen_B1THW, noise, video_BCTHW), visible_BN)
    if difference(shown, tokens_BND) < 1e-6:
        raise CheckFailed(
            "expected features of visible tokens to depend on their pixels, but with other pixels there they "
            "are the same. Tokens are counted through T', H', W' in this order."
        )


def _token_size(backbone: Any, video_BCTHW: Tensor) -> tuple[int, ...]:
    """The checked `token_size`."""
    if not callable(getattr(backbone, "forward_tokens", None)):
        raise CheckFailed("expected forward_tokens(video_BCTHW, visible_BN), which masked_tokens promises.")
    box = getattr(backbone, "token_size", None)
    whole = (
        isinstance(box, tuple) and len(box) == 3 and all(isinstance(side, int) and side > 0 for side in box)
    )
    if not whole or any(size % side for size, side in zip(video_BCTHW.shape[2:], box or (), strict=True)):
        raise CheckFailed(
            f"expected token_size (t, h, w), whole numbers that divide {tuple(video_BCTHW.shape[2:])}; got "
            f"{box!r}."
        )
    return tuple(box or ())


def _some_tokens(batch: int, count: int) -> Tensor:
    """A third of the tokens of each clip, (B, N) int64, drawn for each and in no order."""
    if count < 3:
        raise CheckSkipped(f"the smallest clips that it takes have {count} tokens")
    generator = torch.Generator().manual_seed(2)
    return torch.stack([torch.randperm(count, generator=generator)[: count // 3] for _ in range(batch)])


def _boxes(visible_BN: Tensor, grid_THW: tuple[int, ...], box_THW: tuple[int, ...]) -> Tensor:
    """Whether a pixel belongs to a visible token, bool (B, 1, T, H, W)."""
    seen_BL = torch.zeros(len(visible_BN), prod(grid_THW), dtype=torch.bool)
    seen_BTHW = seen_BL.scatter(1, visible_BN, True).reshape(-1, *grid_THW)
    for axis, side in enumerate(box_THW, start=1):
        seen_BTHW = seen_BTHW.repeat_interleave(side, dim=axis)
    return seen_BTHW.unsqueeze(1)


TOKEN_CHECKS = (check_masked_tokens_come_from_their_own_pixels,)
