"""From a component of a description to a dataset, and to the target videos that a protocol uses."""

from __future__ import annotations

from collections.abc import Mapping

from vssl_core.cache_dir import user_cache
from vssl_core.cells import Component
from vssl_core.data import Index, Ledger, audit, build_index, num_missing, readable, target_subset
from vssl_core.errors import DatasetError
from vssl_core.instantiate import component_class, component_options
from vssl_core.interfaces import DatasetContext, VideoDataset
from vssl_core.ledger import DecodeLedger
from vssl_core.progress import Progress
from vssl_core.protocol import Protocol
from vssl_core.video import FrameReader

__all__ = ["make_dataset", "open_dataset", "open_target"]


def open_dataset(component: Component, *, progress: Progress, classes: Mapping[str, type]) -> VideoDataset:
    """A dataset of this component, prepared."""
    dataset = make_dataset(component, progress=progress, classes=classes)
    dataset.prepare()
    return dataset


def make_dataset(
    component: Component, *, progress: Progress, classes: Mapping[str, type], refresh: bool = False
) -> VideoDataset:
    """A dataset of this component, not prepared yet; `refresh` as in `DatasetContext`."""
    cls = component_class("dataset", component, classes)
    options = component_options(cls, component, "dataset")
    dataset: VideoDataset = cls(options, DatasetContext(user_cache() / "datasets", progress, refresh))
    return dataset


def open_target(
    component: Component,
    *,
    digest: str,
    protocol: Protocol,
    reader: FrameReader,
    progress: Progress,
    classes: Mapping[str, type],
) -> tuple[Index, Ledger]:
    """The videos of a target that the protocol uses and that can be read, and the record of the others.

    Raises:
        DatasetError: The target's digest is another one, or a video cannot be read (strict).
    """
    dataset = open_dataset(component, progress=progress, classes=classes)
    index = build_index(component.name, dataset, protocol.data)
    if index.digest != digest:
        raise DatasetError(
            f"target {index.name!r} has changed since this evaluation was planned; start the bench again."
        )
    missing = num_missing(index, index.parts, bound=protocol.evaluation.num_videos)
    index = target_subset(index, protocol)
    records = [record for part in index.parts.values() for record in part]
    ledger = DecodeLedger(user_cache())
    _, found = audit(records, reader, ledger=ledger, data=protocol.data, progress=progress, missing=missing)
    return readable(index, found.unreadable), found
