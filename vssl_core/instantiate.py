"""From a component of a cell's description to its class, its options and, for a backbone, the network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vssl_core import registry
from vssl_core.cells import Component, EvaluationSpec
from vssl_core.checkpoint import load_weights, weights_digest
from vssl_core.draws import equal_draws
from vssl_core.errors import ContractError, OptionError, PluginLoadError, WeightsError
from vssl_core.files import content_sha256
from vssl_core.global_seeds import seeded
from vssl_core.interfaces import Backbone, Evaluator
from vssl_core.options import Options, build_options
from vssl_core.store import CellFolder
from vssl_core.types import ClipSpec
from vssl_core.weights import Loaded, file_digest, load_into

__all__ = [
    "component_class",
    "component_options",
    "load_published",
    "make_backbone",
    "make_evaluator",
    "pretrained",
    "refuse_changed_code",
    "with_contents",
]


def component_class(kind: registry.Kind, component: Component, classes: Mapping[str, type]) -> Any:
    """Its class; `classes` holds those that no other process could import, by spec."""
    if component.spec in classes:
        return classes[component.spec]
    return registry.load(registry.resolve(kind, component.spec))


def refuse_changed_code(kind: registry.Kind, component: Component, classes: Mapping[str, type]) -> None:
    """What runs must be what was planned: its digest stands in the ids under which results are kept.

    Raises:
        PluginLoadError: The source of the component is another than when it was planned.
    """
    if component.spec in classes:
        return
    ref = registry.resolve(kind, component.spec)
    registry.load(ref)  # first: what is imported here is what is compared
    found = registry.plugin_digest(ref)
    if found != component.digest:
        raise PluginLoadError(
            f"the source of {kind} {component.name!r} has changed since this was planned (digest "
            f"{found[:12]}, planned with {component.digest[:12]}); start the bench again."
        )


def component_options(cls: Any, component: Component, owner: str) -> Options:
    """Its options, checked again.

    Raises:
        OptionError: A file or folder that they name is not what the component was planned with.
    """
    options: Options = build_options(cls.Options, component.options, owner=owner)
    for name, planned in component.contents.items():
        found = with_contents(options, owner)[1].get(name, "nothing there")
        if found != planned:
            raise OptionError(
                f"{owner}.{name}: {getattr(options, name)!r} has changed since this was planned (digest "
                f"{found[:13]}, planned with {planned[:12]}); put it back, or start the bench again."
            )
    return options


def with_contents(options: Options, owner: str) -> tuple[Options, dict[str, str]]:
    """Options with the paths of their `contents` made absolute, and what those hold: option → SHA-256.

    Raises:
        OptionError: A file cannot be read.
    """
    paths, digests = {}, {}
    for name in sorted(options.contents):
        path = Path(getattr(options, name) or "").expanduser().absolute()
        if not getattr(options, name) or not path.exists():
            continue
        try:
            paths[name], digests[name] = str(path), content_sha256(path)
        except OSError as error:
            raise OptionError(
                f"{owner}.{name}: cannot read {str(path)!r}: {error.strerror or error}."
            ) from error
    return options.model_copy(update=paths), digests


def make_backbone(
    component: Component, clip: ClipSpec, *, seed: int, classes: Mapping[str, type]
) -> Backbone:
    """A new backbone with the initial weights that this seed gives on every machine, whatever was drawn.

    Raises:
        ContractError: It does not set `embed_dim`.
    """
    cls = component_class("backbone", component, classes)
    options = component_options(cls, component, "backbone")
    with seeded("backbone", seed), equal_draws():
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


def pretrained(folder: CellFolder, classes: Mapping[str, type], *, at: float = 1.0) -> Backbone:
    """The backbone of a finished cell, with its weights after this share of the budget.

    Raises:
        ContractError: The weights are not what pretraining wrote.
    """
    spec = folder.spec()
    backbone = make_backbone(spec.backbone, folder.protocol().clip.spec(), seed=spec.seed, classes=classes)
    path, result = folder.weights_at(at), folder.pretrain_result() or {}
    load_weights(path, backbone)
    known = result.get("weights_sha256") if at == 1.0 else result.get("snapshots", {}).get(f"{at:g}")
    if weights_digest(backbone) != known:
        raise ContractError(f"{str(path)!r} is not what pretraining wrote; remove the cell's folder.")
    return backbone


def make_evaluator(
    spec: EvaluationSpec, classes: Mapping[str, type]
) -> tuple[Evaluator, dict[str, tuple[Any, ...]]]:
    """The evaluator, and the components that its options name.

    Raises:
        PluginLoadError: The source of one of them is another than when the evaluation was planned.
    """
    cls = component_class("evaluator", spec.evaluator, classes)
    refuse_changed_code("evaluator", spec.evaluator, classes)
    parts = {
        option: tuple(_made(cls.parts[option], part, classes) for part in named)
        for option, named in spec.parts.items()
    }
    evaluator: Evaluator = cls(component_options(cls, spec.evaluator, f"eval/{spec.evaluator.name}"))
    return evaluator, parts


def _made(kind: registry.Kind, part: Component, classes: Mapping[str, type]) -> Any:
    cls = component_class(kind, part, classes)
    refuse_changed_code(kind, part, classes)
    return cls(component_options(cls, part, f"{kind}/{part.name}"))
