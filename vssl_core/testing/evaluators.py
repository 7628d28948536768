"""Checks of evaluators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vssl_core.registry import PluginRef, load
from vssl_core.testing.component import OPTION_CHECKS
from vssl_core.testing.evaluator_fairness import FAIRNESS_CHECKS
from vssl_core.testing.evaluator_results import RESULT_CHECKS
from vssl_core.testing.evaluator_trials import EvaluatorSubject
from vssl_core.testing.process_state import isolated
from vssl_core.testing.subjects import kept

__all__ = ["CHECKS", "subject"]


@kept
def subject(ref: PluginRef, values: Mapping[str, Any]) -> EvaluatorSubject:
    """Load an evaluator. Raises what `load` raises."""
    return EvaluatorSubject(ref, load(ref), values)


CHECKS = isolated((*OPTION_CHECKS, *RESULT_CHECKS, *FAIRNESS_CHECKS))
