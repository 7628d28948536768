"""The augmentation that the benchmark gives every task (supplement, section 3.4)."""

from __future__ import annotations

from vssl_core.augmentation import ColorJitter, HorizontalFlip, Op, RandomCrop, RotationJitter

__all__ = ["BENCHMARK_OPS"]

BENCHMARK_OPS: tuple[Op, ...] = (RotationJitter(), RandomCrop(), ColorJitter(), HorizontalFlip())
"""Rotation, resize, crop, colour, flip; strengths are not published and are those of the ops' defaults."""
