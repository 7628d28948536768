"""Evaluators on any backbone, without a cell: a network in memory, or a file of weights."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from vssl_core.cache_dir import user_cache
from vssl_core.data import loader_threads
from vssl_core.evaluate import FeatureStore, Surroundings, TargetData, run_evaluator
from vssl_core.instantiate import load_published, make_backbone, make_evaluator
from vssl_core.interfaces import Backbone, EvaluationResult
from vssl_core.opening import open_target
from vssl_core.planning import Named, component, plan_evaluations
from vssl_core.precision import autocast_factory
from vssl_core.progress import Progress, terminal_progress
from vssl_core.protocol import Protocol, load_protocol
from vssl_core.video import FrameCache, FrameReader

__all__ = ["evaluate_backbone"]


def evaluate_backbone(
    backbone: Backbone | Named,
    *,
    targets: Sequence[Named] = (),
    evaluators: Sequence[Named] = (),
    protocol: str = "laptop",
    seed: int = 0,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    folder: str | Path | None = None,
    progress: Progress | None = None,
) -> dict[tuple[str, str], EvaluationResult]:
    """Score a backbone as the evaluations of a cell would; nothing is pretrained and no row is written.

    Args:
        backbone: A network, or a component whose weights `options["backbone"]["weights"]` names.
        targets: Labelled datasets; none: the protocol's.
        evaluators: Evaluators; none: the protocol's.
        protocol: A preset or a file.
        seed: Of new weights and of the evaluators.
        options: Owner (`backbone`, `target`, `eval/NAME`, `corruption/NAME`,
            `protocol`) → option → value.
        folder: Where evaluators write artifacts; None: they are thrown away.
        progress: Where progress is shown; None: stderr.

    Returns:
        (evaluator's label, target's label) → result.

    Raises:
        UsageError: A name, option or combination that cannot be meant.
        VsslError: A component, a video or the training of an evaluator fails.
    """
    given = dict(options or {})
    document = load_protocol(protocol, given.pop("protocol", None))
    shown = progress or terminal_progress()
    targets = tuple(targets) or document.target_datasets
    specs, classes = plan_evaluations(targets, evaluators, document, options=given, progress=shown)
    network = _network(backbone, document, seed=seed, values=given.get("backbone", {}))
    around = _surroundings(document, seed, shown)
    store = FeatureStore()
    results = {}
    with _folder(folder) as top:
        for spec in specs:
            shown.say(f"evaluating {spec.label} on {spec.target.name}")
            index, _ = open_target(
                spec.target,
                digest=spec.target_digest,
                protocol=document,
                reader=around.reader,
                progress=shown,
                classes=classes,
            )
            evaluator, parts = make_evaluator(spec, classes)
            data = TargetData(index, around=around, store=store)
            path = top / spec.evaluation_id
            path.mkdir(parents=True, exist_ok=True)
            results[spec.label, spec.target.label] = run_evaluator(
                evaluator, network, data, around=around, folder=path, parts=parts
            )
    return results


def _network(
    backbone: Backbone | Named, protocol: Protocol, *, seed: int, values: Mapping[str, Any]
) -> Backbone:
    if isinstance(backbone, Backbone):
        return backbone
    made, cls = component("backbone", backbone, values, owner="backbone")
    network = make_backbone(made, protocol.clip.spec(), seed=seed, classes={made.spec: cls})
    load_published(network, made)
    return network


def _surroundings(protocol: Protocol, seed: int, progress: Progress) -> Surroundings:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data = protocol.data
    cache = FrameCache(user_cache() / "frames", max_bytes=8 * 2**30)
    return Surroundings(
        reader=FrameReader(short_side=data.short_side, cache=cache, decoder=data.decoder),
        protocol=protocol,
        seed=seed,
        device=device,
        threads=loader_threads(),
        autocast=autocast_factory("fp32", device),
        progress=progress,
    )


@contextlib.contextmanager
def _folder(given: str | Path | None) -> Iterator[Path]:
    if given is not None:
        yield Path(given).absolute()
        return
    with tempfile.TemporaryDirectory(prefix="vssl-") as path:
        yield Path(path)
