"""A cell whose pretraining is done, made without training, for tests of what is exported from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from vssl_core.cells import CellSpec
from vssl_core.checkpoint import save_weights
from vssl_core.instantiate import make_backbone
from vssl_core.interfaces import Backbone
from vssl_core.planning import component
from vssl_core.protocol import load_protocol
from vssl_core.store import CellFolder

CLIP = {"num_frames": 4, "crop_size": 32}


def pretrained_cell(
    runs: Path, backbone: str, *, clip: Mapping[str, int] = CLIP, **options: object
) -> tuple[CellFolder, Backbone]:
    """A bundle of this backbone under the smoke protocol, and the network that it holds, in eval mode."""
    protocol = load_protocol("smoke", {"clip": clip})
    spec = CellSpec(
        role="method",
        task=component("task", "rotnet", {}, owner="task")[0],
        backbone=component("backbone", backbone, options, owner="backbone")[0],
        pretrain=component("dataset", "shapes_motion", {}, owner="pretrain")[0],
        pretrain_digest="none",
        seed=0,
        protocol_hash=protocol.hash,
    )
    folder = CellFolder(runs, spec.cell_id)
    folder.create(spec, protocol)
    net = make_backbone(spec.backbone, protocol.clip.spec(), seed=0, classes={})
    _as_trained(net)
    digest = save_weights(folder.weights, net, {"format": "vssl", "cell_id": folder.cell_id})
    folder.write_pretrain_result({"verdict": "ok", "weights_sha256": digest})
    return folder, net.eval()


def _as_trained(net: nn.Module) -> None:
    """BatchNorm that has seen something, so that no two tensors are alike."""
    generator = torch.Generator().manual_seed(3)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.weight.data.copy_(torch.rand(module.weight.shape, generator=generator) + 0.5)
            module.running_mean.copy_(torch.randn(module.running_mean.shape, generator=generator) / 10)
            module.running_var.copy_(torch.rand(module.running_var.shape, generator=generator) + 0.5)
