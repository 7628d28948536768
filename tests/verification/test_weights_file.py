"""The digest of a file without torch is that of the module that was written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vssl_core.checkpoint import save_weights
from vssl_core.verification.weights_file import file_weights_digest


class Everything(nn.Module):
    """A state of many types and shapes, in an order that is not the names'."""

    def __init__(self) -> None:
        super().__init__()
        self.z = nn.Conv3d(2, 3, 2, bias=False)
        self.a = nn.BatchNorm3d(3)  # with a counter without axes
        kinds = ["float64", "float16", "bfloat16", "int32", "int16", "int8", "uint8", "bool"]
        for place, kind in enumerate(kinds):
            self.register_buffer(f"of_{kind}", (torch.arange(place + 1) % 2).to(getattr(torch, kind)))
        self.register_buffer("nothing", torch.zeros(0, 4))


def test_it_is_the_digest_of_the_module(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    written = save_weights(path, Everything(), {"format": "vssl", "cell_id": "x"})
    digest, metadata = file_weights_digest(path)
    assert digest == written
    assert metadata == {"format": "vssl", "cell_id": "x"}


@pytest.mark.parametrize("change", ["byte", "name", "shape"])
def test_it_changes_with_what_it_holds(change: str, tmp_path: Path) -> None:
    path, plain = tmp_path / "weights.safetensors", torch.arange(6.0)
    save_file({"w": plain}, path)
    before, metadata = file_weights_digest(path)
    assert metadata == {}
    altered = {
        "byte": {"w": torch.nextafter(plain, torch.tensor(9.0))},
        "name": {"v": plain},
        "shape": {"w": plain.reshape(2, 3)},
    }
    save_file(altered[change], path)
    assert file_weights_digest(path)[0] != before


@pytest.mark.parametrize("more", [-1, 1])
def test_bytes_that_the_header_does_not_know_are_refused(more: int, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"w": torch.zeros(4)}, path)
    content = path.read_bytes()
    path.write_bytes(content[:more] if more < 0 else content + b"x")
    with pytest.raises(ValueError, match="bytes"):
        file_weights_digest(path)
