"""`-o backbone.weights=FILE`: what the file holds is part of the cell, and a wrong file starts nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_bench import arguments, command

from vssl_core.cells import CellSpec, differences
from vssl_core.checkpoint import weights_digest
from vssl_core.cli import main
from vssl_core.errors import OptionError, WeightsError
from vssl_core.interfaces import Backbone
from vssl_core.options import Options
from vssl_core.planning import component, current_key
from vssl_core.store import all_cells
from vssl_core.types import ClipSpec
from vssl_core.video.decoders import find_decoder
from vssl_plugins.backbones.shufflenet import ShuffleNet, ShuffleNetOptions


def net(seed: int) -> ShuffleNet:
    torch.manual_seed(seed)
    return ShuffleNet(ShuffleNetOptions(), ClipSpec(num_frames=8, crop_size=56, frame_stride=1))


@pytest.fixture
def published(tmp_path: Path) -> Path:
    path = tmp_path / "published.safetensors"
    save_file(net(7).state_dict(), path)
    return path


def cell(weights: Path | None) -> CellSpec:
    given = {} if weights is None else {"weights": str(weights)}
    parts = {
        "task": component("task", "rotnet", {}, owner="task")[0],
        "backbone": component("backbone", "shufflenet", given, owner="backbone")[0],
        "pretrain": component("dataset", "shapes_motion", {}, owner="pretrain")[0],
    }
    return CellSpec(
        role="method",
        pretrain_digest="p",
        seed=0,
        protocol_hash="h",
        decoder=find_decoder("pyav").identity(),
        **parts,
    )


def test_the_content_of_the_file_is_part_of_the_key_and_its_place_is_not(published: Path) -> None:
    spec, plain = cell(published), cell(None)
    assert "weights" not in plain.backbone.key()
    assert [line.split(":")[0] for line in differences(plain.key(), spec.key())] == ["backbone.weights"]
    assert spec.backbone.label == "shufflenet(weights=published.safetensors)"
    moved = published.rename(published.with_name("moved.safetensors"))
    assert cell(moved).cell_id == spec.cell_id
    save_file(net(8).state_dict(), moved)
    assert cell(moved).cell_id != spec.cell_id


def test_why_says_that_the_file_has_changed(published: Path) -> None:
    spec = cell(published)
    assert current_key(spec) == spec.key()
    save_file(net(8).state_dict(), published)
    assert [line.split(":")[0] for line in differences(spec.key(), current_key(spec))] == ["backbone.weights"]


def test_an_older_description_without_the_field_is_still_read() -> None:
    document = cell(None).model_dump(mode="json")
    del document["backbone"]["weights"]
    assert CellSpec.model_validate(document).cell_id == cell(None).cell_id


@pytest.mark.parametrize("value", [3, True, "", ["a.pth"]])
def test_what_names_no_file_is_refused(value: object) -> None:
    with pytest.raises(OptionError, match=r"backbone.weights: expected a file of weights; got"):
        component("backbone", "shufflenet", {"weights": value}, owner="backbone")


def test_a_missing_file_is_named_and_null_means_none(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"cannot read weights .*missing.pth.*No such file"):
        component("backbone", "shufflenet", {"weights": str(tmp_path / "missing.pth")}, owner="backbone")
    assert component("backbone", "shufflenet", {"weights": None}, owner="backbone")[0].weights is None


def test_a_backbone_with_an_option_of_that_name_keeps_it() -> None:
    class Mine(Backbone):
        class Options(Options):
            weights: str = "none"
            """A word."""

        def __init__(self, options: object, clip: ClipSpec) -> None: ...
        def forward_features(self, video_BCTHW: torch.Tensor) -> torch.Tensor: ...
        def stages(self) -> dict[str, torch.nn.Module]: ...

    made, _ = component("backbone", Mine, {"weights": "k400"}, owner="backbone")
    assert made.options == {"weights": "k400"}
    assert made.weights is None


def test_a_bench_starts_from_the_file_and_every_row_has_the_fingerprint(
    published: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    words = command("rotnet", runs, "--backbone", "shufflenet", "-o", f"backbone.weights={published}")
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    assert "by key map 'names of vssl'" in done.stderr
    (found,) = all_cells(runs)
    for row in found.rows():
        assert row.backbone == "shufflenet(weights=published.safetensors)"
        assert row.backbone_fingerprint is not None
        assert row.backbone_fingerprint.initial_weights == weights_digest(net(7))
        assert row.backbone_fingerprint.parameters == row.cost.parameters == 3_606_288
    assert not torch.equal(load_file(found.weights)["stem.0.weight"], net(7).stem[0].weight)


def test_a_file_that_does_not_fit_starts_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, runs = tmp_path / "other.pth", tmp_path / "runs"
    torch.save({"conv.weight": torch.zeros(3)}, path)
    assert main(arguments("rotnet", runs, "-o", f"backbone.weights={path}")) == 2
    error = capsys.readouterr().err
    assert "1 in the file and not expected: conv.weight" in error
    assert "Traceback" not in error
    assert all_cells(runs) == []
