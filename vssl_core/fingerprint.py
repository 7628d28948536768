"""Which network a cell started from, in four numbers: "the same backbone" is where comparisons fail."""

from __future__ import annotations

import hashlib

from torch import nn

from vssl_core.checkpoint import weights_digest
from vssl_core.cost import count_parameters
from vssl_core.files import canonical_json
from vssl_core.rows import Fingerprint

__all__ = ["fingerprint", "graph_digest"]


def fingerprint(backbone: nn.Module, *, gflops: float) -> Fingerprint:
    """The fingerprint of a backbone before its first step; `gflops` as `cost.count_flops` gives them."""
    return Fingerprint(
        graph=graph_digest(backbone),
        parameters=count_parameters(backbone),
        gflops=gflops,
        initial_weights=weights_digest(backbone),
    )


def graph_digest(module: nn.Module) -> str:
    """SHA-256 over the tree of modules: names, classes, settings, and the shapes of their tensors.

    What `forward` does between modules is not in it; the component's source digest covers that.
    """
    modules = [[name, type(part).__name__, part.extra_repr()] for name, part in module.named_modules()]
    tensors = [[name, list(tensor.shape), str(tensor.dtype)] for name, tensor in module.state_dict().items()]
    return hashlib.sha256(canonical_json([modules, tensors]).encode()).hexdigest()
