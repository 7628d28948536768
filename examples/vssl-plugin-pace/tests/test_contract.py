"""The checks that vssl has for every task."""

from __future__ import annotations

from collections.abc import Callable

from vssl_core.testing import parametrize_with_checks
from vssl_plugin_pace import Pace


@parametrize_with_checks(task=[Pace])
def test_contract(check: Callable[[], None]) -> None:
    check()


@parametrize_with_checks(task=[Pace], options={"contrast": "same_context"})
def test_contract_with_contrast(check: Callable[[], None]) -> None:
    check()
