"""The fixture that this folder's tests share with others."""

from __future__ import annotations

from fake_distributions import site

__all__ = ["site"]
