"""Every planted bug of an evaluator is caught by the check named for it; correct evaluators trip none."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import torch
from planted_evaluators import CORRECT, KeepsItsSeed
from planted_evaluators import PLANTED as PLANTED_EVALUATORS
from planted_memory import PLANTED as PLANTED_MEMORY
from planted_memory import FindsTheOtherClip, ScoresColours

from vssl_core.registry import load, resolve
from vssl_core.testing import check_plugin, checks_of
from vssl_core.testing.evaluator_target import target
from vssl_core.testing.evaluator_trials import EvaluatorSubject

PLANTED = {**PLANTED_EVALUATORS, **PLANTED_MEMORY}
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "my_evaluator.py"


@pytest.mark.parametrize(
    "evaluator",
    [
        *CORRECT,
        KeepsItsSeed,
        FindsTheOtherClip,
        ScoresColours,
        "linear",
        "finetune",
        "retrieval",
        "cost",
        "cka",
        "distill",
        "few_shot",
        f"{EXAMPLE}:MyEvaluator",
    ],
)
def test_a_correct_evaluator_passes_every_check(evaluator: str | type) -> None:
    report = check_plugin("evaluator", evaluator)
    assert report.ok, report.text()
    assert [result.name for result in report.results if result.status == "skipped"] == []
    assert len(report.results) == len(checks_of("evaluator"))


@pytest.mark.parametrize(
    ("cls", "check"), PLANTED.items(), ids=lambda value: getattr(value, "__name__", value)
)
def test_a_planted_bug_is_caught_by_the_check_named_for_it(
    cls: type, check: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    target()  # which all tests of this process share, before anything is put elsewhere
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    report = check_plugin("evaluator", cls, only=[check])
    assert [result.name for result in report.bad] == [check], report.text()
    assert report.bad[0].message.startswith("expected "), report.text()
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("evaluator", ["linear", "retrieval"])
def test_the_target_is_neither_easy_nor_hopeless(evaluator: str) -> None:
    """Else nothing could be chosen wrongly, and no check could see it."""
    ref = resolve("evaluator", evaluator)
    trial = EvaluatorSubject(ref, load(ref), {}).plain
    first = next(iter(trial.result.metrics.values()))
    assert 35 < first.value < 90


def test_every_check_of_evaluators_has_a_planted_bug() -> None:
    own = {name for name in checks_of("evaluator") if not name.startswith(("check_options", "check_unknown"))}
    assert own == set(PLANTED.values())
