"""Tests of components get an import path of their own."""

from __future__ import annotations

from fake_distributions import site

__all__ = ["site"]
