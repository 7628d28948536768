"""Precision and memory format are chosen once, recorded, and only for speed without a loss of rightness."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
import torch
from timm.layers import drop_path
from torch import Tensor, nn

from vssl_core import probe
from vssl_core.interfaces import Backbone
from vssl_core.options import Options
from vssl_core.precision import FORMATS
from vssl_core.types import ClipSpec

CLIP = ClipSpec(num_frames=4, frame_stride=1, crop_size=8)
CPU = torch.device("cpu")
FP32 = ("fp32 channels_last_3d", "fp32 contiguous")
BF16 = ("bf16 channels_last_3d", "bf16 contiguous")


class Tiny(Backbone):
    """One convolution."""

    def __init__(self, options: Options, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        self.embed_dim = 8
        self.conv = nn.Conv3d(3, 8, 3, padding=1)

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        return self.conv(video_BCTHW).relu()

    def stages(self) -> dict[str, nn.Module]:
        return {"conv": self.conv}


def make() -> Backbone:
    torch.manual_seed(0)
    return Tiny(Options(), CLIP)


def choose(record: Path, wanted: str = "auto", *, name: str = "tiny", making=make) -> dict[str, object]:
    return probe.choose(wanted, name=name, make=making, clip=CLIP, device=CPU, record=record)


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Seconds that a step of each mode seems to take; the step is a real one."""
    seconds: dict[str, float] = dict.fromkeys((*FP32, *BF16), 1.0)
    real = probe._step

    def step(network: nn.Module, video_BCTHW: Tensor, mode: str):
        done = real(network, video_BCTHW, mode)
        return probe._Step(seconds[mode], done.features_BD, done.gradients)

    monkeypatch.setattr(probe, "_step", step)
    return seconds


def with_bf16(monkeypatch: pytest.MonkeyPatch, has: bool) -> None:
    monkeypatch.setattr(probe, "_has_bf16", lambda _: has)


@pytest.mark.parametrize("wanted", ["fp32", "bf16"])
def test_the_protocols_word_is_taken_and_nothing_is_probed(wanted: str, tmp_path: Path) -> None:
    def never() -> Backbone:
        raise AssertionError("probed")

    found = choose(tmp_path / "precision.json", wanted, making=never)
    assert found["precision"] == wanted
    assert found["memory_format"] == "channels_last_3d"
    assert list(tmp_path.iterdir()) == []


def test_a_probe_is_recorded_with_all_that_it_saw_and_not_made_twice(tmp_path: Path) -> None:
    record = tmp_path / "runs" / "precision.json"
    found = choose(record)
    assert found["precision"] in ("fp32", "bf16")
    assert found["memory_format"] in FORMATS
    assert set(FP32) <= found["step_seconds"].keys()
    assert all(seconds > 0 for seconds in found["step_seconds"].values())
    assert found["cosine_to_fp32"]["fp32 contiguous"]["gradients"] > 0.999
    (kept,) = json.loads(record.read_text())["probes"].values()
    assert kept == found
    before = record.read_bytes()
    assert choose(record, making=lambda: pytest.fail("probed again")) == found
    assert record.read_bytes() == before
    choose(record, name="other")
    assert len(json.loads(record.read_text())["probes"]) == 2
    assert [path.name for path in record.parent.iterdir()] == ["precision.json"]


def test_processes_that_ask_at_once_get_one_answer(tmp_path: Path) -> None:
    made, found = [], []

    def counted() -> Backbone:
        made.append(None)
        return make()

    asking = [
        threading.Thread(target=lambda: found.append(choose(tmp_path / "p.json", making=counted)))
        for _ in range(3)
    ]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert len(made) <= len(FP32 + BF16)
    assert len(found) == 3
    assert found[0] == found[1] == found[2]


def test_the_usual_stays_unless_another_is_clearly_faster(tmp_path: Path, times, monkeypatch) -> None:
    with_bf16(monkeypatch, True)
    times |= {"fp32 contiguous": 0.99, "bf16 contiguous": 0.98}
    found = choose(tmp_path / "p.json")
    assert (found["precision"], found["memory_format"]) == ("fp32", "channels_last_3d")
    times["fp32 contiguous"] = 0.8
    found = choose(tmp_path / "q.json")
    assert (found["precision"], found["memory_format"]) == ("fp32", "contiguous")
    times["bf16 channels_last_3d"] = 0.3
    found = choose(tmp_path / "r.json")
    assert (found["precision"], found["memory_format"]) == ("bf16", "channels_last_3d")


def test_bf16_is_not_tried_where_the_hardware_has_none(tmp_path: Path, times, monkeypatch) -> None:
    with_bf16(monkeypatch, False)
    times["bf16 channels_last_3d"] = 0.1
    found = choose(tmp_path / "p.json")
    assert found["precision"] == "fp32"
    assert found["step_seconds"].keys() == set(FP32)


def test_a_fast_mode_that_is_wrong_is_not_taken(tmp_path: Path, times, monkeypatch) -> None:
    class Wrong(Tiny):
        """Another network in bfloat16, as a faulty kernel is."""

        def forward_features(self, video_BCTHW: Tensor) -> Tensor:
            features = super().forward_features(video_BCTHW)
            return features.flip(1) if features.dtype == torch.bfloat16 else features

    def wrong() -> Backbone:
        torch.manual_seed(0)
        return Wrong(Options(), CLIP)

    with_bf16(monkeypatch, True)
    times |= dict.fromkeys(BF16, 0.1)
    assert choose(tmp_path / "right.json")["precision"] == "bf16"
    found = choose(tmp_path / "wrong.json", making=wrong)
    assert found["precision"] == "fp32"
    assert found["cosine_to_fp32"]["bf16 contiguous"]["features"] < 0.98


def test_what_a_network_draws_in_training_is_the_same_in_all_modes(tmp_path: Path) -> None:
    """Else the masks of dropout and stochastic depth, and not the precisions, are compared."""

    class Dropping(Tiny):
        def forward_features(self, video_BCTHW: Tensor) -> Tensor:
            return drop_path(super().forward_features(video_BCTHW), 0.5, training=self.training)

    def dropping() -> Backbone:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return Dropping(Options(), CLIP)

    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    for turn in range(3):
        found = choose(tmp_path / f"{turn}.json", making=dropping)
        assert all(cosine > 0.999 for cosine in found["cosine_to_fp32"]["fp32 contiguous"].values())
    assert torch.equal(torch.rand(3), expected)


def test_an_unreadable_record_is_written_anew(tmp_path: Path) -> None:
    record = tmp_path / "precision.json"
    record.write_text("{")
    found = choose(record)
    assert list(json.loads(record.read_text())["probes"].values()) == [found]
