"""Checkpoints: safetensors beside a JSON that holds its digest; never a pickle.

A checkpoint is whole or it does not exist: the tensors are written and renamed first, the JSON that
names their digest last. Loading takes the newest one whose digest is right.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from vssl_core.files import read_json, write_bytes, write_json

__all__ = [
    "clear",
    "load_latest",
    "load_weights",
    "optimizer_tensors",
    "restore_optimizer",
    "save_checkpoint",
    "save_weights",
    "weights_digest",
]

_KEEP = 2
SCHEMA = 1


def save_checkpoint(folder: Path, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> Path:
    """Write a checkpoint of this step and remove all but the newest two.

    Raises:
        StoreError: The disk is full or not writable; the previous checkpoint is intact.
    """
    content = save(_plain(tensors))
    name = f"step-{step:09d}"
    path = folder / f"{name}.safetensors"
    write_bytes(path, content)
    write_json(
        folder / f"{name}.json",
        {"schema": SCHEMA, "step": step, "sha256": hashlib.sha256(content).hexdigest(), "state": dict(state)},
    )
    for old in sorted(folder.glob("step-*.json"))[:-_KEEP]:
        with suppress(OSError):
            old.unlink()
            old.with_suffix(".safetensors").unlink()
    return path


def load_latest(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and state of the newest checkpoint that is whole; None where there is none.

    Raises:
        SchemaError: It was written by a newer version.
    """
    for path in sorted(folder.glob("step-*.json"), reverse=True):
        try:
            note = json.loads(path.read_text(encoding="utf-8"))
            content = path.with_suffix(".safetensors").read_bytes()
        except (OSError, ValueError):
            continue
        note = read_json(path, schema=SCHEMA) if note.get("schema") != SCHEMA else note
        if hashlib.sha256(content).hexdigest() == note["sha256"]:
            return load(content), note["state"]
    return None


def clear(folder: Path) -> None:
    """Remove all checkpoints; the result is written and nothing needs them any more."""
    for path in folder.glob("*step-*"):
        with suppress(OSError):
            path.unlink()
    with suppress(OSError):
        folder.rmdir()


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state as flat tensors `optimizer.<parameter>.<name>`."""
    flat = {}
    for index, entries in optimizer.state_dict()["state"].items():
        for name, value in entries.items():
            if value is not None:
                flat[f"optimizer.{index}.{name}"] = torch.as_tensor(value)
    return flat


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` gave, in the memory layout of the parameters.

    Fused optimisers walk a parameter and its state side by side in memory; with other strides they would
    pair the wrong elements.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".", 2)
            like = parameters[int(index)]
            same = tensor.shape == like.shape
            state.setdefault(int(index), {})[name] = torch.empty_like(like).copy_(tensor) if same else tensor
    document = optimizer.state_dict()
    document["state"] = state
    optimizer.load_state_dict(document)


def save_weights(path: Path, module: nn.Module, metadata: Mapping[str, str]) -> str:
    """Write a module's state as safetensors; gives the digest of the weights."""
    write_bytes(path, save(_plain(module.state_dict()), metadata=dict(metadata)))
    return weights_digest(module)


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the host in the default layout; tied tensors become separate ones."""
    return {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }


def load_weights(path: Path, module: nn.Module) -> None:
    """Read what `save_weights` wrote; every key must fit."""
    module.load_state_dict(load(path.read_bytes()))


def weights_digest(module: nn.Module) -> str:
    """SHA-256 over names, shapes and bytes of a module's state."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        plain = tensor.detach().cpu().contiguous()
        digest.update(f"{name}{tuple(plain.shape)}{plain.dtype}".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
