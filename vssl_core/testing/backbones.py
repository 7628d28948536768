"""Checks of backbones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vssl_core.registry import PluginRef, load
from vssl_core.testing.backbone_builds import BackboneSubject
from vssl_core.testing.backbone_features import FEATURE_CHECKS
from vssl_core.testing.backbone_state import STATE_CHECKS
from vssl_core.testing.backbone_tokens import TOKEN_CHECKS
from vssl_core.testing.component import OPTION_CHECKS
from vssl_core.testing.process_state import isolated
from vssl_core.testing.subjects import kept

__all__ = ["CHECKS", "subject"]


@kept
def subject(ref: PluginRef, values: Mapping[str, Any]) -> BackboneSubject:
    """Load a backbone. Raises what `load` raises."""
    return BackboneSubject(ref, load(ref), values)


CHECKS = isolated((*OPTION_CHECKS, *FEATURE_CHECKS, *STATE_CHECKS, *TOKEN_CHECKS))
