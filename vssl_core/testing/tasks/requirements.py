"""Checks of what a task requires of its backbone: without a backbone that fits, nothing else is checked."""

from __future__ import annotations

from typing import Any

from vssl_core.errors import VsslError, did_you_mean
from vssl_core.registry import load, scan
from vssl_core.testing.outcome import CheckFailed, CheckSkipped
from vssl_core.testing.tasks.subject import TaskSubject

__all__ = ["CHECKS"]


def check_requires_is_a_set_of_words(subject: TaskSubject) -> None:
    """`requires` is a set of words; text would be taken for a set of letters."""
    words = subject.cls.requires
    if not isinstance(words, frozenset | set) or not all(isinstance(word, str) and word for word in words):
        raise CheckFailed(
            f"expected requires to be a set of words, such as frozenset({{'feature_map'}}); got {words!r}."
        )


def check_a_backbone_provides_what_is_required(subject: TaskSubject) -> None:
    """An installed backbone provides every word of `requires` and takes small clips: else nothing can run."""
    try:
        _ = subject.backbone
    except CheckSkipped as skipped:
        known = _provided()
        hints = [did_you_mean(str(word), known) for word in subject.cls.requires if word not in known]
        raise CheckFailed(
            f"expected a backbone to run the task with, but {skipped}. Installed backbones provide "
            f"{', '.join(sorted(known))}.{''.join(hints)}"
        ) from skipped


def _provided() -> set[str]:
    """Every word that an installed backbone provides."""
    words: set[str] = set()
    for ref in scan():
        if ref.kind == "backbone":
            try:
                cls: Any = load(ref)
                words |= set(cls.provides)
            except (VsslError, TypeError):
                continue  # a broken backbone is not this task's fault
    return words


CHECKS = (check_requires_is_a_set_of_words, check_a_backbone_provides_what_is_required)
