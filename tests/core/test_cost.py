"""FLOPs of a step: backward twice the forward pass, whatever the groups; of a clip; peak memory."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest
import torch
from torch import nn

from vssl_core.cost import count_flops, peak_memory_mib, reset_peak_memory, step_flop_counter
from vssl_core.interfaces import Backbone
from vssl_core.types import ClipSpec


def flops(run: object) -> int:
    with step_flop_counter() as counter:
        run()
    return counter.get_total_flops()


@pytest.mark.parametrize("groups", [1, 4, 16])
@pytest.mark.parametrize("conv", [nn.Conv3d, nn.ConvTranspose3d])
def test_backward_of_a_convolution_costs_twice_its_forward_pass(groups: int, conv: type[nn.Module]) -> None:
    layer = conv(16, 32, 3, padding=1, stride=2, groups=groups)
    x = torch.rand(2, 16, 5, 6, 7, requires_grad=True)
    out = []
    forward = flops(lambda: out.append(layer(x)))
    multiplies = (out[0].numel() if conv is nn.Conv3d else x.numel() * 2) * 16 * 27 // groups
    assert forward == 2 * multiplies
    assert flops(lambda: out[0].sum().backward()) == 2 * forward


def test_a_gradient_that_nobody_needs_costs_nothing() -> None:
    layer = nn.Conv3d(4, 8, 3)
    y = layer(torch.rand(1, 4, 5, 5, 5))  # the input is data
    forward = flops(lambda: layer(torch.rand(1, 4, 5, 5, 5)))
    assert flops(lambda: y.sum().backward()) == forward


def test_a_linear_layer_is_counted_as_torch_counts_it() -> None:
    layer, x = nn.Linear(10, 20), torch.rand(3, 10, requires_grad=True)
    assert flops(lambda: layer(x).sum().backward()) == 3 * 2 * 3 * 10 * 20


# --------------------------------------------------------------------------------------- of one clip


class Attending(Backbone):
    """One linear layer and one attention, fused or torch's own module."""

    def __init__(self, kind: str, clip: ClipSpec) -> None:
        super().__init__(kind, clip)
        self.embed_dim = 12
        self.kind = kind
        self.embed = nn.Linear(3, 12)
        self.attend = nn.MultiheadAttention(12, 3, batch_first=True) if kind == "module" else nn.Identity()

    def forward_features(self, video_BCTHW: torch.Tensor) -> torch.Tensor:
        x_BLD = self.embed(video_BCTHW.flatten(2).transpose(1, 2))
        if self.kind == "module":
            return self.attend(x_BLD, x_BLD, x_BLD, need_weights=False)[0].transpose(1, 2)[..., None, None]
        query, key = (
            x_BLD.unflatten(2, (3, 4)).transpose(1, 2),
            x_BLD[:, ::2].unflatten(2, (3, 4)).transpose(1, 2),
        )
        if self.kind == "plain":
            value = (query @ key.transpose(2, 3)).softmax(-1) @ key
        else:
            bias = torch.zeros(query.shape[2], key.shape[2]) if self.kind == "biased" else None
            value = nn.functional.scaled_dot_product_attention(query, key, key, attn_mask=bias)
        return value.transpose(1, 2).flatten(2).transpose(1, 2)[..., None, None]

    def stages(self) -> dict[str, nn.Module]:
        return {"embed": self.embed}


CLIP = ClipSpec(num_frames=2, frame_stride=1, crop_size=4)


@pytest.mark.parametrize("kind", ["plain", "fused", "biased"])
def test_fused_attention_costs_what_its_two_products_cost(kind: str) -> None:
    """fvcore counts nothing for it, and a table would show a third of a long clip's cost."""
    gflops, missing = count_flops(Attending(kind, CLIP), CLIP)
    tokens, keys = 32, 16
    assert gflops * 1e9 == pytest.approx(2 * (tokens * 3 * 12 + 2 * tokens * keys * 12))
    assert "aten::scaled_dot_product_attention" not in missing


def test_torchs_attention_module_is_not_hidden_in_one_operator() -> None:
    gflops, missing = count_flops(Attending("module", CLIP), CLIP)
    assert torch.backends.mha.get_fastpath_enabled()
    assert gflops * 1e9 == pytest.approx(2 * (32 * 3 * 12 + 32 * 12 * 48 + 2 * 32 * 32 * 12))
    assert not [name for name in missing if "attention" in name or "transformer" in name]


def test_what_cannot_be_counted_is_listed_with_how_often_it_occurs() -> None:
    class Sorting(Attending):
        def forward_features(self, video_BCTHW: torch.Tensor) -> torch.Tensor:
            return super().forward_features(video_BCTHW).sort(2)[0].cumsum(2)

    gflops, missing = count_flops(Sorting("fused", CLIP), CLIP)
    assert gflops == count_flops(Attending("fused", CLIP), CLIP)[0]
    assert missing == {"aten::sort": 1, "aten::cumsum": 1}


# ------------------------------------------------------------------------------------------ memory

CPU = torch.device("cpu")
needs_linux = pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK), reason="needs Linux's /proc"
)


@needs_linux
def test_the_peak_is_counted_anew_after_a_reset() -> None:
    held = torch.ones(50 * 2**18)  # 50 MiB
    assert peak_memory_mib(CPU) > 50
    del held
    high = peak_memory_mib(CPU)
    assert reset_peak_memory(CPU)
    low = peak_memory_mib(CPU)
    assert low < high - 25
    again = torch.ones(100 * 2**18)
    assert 90 < peak_memory_mib(CPU) - low < 200
    del again


@needs_linux
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc, which keeps what was freed")
def test_what_the_allocator_only_keeps_is_given_back_before_counting() -> None:
    pieces = [torch.ones(2**14) for _ in range(1600)]  # 100 MiB in pieces too small to be given back alone
    held = peak_memory_mib(CPU)
    last = pieces[-1]
    del pieces
    assert reset_peak_memory(CPU)
    assert peak_memory_mib(CPU) < held - 60
    assert last.sum() == 2**14


@needs_linux
def test_the_peak_is_this_processs_and_not_that_of_the_one_that_started_it() -> None:
    held = torch.ones(700 * 2**18)  # more than a child that imports torch
    code = "import torch; from vssl_core.cost import *; print(peak_memory_mib(torch.device('cpu')))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert 50 < float(printed) < peak_memory_mib(CPU) - 200
    del held
