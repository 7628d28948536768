"""Checks of executors."""

from __future__ import annotations

from vssl_core.testing.component import OPTION_CHECKS, component

__all__ = ["CHECKS", "subject"]

subject = component

CHECKS = OPTION_CHECKS
