"""Checks of datasets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vssl_core.registry import PluginRef, load
from vssl_core.testing.component import OPTION_CHECKS
from vssl_core.testing.dataset_files import FILE_CHECKS
from vssl_core.testing.dataset_records import RECORD_CHECKS
from vssl_core.testing.dataset_worlds import DatasetSubject
from vssl_core.testing.process_state import isolated
from vssl_core.testing.subjects import kept

__all__ = ["CHECKS", "subject"]


@kept
def subject(ref: PluginRef, values: Mapping[str, Any]) -> DatasetSubject:
    """Load a dataset. Raises what `load` raises."""
    return DatasetSubject(ref, load(ref), values)


CHECKS = isolated((*OPTION_CHECKS, *RECORD_CHECKS, *FILE_CHECKS))
