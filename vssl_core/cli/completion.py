"""Shell completion of component names, from metadata alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import click

from vssl_core.registry import Kind, scan

__all__ = ["complete_name"]


def complete_name(kind: Kind | None = None) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """For `shell_complete=`: names of one kind; None: of the kind that the parameter `kind` has."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
        del parameter
        wanted = kind or cast("str | None", context.params.get("kind"))
        return sorted({ref.name for ref in scan() if ref.kind == wanted and ref.name.startswith(incomplete)})

    return complete
