"""The half of a dataset plugin that is the same for all: an index, and what it means."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from vssl_core.interfaces import DatasetContext, VideoDataset
from vssl_core.types import Inventory, InventoryList, Split, VideoRecord
from vssl_plugins.datasets.official import parts
from vssl_plugins.datasets.official.checking import changes
from vssl_plugins.datasets.official.finding import find, index_path
from vssl_plugins.datasets.official.index_file import Index
from vssl_plugins.datasets.official.source import Source

__all__ = ["PreparedVideos"]


class PreparedVideos(VideoDataset):
    """The videos of one copy of a dataset; a plugin says where they are and how they are matched."""

    def __init__(self, options: Any, context: DatasetContext) -> None:
        self._source, self._context = self.source(options), context

    @classmethod
    @abstractmethod
    def source(cls, options: Any) -> Source:
        """Where its lists and videos are, and how they are matched.

        Raises:
            OptionError: The options name no folder.
        """

    def prepare(self) -> None:
        """Find the videos, or read what was found before, and say so where some are missing.

        Raises:
            UsageError: There is no such folder.
            DatasetError: An annotation file is lacking or malformed, a subset cannot be taken, or parts
                share a source.
            StoreError: The cache cannot be written.
        """
        _ = self._parts
        if any(one.missing for one in self._lists):
            self._context.progress.say(parts.summary(self._source, self._index, self._lists))

    @property
    def classes(self) -> Sequence[str]:
        """Names by label."""
        return self._index.classes

    def records(self, split: Split) -> Sequence[VideoRecord]:
        """The part's videos that are here, by id."""
        return self._parts[split]

    def inventory(self) -> Inventory:
        """What is here of what should be."""
        file = index_path(self._source, self._context.cache_dir)
        return parts.inventory(self._index, self._lists, file=str(file))

    def verify(self) -> Sequence[str]:
        """What is no longer as the index says."""
        return list(changes(self._source, self._context))

    @cached_property
    def _index(self) -> Index:
        return find(self._source, self._context)

    @cached_property
    def _lists(self) -> tuple[InventoryList, ...]:
        return parts.used_lists(self._source, self._index)

    @cached_property
    def _parts(self) -> Mapping[Split, Sequence[VideoRecord]]:
        return parts.records(self._source, self._index, self._lists)
