"""The README's lines that open an exported backbone run as they stand, without vssl."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch
from exported_cell import pretrained_cell
from pages import ROOT, fences

from vssl_core.export import export

SHOWS = """
import sys
assert not any(name.startswith("vssl") for name in sys.modules)
torch.save({"clips": clips, "features": features.detach()}, "shown.pt")
"""


def test_the_readmes_lines_open_an_exported_backbone(tmp_path: Path) -> None:
    (block,) = [f.text for f in fences(ROOT / "README.md", "python") if "torch.export.load" in f.text]
    assert len([line for line in block.splitlines() if line]) <= 5
    clip = {"num_frames": 8, "crop_size": 48}
    folder, net = pretrained_cell(tmp_path / "runs", "squeezenet", clip=clip)
    export(folder, tmp_path / "backbone.pt2")
    program = [sys.executable, "-c", block + SHOWS]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shown = torch.load(tmp_path / "shown.pt", weights_only=True)
    with torch.no_grad():
        torch.testing.assert_close(shown["features"], net(shown["clips"]), rtol=1e-4, atol=1e-4)
