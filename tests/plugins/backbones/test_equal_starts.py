"""A seed gives the same initial weights on processors with and without vector units: backbones and heads."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch

from vssl_core.registry import scan

DIGESTS = """
import json, sys, torch
from vssl_core.cells import Component
from vssl_core.checkpoint import weights_digest
from vssl_core.instantiate import make_backbone
from vssl_core.registry import resolve
from vssl_core.testing.tasks.subject import subject
from vssl_core.types import ClipSpec

clip = ClipSpec(num_frames=8, frame_stride=1, crop_size=32)


def make(name):
    options = json.loads(sys.argv[3]).get(name, {})
    made = Component(spec=name, name=name, label=name, origin="built-in", digest="", options=options)
    return make_backbone(made, clip, seed=7, classes={})


found = {"capability": torch.backends.cpu.get_cpu_capability()}
for name in json.loads(sys.argv[1]):
    found[name] = weights_digest(make(name))
for name in json.loads(sys.argv[2]):
    task = subject(resolve("task", name), {}).task(seed=7, make_backbone=lambda: make("squeezenet"))
    found["task " + name] = weights_digest(task)
print(json.dumps(found))
"""
SMALLER = {
    "vivit": {"size": "tiny", "depth": 2},
    "timesformer": {"size": "tiny", "depth": 2},
    "timm_image": {"model": "resnet18"},
}


def built_in(kind: str) -> list[str]:
    return [ref.name for ref in scan() if ref.kind == kind and ref.dist == "vssl"]


def start(**variables: str) -> subprocess.Popen[str]:
    arguments = [json.dumps(built_in(kind)) for kind in ("backbone", "task")]
    return subprocess.Popen(
        [sys.executable, "-c", DIGESTS, *arguments, json.dumps(SMALLER)],
        env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
        stdout=subprocess.PIPE,
        text=True,
    )


def digests(process: subprocess.Popen[str]) -> dict[str, str]:
    output, _ = process.communicate()
    assert process.returncode == 0
    found: dict[str, str] = json.loads(output)
    return found


@pytest.mark.slow
@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() == "DEFAULT",
    reason="this processor has no vector units to leave out",
)
def test_initial_weights_do_not_depend_on_the_processors_vector_units() -> None:
    both = start(), start(ATEN_CPU_CAPABILITY="default", MKL_ENABLE_INSTRUCTIONS="SSE4_2")
    here, plain = map(digests, both)
    assert plain.pop("capability") == "DEFAULT" != here.pop("capability")
    assert len(here) > 15
    assert [name for name in here if here[name] != plain[name]] == []
