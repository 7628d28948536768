"""What an evaluator under test names in its options: other components, and networks of other cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from vssl_core.interfaces import Backbone
from vssl_core.options import build_options
from vssl_core.registry import load, resolve
from vssl_core.seeding import key_seed
from vssl_core.testing.evaluator_target import ColourBackbone, target

__all__ = ["colour_backbone", "named_cells", "named_parts"]

_CELLS = ("cell-one", "cell-two")


def colour_backbone(cell_id: str = "") -> Backbone:
    """The network under test, or the one that stands for another cell: other weights for every id."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key_seed("cell", cell_id) if cell_id else 0)
        return ColourBackbone(None, target().around.protocol.clip.spec())


def named_cells(cls: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Options that are ids of cells, where none is given: two ids for a list, one for a single id."""
    fields = cls.Options.model_fields
    return {
        name: _CELLS[0] if isinstance(fields[name].default, str) else list(_CELLS)
        for name in cls.cells
        if name not in values
    }


def named_parts(cls: Any, options: Any) -> dict[str, tuple[Any, ...]]:
    """The components that the options name, made; evaluators as the smallest preset has them."""
    presets = target().around.protocol.evaluation.options
    found: dict[str, tuple[Any, ...]] = {}
    for option, kind in cls.parts.items():
        given = getattr(options, option)
        made = []
        for name in [given] if isinstance(given, str) else given:
            part: Any = load(resolve(kind, name))
            values = presets.get(name, {}) if kind == "evaluator" else {}
            made.append(part(build_options(part.Options, values, owner=f"{kind}/{name}")))
        found[option] = tuple(made)
    return found
