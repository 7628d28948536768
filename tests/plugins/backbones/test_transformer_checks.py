"""The kit's checks on every transformer and on image models; their cost and their initial weights."""

from __future__ import annotations

import pytest
import torch
from small_transformers import MAKERS, NETS, SMALL, TRANSFORMERS, small_tables
from torch.utils.flop_counter import FlopCounterMode

from vssl_core.checkpoint import weights_digest
from vssl_core.cost import count_flops
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
    "vivit": "6197d55e73a5a2a1d57250959ed6e18369550e8cca0a526758ce499c25538609",
    "vivit_joint": "130e1af2b58844f6e7ae1fdd5451f29f8ccbe6f635c003884077c2d216a94923",
    "timesformer": "fd1961219432368393070a4a6c914e5dd591fe25f9f6061c4911837e094dfeea",
    "timesformer_joint": "c189d60199607595d88e35e4ce136f1f6387877afa0ac7e33001c10c305b0816",
    "timesformer_space": "e827dc157c90823554e5d12adf72a0f5c24730677c87fe452aeeb25b3910ed59",
    "video_swin": "b659f159aa70070faaf55261da692b28ee001c50d5fc807a68deb50bfed54252",
    "mvit_v1": "43ded24dbfe7570c25337559677ca36e2f5366a6c55cb597b2852431a80dcfa0",
    "mvit_v2": "d9e888cd5d95317284f897d5d8f5156aebbe29ce25bcc7e61b235a82dfd4b14a",
}


@pytest.mark.parametrize("name", INITIAL)
def test_initial_weights_are_those_of_every_machine(name: str) -> None:
    assert weights_digest(MAKERS[name]()) == INITIAL[name]
