"""From a component of a cell's description to its class, its options and, for a backbone, the network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vssl_core import registry
from vssl_core.cells import Component
from vssl_core.errors import ContractError, WeightsError
from vssl_core.interfaces import Backbone
from vssl_core.options import Options, build_options
from vssl_core.seeding import key_seed
from vssl_core.types import ClipSpec
from vssl_core.weights import Loaded, file_digest, load_into

__all__ = ["component_class", "component_options", "load_published", "make_backbone"]


def component_class(kind: registry.Kind, component: Component, classes: Mapping[str, type]) -> Any:
    """Its class; `classes` holds those that no other process could import, by spec."""
    if component.spec in classes:
        return classes[component.spec]
    return registry.load(registry.resolve(kind, component.spec))


def component_options(cls: Any, component: Component, owner: str) -> Options:
    """Its options, checked again."""
    options: Options = build_options(cls.Options, component.options, owner=owner)
    return options


def make_backbone(
    component: Component, clip: ClipSpec, *, seed: int, classes: Mapping[str, type]
) -> Backbone:
    """A new backbone with the initial weights that this seed gives, whatever was drawn before.

    Raises:
        ContractError: It does not set `embed_dim`.
    """
    cls = component_class("backbone", component, classes)
    options = component_options(cls, component, "backbone")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key_seed("backbone", seed))
        backbone: Backbone = cls(options, clip)
    if not isinstance(getattr(backbone, "embed_dim", None), int):
        raise ContractError(f"backbone {component.name!r} must set embed_dim, an int.")
    return backbone


def load_published(backbone: Backbone, component: Component) -> Loaded | None:
    """Load the file that the option `weights` names, where it names one.

    Raises:
        WeightsError: It does not fit, or is not the file that the cell was planned with.
    """
    weights = component.weights
    if weights is None:
        return None
    path = Path(weights.path)
    found = file_digest(path)
    if found != weights.sha256:
        raise WeightsError(
            f"the weights {weights.path!r} have changed since this cell was planned (digest {found[:12]}, "
            f"planned with {weights.sha256[:12]}); start the bench again."
        )
    return load_into(backbone, path, backbone.key_maps)
