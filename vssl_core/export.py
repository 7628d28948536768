"""A pretrained backbone as a file that opens without vssl.

    .safetensors, .pth, .pt   its tensors, under vssl's names or a publisher's (`layout`)
    .pt2                      the whole network for inference; plain torch runs it (torch.export)
    .onnx                     the same for other runtimes

The network of a `.pt2` or `.onnx` file takes normalised clips (B, 3, T, H, W) of the protocol's geometry, any
B, and gives features (B, D).
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from vssl_core.cells import CellSpec
from vssl_core.checkpoint import load_weights, weights_digest
from vssl_core.errors import ContractError, StoreError, UsageError
from vssl_core.files import write_bytes
from vssl_core.instantiate import make_backbone
from vssl_core.interfaces import Backbone
from vssl_core.protocol import Protocol
from vssl_core.store import CellFolder
from vssl_core.weights import publishers_names

__all__ = ["OWN_LAYOUT", "SUFFIXES", "Exported", "export"]

OWN_LAYOUT = "vssl"
_TENSORS = (".safetensors", ".pth", ".pt")
_PROGRAMS = (".pt2", ".onnx")
SUFFIXES = (*_TENSORS, *_PROGRAMS)
_EXAMPLES = 2
"""Clips that a program is traced with: torch takes a batch of one for a constant."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Args:
        path: The file.
        about: What whoever opens it must know: backbone, embed_dim, input, mean, std, cell; all text.
    """

    path: Path
    about: Mapping[str, str]


def export(folder: CellFolder, to: Path, *, layout: str = OWN_LAYOUT) -> Exported:
    """Write the pretrained backbone of a cell.

    Args:
        folder: The cell.
        to: The file; its suffix decides what is written.
        layout: Names of the tensors: vssl's own, or those of a publisher whose network is the same.

    Raises:
        UsageError: An unknown suffix, a layout that no key map of the backbone leads back to, or a format
            whose packages are missing.
        StoreError: The cell has no pretrained backbone yet, or the file cannot be written.
        ContractError: The stored weights are not what pretraining wrote.
    """
    write = _writer(to)
    if layout != OWN_LAYOUT and to.suffix in _PROGRAMS:
        raise UsageError(f"a layout names tensors; {to.suffix!r} holds a program. Use {', '.join(_TENSORS)}.")
    spec, protocol = folder.spec(), folder.protocol()
    backbone = _pretrained(folder, spec, protocol)
    tensors = dict(backbone.state_dict())
    if layout != OWN_LAYOUT:
        tensors = publishers_names(tensors, backbone.key_maps, layout, of=spec.backbone.label)
    about = _about(folder, spec, protocol, backbone, layout)
    write_bytes(to, write(backbone, tensors, about))
    return Exported(to, about)


def _pretrained(folder: CellFolder, spec: CellSpec, protocol: Protocol) -> Backbone:
    result = folder.pretrain_result()
    if result is None:
        raise StoreError(f"cell {folder.cell_id} has no pretrained backbone: {folder.state()}.")
    backbone = make_backbone(spec.backbone, protocol.clip.spec(), seed=spec.seed, classes={})
    load_weights(folder.weights, backbone)
    if weights_digest(backbone) != result.get("weights_sha256"):
        raise ContractError(
            f"{str(folder.weights)!r} is not what pretraining wrote; remove the cell's folder."
        )
    return backbone.eval()


def _about(
    folder: CellFolder, spec: CellSpec, protocol: Protocol, backbone: Backbone, layout: str
) -> dict[str, str]:
    clip = protocol.clip
    return {
        "cell": folder.cell_id,
        "backbone": spec.backbone.label,
        "layout": layout,
        "embed_dim": str(backbone.embed_dim),
        "input": f"(B, 3, {clip.num_frames}, {clip.crop_size}, {clip.crop_size})",
        "mean": json.dumps(protocol.data.mean),
        "std": json.dumps(protocol.data.std),
    }


# -------------------------------------------------------------------------------------------- formats

_Writer = Callable[[Backbone, Mapping[str, Tensor], Mapping[str, str]], bytes]


def _writer(to: Path) -> _Writer:
    """What makes the bytes of this file; says what is missing before anything is read."""
    if to.suffix == ".safetensors":
        return _safetensors
    if to.suffix in _TENSORS:
        return _pytorch
    if to.suffix == ".pt2":
        return _program
    if to.suffix == ".onnx":
        missing = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
        if missing:
            raise UsageError(f"ONNX needs {' and '.join(missing)}: python -m pip install 'vssl[onnx]'.")
        return _onnx
    raise UsageError(f"expected a file that ends in {', '.join(SUFFIXES)}; got {str(to)!r}.")


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}


def _safetensors(backbone: Backbone, tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> bytes:
    del backbone
    return save(_plain(tensors), metadata={"format": "pt", **about})


def _pytorch(backbone: Backbone, tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> bytes:
    del backbone, about
    buffer = io.BytesIO()
    torch.save(_plain(tensors), buffer)
    return buffer.getvalue()


def _program(backbone: Backbone, tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> bytes:
    del tensors
    buffer = io.BytesIO()
    torch.export.save(_traced(backbone, about), buffer, extra_files={"about.json": json.dumps(about)})
    return buffer.getvalue()


def _onnx(backbone: Backbone, tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> bytes:
    del tensors
    program: Any = torch.onnx.export(
        _traced(backbone, about), dynamo=True, input_names=["video"], output_names=["features"], verbose=False
    )
    program.model.metadata_props.update(about)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "backbone.onnx"
        program.save(path, external_data=False)
        return path.read_bytes()


def _traced(backbone: Backbone, about: Mapping[str, str]) -> torch.export.ExportedProgram:
    shape = [int(size) for size in about["input"].strip("()").split(", ")[1:]]
    batch = {0: torch.export.Dim("batch", min=1)}
    example = (torch.zeros(_EXAMPLES, *shape),)
    return torch.export.export(backbone, example, dynamic_shapes=(batch,))
