"""The kit's checks on every transformer and on image models; their cost and their initial weights."""

from __future__ import annotations

import pytest
import torch
from small_transformers import MAKERS, NETS, SMALL, TRANSFORMERS, small_tables
from torch.utils.flop_counter import FlopCounterMode

from vssl_core.checkpoint import weights_digest
from vssl_core.cost import count_flops
from vssl_core.draws import equal_draws
from vssl_core.registry import resolve
from vssl_core.testing import check_plugin, checks_of

pytestmark = pytest.mark.usefixtures("one_thread")

ENTRY_POINTS = {"vivit": "vivit", "timesformer": "timesformer", "video_swin": "video_swin", "mvit": "mvit"}
ENTRY_POINTS |= {"timm": "timm_image"}


@pytest.mark.parametrize("name", NETS)
def test_every_check_passes(name: str) -> None:
    cls, options = NETS[name]
    entry_point = next(point for start, point in ENTRY_POINTS.items() if name.startswith(start))
    assert str(resolve("backbone", entry_point)).endswith(f"({cls.__module__}:{cls.__name__})")
    with small_tables():
        report = check_plugin("backbone", entry_point, options=options)
    assert report.ok, report.text()
    assert len(report.results) == len(checks_of("backbone"))
    skipped = [result.name for result in report.results if result.status == "skipped"]
    assert skipped == ["check_masked_tokens_come_from_their_own_pixels"], report.text()


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_the_cost_report_counts_attention_and_leaves_nothing_out(name: str) -> None:
    """Above torch's count lies what fvcore adds for norms: a few operations per element, of few elements."""
    net = MAKERS[name]().eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net.to("meta")(torch.empty(1, 3, SMALL.num_frames, SMALL.crop_size, SMALL.crop_size, device="meta"))
    products = counter.get_total_flops() / 1e9
    gflops, missing = count_flops(MAKERS[name](), SMALL)
    assert missing == {}
    assert products < gflops < 1.03 * products


# Cells are reused by their key, which holds the source and the seed: what those give must not move.
INITIAL = {
    "vivit": "94c27aa6b28b4d332be96f24b86e5bd5d1c147d46dbf3ab23f13acf63c7e42cc",
    "vivit_joint": "9d6ca70776034327791dbde505dac4eafd24c4cfce2455d1eed7a9509ac34c13",
    "timesformer": "5eb47e47ef4ee75dd3a12fa013677622b0e82dc99cc1ddd67ab1bd37600f3b88",
    "timesformer_joint": "9b03228a0f4f81e6802764ea67091b03741eda1ee6e547af05f0917960cef26d",
    "timesformer_space": "44eceb9fe80aa519b20f970fbe2790d7c4715bcf9b4b69313b5753c8aed85668",
    "video_swin": "a6c0d80e7354e203947a445a10bad91ddec48619d1d34bcfd1f3253a176caa7b",
    "mvit_v1": "751350bb89782e927a950f63e5aaab792ffe138139d6f9226837f923c318a717",
    "mvit_v2": "0068a57dd105265b606f0483c5ffdd2616183fa6cbf4aa7c8c9e611390afd6f7",
}


@pytest.mark.parametrize("name", INITIAL)
def test_initial_weights_are_those_of_every_machine(name: str) -> None:
    with equal_draws():  # as the core builds
        assert weights_digest(MAKERS[name]()) == INITIAL[name]
