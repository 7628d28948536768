"""`vssl export`: what is written opens elsewhere and is the pretrained network."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from exported_cell import CLIP, pretrained_cell
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn
from torchvision.models.video.resnet import (
    BasicBlock,
    BasicStem,
    Conv2Plus1D,
    Conv3DSimple,
    R2Plus1dStem,
    VideoResNet,
)

import vssl_core.export as exporting
from vssl_core.cli import main
from vssl_core.errors import ContractError, StoreError, UsageError
from vssl_core.export import export
from vssl_core.interfaces import Backbone
from vssl_core.store import CellFolder
from vssl_core.weights import load_into
from vssl_plugins.backbones.squeezenet import SqueezeNet


def clips(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(
        count, 3, CLIP["num_frames"], CLIP["crop_size"], CLIP["crop_size"], generator=generator
    )


@pytest.fixture(scope="module")
def squeezenet(tmp_path_factory: pytest.TempPathFactory) -> tuple[CellFolder, Backbone]:
    return pretrained_cell(tmp_path_factory.mktemp("runs"), "squeezenet")


# --------------------------------------------------------------------------------------------- tensors


def test_safetensors_hold_every_tensor_and_say_what_they_are(squeezenet, tmp_path: Path) -> None:
    folder, net = squeezenet
    done = export(folder, tmp_path / "b.safetensors")
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in load_file(done.path).items())
    with safe_open(done.path, "pt") as file:
        about = file.metadata()
    assert about == {"format": "pt", **done.about}
    assert about["cell"] == folder.cell_id
    assert (about["backbone"], about["embed_dim"], about["layout"]) == ("squeezenet", "512", "vssl")
    assert about["input"] == "(B, 3, 4, 32, 32)"
    assert len(json.loads(about["mean"])) == len(json.loads(about["std"])) == 3
    fresh = SqueezeNet(SqueezeNet.Options(), None)
    assert load_into(fresh, done.path, fresh.key_maps).key_map == "names of vssl"


@pytest.mark.parametrize("suffix", [".pth", ".pt"])
def test_pytorch_files_open_with_weights_only(squeezenet, suffix: str, tmp_path: Path) -> None:
    folder, net = squeezenet
    done = export(folder, tmp_path / f"b{suffix}")
    state = torch.load(done.path, weights_only=True)
    assert state.keys() == net.state_dict().keys()
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())


def one_block_r3d() -> VideoResNet:
    return VideoResNet(BasicBlock, [Conv3DSimple] * 4, [1, 1, 1, 1], BasicStem)


def one_block_r2plus1d() -> VideoResNet:
    return VideoResNet(BasicBlock, [Conv2Plus1D] * 4, [1, 1, 1, 1], R2Plus1dStem)


@pytest.mark.parametrize(
    ("backbone", "options", "theirs"),
    [
        ("r3d", {}, one_block_r3d),
        ("r2plus1d", {"form": "torchvision"}, one_block_r2plus1d),
    ],
)
def test_torchvisions_own_network_loads_torchvisions_layout(
    backbone: str, options, theirs: Callable[[], VideoResNet], tmp_path: Path
) -> None:
    folder, net = pretrained_cell(tmp_path / "runs", backbone, **options)
    done = export(folder, tmp_path / "b.safetensors", layout="torchvision")
    other = theirs()
    other.fc = nn.Identity()
    other.load_state_dict(load_file(done.path))
    with torch.no_grad():
        torch.testing.assert_close(other.eval()(clips(2)), net(clips(2)), rtol=1e-4, atol=1e-4)
    assert load_into(net, done.path, net.key_maps).key_map == f"torchvision {backbone}"


@pytest.mark.parametrize("backbone", ["squeezenet", "r2plus1d"])
def test_a_network_that_torchvision_does_not_have_is_refused(backbone: str, tmp_path: Path) -> None:
    folder, _ = pretrained_cell(tmp_path / "runs", backbone)
    with pytest.raises(UsageError, match=rf"cannot write torchvision's layout of backbone {backbone}"):
        export(folder, tmp_path / "b.safetensors", layout="torchvision")
    assert not (tmp_path / "b.safetensors").exists()


# -------------------------------------------------------------------------------------------- programs


def test_a_program_gives_the_networks_features_for_any_batch(tmp_path: Path) -> None:
    folder, net = pretrained_cell(tmp_path / "runs", "shufflenet")
    done = export(folder, tmp_path / "b.pt2")
    extra = {"about.json": ""}
    program = torch.export.load(done.path, extra_files=extra).module()
    assert json.loads(extra["about.json"]) == done.about
    for count in (1, 2, 3):
        with torch.no_grad():
            torch.testing.assert_close(program(clips(count)), net(clips(count)), rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(find_spec("onnx") is None or find_spec("onnxscript") is None, reason="needs vssl[onnx]")
def test_onnx_gives_the_networks_features(squeezenet, tmp_path: Path) -> None:
    import onnx
    from onnx.reference import ReferenceEvaluator

    folder, net = squeezenet
    done = export(folder, tmp_path / "b.onnx")
    model = onnx.load(done.path)
    onnx.checker.check_model(model)
    assert {entry.key: entry.value for entry in model.metadata_props}.items() >= done.about.items()
    (features,) = ReferenceEvaluator(model).run(None, {"video": clips(1).numpy()})
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(features), net(clips(1)), rtol=1e-3, atol=1e-3)


def test_onnx_without_its_packages_says_what_to_install(squeezenet, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(exporting, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"ONNX needs onnx and onnxscript: python -m pip install"):
        export(squeezenet[0], tmp_path / "b.onnx")


# -------------------------------------------------------------------------------------------- refusals


def test_other_files_and_layouts_of_programs_are_refused(squeezenet, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected a file that ends in \.safetensors, .*got '.*b\.bin'"):
        export(squeezenet[0], tmp_path / "b.bin")
    with pytest.raises(UsageError, match=r"a layout names tensors; '\.pt2' holds a program"):
        export(squeezenet[0], tmp_path / "b.pt2", layout="torchvision")


def test_a_cell_that_is_not_pretrained_or_was_changed_is_refused(tmp_path: Path) -> None:
    folder, _ = pretrained_cell(tmp_path / "runs", "squeezenet")
    other, _ = pretrained_cell(tmp_path / "others", "shufflenet")
    folder.write_pretrain_result({"verdict": "ok", "weights_sha256": "0" * 64})
    with pytest.raises(ContractError, match="is not what pretraining wrote"):
        export(folder, tmp_path / "b.safetensors")
    (other.pretrain / "result.json").unlink()
    with pytest.raises(StoreError, match=r"has no pretrained backbone: pretraining is not finished"):
        export(other, tmp_path / "b.safetensors")


def test_the_command_prints_the_file_and_tells_what_it_takes(squeezenet, tmp_path: Path, capsys) -> None:
    folder, _ = squeezenet
    path = tmp_path / "b.safetensors"
    more = ["--to", str(path), "--runs", str(folder.runs)]
    assert main(["export", folder.cell_id[:-3], *more]) == 0
    found = capsys.readouterr()
    assert found.out.strip() == str(path)
    assert "input: (B, 3, 4, 32, 32)" in found.err
    assert path.is_file()
    assert main(["export", "nothing", *more]) == 2
    assert "fits no cell" in capsys.readouterr().err
