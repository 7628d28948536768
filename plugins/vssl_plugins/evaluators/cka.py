"""CKA: which layers of a network see the test videos alike, or see them as those of another network do.

Nothing is trained and no label is read. Every pair of layers is compared by minibatch linear CKA with the
unbiased estimator of HSIC (Nguyen, Raghu, Kornblith, arXiv 2010.15327, section 3), on the unpooled output of
each layer:

    HSIC₁(K, L) = [ tr(KL) + (1ᵀK1)(1ᵀL1) / ((n-1)(n-2)) - 2 · 1ᵀKL1 / (n-2) ] / (n(n-3))
    CKA         = mean HSIC₁(K, L) / √(mean HSIC₁(K, K) · mean HSIC₁(L, L)),    means over batches

K and L are Gram matrices of n clips without their diagonals. The benchmark paper (arXiv 2306.06010, figures
of CKA) shows such maps and reads block structure off them by eye; here the map comes with numbers.

Deviations from what the paper's tool seems to do: outputs are looked at before a layer in place changes them,
a container is not compared beside the child whose tensor it hands on (unless `hooks` is `all`), both networks
see the same samples in one pass, and the samples are drawn across classes. No number has a better direction:
the same map may belong to a good network and to a bad one, so that tables show no gain and no best.

    from vssl_plugins.evaluators.cka import compare

    compare(one, other, batches=loader)    # any two networks, without a cell

Axes: L layer, M layer of the other network, V video.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from vssl_core.errors import DatasetError, DivergedError
from vssl_core.files import write_json
from vssl_core.interfaces import (
    Backbone,
    EvaluationContext,
    EvaluationData,
    EvaluationPart,
    EvaluationResult,
    Evaluator,
    Metric,
)
from vssl_core.options import Options
from vssl_core.progress import Task
from vssl_core.seeding import key_seed
from vssl_core.similarity import SMALLEST_BATCH
from vssl_core.types import VideoRecord
from vssl_plugins.evaluators.block_structure import block_structure, blocks, shares_by_threshold
from vssl_plugins.evaluators.compare_layers import LayerComparison, Side, compare
from vssl_plugins.evaluators.layers import Hooks

__all__ = ["CKA", "CKAOptions", "compare"]

_LOADED_AT_ONCE = 32  # clips


class CKAOptions(Options):
    """Options of CKA."""

    hooks: Hooks = "leaf"
    """Layers to compare. `leaf`: modules without children; `block`: the backbone's stages; `all`: every
    module, containers and the whole included, as the paper's maps have them: a container then repeats its
    last child, which draws squares of 1 that are no structure."""
    other: str = ""
    """Id of another finished cell of the run folder, whose backbone is compared with this one; empty: this
    one with itself."""
    batch_size: int = Field(256, ge=SMALLEST_BATCH)
    """Clips of which a Gram matrix is made at once (Nguyen et al.: 256). Videos are divided into batches of
    nearly equal size of at most so many. Memory is that of a forward pass of a batch, whatever the number of
    videos; where it is short take 64 or 32, which HSIC₁ estimates as well, with more noise."""
    num_videos: int = Field(1024, ge=SMALLEST_BATCH)
    """Test videos that are looked at, the same for all cells; all of a smaller test part."""
    num_clips: int = Field(1, ge=1)
    """Evenly spaced centre crops of each video, every one a sample."""
    threshold: float = Field(0.8, gt=0, lt=1)
    """CKA from which two layers count as alike in the numbers on block structure. A convention: no value is
    published. The array `block_share_by_threshold` says what others would give."""


class CKA(Evaluator):
    """A map of layers against layers, and block structure as numbers.

    Videos are taken in an order that depends on their ids alone, so that every batch holds all classes; the
    test part is the one that no evaluator fits on. The forward pass is in float32 whatever the precision of
    the run, since rounding would be read as dissimilarity.
    """

    api_version = 1
    Options = CKAOptions
    paper = "https://arxiv.org/abs/2010.15327"

    def __init__(self, options: CKAOptions) -> None:
        self.options = options

    def evaluate(
        self, backbone: Backbone, data: EvaluationData, context: EvaluationContext
    ) -> EvaluationResult:
        """Compare the layers; the backbone is not changed.

        Writes `layers.json` with the names of the layers in the order in which they ran, modules that were
        passed over and why, the ids of the videos and the sizes of the batches.

        Returns:
            Of a network with itself: `block_share`, `block_layers`, `num_blocks`, `grid_share`,
            `off_diagonal_mean`, `first_component_mean`, `first_component_max`. Of two networks: `mean`,
            `best_match_mean` and, where their layers have the same names, `same_layer_mean`. Arrays `cka`
            (L, M), `first_component` (L,), with `block_share_by_threshold` (…, 2), or
            `other_first_component` (M,) and whether the networks have the `same_layers`.

        Raises:
            DatasetError: Fewer than four clips.
            DivergedError: A layer is not finite, or none tells the clips apart.
            UsageError: The other cell is not there.
        """
        other = None
        if self.options.other:
            other = context.cell(self.options.other).to(context.device)
        part = self._videos(data.test())
        ids = [record.video_id for record in part.records]
        total = len(ids) * self.options.num_clips
        with context.progress.track("layers", total, "clips") as bar:
            batches = _batches(part, self.options.batch_size, self.options.num_clips, bar=bar)
            found = compare(backbone, other, batches=batches, hooks=self.options.hooks)
        _check_alive(found)
        arrays = {"cka": found.cka, "first_component": found.one.first_component}
        if other is None:
            arrays["block_share_by_threshold"] = shares_by_threshold(found.cka)
        else:
            arrays["other_first_component"] = found.other.first_component
            arrays["same_layers"] = np.array(found.one.layers == found.other.layers)
        write_json(context.folder / "layers.json", self._document(found, ids))
        return EvaluationResult(metrics=self.recompute(arrays), arrays=arrays)

    def recompute(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, Metric]:
        """All metrics, from the map and the components; without the array `same_layers`, which results of an
        earlier version lack, all but `same_layer_mean`."""
        if self.options.other:
            return _cross_metrics(arrays["cka"], same_layers=bool(arrays.get("same_layers", False)))
        return _own_metrics(arrays["cka"], arrays["first_component"], self.options.threshold)

    def _videos(self, part: EvaluationPart) -> EvaluationPart:
        """The videos to look at, in an order that is drawn by their ids."""
        if len(part.records) * self.options.num_clips < SMALLEST_BATCH:
            raise DatasetError(
                f"CKA needs at least {SMALLEST_BATCH} clips, as HSIC divides by n - 3; the test part has "
                f"{len(part.records)} videos. Give it more, or more clips of each: -o eval/cka.num_clips=4."
            )

        def place(row: int) -> int:
            record: VideoRecord = part.records[row]
            return key_seed("cka", record.video_id)

        rows = sorted(range(len(part.records)), key=place)
        return part.subset(rows[: self.options.num_videos])

    def _document(self, found: LayerComparison, ids: Sequence[str]) -> dict[str, object]:
        options = self.options
        document: dict[str, object] = {"hooks": options.hooks, "other": options.other, **_names(found.one)}
        if options.other:
            document["other_layers"] = _names(found.other)
        else:
            document["blocks"] = [list(run) for run in blocks(found.cka, threshold=options.threshold)]
        document["batch_sizes"] = list(found.batch_sizes)
        document["num_clips"] = options.num_clips
        document["video_ids"] = list(ids)
        return document


def _names(side: Side) -> dict[str, object]:
    return {"layers": list(side.layers), "twins": side.twins, "passed_over": side.passed_over}


def _batches(
    part: EvaluationPart, batch_size: int, num_clips: int, *, bar: Task
) -> Iterator[tuple[Tensor, list[str]]]:
    """All clips in as few batches of at most `batch_size` as their number allows, with their videos' ids."""
    total = len(part.records) * num_clips
    count = max(1, min(-(-total // batch_size), total // SMALLEST_BATCH))
    sizes = iter([len(batch) for batch in np.array_split(np.arange(total), count)])
    size, waiting, ids = next(sizes), list[Tensor](), list[str]()
    for video_NCTHW, _, rows_N in part.batches(batch_size=_LOADED_AT_ONCE, num_clips=num_clips):
        waiting.append(video_NCTHW)
        ids += [part.records[row].video_id for row in rows_N]
        while len(ids) >= size > 0:
            clips = torch.cat(waiting)
            waiting = [clips[size:].clone()]
            yield clips[:size], ids[:size]
            bar.advance(size)
            ids, size = ids[size:], next(sizes, 0)


def _check_alive(found: LayerComparison) -> None:
    if not np.isfinite(found.cka).any():
        raise DivergedError(
            "no layer tells the clips apart, so that there is nothing to compare; look at the curve of the "
            "pretraining loss."
        )


def _metric(value: float, unit: str) -> Metric:
    return Metric(float(value), unit=unit, higher_is_better=None)


def _own_metrics(cka_LL: np.ndarray, component_L: np.ndarray, threshold: float) -> dict[str, Metric]:
    structure = block_structure(cka_LL, threshold=threshold)
    mean = structure.off_diagonal_mean
    return {
        "block_share": _metric(structure.largest_share, "share of layers"),
        "block_layers": _metric(structure.largest_block, "layers"),
        "num_blocks": _metric(structure.num_blocks, "blocks"),
        "grid_share": _metric(structure.grid_share, "share of pairs"),
        "off_diagonal_mean": _metric(mean if np.isfinite(mean) else 1.0, "CKA"),
        "first_component_mean": _metric(np.nanmean(component_L), "share of variance"),
        "first_component_max": _metric(np.nanmax(component_L), "share of variance"),
    }


def _cross_metrics(cka_LM: np.ndarray, *, same_layers: bool) -> dict[str, Metric]:
    known = cka_LM[np.isfinite(cka_LM).any(axis=1)]
    metrics = {
        "mean": _metric(np.nanmean(cka_LM), "CKA"),
        "best_match_mean": _metric(np.nanmean(np.nanmax(known, axis=1)), "CKA"),
    }
    if same_layers and np.isfinite(np.diag(cka_LM)).any():
        metrics["same_layer_mean"] = _metric(np.nanmean(np.diag(cka_LM)), "CKA")
    return metrics
